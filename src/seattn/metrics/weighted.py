"""Metrics of many resamples at once, given how often each patient is in each of them.

A ``Weighted`` is made once for some cases and then called with (B, I) whole numbers, the counts of
I patients in B resamples; it gives the (B,) values that the metric has on the repeated cases, nan
where it is not defined. Counts are added without rounding, so the values are those of the metric.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from seattn.metrics.count_metrics import COUNT_METRICS, TableMetric, Weighted, benefit, ratio
from seattn.metrics.decision import check_acting
from seattn.metrics.inputs import Flags, Labels, Scores, check_probabilities, check_threshold
from seattn.metrics.weighted_line import weighted_line
from seattn.metrics.weighted_probabilities import weighted_brier, weighted_log_loss, weighted_skill

__all__ = [
    "Metric",
    "Weighted",
    "by_loop",
    "metric_label",
    "metric_name",
    "needs_probabilities",
    "weighted_area",
    "weighted_counts",
    "weighted_metric",
    "weighted_precision",
]

Metric = Callable[..., float]
_OTHER_NAMES = {"recall": "sensitivity", "precision": "ppv"}


def weighted_metric(
    metric: str | Metric,
    labels: Labels,
    scores: Scores,
    codes: Labels,
    *,
    threshold: float | None,
) -> Weighted:
    """The fast form of a metric that has one, and a loop for any other.

    Args:
        metric: A name, or a function of ``y_true=`` and ``y_score=``.
        labels: (N,) labels, 0 or 1 for a named metric.
        scores: (N,) scores, or (N, K) for a function.
        codes: (N,) patients 0 .. I - 1.
        threshold: Scores from here on are positive; ``None`` takes them for probabilities and 0.5.
    """
    name = metric_name(metric)
    if name is None or (scores.ndim == 2 and not isinstance(metric, str)):
        return by_loop(metric, labels, scores, codes)  # type: ignore[arg-type]
    if scores.ndim != 1:
        raise ValueError(
            f"`metric` {name!r} needs one score per case, shape (N,), not {scores.shape}; pass the "
            "column of a class, or a function of all columns."
        )
    positive = labels == 1
    if name in _OF_SCORES:
        return _OF_SCORES[name](positive, scores, codes)
    if needs_probabilities(name, threshold):
        check_probabilities(scores)
    if name in _OF_PROBABILITIES:
        return _OF_PROBABILITIES[name](positive, scores, codes)
    at = 0.5 if threshold is None else threshold
    check_threshold(at)
    if name == "net_benefit":
        check_acting("threshold", at)
        return weighted_counts(benefit(at), positive, scores >= at, codes)
    return weighted_counts(COUNT_METRICS[name], positive, scores >= at, codes)


def needs_probabilities(name: str, threshold: float | None) -> bool:
    """Whether a named metric is one of probabilities; so are those at the threshold ``None``."""
    if name in _OF_SCORES:
        return False
    return name in _OF_PROBABILITIES or name == "net_benefit" or threshold is None


def metric_name(metric: str | Metric) -> str | None:
    """The name of a metric that has a fast form, given by name or as this library's function."""
    given = metric if isinstance(metric, str) else getattr(metric, "__name__", "")
    name = _OTHER_NAMES.get(given, given)
    names = (*_OF_SCORES, *_OF_PROBABILITIES, *COUNT_METRICS, "net_benefit")
    if isinstance(metric, str):
        if name not in names:
            raise ValueError(
                f"`metric` {metric!r} is not one of {', '.join(names)}; pass a function of "
                "`y_true=` and `y_score=` for any other."
            )
        return name
    ours = getattr(metric, "__module__", "").startswith("seattn.metrics.")
    return name if name in names and ours else None


def metric_label(metric: str | Metric) -> str:
    """What a result calls the metric."""
    return metric_name(metric) or str(getattr(metric, "__name__", type(metric).__name__))


