"""Checks of arguments that many functions of ``explain`` share."""

import numpy as np
from torch import Tensor

__all__ = ["check_tensor", "check_whole"]


def check_whole(name: str, value: object, *, least: int) -> None:
    """Raise ValueError unless an argument is a whole number, Python's or NumPy's, from ``least``.

    Examples:
        >>> from seattn.explain.arguments import check_whole
        >>> check_whole("draws", 1.5, least=1)
        Traceback (most recent call last):
        ValueError: `draws` (=1.5) must be a whole number, 1 or more
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"`{name}` (={value!r}) must be a whole number, {least} or more")


def check_tensor(name: str, value: object, *, note: str = "") -> None:
    """Raise TypeError unless an argument is a tensor; ``note`` follows in the text.

    Examples:
        >>> import numpy as np
        >>> from seattn.explain.arguments import check_tensor
        >>> check_tensor("mask", np.zeros((1, 2)))
        Traceback (most recent call last):
        TypeError: `mask` (ndarray) must be a tensor; `torch.from_numpy` makes one of an array
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"`{name}` ({type(value).__name__}) must be a tensor; `torch.from_numpy` makes one of "
            f"an array{note}"
        )
