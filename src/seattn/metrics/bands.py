"""Confidence bands of curves by drawing patients again, all resamples at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import Cases, as_cases
from seattn.metrics.decision import PERCENT, check_thresholds
from seattn.metrics.delong import too_few
from seattn.metrics.inputs import Flags, Labels, Scores, check_level, check_probabilities
from seattn.metrics.resampling import check_resamples, resampled_counts
from seattn.metrics.weighted import Weighted

__all__ = ["CurveBand", "net_benefit_band", "pr_band", "roc_band"]

_STEPS = 100  # rates are met at whole percents, so that they compare with counts in integers


@dataclass(frozen=True, eq=False)
class CurveBand:
    """A curve at fixed places, each with an interval of its own; arrays (G,).

    The band is pointwise: it covers the true curve with ``level`` at any one place, and less often
    along the whole of it. Where all resamples agree, as at the upper end of most ROC curves, it has
    no width, though the truth may differ.

    Args:
        at: The places: false positive rates, recalls, or threshold probabilities.
        value: The curve there.
        low: Lower end; nan where there is no band.
        high: Upper end; nan where there is no band.
        level: Confidence level.
        method: How the band was made, or ``None``.
        n: Cases.
        n_patients: Their patients, or ``None`` where patients were not given.
        undefined: Resamples in which the curve is not defined; the band leaves them out.
        reason: Why there is no band, else ``None``.
    """

    at: Scores
    value: Scores
    low: Scores
    high: Scores
    level: float
    method: str | None
    n: int
    n_patients: int | None
    undefined: int
    reason: str | None


def roc_band(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> CurveBand:
    """The sensitivity at every whole percent of 1 - specificity, with percentile intervals.

    The ROC curve is joined by straight lines, and at a false positive rate where it rises its upper
    end counts. Patients are drawn as in ``bootstrap``, with the same random numbers.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class.
        patients: The patient of each case, numbers or strings; ``None`` draws single cases.
        level: Confidence level, between 0 and 1.
        resamples: How often to draw, 100 or more.
        seed: Of the random numbers.

    Shape:
        All (N,).

    Returns:
        The band at the rates 0, 0.01 .. 1. Without one, and with the reason, where the positives
        or the negatives are of one patient, or all resamples have the same curve.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, or a patient is missing.

    Examples:
        >>> from seattn.metrics import roc_band
        >>> band = roc_band(
        ...     y_true=[1, 1, 0, 0, 1, 0, 1, 0],
        ...     y_score=[0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     patients=["a", "a", "b", "b", "c", "d", "e", "f"],
        ... )
        >>> f"{band.value[10]:.2f} [{band.low[10]:.2f}, {band.high[10]:.2f}] at {band.at[10]}"
        '0.75 [0.50, 1.00] at 0.1'
    """
    cases = as_cases(y_true, {"y_score": y_score}, patients, columns=False)
    positive, (scores,) = cases.labels == 1, cases.scores
    at = np.arange(_STEPS + 1)
    tally = _Tally(positive, scores, cases.codes, np.unique(scores)[::-1])

    def sensitivities(counts: Scores) -> Scores:
        tp, fp = tally(counts)
        positives, negatives = tp[:, -1:], fp[:, -1:]
        wanted = at * negatives
        # The last point of the curve at or below each rate, and the one after it.
        point = _search(_STEPS * fp, wanted, "right") - 1
        after = np.minimum(point + 1, fp.shape[1] - 1)
        tp_at, fp_at, tp_after, fp_after = (
            np.take_along_axis(counted, place, axis=1)
            for place in (point, after)
            for counted in (tp, fp)
        )
        run = np.maximum(_STEPS * (fp_after - fp_at), 1)  # 0 at the last point, with no way to go
        way = (wanted - _STEPS * fp_at) / run
        defined = (positives > 0) & (negatives > 0)
        return _divide(tp_at + way * (tp_after - tp_at), positives, defined)

    return _band(cases, at / _STEPS, sensitivities, level, resamples, seed)


def pr_band(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> CurveBand:
    """The precision at every whole percent of recall, with percentile intervals.

    It is that of the highest threshold with this recall at least: the steps whose area is
    ``average_precision``. Patients are drawn as in ``bootstrap``, with the same random numbers.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class.
        patients: The patient of each case, numbers or strings; ``None`` draws single cases.
        level: Confidence level, between 0 and 1.
        resamples: How often to draw, 100 or more.
        seed: Of the random numbers.

    Shape:
        All (N,).

    Returns:
        The band at the recalls 0.01, 0.02 .. 1, as in ``roc_band``.

    Raises:
        TypeError: As ``roc_band``.
        ValueError: As ``roc_band``.

    Examples:
        >>> from seattn.metrics import pr_band
        >>> band = pr_band(y_true=[1, 1, 0, 0, 1], y_score=[0.9, 0.4, 0.2, 0.6, 0.8])
        >>> f"{band.value[-1]:.2f} [{band.low[-1]:.2f}, {band.high[-1]:.2f}] at {band.at[-1]}"
        '0.75 [0.60, 1.00] at 1.0'
    """
    cases = as_cases(y_true, {"y_score": y_score}, patients, columns=False)
    positive, (scores,) = cases.labels == 1, cases.scores
    at = np.arange(1, _STEPS + 1)
    tally = _Tally(positive, scores, cases.codes, np.unique(scores)[::-1])

    def precisions(counts: Scores) -> Scores:
        tp, fp = tally(counts)
        positives = tp[:, -1:]
        point = _search(_STEPS * tp, at * positives, "left")
        tp_at, fp_at = (np.take_along_axis(counted, point, axis=1) for counted in (tp, fp))
        return _divide(tp_at, tp_at + fp_at, positives > 0)

    return _band(cases, at / _STEPS, precisions, level, resamples, seed)


def net_benefit_band(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    thresholds: Sequence[float] = PERCENT,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> CurveBand:
    """The net benefit of a model at every threshold, with percentile intervals.

    Patients are drawn as in ``bootstrap``, with the same random numbers.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of the positive class.
        patients: The patient of each case, numbers or strings; ``None`` draws single cases.
        thresholds: As in ``decision_curve``.
        level: Confidence level, between 0 and 1.
        resamples: How often to draw, 100 or more.
        seed: Of the random numbers.

    Shape:
        Labels, scores and patients (N,).

    Returns:
        The band at the thresholds, as in ``roc_band``.

    Raises:
        TypeError: As ``roc_band``.
        ValueError: As ``roc_band``, if scores are no probabilities, or a threshold is not from 0
            up to but not 1.

    Examples:
        >>> from seattn.metrics import net_benefit_band
        >>> band = net_benefit_band(
        ...     y_true=[1, 1, 0, 0, 1, 0], y_score=[0.9, 0.4, 0.2, 0.6, 0.8, 0.1], thresholds=[0.5]
        ... )
        >>> f"{band.value[0]:.3f} [{band.low[0]:.3f}, {band.high[0]:.3f}]"
        '0.167 [-0.167, 0.500]'
    """
    at = check_thresholds(thresholds)
    cases = as_cases(y_true, {"y_score": y_score}, patients, columns=False)
    positive, (scores,) = cases.labels == 1, cases.scores
    check_probabilities(scores)
    tally, of_patient = _Tally(positive, scores, cases.codes, at), np.bincount(cases.codes)

    def benefits(counts: Scores) -> Scores:
        tp, fp = tally(counts)
        return (tp[:, 1:] - fp[:, 1:] * (at / (1 - at))) / (counts @ of_patient)[:, None]

    return _band(cases, at, benefits, level, resamples, seed)


class _Tally:
    """Counted positives and negatives above all scores (0), then at or above each threshold.

    Called with (B, I) counts of the patients; gives two (B, T + 1) arrays of whole numbers.
    """

    def __init__(self, positive: Flags, scores: Scores, codes: Labels, thresholds: Scores) -> None:
        self.parts = []
        for among in (positive, ~positive):
            order = np.argsort(-scores[among], kind="stable")
            called = np.searchsorted(-scores[among][order], -thresholds, "right")
            self.parts.append((codes[among][order], np.append(0, called)))

    def __call__(self, counts: Scores) -> tuple[Scores, Scores]:
        tp, fp = (_passed(counts[:, codes])[:, called] for codes, called in self.parts)
        return tp, fp


def _passed(weights: Scores) -> Scores:
    """(B, n + 1) sums of the first 0, 1 .. n weights."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _search(rising: Scores, wanted: Scores, side: str) -> npt.NDArray[np.intp]:
    """``searchsorted`` row by row, of whole numbers from 0 to the largest of their row."""
    rows, columns = rising.shape
    shift = (np.arange(rows) * (rising.max() + 1))[:, None]
    found = np.searchsorted((rising + shift).ravel(), (wanted + shift).ravel(), side)  # type: ignore[call-overload]
    return found.reshape(wanted.shape) - columns * np.arange(rows)[:, None]


def _divide(part: Scores, whole: Scores, defined: Flags) -> Scores:
    out = np.full(part.shape, np.nan)
    return np.divide(part, whole, out=out, where=np.broadcast_to(defined, part.shape))


def _band(
    cases: Cases, at: Scores, curve: Weighted, level: float, resamples: int, seed: int
) -> CurveBand:
    """The curve of the cases, and the percentiles of those of resampled patients."""
    check_level(level)
    check_resamples("resamples", resamples)
    strata, width = cases.strata(stratified=True), len(cases.codes)
    low = high = np.full(len(at), np.nan)
    method, undefined, reason = None, 0, _no_band(cases, strata)
    if reason is None:
        counts = resampled_counts(strata, resamples=resamples, seed=seed, width=width)
        drawn = np.concatenate([curve(chunk) for chunk in counts])
        defined = drawn[~np.isnan(drawn).any(axis=1)]
        undefined = len(drawn) - len(defined)
        if len(defined) == 0 or np.ptp(defined, axis=0).max() == 0:
            reason = "the same curve in every resample"
        else:
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2], axis=0)
            of = "bootstrap of cases" if cases.n_patients is None else "patient bootstrap"
            method = f"stratified {of}, {resamples} resamples, pointwise percentiles"
    return CurveBand(
        at=at,
        value=curve(np.ones((1, len(strata))))[0],
        low=low,
        high=high,
        level=level,
        method=method,
        n=len(cases.codes),
        n_patients=cases.n_patients,
        undefined=undefined,
        reason=reason,
    )


def _no_band(cases: Cases, strata: Flags) -> str | None:
    unit = "case" if cases.n_patients is None else "patient"
    reason = too_few(cases.labels == 1, cases.codes, unit)
    if reason is None and np.count_nonzero(~strata) == 1:
        reason = "one patient alone has no positives"
    return reason and reason.removeprefix("no interval: ")
