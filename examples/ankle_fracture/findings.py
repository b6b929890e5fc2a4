"""Everything that a run found, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.comparisons import Paired
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.evaluation import Level, Report, roc_points
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.other_run import OtherRun
from examples.ankle_fracture.repetitions import Repeated

__all__ = ["BASELINE", "Findings", "Replicate"]

BASELINE = "Logistic regression on pixels"


@dataclass(frozen=True)
class Replicate:
    """What one seed came to.

    Args:
        seed: The seed.
        cohort: The images.
        items: What the protocol makes of them, by part.
        results: Of each network.
        pixels: (N, K) probabilities of the linear baseline on the test images.
        baseline: Its metrics, at 0.5.
    """

    seed: int
    cohort: Cohort
    items: dict[str, Items]
    results: dict[str, Result]
    pixels: torch.Tensor
    baseline: Report

    @property
    def levels(self) -> dict[str, dict[str, Level]]:
        """Test results by network, then level."""
        return {name: result.levels for name, result in self.results.items()}


@dataclass(frozen=True)
class Findings:
    """Everything that a run found; the report shows the first seed in detail.

    Args:
        config: The run's choices.
        replicates: One for each seed.
        comparisons: Of the networks of the first seed.
        repetitions: Over the seeds, where there are several.
        seconds: Wall time so far.
        processes: How many trained; of a run that went on, since then.
        beside: Another run, to be shown beside this one.
    """

    config: Config
    replicates: tuple[Replicate, ...]
    comparisons: list[Paired]
    repetitions: list[Repeated]
    seconds: float
    processes: int = 1
    beside: OtherRun | None = None

    @property
    def first(self) -> Replicate:
        """The seed that the report shows in detail."""
        return self.replicates[0]

    def roc(self) -> dict[str, tuple[list[float], list[float]]]:
        """ROC curves by title; none where there are more than two classes."""
        if len(self.first.cohort.class_names) > 2:
            return {}
        labels = self.first.items["test"].labels
        curves = {
            r.title: roc_points(labels, r.probabilities["test"][:, 1])
            for r in self.first.results.values()
        }
        images = self.first.cohort.labels("test")
        return curves | {BASELINE: roc_points(images, self.first.pixels[:, 1])}
