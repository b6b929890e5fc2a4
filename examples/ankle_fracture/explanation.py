"""Does Grad-CAM point at the fracture? Its agreement with the annotations, beside three controls.

A heat map can agree with annotations for reasons that have nothing to do with what the network
learnt: because fractures lie where most of them lie, or because any map of this grid would. So each
measure stands beside the same measure of a network with randomised weights, of a constant centre
map, and of the mean mask of the training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from examples.ankle_fracture.cams import annotated, cams
from examples.ankle_fracture.readers import REFERENCE, pixel_spacing, simulated_readers
from seattn.data import DicomDataset
from seattn.explain import (
    LocalisationReport,
    LocalisationScore,
    localisation_report,
    mean_mask_map,
    randomised_copy,
)

__all__ = ["Agreement", "Measure", "Readers", "agreement"]

SMALLEST_GRID = 4
TOLERANCE = 5.0
MEASURES = {
    "pointing_game": "pointing game",
    "mass_in_mask": "mass in mask",
    "iou": "IoU",
    "dice": "Dice",
    "average_precision": "average precision",
    "region_recall": "region recall",
}


@dataclass(frozen=True)
class Measure:
    """One measure of agreement, averaged over the annotated test images.

    Args:
        name: The measure.
        chance: Its mean for maps that do not know where the annotation is.
        ceiling: Its mean for the annotations themselves, seen through the grid of the maps.
        model: Its mean for the network's maps.
        low, high: The 95 % interval of that mean.
        controls: Its mean for each control.
        differences: For each control, the 95 % interval of (network - control), from patients
            drawn again 2000 times.
        beats_all_controls: Whether every interval lies above 0.
    """

    name: str
    chance: float
    ceiling: float
    model: float
    low: float
    high: float
    controls: dict[str, float]
    differences: dict[str, tuple[float, float]]
    beats_all_controls: bool

    @property
    def verdict(self) -> str:
        """The same in words."""
        return "beats all three" if self.beats_all_controls else "not better than chance of place"


@dataclass(frozen=True)
class Readers:
    """The reference standard and three simulated readers, and a network beside them.

    Args:
        dice: The mean Dice of each two of them, by name and name.
        network: By measure, the mean of the network's maps against each of them.
        between: By measure, the mean of each one's mask taken for a map, against each other's.
    """

    dice: dict[str, dict[str, float]]
    network: dict[str, dict[str, float]]
    between: dict[str, float]


@dataclass(frozen=True)
class Agreement:
    """What was measured, on how much, or the reason why nothing was.

    Args:
        images: Annotated test images.
        patients: Whose they are.
        grid: The cells of the maps.
        measures: The measures.
        reason: Why there are none.
        rules: What is marked, hit and near, in words, by measure.
        blank: Maps that are 0 everywhere, the network's ("maps") and each control's.
        regions: How many regions were hit, in words.
        readers: The same maps against simulated readers.
    """

    images: int
    patients: int
    grid: tuple[int, ...]
    measures: tuple[Measure, ...] = ()
    reason: str | None = None
    rules: dict[str, str] = field(default_factory=dict)
    blank: dict[str, int] = field(default_factory=dict)
    regions: str = ""
    readers: Readers | None = None


def agreement(
    network: nn.Module,
    target_layer: str,
    train: DicomDataset,
    test: DicomDataset,
    *,
    seed: int,
    target: str = "label",
) -> Agreement:
    """How well the test images' maps agree with the annotations, beside the three controls."""
    positions, examples = annotated(test), annotated(train)
    patients = [test.index.rows[i].patient for i in positions]
    if not positions or not examples:
        return Agreement(
            0, 0, (), reason="the test or the training images have no annotated region"
        )
    maps, grid = cams(network, target_layer, test, positions, target=target)
    images, clusters = len(positions), len(set(patients))
    if min(grid) < SMALLEST_GRID:
        cells = "x".join(map(str, grid))
        return Agreement(images, clusters, grid, reason=f"maps of {cells} cells are too coarse")
    random = randomised_copy(network, seed)
    unlearnt = cams(random, target_layer, test, positions, target=target)[0]
    usual = mean_mask_map(train.batch(examples).mask[:, 0] == 1)
    masks = test.batch(positions).mask[:, 0] == 1
    spacing = pixel_spacing(test, positions)

    def report(
        annotations: torch.Tensor,
        measures: Sequence[str],
        *,
        tolerance: float = 0.0,
        readers: Sequence[str] | None = None,
    ) -> LocalisationReport:
        return localisation_report(
            maps,
            annotations,
            randomised=unlearnt,
            mean_mask=usual,
            grid=grid,
            patients=patients,
            readers=readers,
            spacing=spacing,
            tolerance=tolerance,
            measures=measures,
            seed=seed,
        )

    found = report(masks, list(MEASURES))
    scores = {MEASURES[name]: score for name, score in found.scores.items()}
    rules = {MEASURES[name]: rule for name, rule in found.rules.items()}
    if spacing is not None:
        near = report(masks, ["pointing_game"], tolerance=TOLERANCE)
        scores[name := f"pointing game, {TOLERANCE:g} mm"] = near["pointing_game"]
        rules[name] = near.rules["pointing_game"]
    differences = (d for score in scores.values() for d in score.differences.values())
    if reasons := [d.reason for d in differences if d.reason]:
        return Agreement(images, clusters, grid, reason=reasons[0])
    marked = {REFERENCE: masks, **simulated_readers(masks, spacing)}
    several = report(
        torch.stack([*marked.values()]), ["dice", "pointing_game"], readers=list(marked)
    )
    return Agreement(
        images,
        clusters,
        grid,
        tuple(_measure(name, score) for name, score in scores.items()),
        rules=rules,
        blank=dict(found.blank),
        regions=found.regions.summary,
        readers=_readers(several),
    )


def _measure(name: str, score: LocalisationScore) -> Measure:
    return Measure(
        name,
        score.chance,
        score.ceiling,
        score.value.value,
        score.value.low,
        score.value.high,
        dict(score.controls),
        {control: (d.low, d.high) for control, d in score.differences.items()},
        score.beats_all_controls,
    )


def _readers(report: LocalisationReport) -> Readers:
    return Readers(
        {name: dict(row) for name, row in report.reader_dice.items()},
        {MEASURES[name]: dict(score.per_reader) for name, score in report.scores.items()},
        {MEASURES[name]: score.between_readers for name, score in report.scores.items()},
    )
