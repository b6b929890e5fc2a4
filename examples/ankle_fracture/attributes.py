"""What a table says of its images beside their labels: the subgroups of the report.

Words of the named columns alone are kept, in memory, and they reach the report alone.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from seattn.data import DicomIndex

__all__ = ["RESERVED", "Attributes", "column", "of_index", "of_phantom", "of_table"]

Attributes = Mapping[str, Mapping[str, str]]  # name: place of the file: word, "" for none

RESERVED = ("path", "label", "patient", "mask", "split", "class")
MOST_GROUPS = 20
SEVERITIES = (0.2, 0.4, 0.7)  # fixed beforehand, so that they are the same in every run


def of_phantom(index: DicomIndex) -> Attributes:
    """Site and severity of the fractured, and side, cast and swelling of all."""
    severity = [f"{low:g} to {high:g}" for low, high in pairwise((0, *SEVERITIES))]
    severity += [f"{SEVERITIES[-1]} and above"]

    def site(word: str) -> str:
        if word.startswith("weber_"):
            return f"Weber {word[-1].upper()}"
        return "" if word == "none" else word

    def graded(word: str) -> str:
        return severity[sum(float(word) >= edge for edge in SEVERITIES)] if float(word) else ""

    def yes(word: str) -> str:
        return {"0": "no", "1": "yes"}[word]

    names: dict[str, tuple[str, Callable[[str], str]]] = {
        "fracture site": ("fracture_type", site),
        "severity": ("severity", graded),
        "side": ("side", str),
        "cast": ("cast", yes),
        "swelling": ("swelling", yes),
    }
    found = {}
    for name, (head, group) in names.items():
        if words := column(index.root / "labels.csv", index, head):
            found[name] = _by_place(index, [group(word) for word in words])
    return found


def of_table(table: Path, index: DicomIndex, names: Sequence[str]) -> Attributes:
    """The named columns of a table.

    Raises:
        ValueError: There is no such column, or it has more words than groups can be looked at.
    """
    found = {}
    for name in names:
        words = column(table, index, name)
        if not words:
            raise ValueError(
                f"`subgroups` names {name!r}, but '{table}' has no such column or nothing in it."
            )
        if (different := len(set(words))) > MOST_GROUPS:
            raise ValueError(
                f"`subgroups` names {name!r}, which has {different} different words: give a column "
                f"of at most {MOST_GROUPS}, such as ranges for numbers."
            )
        found[name] = _by_place(index, words)
    return found


def of_index(attributes: Attributes, index: DicomIndex) -> dict[str, list[str]]:
    """The words of each row, by attribute, with the view that the file itself tells."""
    views = {"view": [row.view for row in index.rows]}
    return views | {
        name: [words.get(_place(index, row.path), "") for row in index.rows]
        for name, words in attributes.items()
    }


def column(table: Path, index: DicomIndex, name: str) -> list[str]:
    """A column of the table in the order of the rows; empty if there is none, or nothing in it."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        cells = {_place(index, row["path"].strip()): row.get(name, "") for row in rows}
    words = [cells[_place(index, row.path)].strip() for row in index.rows]
    return words if any(words) else []


def _by_place(index: DicomIndex, words: Sequence[str]) -> dict[str, str]:
    places = (_place(index, row.path) for row in index.rows)
    return dict(zip(places, words, strict=True))


def _place(index: DicomIndex, path: str) -> str:
    return os.path.normcase(os.path.normpath(index.root / path))
