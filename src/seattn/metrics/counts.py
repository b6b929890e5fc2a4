"""The confusion table, and the metrics that are one number for the whole of it."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.averaging import class_mean
from seattn.metrics.inputs import Labels, label_pair

__all__ = [
    "BinaryCounts",
    "accuracy",
    "balanced_accuracy",
    "confusion",
    "confusion_matrix",
    "mcc",
]


@dataclass(frozen=True)
class BinaryCounts:
    """The four cells of a two-class confusion table.

    Args:
        tp: Positives predicted positive.
        fp: Negatives predicted positive.
        tn: Negatives predicted negative.
        fn: Positives predicted negative.

    Examples:
        >>> from seattn.metrics import confusion
        >>> counts = confusion(y_true=[1, 1, 0, 0, 0], y_pred=[1, 0, 1, 0, 0])
        >>> counts
        BinaryCounts(tp=1, fp=1, tn=2, fn=1)
        >>> counts.tp / (counts.tp + counts.fn)  # sensitivity
        0.5
    """

    tp: int
    fp: int
    tn: int
    fn: int


def confusion(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> BinaryCounts:
    """Count the cells of the two-class confusion table.

    Args:
        y_true: Labels, 0 or 1.
        y_pred: Predicted labels, 0 or 1; from scores by ``y_score >= threshold``.

    Shape:
        Both (N,).

    Returns:
        The counts.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not 0 or 1, or their lengths differ.

    Examples:
        >>> from seattn.metrics import confusion
        >>> confusion(y_true=[1, 1, 0, 0, 0], y_pred=[1, 0, 1, 0, 0])
        BinaryCounts(tp=1, fp=1, tn=2, fn=1)
    """
    true, predicted, _ = label_pair(y_true, y_pred, num_classes=2)
    tn, fp, fn, tp = np.bincount(2 * true + predicted, minlength=4).tolist()
    return BinaryCounts(tp=tp, fp=fp, tn=tn, fn=fn)


def confusion_matrix(
    *, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, num_classes: int | None = None
) -> Labels:
    """Count the cases of every true class (row) by predicted class (column).

    Args:
        y_true: Labels 0 .. K - 1.
        y_pred: Predicted labels 0 .. K - 1.
        num_classes: K; ``None`` counts up to the largest label, and two classes at least.

    Shape:
        Both (N,); the result is (K, K).

    Returns:
        An int64 array.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import confusion_matrix
        >>> confusion_matrix(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2], num_classes=3).tolist()
        [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    true, predicted, classes = label_pair(y_true, y_pred, num_classes=num_classes)
    cells = np.bincount(classes * true + predicted, minlength=classes**2)
    return cells.astype(np.int64).reshape(classes, classes)


def accuracy(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """The share of cases whose label is predicted, for any number of classes.

    Args:
        y_true: Labels 0 .. K - 1.
        y_pred: Predicted labels 0 .. K - 1.

    Shape:
        Both (N,).

    Returns:
        A number in [0, 1].

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import accuracy
        >>> accuracy(y_true=[0, 1, 2, 2], y_pred=[0, 1, 1, 2])
        0.75
    """
    true, predicted, _ = label_pair(y_true, y_pred)
    return int(np.count_nonzero(true == predicted)) / len(true)


def balanced_accuracy(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """The mean, over the classes that have cases, of the share of their cases found.

    With two classes (sensitivity + specificity) / 2. Brodersen, Ong, Stephan & Buhmann, "The
    balanced accuracy and its posterior distribution", ICPR 2010.

    Args:
        y_true: Labels 0 .. K - 1.
        y_pred: Predicted labels 0 .. K - 1.

    Shape:
        Both (N,).

    Returns:
        A number in [0, 1]; nan when ``y_true`` holds one class only.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import balanced_accuracy
        >>> balanced_accuracy(y_true=[1, 1, 0, 0], y_pred=[1, 0, 0, 0])
        0.75
    """
    true, predicted, classes = label_pair(y_true, y_pred)
    cases = np.bincount(true, minlength=classes)
    found = np.bincount(true[true == predicted], minlength=classes)
    present = cases > 0
    return class_mean(found[present] / cases[present])


def mcc(*, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Matthews correlation of labels and predictions, for any number of classes.

    R_K of Gorodkin, "Comparing two K-category assignments by a K-category correlation
    coefficient", Comput Biol Chem 28:367, 2004; with K = 2 the coefficient of Matthews,
    Biochim Biophys Acta 405:442, 1975.

    Args:
        y_true: Labels 0 .. K - 1.
        y_pred: Predicted labels 0 .. K - 1.

    Shape:
        Both (N,).

    Returns:
        A number in [-1, 1]; nan when the labels, or the predictions, are all of one class.

    Raises:
        TypeError: If labels are not numbers.
        ValueError: If either is empty, not finite, not a label, or their lengths differ.

    Examples:
        >>> from seattn.metrics import mcc
        >>> mcc(y_true=[1, 1, 0, 0], y_pred=[1, 0, 1, 0])
        0.0
        >>> mcc(y_true=[1, 1, 1, 1], y_pred=[1, 0, 0, 0])
        nan
    """
    true, predicted, classes = label_pair(y_true, y_pred)
    # Python integers: the products pass 2**63 at a million cases.
    t = np.bincount(true, minlength=classes).tolist()
    p = np.bincount(predicted, minlength=classes).tolist()
    n, correct = len(true), int(np.count_nonzero(true == predicted))
    covariance = n * correct - sum(i * j for i, j in zip(t, p, strict=True))
    variances = (n * n - sum(i * i for i in t)) * (n * n - sum(i * i for i in p))
    return covariance / math.sqrt(variances) if variances else float("nan")
