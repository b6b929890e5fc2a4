"""Metrics of predicted probabilities."""

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import binary_scores, check_probabilities, class_scores

__all__ = ["brier"]


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
        ValueError: If scores are no probabilities, either is empty, not finite or of another
            length, or a label has no class.

    Examples:
        >>> from seattn.metrics import brier
        >>> brier(y_true=[1, 0], y_score=[0.5, 0.0])
        0.125
        >>> brier(y_true=[1, 0], y_score=[[0.5, 0.5], [1.0, 0.0]])
        0.25
    """
    if np.ndim(y_score) == 1:
        positive, scores = binary_scores(y_true, y_score)
        check_probabilities(scores)
        return float(np.mean((scores - positive) ** 2))
    labels, scores = class_scores(y_true, y_score)
    check_probabilities(scores)
    one_hot = labels[:, None] == np.arange(scores.shape[1])
    return float(np.mean(np.sum((scores - one_hot) ** 2, axis=1)))
