"""Boxes about the annotated regions, from a CSV file, as masks."""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seattn.data import DicomIndex
from seattn.data.index import IndexRow

__all__ = ["with_boxes"]

COLUMNS = ("path", "x0", "y0", "x1", "y1")
Box = tuple[float, float, float, float]


def with_boxes(index: DicomIndex, table: Path, folder: Path) -> DicomIndex:
    """Give the images of an index the boxes of a table for masks, in place of any that they have.

    A mask marks every pixel that a box of its image touches. Columns are counted from the left
    edge of the image, rows from its upper edge, in pixels: the first pixel reaches from 0 to 1.

    Args:
        index: The images.
        table: CSV with the columns path, x0, y0, x1, y1; a line for each box.
        folder: Where the masks go; their names are numbers.

    Raises:
        ValueError: A line is no box, does not lie in its image, or names no image of the index.
    """
    boxes = _read(table, index.root)
    rows = []
    for number, row in enumerate(index.rows):
        mask = None
        if lines := boxes.pop((_place(index.root, row.path)), None):
            path = folder.absolute() / f"{number:06}.npy"
            _save(path, _mask(row, lines, table))
            mask = path.as_posix()
        rows.append(replace(row, mask=mask))
    if boxes:
        line = next(iter(boxes.values()))[0][0]
        raise ValueError(f"'{table}': line {line} names an image that is not there.")
    return replace(index, rows=tuple(rows))


def _read(table: Path, root: Path) -> dict[str, list[tuple[int, Box]]]:
    boxes: dict[str, list[tuple[int, Box]]] = defaultdict(list)
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(COLUMNS).difference(reader.fieldnames or []):
            raise ValueError(f"'{table}' lacks the columns {', '.join(sorted(missing))}.")
        for cells in reader:
            try:
                x0, y0, x1, y1 = (float(cells[name]) for name in COLUMNS[1:])
            except (TypeError, ValueError):
                raise ValueError(
                    f"'{table}': line {reader.line_num} has no four numbers."
                ) from None
            box = (reader.line_num, (x0, y0, x1, y1))
            boxes[_place(root, cells["path"].strip())].append(box)
    return boxes


def _mask(row: IndexRow, lines: list[tuple[int, Box]], table: Path) -> NDArray[np.uint8]:
    mask = np.zeros((row.rows, row.columns), np.uint8)
    for line, (x0, y0, x1, y1) in lines:
        if not (0 <= x0 < x1 <= row.columns and 0 <= y0 < y1 <= row.rows):
            raise ValueError(
                f"'{table}': line {line} must have 0 <= x0 < x1 <= {row.columns} and "
                f"0 <= y0 < y1 <= {row.rows}, the width and height of its image."
            )
        mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = 1
    return mask


def _save(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write a mask that is not there already, so that what was decoded with it stays valid."""
    if path.exists() and np.array_equal(np.load(path), mask):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished.npy")  # numpy would append .npy to another name
    np.save(unfinished, mask)
    unfinished.replace(path)


def _place(root: Path, path: str) -> str:
    return os.path.normpath(root / path)
