"""One-vs-rest rates: shares of the positives, of the negatives and of the predictions of a class.

``average`` means what it means in scikit-learn. A rate with no case to count is nan, as there with
``zero_division=nan``: the precision of a class that is never predicted is not 0 but unknown.
"""

from typing import overload

import numpy as np
import numpy.typing as npt

from seattn.metrics.averaging import Average, average_over_classes, check_average
from seattn.metrics.counts import confusion_matrix
from seattn.metrics.inputs import Flags, Labels, label_columns

__all__ = ["f1", "npv", "ppv", "precision", "recall", "sensitivity", "specificity"]


@overload
def precision(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average = ...,
    num_classes: int | None = ...,
) -> float: ...
@overload
def precision(
    *, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: None, num_classes: int | None = ...
) -> list[float]: ...
def precision(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average | None = "binary",
    num_classes: int | None = None,
) -> float | list[float]:
    """The share of a class's predictions that are right: TP / (TP + FP).

    Also called positive predictive value; ``ppv`` is this function. It holds for the prevalence
    of these cases and no other.

    Args:
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1, or 0 and 1 in K columns of
            findings that a case may have together.
        y_pred: Predicted labels, as ``y_true``; from scores by ``y_score >= threshold``.
        average: ``"binary"``: of class 1 of two. ``None``: of every class against the rest, or of
            every column.
            ``"macro"``: the mean of those that are defined, when two or more are. ``"weighted"``:
            that mean weighted by the cases of each class. ``"micro"``: of the pooled counts.
        num_classes: K; ``None`` counts up to the largest label, and two classes at least.

    Shape:
        Both labels (N,), or both (N, K).

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan where nothing
        is predicted positive.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import precision
        >>> precision(y_true=[1, 1, 0, 0, 0], y_pred=[1, 1, 1, 0, 0])
        0.6666666666666666
        >>> precision(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2], average=None)
        [1.0, 0.5, 1.0]
    """
    tp, fp, tn, fn = _one_vs_rest(y_true, y_pred, average, num_classes)
    return _share(tp, tp + fp, tp + fn, average)


@overload
def npv(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average = ...,
    num_classes: int | None = ...,
) -> float: ...
@overload
def npv(
    *, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: None, num_classes: int | None = ...
) -> list[float]: ...
def npv(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average | None = "binary",
    num_classes: int | None = None,
) -> float | list[float]:
    """The share of the predictions of not-the-class that are right: TN / (TN + FN).

    Negative predictive value. It holds for the prevalence of these cases and no other.

    Args:
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1, or 0 and 1 in K columns of
            findings that a case may have together.
        y_pred: Predicted labels, as ``y_true``; from scores by ``y_score >= threshold``.
        average: ``"binary"``: of class 1 of two. ``None``: of every class against the rest, or of
            every column.
            ``"macro"``: the mean of those that are defined, when two or more are. ``"weighted"``:
            that mean weighted by the cases of each class. ``"micro"``: of the pooled counts.
        num_classes: K; ``None`` counts up to the largest label, and two classes at least.

    Shape:
        Both labels (N,), or both (N, K).

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan where nothing
        is predicted negative.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import npv
        >>> npv(y_true=[1, 1, 0, 0, 0], y_pred=[1, 1, 1, 0, 0])
        1.0
        >>> npv(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2], average=None)
        [1.0, 1.0, 0.6666666666666666]
    """
    tp, fp, tn, fn = _one_vs_rest(y_true, y_pred, average, num_classes)
    return _share(tn, tn + fn, tp + fn, average)


@overload
def recall(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average = ...,
    num_classes: int | None = ...,
) -> float: ...
@overload
def recall(
    *, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: None, num_classes: int | None = ...
) -> list[float]: ...
def recall(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average | None = "binary",
    num_classes: int | None = None,
) -> float | list[float]:
    """The share of a class's cases that are found: TP / (TP + FN).

    Also called sensitivity; ``sensitivity`` is this function.

    Args:
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1, or 0 and 1 in K columns of
            findings that a case may have together.
        y_pred: Predicted labels, as ``y_true``; from scores by ``y_score >= threshold``.
        average: ``"binary"``: of class 1 of two. ``None``: of every class against the rest, or of
            every column.
            ``"macro"``: the mean of those that are defined, when two or more are. ``"weighted"``:
            that mean weighted by the cases of each class. ``"micro"``: of the pooled counts.
        num_classes: K; ``None`` counts up to the largest label, and two classes at least.

    Shape:
        Both labels (N,), or both (N, K).

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan where there
        are no positives.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import recall
        >>> recall(y_true=[1, 1, 0, 0, 0], y_pred=[1, 1, 1, 0, 0])
        1.0
        >>> recall(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2], average=None)
        [1.0, 1.0, 0.5]
    """
    tp, fp, tn, fn = _one_vs_rest(y_true, y_pred, average, num_classes)
    return _share(tp, tp + fn, tp + fn, average)


