"""Predictions as a CSV file: a line per case, with every digit of the scores."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seattn.metrics.batches import Batch
from seattn.metrics.inputs import Scores

__all__ = ["read_csv", "write_csv"]


def write_csv(path: str | Path, cases: Batch) -> None:
    """Write a header, and a line per case."""
    scores = cases.y_score.reshape(len(cases.y_true), -1).T.tolist()
    columns: dict[str, list[Any]] = {}
    if cases.ids is not None:
        columns["id"] = cases.ids.tolist()
    if cases.patients is not None:
        columns["patient"] = cases.patients.tolist()
    columns["y_true"] = cases.y_true.tolist()
    if cases.y_score.ndim == 1:
        columns["y_score"] = scores[0]
    else:
        columns |= {f"y_score_{k}": column for k, column in enumerate(scores)}
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))


def read_csv(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The columns, by the names of the arguments of ``Predictions.update``."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        header = list(reader.fieldnames or ())
        rows = list(reader)
    classes = sum(name.startswith("y_score_") for name in header)
    scores = [f"y_score_{k}" for k in range(classes)] or ["y_score"]
    for name in ("y_true", *scores):
        if name not in header:
            raise ValueError(
                f"`path` (='{path}') has no column '{name}'; `to_csv` writes 'y_true' and "
                "'y_score', or 'y_score_0', 'y_score_1', ..."
            )
    matrix = np.array([_numbers(path, name, rows) for name in scores]).T
    arrays = {
        "y_true": _numbers(path, "y_true", rows),
        "y_score": matrix if classes else matrix[:, 0],
    }
    for name, argument in (("patient", "patients"), ("id", "ids")):
        if name in header:
            arrays[argument] = _identifiers([row[name] for row in rows])
    return arrays


def _numbers(path: str | Path, name: str, rows: list[dict[str, Any]]) -> Scores:
    numbers = np.empty(len(rows))
    for i, row in enumerate(rows):
        try:
            numbers[i] = float(row[name])
        except (TypeError, ValueError):  # without its text, which may be a patient's name
            raise ValueError(
                f"`path` (='{path}') has no number in column '{name}' of case {i + 1}."
            ) from None
    return numbers


def _identifiers(texts: list[str | None]) -> npt.NDArray[Any]:
    if not all(texts):
        return np.array([text or None for text in texts], dtype=object)
    try:
        numbers = np.array([int(text) for text in texts if text])
    except ValueError:
        return np.array(texts)
    whole = numbers.dtype == np.int64 and numbers.astype(str).tolist() == texts
    return numbers if whole else np.array(texts)
