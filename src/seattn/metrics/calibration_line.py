"""Calibration intercept and slope: the straight line that would mend the logits of a model."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import Flags, Scores, binary_scores, check_probabilities

__all__ = ["Recalibration", "fit_line", "recalibration"]

# More than any overlap of two float64 logits takes; a fit takes 5 to 10.
_STEPS = 200


@dataclass(frozen=True)
class Recalibration:
    """What the outcomes say about the logits of the predicted probabilities.

    Args:
        intercept: a of the fit logit P(y = 1) = a + b logit(p); 0 for a calibrated model.
        slope: b of that fit; 1 for a calibrated model, below 1 for probabilities too extreme.
        in_the_large: a with b fixed at 1; below 0 for probabilities too high on the whole.
        reason: Why a value is nan, else ``None``.

    Examples:
        >>> from seattn.metrics import recalibration
        >>> fit = recalibration(
        ...     y_true=[0, 0, 1, 0, 1, 0, 1, 1], y_score=[0.01, 0.1, 0.1, 0.9, 0.9, 0.9, 0.99, 0.9]
        ... )
        >>> round(fit.slope, 2), round(fit.in_the_large, 2)  # below 1: too extreme
        (0.3, -1.15)
    """

    intercept: float
    slope: float
    in_the_large: float
    reason: str | None


def recalibration(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> Recalibration:
    """Fit the outcomes by logistic regression on the logits of the predicted probabilities.

    Cox, "Two further applications of a model for binary regression", Biometrika 45:562, 1958. The
    fit is that of maximum likelihood, without a penalty.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of the positive class.

    Shape:
        Both (N,).

    Returns:
        Intercept, slope and calibration in the large. All are nan with one class only, or with a
        probability of exactly 0 or 1, whose logit is infinite; the first two are nan when a
        threshold separates the classes (the slope would be infinite) or all probabilities are
        equal.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If scores are no probabilities, either is empty, not finite, of another shape or
            length, or a label is not 0 or 1.

    Examples:
        >>> from seattn.metrics import recalibration
        >>> fit = recalibration(y_true=[0, 1, 0, 1], y_score=[0.2, 0.4, 0.6, 0.8])
        >>> round(fit.slope, 4), fit.reason
        (1.1018, None)
        >>> recalibration(y_true=[0, 0, 1], y_score=[0.2, 0.4, 0.6]).reason
        'a threshold separates the classes'
    """
    positive, scores = binary_scores(y_true, y_score)
    check_probabilities(scores)
    if positive.all() or not positive.any():
        missing = "negatives" if positive.all() else "positives"
        return Recalibration(math.nan, math.nan, math.nan, f"no {missing}")
    if ((scores == 0) | (scores == 1)).any():
        return Recalibration(math.nan, math.nan, math.nan, "a probability of exactly 0 or 1")
    logits = np.log(scores) - np.log1p(-scores)
    in_the_large = _shift(positive, logits)
    found, others = logits[positive], logits[~positive]
    if found.min() >= others.max() or found.max() <= others.min():
        reason = "a threshold separates the classes"
        if logits.min() == logits.max():
            reason = "all probabilities are equal"
        return Recalibration(math.nan, math.nan, in_the_large, reason)
    intercept, slope = fit_line(positive, logits)
    return Recalibration(intercept, slope, in_the_large, None)


def _shift(positive: Flags, logits: Scores) -> float:
    # Beginning where as many cases are above a half as there are positives.
    start = -float(np.sort(logits)[-np.count_nonzero(positive)])
    return _fit(positive, logits, start, 1.0, free_slope=False)[0]


def fit_line(positive: Flags, logits: Scores) -> tuple[float, float]:
    """Intercept and slope of (N,) logits of two classes that no threshold separates."""
    return _fit(positive, logits, 0.0, 0.0, free_slope=True)


def _fit(
    positive: Flags, logits: Scores, intercept: float, slope: float, *, free_slope: bool
) -> tuple[float, float]:
    """Maximum likelihood by Newton steps, halved while they overshoot.

    The maximum must exist. Signed so that the chance of the other outcome is exact however small.
    """
    sign = np.where(positive, 1.0, -1.0)
    loss = _loss(sign * (intercept + slope * logits))
    for _ in range(_STEPS):
        margin = sign * (intercept + slope * logits)
        wrong, right = np.exp(-np.logaddexp(0, margin)), np.exp(-np.logaddexp(0, -margin))
        pull, weight = sign * wrong, wrong * right
        # The Newton step is the weighted least-squares line through pull / weight.
        centre = weight @ logits / weight.sum()
        around = logits - centre
        up = float(around @ pull / (weight @ around**2)) if free_slope else 0.0
        along = float(pull.sum() / weight.sum() - centre * up)
        while (tried := _loss(margin + sign * (along + up * logits))) > loss * (1 + 1e-12):
            along, up = along / 2, up / 2
        intercept, slope, loss = intercept + along, slope + up, tried
        if np.abs(along + up * logits).max() < 1e-8:  # the next step would be its square
            break
    return intercept, slope


def _loss(margin: Scores) -> float:
    return float(np.logaddexp(0, -margin).sum())
