"""Networks against each other on the same test items: paired tests, patients as clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from examples.ankle_fracture import networks
from examples.ankle_fracture.evaluation import Level
from seattn.metrics import BinaryReport, Comparison, compare_metric, holm

__all__ = ["Paired", "Scores", "compare", "metrics_of", "pairs"]

Array = np.ndarray[Any, Any]
Scores = tuple[Array, Array, float | None]


@dataclass(frozen=True)
class Paired:
    """One metric of two networks on the same cases.

    Args:
        level: "image" or "patient".
        first, second: Names of the networks.
        ablation: Whether they differ in squeeze-and-excitation alone.
        comparison: The first less the second.
        p_holm: The p value, adjusted for all comparisons of the run by Holm's method.
    """

    level: str
    first: str
    second: str
    ablation: bool
    comparison: Comparison
    p_holm: float


def compare(levels: Mapping[str, Mapping[str, Level]], *, seed: int) -> list[Paired]:
    """Every metric of every pair of networks, at each level.

    ROC areas by clustered DeLong, all else at each network's main operating point, by bootstrap and
    permutation over patients.

    Args:
        levels: Test results by network, then level.
        seed: Of the resampling.
    """
    found = []
    for level in next(iter(levels.values())):
        for first, second in pairs(levels):
            a, b = levels[first][level], levels[second][level]
            others = metrics_of(b)
            for metric, (y_true, score, threshold) in metrics_of(a).items():
                found.append(
                    (
                        (level, first, second, networks.ablation(first, second)),
                        compare_metric(
                            metric,
                            y_true=y_true,
                            y_score_a=score,
                            y_score_b=others[metric][1],
                            patients=a.cases.patients,
                            threshold=threshold,
                            seed=seed,
                        ),
                    )
                )
    adjusted = holm([comparison.p_value for _, comparison in found])
    return [Paired(*who, each, p) for (who, each), p in zip(found, adjusted, strict=True)]


def pairs(names: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Every two networks, the first named first."""
    return combinations(names, 2)


def metrics_of(level: Level) -> dict[str, Scores]:
    """By metric: labels, scores and threshold, as the tests take them.

    Each network has its own operating point, so what depends on it is computed from decisions, 0 or
    1. Of more than two classes the accuracy alone: a case is the event "classified", the decision
    whether it was classified rightly.
    """
    y_true, predicted = level.cases.y_true, level.predicted()
    if not isinstance(level.main, BinaryReport):
        return {"accuracy": (np.ones_like(y_true), (predicted == y_true).astype(float), 0.5)}
    decided = (y_true, predicted.astype(float), 0.5)
    return {
        "roc_auc": (y_true, level.cases.y_score[:, 1], None),
        "accuracy": decided,
        "sensitivity": decided,
        "specificity": decided,
    }
