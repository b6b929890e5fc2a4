"""Metrics of predicted probabilities, case by case."""

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import (
    Flags,
    Scores,
    binary_scores,
    check_probabilities,
    class_scores,
)

__all__ = ["brier", "brier_skill", "log_loss"]


def brier(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> float:
    """The mean squared error of predicted probabilities.

    Brier, "Verification of forecasts expressed in terms of probability", Mon Weather Rev 78:1,
    1950. For (N, K) the original form, summed over the classes and in [0, 2]; for (N,) the usual
    half of it, the error of the positive class alone. scikit-learn has the same two conventions.

    Args:
        y_true: Labels, 0 or 1 for (N,) scores, 0 .. K - 1 for (N, K).
        y_score: Probabilities of the positive class, or of every class with rows that sum to 1.

    Shape:
        ``y_true`` (N,), ``y_score`` (N,) or (N, K).

    Returns:
        A number in [0, 1], or in [0, 2] for (N, K).

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If scores are no probabilities, either is empty, not finite or of another
            length, or a label has no class.

    Examples:
        >>> from seattn.metrics import brier
        >>> brier(y_true=[1, 0], y_score=[0.5, 0.0])
        0.125
        >>> brier(y_true=[1, 0], y_score=[[0.5, 0.5], [1.0, 0.0]])
        0.25
    """
    outcome, scores = _outcomes(y_true, y_score)
    return float(np.mean(np.sum((scores - outcome) ** 2, axis=1)))


def brier_skill(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> float:
    """How far the Brier score lies below that of a forecast of the prevalence: 1 - B / B_ref.

    The reference gives every case the shares of the classes among these cases, so with two classes
    B_ref = pi (1 - pi).

    Args:
        y_true: Labels, 0 or 1 for (N,) scores, 0 .. K - 1 for (N, K).
        y_score: Probabilities of the positive class, or of every class with rows that sum to 1.

    Shape:
        ``y_true`` (N,), ``y_score`` (N,) or (N, K).

    Returns:
        1 for a perfect forecast, 0 for one as good as the prevalence, below 0 for a worse one; nan
        when ``y_true`` holds one class only, as the reference is perfect then.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If scores are no probabilities, either is empty, not finite or of another
            length, or a label has no class.

    Examples:
        >>> from seattn.metrics import brier_skill
        >>> brier_skill(y_true=[1, 0], y_score=[0.5, 0.0])
        0.5
    """
    outcome, scores = _outcomes(y_true, y_score)
    score = np.mean(np.sum((scores - outcome) ** 2, axis=1))
    prevalence = outcome.mean(axis=0)
    reference = np.sum(prevalence * (1 - prevalence))
    return float(1 - score / reference) if reference else float("nan")


def log_loss(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> float:
    """The mean of -log of the probability that each case got for what it is, in nats.

    Args:
        y_true: Labels, 0 or 1 for (N,) scores, 0 .. K - 1 for (N, K).
        y_score: Probabilities of the positive class, or of every class with rows that sum to 1.

    Shape:
        ``y_true`` (N,), ``y_score`` (N,) or (N, K).

    Returns:
        A number from 0 on; infinity when a case got probability 0 for what it is. Nothing is
        clipped: scikit-learn's finite value there depends on the dtype.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If scores are no probabilities, either is empty, not finite or of another
            length, or a label has no class.

    Examples:
        >>> from seattn.metrics import log_loss
        >>> round(log_loss(y_true=[1, 0], y_score=[0.5, 0.0]), 6)
        0.346574
        >>> log_loss(y_true=[1, 0], y_score=[0.5, 1.0])
        inf
    """
    outcome, scores = _outcomes(y_true, y_score)
    if scores.shape[1] == 1:
        outcome, scores = np.hstack([~outcome, outcome]), np.hstack([1 - scores, scores])
    with np.errstate(divide="ignore"):
        return abs(float(np.log(scores[outcome]).mean()))  # a minus would make 0 of it -0


def _outcomes(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[Flags, Scores]:
    """What happened and its probability: (N, 1) of the positive class, or (N, K)."""
    if np.ndim(y_score) == 1:
        positive, scores = binary_scores(y_true, y_score)
        check_probabilities(scores)
        return positive[:, None], scores[:, None]
    labels, scores = class_scores(y_true, y_score)
    check_probabilities(scores)
    return labels[:, None] == np.arange(scores.shape[1]), scores
