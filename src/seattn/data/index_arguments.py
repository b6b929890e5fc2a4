"""Checks of arguments that are an index, or the parts of one."""

from collections.abc import Sequence

from seattn.data.index import DicomIndex

__all__ = ["check_index", "check_parts"]


def check_index(name: str, value: object) -> None:
    """Raise TypeError unless an argument is an index; of a dataset the text names its own."""
    if not isinstance(value, DicomIndex):
        raise TypeError(
            f"`{name}` (of type {type(value).__name__}) must be a DicomIndex; of a DicomDataset "
            "take its `index`."
        )


def check_parts(parts: object) -> None:
    """Raise TypeError unless an argument is a sequence of indexes.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data.index import DicomIndex
        >>> from seattn.data.index_arguments import check_parts
        >>> check_parts(DicomIndex(Path("scans"), ()))
        Traceback (most recent call last):
        TypeError: `parts` (of type DicomIndex) must be a list or a tuple of DicomIndex.
    """
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        raise TypeError(
            f"`parts` (of type {type(parts).__name__}) must be a list or a tuple of DicomIndex."
        )
    for i, part in enumerate(parts):
        check_index(f"parts[{i}]", part)
