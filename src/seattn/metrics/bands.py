"""Confidence bands of ROC, precision-recall and decision curves, which know about patients."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import as_cases
from seattn.metrics.curve_band import CurveBand, each_once, make_band, search_rows, tally
from seattn.metrics.decision import PERCENT, check_thresholds
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import Flags, Labels, Scores, check_level, check_probabilities
from seattn.metrics.proportion import share_estimate

__all__ = ["net_benefit_band", "pr_band", "roc_band"]

_STEPS = 100  # rates are met at whole percents, so that they compare with counts in integers


def roc_band(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> CurveBand:
    """The sensitivity at every whole percent of 1 - specificity, with pointwise intervals.

    The ROC curve is joined by straight lines, and at a false positive rate where it rises its upper
    end counts. Ends of the band are percentiles over patients drawn as in ``bootstrap``, with the
    same random numbers, or those of ``share_interval`` at that point of the curve where they lie
    further out: near a sensitivity of 1 all resamples agree, and percentiles alone would claim to
    be certain.

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
        '0.75 [0.30, 1.00] at 0.1'
    """
    check_level(level)
    cases = as_cases(y_true, {"y_score": y_score}, patients, columns=False)
    positive, (scores,) = cases.labels == 1, cases.scores
    at, thresholds = np.arange(_STEPS + 1), np.unique(scores)[::-1]
    counted = tally(positive, scores, cases.codes, thresholds)

    def around(fp: Scores) -> tuple[Labels, Labels]:
        """The last point of the curve at or below each rate, and the one after it."""
        point = search_rows(_STEPS * fp, at * fp[:, -1:], "right") - 1
        return point, np.minimum(point + 1, fp.shape[1] - 1)

    def sensitivities(counts: Scores) -> Scores:
        tp, fp = counted(counts)
        positives, negatives = tp[:, -1:], fp[:, -1:]
        tp_at, fp_at, tp_after, fp_after = (
            np.take_along_axis(called, place, axis=1) for place in around(fp) for called in (tp, fp)
        )
        run = np.maximum(_STEPS * (fp_after - fp_at), 1)  # 0 at the last point, with no way to go
        way = (at * negatives - _STEPS * fp_at) / run
        defined = (positives > 0) & (negatives > 0)
        return _divide(tp_at + way * (tp_after - tp_at), positives, defined)

    def shares(point: Labels) -> list[Estimate]:
        of, codes = scores[positive], cases.codes[positive]
        calls = (of >= threshold for threshold in np.append(np.inf, thresholds)[point])
        return [share_estimate(call, codes, level=level, undefined="") for call in calls]

    point, after = (places[0] for places in around(counted(each_once(cases))[1]))
    low = [share.low for share in shares(point)]
    high = [share.high for share in shares(after)]
    low[-1] = high[-1] = 1.0  # where all cases are called positive
    ends = np.array([low, high])
    band = make_band(cases, at / _STEPS, sensitivities, ends, level, resamples, seed)
    # As the true curve never falls, a bound at one rate holds at all higher, or all lower, ones.
    return replace(
        band,
        low=np.maximum.accumulate(band.low),
        high=np.minimum.accumulate(band.high[::-1])[::-1],
    )


def pr_band(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> CurveBand:
    """The precision at every whole percent of recall, with pointwise intervals.

    It is that of the highest threshold with this recall at least: the steps whose area is
    ``average_precision``. Ends of the band are made as in ``roc_band``.

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
        '0.75 [0.30, 1.00] at 1.0'
    """
    check_level(level)
    cases = as_cases(y_true, {"y_score": y_score}, patients, columns=False)
    positive, (scores,) = cases.labels == 1, cases.scores
    at, thresholds = np.arange(1, _STEPS + 1), np.unique(scores)[::-1]
    counted = tally(positive, scores, cases.codes, thresholds)

    def reached(tp: Scores) -> Labels:
        return search_rows(_STEPS * tp, at * tp[:, -1:], "left")

    def precisions(counts: Scores) -> Scores:
        tp, fp = counted(counts)
        point = reached(tp)
        tp_at, fp_at = (np.take_along_axis(called, point, axis=1) for called in (tp, fp))
        return _divide(tp_at, tp_at + fp_at, tp[:, -1:] > 0)

    points = reached(counted(each_once(cases))[0])[0]
    calls = (scores >= threshold for threshold in np.append(np.inf, thresholds)[points])
    shares = [
        share_estimate(positive[call], cases.codes[call], level=level, undefined="")
        for call in calls
    ]
    ends = np.array([[share.low for share in shares], [share.high for share in shares]])
    return make_band(cases, at / _STEPS, precisions, ends, level, resamples, seed)


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
    """The net benefit of a model at every threshold, with pointwise intervals.

    They are percentiles over patients drawn as in ``bootstrap``, with the same random numbers.
    Where hardly a case is called positive, or hardly one is not, resamples agree more than studies
    would.

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
    check_level(level)
    at = check_thresholds(thresholds)
    cases = as_cases(y_true, {"y_score": y_score}, patients, columns=False)
    positive, (scores,) = cases.labels == 1, cases.scores
    check_probabilities(scores)
    counted, of_patient = tally(positive, scores, cases.codes, at), np.bincount(cases.codes)

    def benefits(counts: Scores) -> Scores:
        tp, fp = counted(counts)
        return (tp[:, 1:] - fp[:, 1:] * (at / (1 - at))) / (counts @ of_patient)[:, None]

    return make_band(cases, at, benefits, None, level, resamples, seed)


def _divide(part: Scores, whole: Scores, defined: Flags) -> Scores:
    out = np.full(part.shape, np.nan)
    return np.divide(part, whole, out=out, where=np.broadcast_to(defined, part.shape))
