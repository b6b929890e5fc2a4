"""Checks of arguments that many functions share."""

from numbers import Real

import numpy as np

__all__ = ["check_number", "check_whole"]


def check_number(name: str, value: object) -> None:
    """Raise TypeError unless an argument is a number, Python's or NumPy's.

    Examples:
        >>> from seattn.data.arguments import check_number
        >>> check_number("rotation", "a")
        Traceback (most recent call last):
        TypeError: `rotation` (='a') must be a number.
    """
    if not isinstance(value, Real):
        raise TypeError(f"`{name}` (={value!r}) must be a number.")


def check_whole(name: str, value: object, *, least: int, note: str = "") -> None:
    """Raise ValueError unless an argument is a whole number, Python's or NumPy's, from ``least``.

    Args:
        name: The argument.
        value: Its value.
        least: The smallest that is possible.
        note: What else the text says, after a semicolon.

    Examples:
        >>> from seattn.data.arguments import check_whole
        >>> check_whole("workers", 1.5, least=0, note="0 is this process")
        Traceback (most recent call last):
        ValueError: `workers` (=1.5) must be a whole number, 0 or more; 0 is this process.
    """
    if not isinstance(value, int | np.integer) or value < least:
        end = f"; {note}." if note else "."
        raise ValueError(f"`{name}` (={value!r}) must be a whole number, {least} or more{end}")
