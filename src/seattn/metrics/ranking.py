"""Metrics of the order of the scores; any increasing change of the scores leaves them alone."""

from collections.abc import Callable
from typing import overload

import numpy as np
import numpy.typing as npt

from seattn.metrics.averaging import Average, average_over_classes, check_average
from seattn.metrics.inputs import Flags, Labels, Scores, binary_scores, class_scores

__all__ = ["average_precision", "roc_auc"]


@overload
def roc_auc(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike, average: Average = ...) -> float: ...
@overload
def roc_auc(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike, average: None) -> list[float]: ...
def roc_auc(
    *, y_true: npt.ArrayLike, y_score: npt.ArrayLike, average: Average | None = "binary"
) -> float | list[float]:
    """The chance that a positive scores higher than a negative, a tie counting one half.

    The area under the ROC curve: Bamber, J Math Psychol 12:387, 1975. The pairs are counted in
    integers, so the result is the nearest float to the true fraction, in any order of the cases.

    Args:
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1.
        y_score: Any finite scores, higher for the positive class; with another ``average`` one
            column per class. The columns are ranked over the cases as they are: logits and their
            softmax, which couples the columns, differ there.
        average: ``"binary"``: one column of scores. ``None``: every class against the rest.
            ``"macro"``: the mean of those that are defined, when two or more are. ``"weighted"``:
            that mean weighted by the cases of each class. ``"micro"``: all columns pooled.

    Shape:
        ``y_true`` (N,), ``y_score`` (N,), or (N, K) with another ``average``.

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan without positives or without
        negatives.

    Raises:
        ValueError: If either is empty, not finite, of another shape or length, or a label has no
            class.

    Examples:
        >>> from seattn.metrics import roc_auc
        >>> roc_auc(y_true=[0, 0, 1, 1], y_score=[0.1, 0.4, 0.4, 0.8])
        0.875
        >>> roc_auc(y_true=[1, 1], y_score=[0.1, 0.4])
        nan
    """
    return _per_class(_area, y_true, y_score, average)


@overload
def average_precision(
    *, y_true: npt.ArrayLike, y_score: npt.ArrayLike, average: Average = ...
) -> float: ...
@overload
def average_precision(
    *, y_true: npt.ArrayLike, y_score: npt.ArrayLike, average: None
) -> list[float]: ...
def average_precision(
    *, y_true: npt.ArrayLike, y_score: npt.ArrayLike, average: Average | None = "binary"
) -> float | list[float]:
    """The mean precision at the thresholds where recall rises: sum of (R_k - R_(k-1)) P_k.

    k runs over the distinct scores, from the highest. This is the step sum, without the
    interpolation of a trapezoid, which is optimistic: Davis & Goadrich, ICML 2006. A useless score
    has the prevalence, not 0.5.

    Args:
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1.
        y_score: Any finite scores, higher for the positive class; with another ``average`` one
            column per class.
        average: As in ``roc_auc``.

    Shape:
        ``y_true`` (N,), ``y_score`` (N,), or (N, K) with another ``average``.

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan without positives.

    Raises:
        ValueError: If either is empty, not finite, of another shape or length, or a label has no
            class.

    Examples:
        >>> from seattn.metrics import average_precision
        >>> average_precision(y_true=[1, 0, 1, 0], y_score=[0.9, 0.8, 0.7, 0.1])
        0.8333333333333333
    """
    return _per_class(_step_sum, y_true, y_score, average)


def _per_class(
    statistic: Callable[[Flags, Scores], float],
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    average: Average | None,
) -> float | list[float]:
    check_average(average)
    if average == "binary":
        return statistic(*binary_scores(y_true, y_score))
    labels, scores = class_scores(y_true, y_score)
    one_hot = labels[:, None] == np.arange(scores.shape[1])
    if average == "micro":
        return statistic(one_hot.ravel(), scores.ravel())
    values = [statistic(one_hot[:, k], scores[:, k]) for k in range(scores.shape[1])]
    return average_over_classes(values, support=one_hot.sum(axis=0), average=average)


def _area(positive: Flags, scores: Scores) -> float:
    tp, fp = _cumulative_counts(positive, scores)
    pairs = int(tp[-1] * fp[-1])
    # A negative is outranked by the positives of higher scores, and by half of those of its own.
    twice_won = int(np.diff(fp, prepend=0) @ (2 * tp - np.diff(tp, prepend=0)))
    return twice_won / (2 * pairs) if pairs else float("nan")


def _step_sum(positive: Flags, scores: Scores) -> float:
    tp, fp = _cumulative_counts(positive, scores)
    gained = np.diff(tp, prepend=0)
    return float(gained @ (tp / (tp + fp)) / tp[-1]) if tp[-1] else float("nan")


def _cumulative_counts(positive: Flags, scores: Scores) -> tuple[Labels, Labels]:
    """True and false positives at every distinct score, from the highest."""
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    last_of_tie = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    tp = np.cumsum(positive[order], dtype=np.int64)[last_of_tie]
    return tp, last_of_tie + 1 - tp
