"""The ROC area with an interval: DeLong's variance, and Obuchowski's for cases of patients."""

import math

import numpy as np
import numpy.typing as npt

from seattn.metrics.clusters import count, small_sample_factor
from seattn.metrics.distributions import normal_quantile, t_quantile
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import Flags, Labels, Scores, as_patients, binary_scores, check_level
from seattn.metrics.ranking import roc_auc

__all__ = ["auc_estimate", "delong_covariance", "roc_auc_interval", "rounding_only", "too_few"]


def roc_auc_interval(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """The ROC area with DeLong's interval on the logit scale, which knows about patients.

    The variance is that of DeLong, DeLong & Clarke-Pearson, Biometrics 44:837, 1988; with
    ``patients`` that of Obuchowski, "Nonparametric analysis of clustered ROC curve data",
    Biometrics 53:567, 1997, and the quantile is Student's t, with one degree of freedom less than
    there are patients with a positive, or with a negative if those are fewer. Differs from the
    paper, which has the normal quantile and no logit: with few patients that covers too rarely.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        level: Confidence level, between 0 and 1.

    Shape:
        All (N,).

    Returns:
        The estimate. An area of 1 has an estimated variance of 0; its lower end is then the exact
        one for as many independent pairs of a positive and a negative as there are, all won, and
        ``reason`` says so. No interval where the variance cannot be estimated.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, or a patient is missing.

    Examples:
        >>> from seattn.metrics import roc_auc_interval
        >>> area = roc_auc_interval(
        ...     y_true=[1, 1, 0, 0, 1, 0, 1, 0],
        ...     y_score=[0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     patients=["a", "a", "b", "b", "c", "d", "e", "f"],
        ... )
        >>> round(area.value, 3), round(area.low, 3), round(area.high, 3), area.method
        (0.938, 0.103, 0.999, 'clustered DeLong, logit, t')
    """
    check_level(level)
    positive, scores = binary_scores(y_true, y_score)
    codes = None if patients is None else as_patients(patients, len(scores))
    return auc_estimate(positive, scores, codes, level=level)


def auc_estimate(
    positive: Flags, scores: Scores, patients: Labels | None, *, level: float
) -> Estimate:
    """``roc_auc_interval`` of checked arguments.

    Args:
        positive: (N,) flags.
        scores: (N,) scores.
        patients: (N,) codes; ``None`` takes the cases for independent.
        level: Confidence level.

    Returns:
        The estimate.
    """
    value = roc_auc(y_true=positive, y_score=scores)
    n, n_patients = len(positive), None if patients is None else count(patients)
    alone = patients is None or n_patients == n
    codes = np.arange(n) if patients is None else patients
    reason = too_few(positive, codes, "case" if alone else "patient")
    low, high, method = math.nan, math.nan, None
    if reason is None and value in (0.0, 1.0):
        low, high, pairs = _perfect(positive, codes, value, level)
        kind = "cases" if alone else "patients"
        method = f"Clopper-Pearson of pairs of {kind}"
        reason = f"estimated variance 0, perfect separation: bound of {pairs} pairs of {kind}"
    elif reason is None:
        variance = float(delong_covariance(positive, scores[None], codes)[0, 0])
        if rounding_only(variance):
            reason = "estimated variance 0"
        else:
            df = min(count(codes[positive]), count(codes[~positive])) - 1
            quantile = normal_quantile(level) if alone else t_quantile(level, df)
            low, high = _on_logit_scale(value, quantile * math.sqrt(variance))
            method = "DeLong, logit" if alone else "clustered DeLong, logit, t"
    return Estimate(value, low, high, level, method, n, n_patients, reason)


def delong_covariance(positive: Flags, scores: Scores, patients: Labels) -> Scores:
    """The covariance of the ROC areas of K models, by Obuchowski for patients.

    With one case per patient it is DeLong's. The placements by sorting, as Sun & Xu, "Fast
    implementation of DeLong's algorithm", IEEE Signal Process Lett 21:1389, 2014.

    Args:
        positive: (N,) flags; positives and negatives of two patients or more each.
        scores: (K, N) scores.
        patients: (N,) codes in 0 .. N - 1.

    Returns:
        (K, K); a variance is 0 up to rounding where every placement is the same.
    """
    of_positives, of_negatives = patients[positive], patients[~positive]
    # V10: the share of the negatives below a positive; V01: of the positives above a negative.
    v10 = np.array([_share_below(s[~positive], s[positive]) for s in scores])
    v01 = np.array([1 - _share_below(s[positive], s[~positive]) for s in scores])
    x = _sums(v10 - v10.mean(axis=1, keepdims=True), of_positives, len(positive))
    y = _sums(v01 - v01.mean(axis=1, keepdims=True), of_negatives, len(positive))
    s10 = small_sample_factor(of_positives) * (x @ x.T)
    s01 = small_sample_factor(of_negatives) * (y @ y.T)
    s11 = small_sample_factor(patients) * (x @ y.T)
    return s10 + s01 + s11 + s11.T


def too_few(positive: Flags, codes: Labels, unit: str) -> str | None:
    """Why the variance of the ROC area cannot be estimated, if so."""
    units = {"positives": count(codes[positive]), "negatives": count(codes[~positive])}
    rarer = min(units, key=lambda kind: units[kind])
    if units[rarer] == 0:
        return f"no {rarer}"
    return f"no interval: {rarer} of one {unit} only" if units[rarer] == 1 else None


def rounding_only(variance: float) -> bool:
    """Whether a variance is what rounding leaves of zero."""
    return variance < 1e-28


def _perfect(
    positive: Flags, codes: Labels, value: float, level: float
) -> tuple[float, float, int]:
    """The interval of an area of 0 or 1, and the number of independent pairs that it counts.

    A positive and a negative of two patients are a trial that is won with the chance that the area
    is. So many can be formed that no patient is in two of them, and all of them agree.
    """
    with_positive, with_negative = count(codes[positive]), count(codes[~positive])
    pairs = min(with_positive, with_negative, count(codes) // 2)
    bound = ((1 - level) / 2) ** (1 / pairs)
    return (bound, 1.0, pairs) if value == 1.0 else (0.0, 1 - bound, pairs)


def _on_logit_scale(value: float, reach: float) -> tuple[float, float]:
    """The interval of half-width ``reach`` to first order that stays inside [0, 1]."""
    logit, half_width = math.log(value / (1 - value)), reach / (value * (1 - value))
    low, high = (0.5 + 0.5 * math.tanh(end / 2) for end in (logit - half_width, logit + half_width))
    return low, high


def _share_below(reference: Scores, values: Scores) -> Scores:
    """For each value the share of the reference below it, ties counting one half."""
    ranked = np.sort(reference)
    below, not_above = (np.searchsorted(ranked, values, side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(ranked))


def _sums(placements: Scores, codes: Labels, patients: int) -> Scores:
    """(K, patients) sums over each patient's cases of (K, M) placements, divided by M."""
    rows = [np.bincount(codes, row, minlength=patients) for row in placements]
    return np.array(rows) / len(codes)
