"""Groups of patients: who share a study, a frame of reference or an image are dealt with as one."""

from collections.abc import Hashable, Sequence
from typing import TypeAlias

from seattn.data.records import IndexRow

__all__ = ["Join", "Keys", "group_keys", "group_rows", "row_keys"]

Join: TypeAlias = Sequence[Hashable] | None
"""One key of the user's own for each row; None, "" and nan join nothing."""

Keys: TypeAlias = dict[str, Hashable]
"""What a row may have in common with others: fields of ``IndexRow``, and the user's own key."""


def group_rows(rows: Sequence[IndexRow], join: Join = None) -> list[str]:
    """Name the group of each row.

    Rows that have a patient, a study, a frame of reference, pixels or a key of ``join`` in common
    are in one group, and so is what is joined to either of them, however long the chain.

    Args:
        rows: The rows of an index.
        join: One key for each row, see ``Join``.

    Returns:
        For each row the first of the pseudonyms of the patients in its group, in the order of the
        alphabet: with nobody joined, that of its patient.

    Raises:
        TypeError: A key of ``join`` cannot be hashed.
        ValueError: ``join`` has not one key for each row.

    Examples:
        >>> from seattn.data.groups import group_rows
        >>> from seattn.data.index import IndexRow
        >>> rows = [
        ...     IndexRow(f"{patient}.dcm", 0, patient, study, "", "axial", 8, 8, 128, 0)
        ...     for patient, study in [("p1", "s1"), ("p2", "s2"), ("p3", "s1")]
        ... ]
        >>> group_rows(rows)
        ['p1', 'p2', 'p1']
    """
    return group_keys(row_keys(rows, join))


def row_keys(rows: Sequence[IndexRow], join: Join = None) -> list[Keys]:
    """List what each row may have in common with others; what is empty is left out.

    Raises:
        TypeError: A key of ``join`` cannot be hashed.
        ValueError: ``join`` has not one key for each row.
    """
    own = [None] * len(rows) if join is None else list(join)
    if len(own) != len(rows):
        raise ValueError(
            f"`join` has {len(own)} keys for {len(rows)} rows; it needs one for each, None for a "
            "row that it joins to no other."
        )
    for i, key in enumerate(own):
        try:
            hash(key)
        except TypeError:
            raise TypeError(
                f"`join[{i}]` (={key!r}) cannot be hashed; a key is a text, a number or a tuple of "
                "them."
            ) from None
    found: list[Keys] = []
    for row, key in zip(rows, own, strict=True):
        keys: Keys = {
            "patient": row.patient,
            "study": row.study,
            "frame of reference": row.frame_of_reference,
            "pixels": row.pixels,
            "key": key,
        }
        # nan, by which tables say that a cell is empty, is the only value that differs from itself.
        empty = ("", None)
        found.append({k: v for k, v in keys.items() if v not in empty and v == v})  # noqa: PLR0124
    return found


def group_keys(keys: Sequence[Keys]) -> list[str]:
    """Name the group of each row as ``group_rows`` does, given what each may have in common."""
    above: dict[Hashable, Hashable] = {}  # a forest: the keys of one tree are joined

    def root(key: Hashable) -> Hashable:
        above.setdefault(key, key)
        while above[key] != key:
            above[key] = above[above[key]]  # shortens the way for the next one
            key = above[key]
        return key

    for each in keys:
        first, *others = each.items()
        for other in others:
            above[root(other)] = root(first)
    roots = [root(("patient", each["patient"])) for each in keys]
    names: dict[Hashable, str] = {}
    for each, tree in zip(keys, roots, strict=True):
        patient = str(each["patient"])
        names[tree] = min(patient, names.get(tree, patient))
    return [names[tree] for tree in roots]
