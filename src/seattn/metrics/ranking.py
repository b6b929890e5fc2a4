"""Metrics of the order of the scores; any increasing change of the scores leaves them alone."""

import itertools
import math
from collections.abc import Callable
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from seattn.metrics.averaging import Average, average_over_classes, check_average
from seattn.metrics.inputs import Flags, Labels, Scores, binary_scores, class_scores, column_scores

__all__ = ["average_precision", "cumulative_counts", "roc_area", "roc_auc", "roc_auc_ovo"]


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
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1, or 0 and 1 in K columns of
            findings that a case may have together.
        y_score: Any finite scores, higher for the positive class; with another ``average`` one
            column per class. The columns are ranked over the cases as they are: logits and their
            softmax, which couples the columns, differ there.
        average: ``"binary"``: one column of scores. ``None``: every class against the rest, or
            every column. ``"macro"``: the mean of those that are defined, when two or more are.
            ``"weighted"``: that mean weighted by the cases of each class. ``"micro"``: all columns
            pooled.

    Shape:
        ``y_true`` (N,) or (N, K), ``y_score`` (N,), or (N, K) with another ``average``.

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan without positives or without
        negatives.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If either is empty, not finite, of another shape or length, or a label has no
            class.

    Examples:
        >>> from seattn.metrics import roc_auc
        >>> roc_auc(y_true=[0, 0, 1, 1], y_score=[0.1, 0.4, 0.4, 0.8])
        0.875
        >>> roc_auc(y_true=[1, 1], y_score=[0.1, 0.4])
        nan
    """
    return _per_class(roc_area, y_true, y_score, average)


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
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1, or 0 and 1 in K columns of
            findings that a case may have together.
        y_score: Any finite scores, higher for the positive class; with another ``average`` one
            column per class.
        average: As in ``roc_auc``.

    Shape:
        ``y_true`` (N,) or (N, K), ``y_score`` (N,), or (N, K) with another ``average``.

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan without positives.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If either is empty, not finite, of another shape or length, or a label has no
            class.

    Examples:
        >>> from seattn.metrics import average_precision
        >>> average_precision(y_true=[1, 0, 1, 0], y_score=[0.9, 0.8, 0.7, 0.1])
        0.8333333333333333
    """
    return _per_class(_step_sum, y_true, y_score, average)


def roc_auc_ovo(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    average: Literal["macro", "weighted"] = "macro",
) -> float:
    """The mean area over all pairs of classes, each class scored by its own column.

    M of Hand & Till, "A simple generalisation of the area under the ROC curve for multiple class
    classification problems", Machine Learning 45:171, 2001. Unlike one-vs-rest it does not change
    when a class gets more cases.

    Args:
        y_true: Labels 0 .. K - 1.
        y_score: Any finite scores, one column per class; see ``roc_auc`` for logits.
        average: ``"macro"``: every pair counts the same. ``"weighted"``: by the cases of its two
            classes.

    Shape:
        ``y_true`` (N,), ``y_score`` (N, K).

    Returns:
        A number in [0, 1]; nan when fewer than two classes have cases. A class without cases is
        left out with its pairs; ``by_class`` counts such classes.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If either is empty, not finite, of another shape or length, a label has no
            class, or ``average`` is another word.

    Examples:
        >>> from seattn.metrics import roc_auc_ovo
        >>> roc_auc_ovo(y_true=[0, 1, 2], y_score=[[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0, 0.7, 0.3]])
        0.8333333333333334
    """
    if average not in ("macro", "weighted"):
        raise ValueError(f"`average` (={average!r}) must be 'macro' or 'weighted'.")
    labels, scores = class_scores(y_true, y_score)
    areas, cases = [], []
    for i, j in itertools.combinations(np.unique(labels), 2):
        among = (labels == i) | (labels == j)
        is_i, columns = labels[among] == i, scores[among]
        areas.append((roc_area(is_i, columns[:, i]) + roc_area(~is_i, columns[:, j])) / 2)
        cases.append(len(is_i))
    if not areas:
        return float("nan")
    return float(np.average(areas, weights=cases if average == "weighted" else None))


def _per_class(
    statistic: Callable[[Flags, Scores], float],
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    average: Average | None,
) -> float | list[float]:
    check_average(average)
    if average == "binary":
        return statistic(*binary_scores(y_true, y_score))
    positive, scores = column_scores(y_true, y_score)
    if average == "micro":
        return statistic(positive.ravel(), scores.ravel())
    values = [statistic(*columns) for columns in zip(positive.T, scores.T, strict=True)]
    return average_over_classes(values, support=positive.sum(axis=0), average=average)


def roc_area(positive: Flags, scores: Scores) -> float:
    """The area of checked flags and scores."""
    tp, fp, _ = cumulative_counts(positive, scores)
    pairs = int(tp[-1]) * int(fp[-1])
    # Twice the area: a step of fp as wide as the sum of the heights at its two ends.
    twice_won = int((fp[1:] - fp[:-1]) @ (tp[1:] + tp[:-1]))
    return twice_won / (2 * pairs) if pairs else math.nan


def _step_sum(positive: Flags, scores: Scores) -> float:
    tp, fp, _ = cumulative_counts(positive, scores)
    gained, precision = tp[1:] - tp[:-1], tp[1:] / (tp[1:] + fp[1:])
    return float(gained @ precision / tp[-1]) if tp[-1] else float("nan")


def cumulative_counts(positive: Flags, scores: Scores) -> tuple[Labels, Labels, Scores]:
    """Positives and negatives at or above each distinct score, from the highest.

    Returns:
        Both counts, (T + 1,), beginning with 0 above all scores; and the T distinct scores.
    """
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    steps = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
    above = np.concatenate(([0], steps, [len(ranked)]))
    found = np.zeros(len(ranked) + 1, dtype=np.int64)
    np.cumsum(positive[order], out=found[1:])
    tp = found[above]
    return tp, above - tp, ranked[above[:-1]]
