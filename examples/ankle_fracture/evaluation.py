"""What the test images say: predictions, metrics with intervals over patients, curves."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

from examples.ankle_fracture.cohort import Cohort
from seattn.metrics import (
    BinaryReport,
    ClassificationReport,
    Estimate,
    binary_report,
    classification_report,
)

__all__ = ["Report", "by_name", "evaluate", "roc_points", "write_predictions", "write_roc"]

Report = BinaryReport | ClassificationReport


def evaluate(probabilities: torch.Tensor, cohort: Cohort) -> Report:
    """Metrics of the test images' (N, K) probabilities; images of one patient are one cluster.

    With two classes the second is the positive one, and a score of 0.5 or more is positive.
    """
    labels = cohort.labels("test")
    patients = [row.patient for row in cohort.test.index.rows]
    if len(cohort.class_names) == 2:
        return binary_report(y_true=labels, y_score=probabilities[:, 1], patients=patients)
    return classification_report(
        y_true=labels, y_score=probabilities, class_names=cohort.class_names, patients=patients
    )


def by_name(report: Report) -> dict[str, Estimate]:
    """Every estimate of a report under one name."""
    if isinstance(report, BinaryReport):
        return dict(report.estimates)
    blocks = {"all classes": report.overall, "mean of classes": report.macro, **report.per_class}
    return {f"{k}: {name}": e for k, block in blocks.items() for name, e in block.items()}


def roc_points(labels: list[int], scores: torch.Tensor) -> tuple[list[float], list[float]]:
    """The corners of the ROC curve: (1 - specificity, sensitivity) at every distinct score."""
    truth, score = np.asarray(labels), scores.double().numpy()
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    hits = np.cumsum(truth[order])[last]
    misses = 1 + last - hits
    return [0.0, *(misses / misses[-1])], [0.0, *(hits / hits[-1])]


def write_predictions(
    probabilities: dict[str, dict[str, torch.Tensor]], cohort: Cohort, path: Path
) -> None:
    """One row per validation and test image: file, pseudonym, view, label, and each model's scores.

    Args:
        probabilities: By model name, then by part ("val", "test"): (N, K).
        cohort: The images.
        path: The CSV to write.
    """
    names = cohort.class_names
    columns = [f"{model}:{name}" for model in probabilities for name in names]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["part", "path", "frame", "patient", "view", "label", *columns])
        for part in ("val", "test"):
            for number, row in enumerate(cohort.parts[part].index.rows):
                scores = [
                    f"{float(value):.6f}"
                    for by_part in probabilities.values()
                    for value in by_part[part][number]
                ]
                label = names[row.label] if row.label is not None else ""
                table.writerow([part, row.path, row.frame, row.patient, row.view, label, *scores])


def write_roc(curves: dict[str, tuple[list[float], list[float]]], path: Path) -> None:
    """The ROC curves as rows of (model, 1 - specificity, sensitivity)."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["model", "false_positive_rate", "sensitivity"])
        for model, points in curves.items():
            table.writerows([model, *pair] for pair in zip(*points, strict=True))
