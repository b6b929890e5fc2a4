"""The predictions of a run as a CSV file: from it every number of the report can be checked."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from examples.ankle_fracture.findings import Replicate

__all__ = ["write_predictions"]


def write_predictions(replicates: Iterable[Replicate], path: Path) -> None:
    """One row per seed and validation or test item: file, version, pseudonym, view, label, scores.

    Version 0 is the image itself, others are its augmented copies.
    """
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        for number, replicate in enumerate(replicates):
            if number == 0:
                names = replicate.cohort.class_names
                scores = [f"{model}:{name}" for model in replicate.results for name in names]
                head = ["seed", "part", "path", "frame", "version", "patient", "view", "label"]
                table.writerow([*head, *scores])
            table.writerows(_rows(replicate))


def _rows(replicate: Replicate) -> Iterator[list[Any]]:
    names = replicate.cohort.class_names
    for part in ("val", "test"):
        items = replicate.items[part]
        for number, label in enumerate(items.labels):
            position, version = divmod(number, items.versions)
            row = items.dataset.index.rows[position]
            scores = [
                repr(float(value))  # all digits: fewer would tie what differs
                for result in replicate.results.values()
                for value in result.probabilities[part][number]
            ]
            who = [row.path, row.frame, version, row.patient, row.view]
            yield [replicate.seed, part, *who, names[label], *scores]
