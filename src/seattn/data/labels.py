"""Joins a table of labels to the rows of an index, and refuses to guess where they disagree."""

import csv
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seattn.data.containment import attempt
from seattn.data.errors import LabelError
from seattn.data.pseudonym import patient_pseudonym, resolve_key
from seattn.data.records import Failure, IndexRow

__all__ = ["join_labels"]

_STAGE = "labels"


@dataclass(frozen=True)
class _Entry:
    """One line of the table; ``patient`` is a pseudonym already, ``name`` is for errors."""

    line: int
    name: str
    label: str
    patient: str | None
    mask: str | None


def join_labels(
    rows: Sequence[IndexRow],
    failures: Sequence[Failure],
    *,
    root: Path,
    table: Path,
    classes: Sequence[str] | None,
    drop_missing: bool,
    key: bytes | str | None,
    redact_paths: bool,
) -> tuple[tuple[IndexRow, ...], tuple[str, ...]]:
    """Give every row its label, and its patient and mask where the table has them.

    Returns:
        The rows that have a label, and the classes in order.

    Raises:
        LabelError: The table is incomplete, contradicts itself, or does not fit the index.
    """
    name = "(path withheld)" if redact_paths else os.fspath(table)
    entries = attempt(name, _STAGE, LabelError, _read_table, table, name, root, key, redact_paths)
    order = _order_classes(name, {entry.label for entry in entries.values()}, classes)
    places = {row.path: _place(root, row.path) for row in rows}

    _check_duplicates(name, root, failures, entries)
    known = set(places.values())
    known |= {_place(root, each.path) for each in failures if each.same_as or drop_missing}
    unknown = [entry.name for place, entry in entries.items() if place not in known]
    if unknown:
        where = "" if redact_paths else f" of {root}"
        reason = (
            f"{_some(unknown)} not in the index{where}; a path is absolute or relative to the "
            "folder of the index, with the file's ending"
        )
        raise LabelError(name, _STAGE, reason)
    unlabelled = {
        row.path: f"row {i}" if redact_paths else row.path
        for i, row in enumerate(rows)
        if places[row.path] not in entries
    }
    if unlabelled and not drop_missing:
        images = _some(list(unlabelled.values()))
        reason = f'{images} without a label; `missing="drop"` leaves such images out'
        raise LabelError(name, _STAGE, reason)

    joined = []
    for row in rows:
        if entry := entries.get(places[row.path]):
            patient = entry.patient or row.patient
            label = order.index(entry.label)
            joined.append(replace(row, label=label, patient=patient, mask=entry.mask))
    return tuple(joined), order


def _check_duplicates(
    name: str, root: Path, failures: Sequence[Failure], entries: Mapping[str, _Entry]
) -> None:
    """An image that is there twice is learnt from once, so its labels have to agree."""
    for failure in failures:
        if failure.same_as is None:
            continue
        copy = entries.get(_place(root, failure.path))
        first = entries.get(_place(root, failure.same_as))
        if copy and first and copy.label != first.label:
            reason = f"{first.name} and {copy.name} are one image with different labels"
            raise LabelError(name, _STAGE, reason)


def _read_table(
    table: Path, name: str, root: Path, key: bytes | str | None, redact_paths: bool
) -> dict[str, _Entry]:
    """Read the entries of a CSV file by the place of their image; errors call it ``name``."""
    entries: dict[str, _Entry] = {}
    if not _is_utf8(table):
        raise LabelError(name, _STAGE, "not UTF-8; save the table as CSV in UTF-8")
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        columns = reader.fieldnames or []
        if missing := {"path", "label"}.difference(columns):
            lacking = " and no column ".join(sorted(missing))
            reason = f"no column {lacking} in its first line, where commas separate the names"
            raise LabelError(name, _STAGE, reason)
        secret = resolve_key(key) if "patient" in columns else b""
        for cells in reader:
            line = f"line {reader.line_num}"
            if None in cells or None in cells.values():
                raise LabelError(name, _STAGE, f"{line} has not one cell for each column")
            path, label = cells["path"].strip(), cells["label"].strip()
            if not path or not label:
                raise LabelError(name, _STAGE, f"{line} has no path or no label")
            patient = None
            if "patient" in columns:
                if not cells["patient"].strip():
                    raise LabelError(name, _STAGE, f"{line} has no patient")
                patient = patient_pseudonym(cells["patient"], secret)
            mask = _mask(root, cells.get("mask", "").strip())
            if mask is not None and not (root / mask).is_file():
                which = "" if redact_paths else f", {cells['mask'].strip()}"
                reason = f"{line} names a mask that does not exist{which}"
                raise LabelError(name, _STAGE, reason)
            place = _place(root, path)
            if place in entries:
                which = f"of line {entries[place].line}" if redact_paths else path
                raise LabelError(name, _STAGE, f"{line} repeats the path {which}")
            entry_name = line if redact_paths else path
            entries[place] = _Entry(reader.line_num, entry_name, label, patient, mask)
    return entries


def _is_utf8(table: Path) -> bool:
    try:
        table.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _mask(root: Path, mask: str) -> str | None:
    """The path of a mask as rows have it: relative to the root where it lies below it."""
    if not mask:
        return None
    path = Path(os.path.normpath(root / mask))
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _place(root: Path, path: str) -> str:
    """One spelling for each file; ``path`` is relative to the root of the index, or absolute."""
    return os.path.normcase(os.path.normpath(root / path))


def _order_classes(
    name: str, labels: Collection[str], classes: Sequence[str] | None
) -> tuple[str, ...]:
    if classes is None:
        numbers = {label: _number(label) for label in labels}
        if all(math.isfinite(number) for number in numbers.values()):
            return tuple(sorted(labels, key=lambda label: (numbers[label], label)))
        return tuple(sorted(labels))
    if isinstance(classes, str) or len(set(classes)) != len(classes):
        raise ValueError(f"`classes` (={classes!r}) must be a sequence of different labels.")
    if unknown := sorted(set(labels).difference(classes)):
        raise LabelError(name, _STAGE, f"{_some(unknown)} not in `classes` (={tuple(classes)})")
    return tuple(classes)


def _number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return math.nan


def _some(names: Sequence[str]) -> str:
    """Say how many, and name the first few."""
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
