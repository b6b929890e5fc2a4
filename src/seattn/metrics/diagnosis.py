"""What a positive and a negative result say about a case, here and at another prevalence."""

import math

import numpy.typing as npt

from seattn.metrics.counts import confusion

__all__ = [
    "negative_likelihood_ratio",
    "npv_at_prevalence",
    "positive_likelihood_ratio",
    "ppv_at_prevalence",
    "youden_j",
]


def youden_j(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Youden's index: sensitivity + specificity - 1.

    Youden, "Index for rating diagnostic tests", Cancer 3:32, 1950. 0 is a test that knows nothing.

    Args:
        y_true: Labels, 0 or 1.
        y_pred: Predicted labels, 0 or 1; from scores by ``y_score >= threshold``.

    Shape:
        Both (N,).

    Returns:
        A number in [-1, 1]; nan without positives or without negatives.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not 0 or 1, or their lengths differ.

    Examples:
        >>> from seattn.metrics import youden_j
        >>> youden_j(y_true=[1, 1, 0, 0], y_pred=[1, 0, 0, 0])
        0.5
    """
    hit_rate, false_alarm_rate = _rates(y_true, y_pred)
    return hit_rate - false_alarm_rate


def positive_likelihood_ratio(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """The factor by which a positive result multiplies the odds: sensitivity / (1 - specificity).

    Args:
        y_true: Labels, 0 or 1.
        y_pred: Predicted labels, 0 or 1; from scores by ``y_score >= threshold``.

    Shape:
        Both (N,).

    Returns:
        A number from 0 on; nan without positives or without negatives, and without a false
        positive, when the cases set no upper bound to it.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not 0 or 1, or their lengths differ.

    Examples:
        >>> from seattn.metrics import positive_likelihood_ratio
        >>> positive_likelihood_ratio(y_true=[1, 1, 0, 0, 0, 0], y_pred=[1, 1, 1, 0, 0, 0])
        4.0
        >>> positive_likelihood_ratio(y_true=[1, 1, 0, 0], y_pred=[1, 0, 0, 0])
        nan
    """
    hit_rate, false_alarm_rate = _rates(y_true, y_pred)
    return _ratio(hit_rate, false_alarm_rate)


def negative_likelihood_ratio(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """The factor by which a negative result multiplies the odds: (1 - sensitivity) / specificity.

    Args:
        y_true: Labels, 0 or 1.
        y_pred: Predicted labels, 0 or 1; from scores by ``y_score >= threshold``.

    Shape:
        Both (N,).

    Returns:
        A number from 0 on; nan without positives, without negatives or without a true negative.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not 0 or 1, or their lengths differ.

    Examples:
        >>> from seattn.metrics import negative_likelihood_ratio
        >>> negative_likelihood_ratio(y_true=[1, 1, 0, 0], y_pred=[1, 0, 0, 0])
        0.5
    """
    hit_rate, false_alarm_rate = _rates(y_true, y_pred)
    return _ratio(1 - hit_rate, 1 - false_alarm_rate)


def ppv_at_prevalence(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, prevalence: float) -> float:
    """The share of positive results that are right where ``prevalence`` of the cases are positive.

    Bayes' theorem with the sensitivity and the specificity of these cases, which are taken to hold
    there too. ``ppv`` is the same at the prevalence of the cases themselves.

    Args:
        y_true: Labels, 0 or 1.
        y_pred: Predicted labels, 0 or 1; from scores by ``y_score >= threshold``.
        prevalence: Share of positives, between 0 and 1.

    Shape:
        Both (N,).

    Returns:
        A number in [0, 1]; nan without positives, without negatives, or when nothing is predicted
        positive.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not 0 or 1, or their lengths differ, or
            ``prevalence`` is not between 0 and 1.

    Examples:
        >>> from seattn.metrics import ppv_at_prevalence
        >>> round(
        ...     ppv_at_prevalence(y_true=[1, 1, 0, 0, 0], y_pred=[1, 1, 1, 0, 0], prevalence=0.1), 6
        ... )
        0.25
    """
    _check_prevalence(prevalence)
    hit_rate, false_alarm_rate = _rates(y_true, y_pred)
    found = hit_rate * prevalence
    return _ratio(found, found + false_alarm_rate * (1 - prevalence))


def npv_at_prevalence(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, prevalence: float) -> float:
    """The share of negative results that are right where ``prevalence`` of the cases are positive.

    Bayes' theorem with the sensitivity and the specificity of these cases, which are taken to hold
    there too. ``npv`` is the same at the prevalence of the cases themselves.

    Args:
        y_true: Labels, 0 or 1.
        y_pred: Predicted labels, 0 or 1; from scores by ``y_score >= threshold``.
        prevalence: Share of positives, between 0 and 1.

    Shape:
        Both (N,).

    Returns:
        A number in [0, 1]; nan without positives, without negatives, or when nothing is predicted
        negative.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not 0 or 1, or their lengths differ, or
            ``prevalence`` is not between 0 and 1.

    Examples:
        >>> from seattn.metrics import npv_at_prevalence
        >>> round(npv_at_prevalence(y_true=[1, 1, 0, 0], y_pred=[1, 0, 0, 0], prevalence=0.1), 6)
        0.947368
    """
    _check_prevalence(prevalence)
    hit_rate, false_alarm_rate = _rates(y_true, y_pred)
    cleared = (1 - false_alarm_rate) * (1 - prevalence)
    return _ratio(cleared, cleared + (1 - hit_rate) * prevalence)


def _rates(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[float, float]:
    """Sensitivity, and 1 - specificity."""
    counts = confusion(y_true=y_true, y_pred=y_pred)
    return (
        _ratio(counts.tp, counts.tp + counts.fn),
        _ratio(counts.fp, counts.fp + counts.tn),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _check_prevalence(prevalence: float) -> None:
    if not 0 < prevalence < 1:
        raise ValueError(
            f"`prevalence` (={prevalence}) must be between 0 and 1, for example 0.05 for 5 %."
        )
