"""Intervals of shares: Wilson's, Clopper and Pearson's, and Wilson's for cases of patients."""

import math

import numpy as np
import numpy.typing as npt

from seattn.metrics.clusters import count, small_sample_factor
from seattn.metrics.distributions import beta_quantile, normal_quantile
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import Flags, Labels, as_patients, check_level, flags

__all__ = ["clopper_pearson", "share_estimate", "share_interval", "wilson"]


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
    _check_counts(successes, total)
    check_level(level)
    z = normal_quantile(level)
    share = successes / total
    centre = share + z**2 / (2 * total)
    half_width = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    scale = 1 + z**2 / total
    low = 0.0 if successes == 0 else (centre - half_width) / scale
    high = 1.0 if successes == total else (centre + half_width) / scale
    return low, high


def clopper_pearson(successes: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a share of independent cases.

    Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26:404, 1934. It covers with the level at least, and is wider than
    Wilson's, which covers with the level on average.

    Args:
        successes: Cases counted, 0 .. ``total``.
        total: Cases in all, more than 0.
        level: Confidence level, between 0 and 1.

    Returns:
        Both ends; exactly 0.0 with no success and exactly 1.0 with nothing else.

    Raises:
        ValueError: If the counts or the level are outside these ranges, or a count is no integer.

    Examples:
        >>> from seattn.metrics import clopper_pearson
        >>> low, high = clopper_pearson(17, 20)
        >>> round(low, 4), round(high, 4)
        (0.6211, 0.9679)
    """
    _check_counts(successes, total)
    check_level(level)
    if successes != int(successes) or total != int(total):
        raise ValueError(
            f"`successes` (={successes}) and `total` (={total}) must be integers; use `wilson` "
            "with an effective sample size."
        )
    tail = (1 - level) / 2
    misses = total - successes
    low = 0.0 if successes == 0 else beta_quantile(tail, successes, misses + 1)
    high = 1.0 if misses == 0 else 1 - beta_quantile(tail, misses, successes + 1)
    return low, high


def share_interval(
    counted: npt.ArrayLike, *, patients: npt.ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """The share of true flags with Wilson's interval, which knows about patients.

    Cases of one patient are not independent: they count as the number of independent cases with
    the same variance, that of a ratio estimator over patients. Rao & Scott, "A simple method for
    the analysis of clustered binary data", Biometrics 48:577, 1992. When all flags agree that
    variance is 0, and every patient counts as one case, which can only widen the interval.

    Args:
        counted: Flags, 0 or 1: for the sensitivity whether each positive was found.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        level: Confidence level, between 0 and 1.

    Shape:
        Both (N,).

    Returns:
        The estimate; with several cases that differ, all of one patient, it has no interval.

    Raises:
        TypeError: If flags are not numbers, or patients are mixed.
        ValueError: If the flags are empty or not 0 or 1, the level is outside its range, or a
            patient is missing.

    Examples:
        >>> from seattn.metrics import share_interval
        >>> share = share_interval([1, 1, 0, 1, 1, 1], patients=["a", "a", "b", "b", "c", "d"])
        >>> round(share.low, 3), round(share.high, 3), share.method
        (0.436, 0.97, 'clustered Wilson')
    """
    check_level(level)
    found = flags("counted", counted)
    codes = None if patients is None else as_patients(patients, len(found))
    return share_estimate(found, codes, level=level, undefined="no cases")


def share_estimate(
    counted: Flags, patients: Labels | None, *, level: float, undefined: str
) -> Estimate:
    """``share_interval`` of checked arguments.

    Args:
        counted: (N,) flags of the cases in the denominator; N may be 0.
        patients: (N,) codes; ``None`` takes the cases for independent.
        level: Confidence level.
        undefined: The reason to give when N is 0.

    Returns:
        The estimate.
    """
    n, n_patients = len(counted), None if patients is None else count(patients)
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


def _effective_size(counted: Flags, patients: Labels, value: float) -> float:
    n = len(counted)
    residuals = np.bincount(patients, counted - value)
    variance = small_sample_factor(patients) * float(residuals @ residuals) / n**2
    independent = value * (1 - value) / n
    return n * independent / max(variance, independent)


def _check_counts(successes: float, total: float) -> None:
    if not 0 <= successes <= total or total == 0:
        raise ValueError(
            f"`successes` (={successes}) must be in 0 .. `total` (={total}), and `total` above 0."
        )
