"""The test that swaps the two models within patients, for any metric."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import as_cases
from seattn.metrics.comparison import Comparison
from seattn.metrics.inputs import Flags, Scores
from seattn.metrics.resampling import check_resamples, chunk_sizes
from seattn.metrics.weighted import Metric, metric_label, metric_name, weighted_metric

__all__ = ["permutation_test"]

_EXACT = 16  # patients, up to which all swaps are tried: 65536


def permutation_test(
    metric: str | Metric,
    *,
    y_true: npt.ArrayLike,
    y_score_a: npt.ArrayLike,
    y_score_b: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float | None = None,
    swaps: int = 100_000,
    ranks: bool | None = None,
    seed: int = 0,
) -> Comparison:
    """Test the difference of any metric by swapping the two models within patients.

    If the models are alike, it does not matter which of them gave a patient's scores. So the scores
    of all cases of a patient are swapped or not, and p is the share of the swaps whose difference
    is as far from 0 as the one found. That holds for any number of patients: all swaps are tried
    with up to 16 patients, and with more a random sample, to which the one found is added.
    Venkatraman & Begg, "A distribution-free procedure for comparing receiver operating
    characteristic curves from a paired experiment", Biometrika 83:835, 1996, swap ranks of cases.

    Args:
        metric: As in ``bootstrap``; a function is called twice per swap.
        y_true: Labels, 0 or 1; 0 .. K - 1 for (N, K) scores.
        y_score_a: Scores of the one model.
        y_score_b: Scores of the other, of the same cases in the same order.
        patients: The patient of each case, numbers or strings; ``None`` swaps single cases.
        threshold: As in ``bootstrap``, for both.
        swaps: Random swaps with more than 16 patients, 100 or more.
        ranks: Swap the ranks of the scores within their model, so that models of different scales
            can be mixed. ``None`` does for ``"roc_auc"`` and ``"average_precision"`` only.
        seed: Of the random swaps.

    Shape:
        ``y_true`` and ``patients`` (N,), both scores (N,), or (N, K) for a function.

    Returns:
        The comparison, without an interval. Swaps in which the metric is not defined count as if
        they were as far from 0, and in ``undefined``.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, a metric is unknown, or a patient is missing.

    Examples:
        >>> from seattn.metrics import permutation_test
        >>> gain = permutation_test(
        ...     "roc_auc",
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     y_score_a=[0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...     y_score_b=[0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ... )
        >>> gain.p_value, gain.method
        (0.5625, 'exact swaps of 6 cases')
    """
    check_resamples("swaps", swaps)
    cases = as_cases(y_true, {"y_score_a": y_score_a, "y_score_b": y_score_b}, patients)
    scores = cases.scores
    if ranks or (ranks is None and metric_name(metric) in ("roc_auc", "average_precision")):
        scores = tuple(_ranks_within(column) for column in scores)
    # Twice the patients: the one half with the scores of A, the other with those of B.
    units = int(cases.codes[-1]) + 1
    form = weighted_metric(
        metric,
        np.tile(cases.labels, 2),
        np.concatenate(scores),
        np.concatenate([cases.codes, cases.codes + units]),
        threshold=threshold,
    )
    a, b = (float(v) for v in form(np.repeat(np.eye(2), units, axis=1)))
    exact = units <= _EXACT
    if exact:
        drawn = _all_swaps(units, width=2 * len(cases.labels))
    else:
        drawn = _random_swaps(units, swaps, seed, width=2 * len(cases.labels))
    as_far = undefined = 0
    for swapped in drawn:
        kept = ~swapped
        of_a = form(np.hstack([kept, swapped]).astype(np.float64))
        of_b = form(np.hstack([swapped, kept]).astype(np.float64))
        nearer = np.abs(of_a - of_b) < abs(a - b) - 1e-12  # rounding must not break ties
        as_far += int(np.count_nonzero(~nearer))
        undefined += int(np.count_nonzero(np.isnan(of_a - of_b)))
    unit = "cases" if cases.n_patients is None else "patients"
    p = as_far / 2**units if exact else (as_far + 1) / (swaps + 1)
    defined = not math.isnan(a - b)
    how = f"exact swaps of {units} {unit}" if exact else f"{swaps} random swaps of {unit}"
    return Comparison(
        metric=metric_label(metric),
        value_a=a,
        value_b=b,
        difference=a - b,
        low=math.nan,
        high=math.nan,
        level=math.nan,
        statistic=math.nan,
        p_value=p if defined else math.nan,
        method=how if defined else None,
        n=len(cases.labels),
        n_patients=cases.n_patients,
        undefined=undefined,
        reason=None if defined else "not defined on these cases",
    )


def _all_swaps(units: int, *, width: int) -> Iterator[Flags]:
    """(chunk, units) flags: every set of units once."""
    start = 0
    for size in chunk_sizes(2**units, width):
        yield (np.arange(start, start + size)[:, None] >> np.arange(units)) % 2 == 1
        start += size


def _random_swaps(units: int, swaps: int, seed: int, *, width: int) -> Iterator[Flags]:
    """(chunk, units) flags, each true or false with the same chance, whatever the chunks."""
    stream = np.random.default_rng(seed)
    for size in chunk_sizes(swaps, width):
        yield stream.random((size, units)) < 0.5


def _ranks_within(scores: Scores) -> Scores:
    """The midrank of each score in its column."""
    if scores.ndim == 2:
        return np.stack([_ranks_within(column) for column in scores.T], axis=1)
    ranked = np.sort(scores)
    below, not_above = (np.searchsorted(ranked, scores, side) for side in ("left", "right"))
    return (below + not_above + 1) / 2
