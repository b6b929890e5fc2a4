"""From one value per class to one number."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Average", "average_over_classes", "check_average", "class_mean", "weighted_mean"]

Average = Literal["binary", "macro", "weighted", "micro"]


def check_average(average: str | None) -> None:
    """Refuse an average that does not exist."""
    if average not in ("binary", "macro", "weighted", "micro", None):
        raise ValueError(
            f"`average` (={average!r}) must be 'binary', 'macro', 'weighted', 'micro' or None."
        )


def class_mean(values: npt.ArrayLike) -> float:
    """The mean over the classes whose value is defined; nan when fewer than two are."""
    array = np.asarray(values, dtype=np.float64)
    defined = array[~np.isnan(array)]
    return float(defined.mean()) if defined.size >= 2 else float("nan")


def weighted_mean(values: npt.ArrayLike, support: npt.ArrayLike) -> float:
    """The mean of the defined values by cases per class; nan when those classes have no case."""
    array, weights = np.asarray(values, np.float64), np.asarray(support, np.float64)
    weights = weights * ~np.isnan(array)
    total = weights.sum()
    return float(np.nan_to_num(array) @ weights / total) if total else float("nan")


def average_over_classes(
    values: Sequence[float], *, support: npt.ArrayLike, average: Average | None
) -> float | list[float]:
    """The values themselves (``None``), their mean, or their mean weighted by cases per class.

    Classes whose value is nan have no part in either mean.
    """
    if average is None:
        return list(values)
    if average == "macro":
        return class_mean(values)
    return weighted_mean(values, support)
