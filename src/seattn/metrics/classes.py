"""A metric of every class against the rest, its means, and how many classes they leave out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.averaging import class_mean, weighted_mean
from seattn.metrics.inputs import Labels, column_scores, label_columns, label_pair

__all__ = ["ClassValues", "by_class"]


@dataclass(frozen=True)
class ClassValues:
    """A metric of K classes, each against the rest.

    Args:
        values: The metric of each class; nan where it is not defined.
        support: Cases of each class.
        macro: The mean of the defined values; nan when fewer than two are.
        weighted: Their mean weighted by support; nan when none of them has a case.
        n_undefined: Classes that neither mean takes in.

    Examples:
        >>> from seattn.metrics import by_class, precision
        >>> of_three = by_class(precision, y_true=[0, 1, 1, 2], y_pred=[0, 1, 1, 0])
        >>> of_three.values, of_three.n_undefined  # class 2 was never predicted
        ((0.5, 1.0, nan), 1)
        >>> of_three.macro, round(of_three.weighted, 3)
        (0.75, 0.833)
    """

    values: tuple[float, ...]
    support: tuple[int, ...]
    macro: float
    weighted: float
    n_undefined: int


def by_class(
    metric: Callable[..., list[float]],
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike | None = None,
    y_pred: npt.ArrayLike | None = None,
    num_classes: int | None = None,
) -> ClassValues:
    """Evaluate every class against the rest, and count the classes that have no value.

    A mean over classes hides a class that it leaves out. Here it is counted; nothing is made up
    for it, as the 0 that some libraries put there.

    Args:
        metric: One with ``average=``: of scores ``roc_auc`` or ``average_precision``, of labels
            ``precision``, ``recall``, ``specificity``, ``npv`` or ``f1``.
        y_true: Labels 0 .. K - 1, or 0 and 1 in K columns of findings that a case may have
            together.
        y_score: Scores, one column per class; or
        y_pred: predicted labels, as ``y_true``.
        num_classes: K, for ``y_pred``; ``None`` counts up to the largest label, which misses
            absent classes above it.

    Shape:
        ``y_true`` (N,) or (N, K), ``y_score`` (N, K), ``y_pred`` as ``y_true``.

    Returns:
        The values and their means.

    Raises:
        TypeError: If not exactly one of ``y_score`` and ``y_pred`` is given.
        ValueError: As the metric does.

    Examples:
        >>> from seattn.metrics import by_class, recall
        >>> of_three = by_class(recall, y_true=[0, 1, 1, 0], y_pred=[0, 1, 2, 0])
        >>> of_three.values, of_three.support
        ((1.0, 0.5, nan), (2, 2, 0))
        >>> of_three.macro, of_three.n_undefined
        (0.75, 1)
    """
    if y_score is not None and y_pred is None:
        support = column_scores(y_true, y_score)[0].sum(axis=0)
        values = metric(y_true=y_true, y_score=y_score, average=None)
    elif y_pred is not None and y_score is None:
        support = _support(y_true, y_pred, num_classes)
        values = metric(y_true=y_true, y_pred=y_pred, num_classes=num_classes, average=None)
    else:
        raise TypeError("by_class needs `y_score` or `y_pred`, and not both; see its `metric`.")
    return ClassValues(
        values=tuple(values),
        support=tuple(support.tolist()),
        macro=class_mean(values),
        weighted=weighted_mean(values, support),
        n_undefined=int(np.isnan(values).sum()),
    )


def _support(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, num_classes: int | None) -> Labels:
    if np.ndim(y_true) == 2:
        return label_columns(y_true, y_pred)[0].sum(axis=0)
    true, _, classes = label_pair(y_true, y_pred, num_classes=num_classes)
    return np.bincount(true, minlength=classes)
