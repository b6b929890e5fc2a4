"""Intervals of shares and of the ROC area that know which cases come from one patient."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from seattn.metrics.inputs import Flags, Labels, Scores, check_level
from seattn.metrics.ranking import roc_auc

__all__ = ["Estimate", "auc_estimate", "delong_variance", "share_estimate", "wilson"]

# A standard error of the ROC area below this is what rounding leaves of zero.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Estimate:
    """One number, its interval, and what they rest on.

    Args:
        value: The metric; nan where it is not defined.
        low: Lower end of the interval; nan where there is none.
        high: Upper end of the interval; nan where there is none.
        level: Confidence level of the interval.
        method: How the interval was made, or ``None``.
        n: Cases that the value rests on; of a share, its denominator.
        n_patients: Patients of those cases, or ``None`` where patients were not given.
        reason: Why the value or its interval is missing, or what it leaves out; else ``None``.
    """

    value: float
    low: float
    high: float
    level: float
    method: str | None
    n: int
    n_patients: int | None
    reason: str | None


def wilson(successes: float, total: float, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Wilson, "Probable inference, the law of succession, and statistical inference", J Am Stat Assoc
    22:209, 1927.

    Args:
        successes: Cases counted, 0 .. ``total``; a fraction with an effective sample size.
        total: Cases in all, more than 0.
        level: Confidence level, between 0 and 1.

    Returns:
        Both ends; exactly 0.0 with no success and exactly 1.0 with nothing else.

    Raises:
        ValueError: If the counts or the level are outside these ranges.

    Examples:
        >>> from seattn.metrics import wilson
        >>> low, high = wilson(17, 20)
        >>> round(low, 4), round(high, 4)
        (0.6396, 0.9476)
    """
    if not 0 <= successes <= total or total == 0:
        raise ValueError(
            f"`successes` (={successes}) must be in 0 .. `total` (={total}), and `total` above 0."
        )
    check_level(level)
    z = _normal_quantile(level)
    share = successes / total
    centre = share + z**2 / (2 * total)
    half_width = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    scale = 1 + z**2 / total
    low = 0.0 if successes == 0 else (centre - half_width) / scale
    high = 1.0 if successes == total else (centre + half_width) / scale
    return low, high


def share_estimate(
    counted: Flags, patients: Labels | None, *, level: float, undefined: str
) -> Estimate:
    """The share of true flags, with Wilson's interval on the effective sample size.

    Cases of one patient are not independent: they count as the number of independent cases with
    the same variance, that of a ratio estimator over patients. Rao & Scott, "A simple method for
    the analysis of clustered binary data", Biometrics 48:577, 1992. When all flags agree that
    variance is 0, and every patient counts as one case, which can only widen the interval.

    Args:
        counted: (N,) flags of the cases in the denominator; N may be 0.
        patients: (N,) codes; ``None`` takes the cases for independent.
        level: Confidence level.
        undefined: The reason to give when N is 0.

    Returns:
        The estimate; with several cases that differ, all of one patient, it has no interval.
    """
    n, n_patients = len(counted), None if patients is None else _count(patients)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, level, None, n, n_patients, undefined)
    value = int(np.count_nonzero(counted)) / n
    effective, method = float(n), "Wilson"
    if patients is not None and n_patients is not None and n_patients < n:
        if value in (0.0, 1.0):
            effective, method = float(n_patients), "Wilson, n = patients"
        elif n_patients == 1:
            return Estimate(
                value, math.nan, math.nan, level, None, n, n_patients, "all cases of one patient"
            )
        else:
            effective, method = _effective_size(counted, patients, value), "clustered Wilson"
    low, high = wilson(value * effective, effective, level=level)
    return Estimate(value, low, high, level, method, n, n_patients, None)


def auc_estimate(
    positive: Flags, scores: Scores, patients: Labels | None, *, level: float
) -> Estimate:
    """The ROC area with DeLong's interval, on the logit scale, where it stays inside (0, 1).

    Args:
        positive: (N,) flags.
        scores: (N,) scores.
        patients: (N,) codes; ``None`` takes the cases for independent.
        level: Confidence level.

    Returns:
        The estimate; without an interval where the variance cannot be estimated or is 0, as for an
        area of 1.
    """
    value = roc_auc(y_true=positive, y_score=scores)
    n, n_patients = len(positive), None if patients is None else _count(patients)
    codes = np.arange(n) if patients is None else patients
    reason = _too_few(positive, codes, "case" if patients is None else "patient")
    se = math.nan if reason else math.sqrt(delong_variance(positive, scores, codes))
    if se < _ROUNDING:
        reason = "estimated variance 0, as under perfect separation"
    if reason:
        return Estimate(value, math.nan, math.nan, level, None, n, n_patients, reason)
    logit = math.log(value / (1 - value))
    reach = _normal_quantile(level) * se / (value * (1 - value))
    low, high = (0.5 + 0.5 * math.tanh(end / 2) for end in (logit - reach, logit + reach))
    method = "DeLong, logit" if patients is None else "clustered DeLong, logit"
    return Estimate(value, low, high, level, method, n, n_patients, None)


def delong_variance(positive: Flags, scores: Scores, patients: Labels) -> float:
    """The variance of the ROC area, by Obuchowski for patients; with one case each it is DeLong's.

    Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53:567, 1997.
    DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", Biometrics 44:837, 1988; the placements by sorting, as Sun &
    Xu, IEEE Signal Process Lett 21:1389, 2014.

    Args:
        positive: (N,) flags; positives and negatives of two patients or more each.
        scores: (N,) scores.
        patients: (N,) codes in 0 .. N - 1.

    Returns:
        The variance, 0 up to rounding where every placement is the same.
    """
    n, auc = len(positive), roc_auc(y_true=positive, y_score=scores)
    of_positives, of_negatives = patients[positive], patients[~positive]
    # V10: the share of the negatives below a positive; V01: of the positives above a negative.
    v10 = _share_below(scores[~positive], scores[positive])
    v01 = 1 - _share_below(scores[positive], scores[~positive])
    x = np.bincount(of_positives, v10 - auc, minlength=n) / len(of_positives)
    y = np.bincount(of_negatives, v01 - auc, minlength=n) / len(of_negatives)
    s10 = _bessel(of_positives) * float(x @ x)
    s01 = _bessel(of_negatives) * float(y @ y)
    s11 = _bessel(patients) * float(x @ y)
    return max(0.0, s10 + s01 + 2 * s11)


def _share_below(reference: Scores, values: Scores) -> Scores:
    """For each value the share of the reference below it, ties counting one half."""
    ranked = np.sort(reference)
    below, not_above = (np.searchsorted(ranked, values, side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(ranked))


def _too_few(positive: Flags, codes: Labels, unit: str) -> str | None:
    """Why the variance of the ROC area cannot be estimated, if so."""
    units = {"positives": _count(codes[positive]), "negatives": _count(codes[~positive])}
    rarer = min(units, key=lambda kind: units[kind])
    if units[rarer] == 0:
        return f"no {rarer}"
    return f"no interval: {rarer} of one {unit} only" if units[rarer] == 1 else None


def _effective_size(counted: Flags, patients: Labels, value: float) -> float:
    n = len(counted)
    residuals = np.bincount(patients, counted - value)
    variance = _bessel(patients) * float(residuals @ residuals) / n**2
    independent = value * (1 - value) / n
    return n * independent / max(variance, independent)


def _bessel(codes: Labels) -> float:
    clusters = _count(codes)
    return clusters / (clusters - 1)


def _count(codes: Labels) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
