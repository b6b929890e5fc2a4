"""Labels of the phantom by Danis and Weber: none, and a fibula fractured below, at, or above it.

A lies below the joint line, B at it, C above it. Fractures without a fibular one (medial or
posterior malleolus) have no such class and are left out.
"""

from __future__ import annotations

import csv
from pathlib import Path

__all__ = ["write_weber_labels"]

# Labels are numbers, so that "none" comes first: the class of patients with nothing found.
NUMBERS = {"none": 0, "weber_a": 1, "weber_b": 2, "weber_c": 3}


def write_weber_labels(labels: Path, path: Path) -> Path:
    """Writes the phantom's ``labels.csv`` anew to ``path``, with the Danis-Weber class as label."""
    with labels.open() as file:
        rows = [row for row in csv.DictReader(file) if row["fracture_type"] in NUMBERS]
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(row | {"label": NUMBERS[row["fracture_type"]]} for row in rows)
    return path
