"""Does Grad-CAM point at the fracture? Its agreement with the annotations, beside three controls.

A heat map can agree with annotations for reasons that have nothing to do with what the network
learnt: because fractures lie where most of them lie, or because any map of this grid would. So each
measure stands beside the same measure of a network with randomised weights, of a constant centre
map, and of the mean mask of the training images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from seattn.data import DicomDataset
from seattn.explain import (
    GradCAM,
    LocalisationScore,
    localisation_report,
    mean_mask_map,
    randomised_copy,
)

__all__ = ["Agreement", "Measure", "agreement", "annotated", "cams"]

SMALLEST_GRID = 4
NOT_ANNOTATED = 255
MEASURES = ("pointing_game", "mass_in_mask")


@dataclass(frozen=True)
class Measure:
    """One measure of agreement, averaged over the annotated test images.

    Args:
        name: The measure.
        chance: Its mean for a map without any structure.
        model: Its mean for the network's maps.
        controls: Its mean for each control.
        differences: For each control, the 95 % interval of (network - control), from patients
            drawn again 2000 times.
        beats_all_controls: Whether every interval lies above 0.
    """

    name: str
    chance: float
    model: float
    controls: dict[str, float]
    differences: dict[str, tuple[float, float]]
    beats_all_controls: bool

    @property
    def verdict(self) -> str:
        """The same in words."""
        return "beats all three" if self.beats_all_controls else "not better than chance of place"


@dataclass(frozen=True)
class Agreement:
    """What was measured, on how much, or the reason why nothing was."""

    images: int
    patients: int
    grid: tuple[int, ...]
    measures: tuple[Measure, ...] = ()
    reason: str | None = None


def annotated(dataset: DicomDataset) -> list[int]:
    """Positions of the images whose annotation marks at least one pixel."""
    with_mask = [i for i, row in enumerate(dataset.index.rows) if row.mask is not None]
    return [i for i in with_mask if dataset[i].mask.any()]


def cams(
    network: nn.Module,
    target_layer: str,
    dataset: DicomDataset,
    positions: list[int],
    *,
    target: str = "label",
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Grad-CAM maps, and the grid that they were computed on.

    Args:
        network: What is explained.
        target_layer: Where.
        dataset: The images, which are shown as they are: without noise or augmentation.
        positions: Which of them.
        target: The class that is explained: "label" for the image's own, "predicted" for the one
            with the highest logit.
    """
    cam = GradCAM(network, target_layer)
    device = next(network.parameters()).device
    maps: list[torch.Tensor] = []
    grid: tuple[int, ...] = ()
    for start in range(0, len(positions), 64):
        batch = dataset.batch(positions[start : start + 64])
        own = batch.label.to(device) if target == "label" else None
        result = cam.explain(batch.image.to(device), target=own)
        maps.append(result.maps.cpu())
        grid = tuple(result.raw.shape[-2:])
    return torch.cat(maps), grid


def agreement(
    network: nn.Module,
    target_layer: str,
    train: DicomDataset,
    test: DicomDataset,
    *,
    seed: int,
    target: str = "label",
) -> Agreement:
    """Pointing game and mass in mask of the test images' maps, beside the three controls."""
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
    found = localisation_report(
        maps,
        test.batch(positions).mask[:, 0] == 1,
        randomised=cams(random, target_layer, test, positions, target=target)[0],
        mean_mask=mean_mask_map(train.batch(examples).mask[:, 0] == 1),
        grid=grid,
        patients=patients,
        measures=MEASURES,
        seed=seed,
    )
    differences = (d for score in found.scores.values() for d in score.differences.values())
    if reasons := [d.reason for d in differences if d.reason]:
        return Agreement(images, clusters, grid, reason=reasons[0])
    measures = (_measure(name, score) for name, score in found.scores.items())
    return Agreement(images, clusters, grid, tuple(measures))


def _measure(name: str, score: LocalisationScore) -> Measure:
    return Measure(
        name.replace("_", " "),
        score.chance,
        score.value.value,
        dict(score.controls),
        {control: (d.low, d.high) for control, d in score.differences.items()},
        score.beats_all_controls,
    )
