"""What the test images say: predictions, metrics with intervals over patients, curves."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.ankle_fracture.decision import Cases, Decision, levels
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.protocol import Protocol
from seattn.metrics import (
    BinaryReport,
    ClassificationReport,
    Estimate,
    binary_report,
    classification_report,
)

__all__ = [
    "Level",
    "Report",
    "by_name",
    "evaluate",
    "report_of",
    "roc_points",
    "without_intervals",
    "write_roc",
]

Report = BinaryReport | ClassificationReport


@dataclass(frozen=True)
class Level:
    """The test results by image, or by patient.

    Args:
        cases: Labels, probabilities and patients.
        reports: By operating point, the main one first; of more than two classes there is one,
            "highest probability".
    """

    cases: Cases
    reports: dict[str, Report]

    @property
    def main(self) -> Report:
        """The report at the main operating point."""
        return next(iter(self.reports.values()))

    def predicted(self) -> np.ndarray[Any, Any]:
        """The class of each case at the main operating point, (N,)."""
        if isinstance(self.main, BinaryReport):
            return (self.cases.y_score[:, 1] >= self.main.threshold).astype(np.int64)
        classes: np.ndarray[Any, Any] = self.cases.y_score.argmax(1)
        return classes


def evaluate(
    probabilities: torch.Tensor,
    items: Items,
    decision: Decision,
    protocol: Protocol,
    class_names: tuple[str, ...],
) -> dict[str, Level]:
    """The results of the test items by level ("image", "patient"), as the protocol says.

    Raises:
        ValueError: Patients of these items took part in the decision.
    """
    if known := decision.patients & set(items.patients):
        raise ValueError(
            f"{len(known)} patients of the test items took part in choosing calibration and "
            "thresholds: their results would be optimistic. Split by patient."
        )
    found = {}
    for level, cases in levels(probabilities, items, protocol).items():
        reports = {}
        for rule, point in decision.points.get(level, {"highest probability": 0.5}).items():
            threshold = point if isinstance(point, float) else point.threshold
            report = report_of(cases, class_names, threshold)
            reports[rule] = report if protocol.inference else without_intervals(report)
        found[level] = Level(cases, reports)
    return found


def report_of(cases: Cases, class_names: tuple[str, ...], threshold: float = 0.5) -> Report:
    """Metrics with patients as clusters; of two classes the second is the positive one."""
    if len(class_names) == 2:
        return binary_report(
            y_true=cases.y_true,
            y_score=cases.y_score[:, 1],
            patients=cases.patients,
            threshold=threshold,
        )
    return classification_report(**cases._asdict(), class_names=class_names)


def without_intervals(report: Report) -> Report:
    """The same values alone, with the reason."""

    def bare(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
        return {name: _bare(estimate) for name, estimate in estimates.items()}

    if isinstance(report, BinaryReport):
        return replace(report, estimates=bare(report.estimates))
    per_class = {name: bare(of_class) for name, of_class in report.per_class.items()}
    overall, macro = bare(report.overall), bare(report.macro)
    return replace(report, overall=overall, macro=macro, per_class=per_class)


def _bare(estimate: Estimate) -> Estimate:
    reason = estimate.reason if math.isnan(estimate.value) else "the protocol gives no intervals"
    return replace(estimate, low=math.nan, high=math.nan, method=None, reason=reason)


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


def write_roc(curves: dict[str, tuple[list[float], list[float]]], path: Path) -> None:
    """The ROC curves as rows of (model, 1 - specificity, sensitivity)."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["model", "false_positive_rate", "sensitivity"])
        for model, points in curves.items():
            table.writerows([model, *pair] for pair in zip(*points, strict=True))
