"""The forms of ``weighted.py`` for several classes: of the K x K table, of K columns, and means."""

from collections.abc import Mapping, Sequence

import numpy as np

from seattn.metrics.count_metrics import COUNT_METRICS, Weighted, ratio
from seattn.metrics.inputs import Flags, Labels, Scores
from seattn.metrics.weighted import weighted_area, weighted_counts, weighted_precision
from seattn.metrics.weighted_probabilities import weighted_mean_of

__all__ = ["mean_of_forms", "weighted_class", "weighted_overall"]


def weighted_class(
    positive: Flags, predicted: Flags, scores: Scores, codes: Labels
) -> dict[str, Weighted]:
    """The metrics of one class against the rest, by name."""
    of_counts = ("sensitivity", "specificity", "ppv", "npv", "f1")
    return {
        "roc_auc": weighted_area(positive, scores, codes),
        "average_precision": weighted_precision(positive, scores, codes),
        **{m: weighted_counts(COUNT_METRICS[m], positive, predicted, codes) for m in of_counts},
    }


def mean_of_forms(forms: Sequence[Weighted]) -> Weighted:
    """Their mean; nan where one of them is, or there are fewer than two."""
    if len(forms) < 2:
        return lambda counts: np.full(len(counts), np.nan)
    return lambda counts: np.mean([form(counts) for form in forms], axis=0)


def weighted_overall(
    labels: Labels, predicted: Labels, scores: Scores, codes: Labels
) -> Mapping[tuple[str, ...], Weighted]:
    """The metrics of all classes together, each from labels (N,) and scores (N, K)."""
    classes = scores.shape[1]
    outcome = labels[:, None] == np.arange(classes)
    error = weighted_mean_of(((scores - outcome) ** 2).sum(axis=1), codes)
    with np.errstate(divide="ignore"):
        loss = weighted_mean_of(-np.log(scores[outcome]), codes)
    shares = [weighted_mean_of(column.astype(np.float64), codes) for column in outcome.T]

    def skill(counts: Scores) -> Scores:
        of_each = np.array([share(counts) for share in shares])
        return 1 - ratio(error(counts), (of_each * (1 - of_each)).sum(axis=0))

    return {
        ("balanced_accuracy", "mcc", "kappa"): _of_table(labels, predicted, codes, classes),
        ("brier",): error,
        ("brier_skill",): skill,
        ("log_loss",): loss,
    }


def _of_table(labels: Labels, predicted: Labels, codes: Labels, classes: int) -> Weighted:
    """Balanced accuracy, Matthews correlation and kappa, (3, B).

    Balanced accuracy is nan where a class that has cases here has none.
    """
    patients, cells = int(codes.max()) + 1, classes * classes
    place = cells * codes + classes * labels + predicted
    counted = np.bincount(place, minlength=patients * cells)
    cells_of = counted.reshape(patients, cells).astype(np.float64)
    present = np.unique(labels)

    def values(counts: Scores) -> Scores:
        tables = (counts @ cells_of).reshape(-1, classes, classes)
        true, called = tables.sum(axis=2), tables.sum(axis=1)  # (B, K)
        right = np.diagonal(tables, axis1=1, axis2=2)
        n, correct = true.sum(axis=1), right.sum(axis=1)
        found = [ratio(right[:, k], true[:, k]) for k in present]
        balanced = np.mean(found, axis=0) if len(found) > 1 else np.full(len(n), np.nan)
        by_chance = (true * called).sum(axis=1)
        margins = np.sqrt(n * n - (true**2).sum(axis=1)) * np.sqrt(n * n - (called**2).sum(axis=1))
        mcc = ratio(n * correct - by_chance, margins)
        kappa = ratio(n * correct - by_chance, n * n - by_chance)
        return np.array([balanced, mcc, kappa])

    return values