def weighted_area(positive: Flags, scores: Scores, codes: Labels) -> Weighted:
    """The ROC area: wins among the counted pairs by the number of counted pairs."""
    of_positives, of_negatives = codes[positive], codes[~positive]
    order = np.argsort(scores[~positive], kind="stable")
    ranked, of_ranked = scores[~positive][order], of_negatives[order]
    below = np.searchsorted(ranked, scores[positive], "left")
    not_above = np.searchsorted(ranked, scores[positive], "right")

    def area(counts: Scores) -> Scores:
        weights = counts.take(of_positives, axis=1)
        passed = np.zeros((len(counts), len(ranked) + 1))
        np.cumsum(counts.take(of_ranked, axis=1), axis=1, out=passed[:, 1:])
        twice_won = passed.take(below, axis=1) + passed.take(not_above, axis=1)
        twice_won = (weights * twice_won).sum(axis=1)
        return ratio(twice_won, 2 * weights.sum(axis=1) * passed[:, -1])

    return area


def weighted_precision(positive: Flags, scores: Scores, codes: Labels) -> Weighted:
    """Average precision: the mean precision at the counted positives, from the highest score."""
    of_positives, of_negatives = codes[positive], codes[~positive]
    hits, misses = -scores[positive], -scores[~positive]
    hit_order, miss_order = np.argsort(hits, kind="stable"), np.argsort(misses, kind="stable")
    hits, of_hits = hits[hit_order], of_positives[hit_order]
    # Among the positives, and among the negatives: how many score as high as each positive.
    hits_up_to = np.searchsorted(hits, hits, "right") - 1
    misses_up_to = np.searchsorted(misses[miss_order], hits, "right")
    of_misses = of_negatives[miss_order]

    def precision(counts: Scores) -> Scores:
        # `take`, not an index, whose result has rows that lie apart and sums that round by shape.
        weights = counts.take(of_hits, axis=1)
        tp = np.cumsum(weights, axis=1).take(hits_up_to, axis=1)
        fp = np.zeros((len(counts), len(of_misses) + 1))
        np.cumsum(counts.take(of_misses, axis=1), axis=1, out=fp[:, 1:])
        called = tp + fp.take(misses_up_to, axis=1)
        np.divide(tp, called, out=tp, where=called > 0)
        return ratio((weights * tp).sum(axis=1), weights.sum(axis=1))

    return precision


def weighted_counts(
    of_table: TableMetric, positive: Flags, predicted: Flags, codes: Labels
) -> Weighted:
    """A metric of the confusion table, such as those in ``COUNT_METRICS``."""
    patients = int(codes.max()) + 1
    cells = np.bincount(4 * codes + 2 * positive + predicted, minlength=4 * patients)
    cells_of = cells.reshape(patients, 4).astype(np.float64)

    def rate(counts: Scores) -> Scores:
        tn, fp, fn, tp = (counts @ cells_of).T
        return of_table(tp, fp, tn, fn)

    return rate


def by_loop(metric: Metric, labels: npt.NDArray[Any], scores: Scores, codes: Labels) -> Weighted:
    """Any metric, called with the repeated cases of one resample after the other."""

    def each(counts: Scores) -> Scores:
        repeats = counts[:, codes].astype(np.int64)
        rows = (np.repeat(np.arange(len(labels)), row) for row in repeats)
        return np.array([float(metric(y_true=labels[r], y_score=scores[r])) for r in rows])

    return each


_OF_SCORES = {"roc_auc": weighted_area, "average_precision": weighted_precision}
_OF_PROBABILITIES = {
    "brier": weighted_brier,
    "brier_skill": weighted_skill,
    "log_loss": weighted_log_loss,
    "calibration_intercept": lambda *cases: _part(0, weighted_line(*cases)),
    "calibration_slope": lambda *cases: _part(1, weighted_line(*cases)),
}


def _part(row: int, form: Weighted) -> Weighted:
    return lambda counts: form(counts)[row]
