"""Does Grad-CAM point at the fracture? Its agreement with the annotations, beside three controls.

A heat map can agree with annotations for reasons that have nothing to do with what the network
learnt: because fractures lie where most of them lie, or because any map of this grid would. So each
measure stands beside the same measure of a network with randomised weights, of a constant centre
map, and of the mean mask of the training images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from seattn.data import DicomDataset, Sample
from seattn.explain import (
    GradCAM,
    centre_map,
    chance_level,
    mass_in_mask,
    mean_mask_map,
    pointing_game,
    randomised_copy,
)

__all__ = ["Agreement", "Measure", "agreement", "annotated", "cams"]

SMALLEST_GRID = 4
FEWEST_PATIENTS = 5
NOT_ANNOTATED = 255
RESAMPLES = 2000


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
    """

    name: str
    chance: float
    model: float
    controls: dict[str, float]
    differences: dict[str, tuple[float, float]]

    @property
    def beats_all_controls(self) -> bool:
        """Whether every interval lies above 0."""
        return all(low > 0 for low, _ in self.differences.values())

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
    network: nn.Module, target_layer: str, dataset: DicomDataset, positions: list[int]
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Grad-CAM of each image's own class, and the grid that the maps were computed on."""
    cam = GradCAM(network, target_layer)
    device = next(network.parameters()).device
    maps: list[torch.Tensor] = []
    grid: tuple[int, ...] = ()
    for start in range(0, len(positions), 64):
        batch = dataset.batch(positions[start : start + 64])
        result = cam.explain(batch.image.to(device), target=batch.label.to(device))
        maps.append(result.maps.cpu())
        grid = tuple(result.raw.shape[-2:])
    return torch.cat(maps), grid


def agreement(
    network: nn.Module, target_layer: str, train: DicomDataset, test: DicomDataset, *, seed: int
) -> Agreement:
    """Pointing game and mass in mask of the test images' maps, beside the three controls."""
    positions, examples = annotated(test), annotated(train)
    patients = [test.index.rows[i].patient for i in positions]
    if not positions or not examples:
        return Agreement(
            0, 0, (), reason="the test or the training images have no annotated region"
        )
    maps, grid = cams(network, target_layer, test, positions)
    images, clusters = len(positions), len(set(patients))
    if min(grid) < SMALLEST_GRID:
        cells = "x".join(map(str, grid))
        return Agreement(images, clusters, grid, reason=f"maps of {cells} cells are too coarse")
    if clusters < FEWEST_PATIENTS:
        reason = f"{clusters} annotated test patients are too few for an interval"
        return Agreement(images, clusters, grid, reason=reason)
    masks = test.batch(positions).mask[:, 0] == 1
    controls = {
        "randomised weights": cams(randomised_copy(network, seed), target_layer, test, positions)[
            0
        ],
        "constant centre": centre_map(masks.shape[1:]).expand(masks.shape),
        "mean training mask": mean_mask_map(_masks(train.batch(examples))).expand(masks.shape),
    }
    chance = float(chance_level(masks).mean())
    measures = (
        _measure("pointing game", pointing_game, maps, controls, masks, patients, chance, seed),
        _measure("mass in mask", mass_in_mask, maps, controls, masks, patients, chance, seed),
    )
    return Agreement(images, clusters, grid, measures)


def _masks(batch: Sample) -> torch.Tensor:
    return batch.mask[:, 0] == 1


def _measure(
    name: str,
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    maps: torch.Tensor,
    controls: dict[str, torch.Tensor],
    masks: torch.Tensor,
    patients: list[str],
    chance: float,
    seed: int,
) -> Measure:
    # A blank map has no mass anywhere: it finds nothing.
    model = torch.nan_to_num(score(maps, masks)).numpy()
    others = {key: torch.nan_to_num(score(m, masks)).numpy() for key, m in controls.items()}
    return Measure(
        name,
        chance,
        float(model.mean()),
        {key: float(values.mean()) for key, values in others.items()},
        {key: _interval(model - values, patients, seed) for key, values in others.items()},
    )


def _interval(
    differences: np.ndarray[tuple[int], np.dtype[np.float64]], patients: list[str], seed: int
) -> tuple[float, float]:
    """95 % percentile interval of the mean, patients drawn with replacement."""
    _, group = np.unique(patients, return_inverse=True)
    sums, counts = np.bincount(group, differences), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)