@overload
def specificity(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average = ...,
    num_classes: int | None = ...,
) -> float: ...
@overload
def specificity(
    *, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: None, num_classes: int | None = ...
) -> list[float]: ...
def specificity(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average | None = "binary",
    num_classes: int | None = None,
) -> float | list[float]:
    """The share of the cases outside a class that are left out: TN / (TN + FP).

    The recall of the negatives.

    Args:
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1, or 0 and 1 in K columns of
            findings that a case may have together.
        y_pred: Predicted labels, as ``y_true``; from scores by ``y_score >= threshold``.
        average: ``"binary"``: of class 1 of two. ``None``: of every class against the rest, or of
            every column.
            ``"macro"``: the mean of those that are defined, when two or more are. ``"weighted"``:
            that mean weighted by the cases of each class. ``"micro"``: of the pooled counts.
        num_classes: K; ``None`` counts up to the largest label, and two classes at least.

    Shape:
        Both labels (N,), or both (N, K).

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan where there
        are no negatives.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import specificity
        >>> specificity(y_true=[1, 1, 0, 0, 0], y_pred=[1, 1, 1, 0, 0])
        0.6666666666666666
        >>> specificity(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2], average=None)
        [1.0, 0.6666666666666666, 1.0]
    """
    tp, fp, tn, fn = _one_vs_rest(y_true, y_pred, average, num_classes)
    return _share(tn, tn + fp, tp + fn, average)


@overload
def f1(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average = ...,
    num_classes: int | None = ...,
) -> float: ...
@overload
def f1(
    *, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: None, num_classes: int | None = ...
) -> list[float]: ...
def f1(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    average: Average | None = "binary",
    num_classes: int | None = None,
) -> float | list[float]:
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    Defined, and 0, where only one of the two is undefined.

    Args:
        y_true: Labels, 0 or 1; with another ``average`` 0 .. K - 1, or 0 and 1 in K columns of
            findings that a case may have together.
        y_pred: Predicted labels, as ``y_true``; from scores by ``y_score >= threshold``.
        average: ``"binary"``: of class 1 of two. ``None``: of every class against the rest, or of
            every column.
            ``"macro"``: the mean of those that are defined, when two or more are. ``"weighted"``:
            that mean weighted by the cases of each class. ``"micro"``: of the pooled counts.
        num_classes: K; ``None`` counts up to the largest label, and two classes at least.

    Shape:
        Both labels (N,), or both (N, K).

    Returns:
        A number in [0, 1], or a list of K with ``average=None``; nan where there
        are neither positives nor positive predictions.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import f1
        >>> f1(y_true=[1, 1, 0, 0, 0], y_pred=[1, 1, 1, 0, 0])
        0.8
        >>> f1(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2], average=None)
        [1.0, 0.6666666666666666, 0.6666666666666666]
    """
    tp, fp, tn, fn = _one_vs_rest(y_true, y_pred, average, num_classes)
    return _share(2 * tp, 2 * tp + fp + fn, tp + fn, average)


ppv = precision
sensitivity = recall


def _one_vs_rest(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: Average | None, num_classes: int | None
) -> tuple[Labels, Labels, Labels, Labels]:
    """TP, FP, TN and FN of every class, or of class 1 alone with ``average="binary"``."""
    check_average(average)
    if average == "binary" and num_classes not in (None, 2):
        raise ValueError(
            f"`num_classes` (={num_classes}) must be 2 with `average='binary'`; pass 'macro', "
            "'weighted', 'micro' or None for more."
        )
    if average != "binary" and np.ndim(y_true) == 2:
        return _columns(*label_columns(y_true, y_pred), num_classes)
    table = confusion_matrix(
        y_true=y_true, y_pred=y_pred, num_classes=2 if average == "binary" else num_classes
    )
    tp = table.diagonal()
    fn, fp = table.sum(axis=1) - tp, table.sum(axis=0) - tp
    return tp, fp, table.sum() - tp - fp - fn, fn


def _columns(
    true: Flags, predicted: Flags, num_classes: int | None
) -> tuple[Labels, Labels, Labels, Labels]:
    """The same of every column."""
    if num_classes not in (None, true.shape[1]):
        raise ValueError(
            f"`num_classes` (={num_classes}) must be the number of columns ({true.shape[1]}), or "
            "None."
        )
    tp = np.count_nonzero(true & predicted, axis=0)
    fn = np.count_nonzero(true, axis=0) - tp
    fp = np.count_nonzero(predicted, axis=0) - tp
    return tp, fp, len(true) - tp - fp - fn, fn


def _share(
    part: Labels, whole: Labels, support: Labels, average: Average | None
) -> float | list[float]:
    if average == "micro":
        return _ratio(int(part.sum()), int(whole.sum()))
    values = [_ratio(p, w) for p, w in zip(part.tolist(), whole.tolist(), strict=True)]
    if average == "binary":
        return values[1]
    return average_over_classes(values, support=support, average=average)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
