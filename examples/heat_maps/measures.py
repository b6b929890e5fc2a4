"""How far heat maps agree with the masks, beside maps that saw no image or learnt nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.heat_maps.radiographs import Radiographs
from examples.heat_maps.training import probabilities
from seattn.explain import GradCAM, localisation_report, mean_mask_map, randomised_copy

__all__ = ["LAYERS", "agreement_rows", "heat_maps", "move_back"]

LAYERS = ("layer4", "layer3")
CASES = {"all": (0.0, False), "called fractured": (0.5, False), "moved back": (0.0, True)}


def heat_maps(network: nn.Module, layer: str, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Grad-CAM of the class "fracture", whatever the network says, and the layer's grid."""
    found = GradCAM(network, layer).explain(image, target=1)
    return found.maps, (found.raw.shape[1], found.raw.shape[2])


def agreement_rows(
    network: nn.Module, train: Radiographs, test: Radiographs, *, seed: int
) -> list[dict[str, Any]]:
    """Reports for each layer: all fractured test images, and those that the network finds.

    In the third, "moved back", the maps of all are moved up and to the left by half a cell. There
    the cells' receptive fields are centred in this network: each padded convolution of stride 2
    is centred half a pixel of its input before the place where interpolation draws it.

    The pointing game allows half a cell of the grid around the mask. That is in pixels of the
    resized image: the files give no millimetres. After the reports: each annotated region, and
    whether the strongest 5 % of the image's map touch it.
    """
    fractured = torch.nonzero(test.labels == 1).flatten()
    scores = torch.from_numpy(probabilities(network, test))[fractured]
    random = randomised_copy(network, seed)
    mean_mask = mean_mask_map(train.masks[train.labels == 1, 0])
    rows: list[dict[str, Any]] = []
    for layer in LAYERS:
        for subset, (least, moved) in CASES.items():
            chosen = fractured[scores >= least]
            if len(chosen) == 0:
                continue
            batch = test.batch(chosen)
            maps, grid = heat_maps(network, layer, batch.image)
            unlearnt, _ = heat_maps(random, layer, batch.image)
            half = maps.shape[-1] // grid[-1] // 2 if moved else 0
            report = localisation_report(
                move_back(maps, half),
                batch.mask[:, 0],
                randomised=move_back(unlearnt, half),
                mean_mask=mean_mask,
                grid=grid,
                patients=[test.groups[row] for row in chosen],
                spacing=(1.0, 1.0),
                tolerance=maps.shape[-1] / grid[-1] / 2,
                seed=seed,
            )
            facts = report.to_dict()
            del facts["regions"]
            rows.append({"kind": "agreement", "layer": layer, "subset": subset, **facts})
            if subset == "all":
                rows += [
                    {
                        "kind": "region",
                        "layer": layer,
                        "image": test.names[chosen[region.case]],
                        "probability": round(float(scores[region.case]), 4),
                        "pixels": round(region.size),
                        "hit": region.hit,
                    }
                    for region in report.regions
                ]
    return rows


def move_back(maps: Tensor, pixels: int) -> Tensor:
    """The maps moved up and to the left; the last row and column fill the gap."""
    moved = maps[:, pixels:, pixels:]
    return F.pad(moved, (0, pixels, 0, pixels), mode="replicate")
