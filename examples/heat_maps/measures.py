"""How far heat maps agree with the masks, image by image, beside maps that know nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.heat_maps.radiographs import Radiographs
from examples.heat_maps.training import probabilities
from seattn.backbones import ResNet
from seattn.explain import (
    GradCAM,
    centre_map,
    chance_level,
    mass_in_mask,
    mean_mask_map,
    pointing_game,
    randomised_copy,
)

__all__ = ["CONTROLS", "LAYERS", "heat_maps", "image_rows", "interval", "summary"]

LAYERS = ("layer4", "layer3")
CONTROLS = ("randomised weights", "constant centre", "mean training mask")
MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pointing game": pointing_game,
    "pointing game, half a cell of tolerance": pointing_game,
    "mass in mask": mass_in_mask,
}
RESAMPLES = 2000


def heat_maps(network: nn.Module, layer: str, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Grad-CAM of the class "fracture", whatever the network says, and the layer's grid."""
    found = GradCAM(network, layer).explain(image, target=1)
    return found.maps, (found.raw.shape[1], found.raw.shape[2])


def image_rows(
    network: ResNet, train: Radiographs, test: Radiographs, *, seed: int
) -> list[dict[str, Any]]:
    """One row for each fractured test image and each layer."""
    fractured = torch.nonzero(test.labels == 1).flatten()
    batch = test.batch(fractured)
    masks = batch.mask[:, 0]
    scores = probabilities(network, test)[fractured]
    random = randomised_copy(network, seed)
    constant = {
        "constant centre": centre_map(masks.shape[1:]).expand(masks.shape),
        "mean training mask": mean_mask_map(train.masks[train.labels == 1, 0]).expand(masks.shape),
    }
    rows = []
    for layer in LAYERS:
        maps, grid = heat_maps(network, layer, batch.image)
        sources = {
            "network": maps,
            "randomised weights": heat_maps(random, layer, batch.image)[0],
            **constant,
            # The best that any map of this grid can do: the annotation itself, seen through it.
            "ceiling": _enlarge(F.adaptive_avg_pool2d(batch.mask.float(), grid), masks.shape),
        }
        cell = masks.shape[-1] // grid[-1]
        truth = dict.fromkeys(MEASURES, masks)
        truth["pointing game, half a cell of tolerance"] = _dilate(masks, cell // 2)
        values = {
            measure: {
                "chance": chance_level(truth[measure]),
                # A blank map has its mass nowhere: it finds nothing.
                **{name: score(cam, truth[measure]).nan_to_num() for name, cam in sources.items()},
            }
            for measure, score in MEASURES.items()
        }
        for i, row in enumerate(fractured.tolist()):
            rows.append(
                {
                    "kind": "image",
                    "layer": layer,
                    "grid": grid,
                    "image": test.names[row],
                    "group": test.groups[row],
                    "probability": round(float(scores[i]), 4),
                    **{
                        measure: {name: round(float(v[i]), 4) for name, v in by_source.items()}
                        for measure, by_source in values.items()
                    },
                }
            )
    return rows


def summary(rows: Sequence[dict[str, Any]], *, seed: int) -> list[dict[str, Any]]:
    """Means over the images of ``image_rows``, all and those called fractured, with intervals.

    ``differences`` holds, for each control, the 95 % interval of (network - control), from groups
    drawn with replacement. Only what lies above 0 in all three is better than chance of place.
    """
    found = []
    for layer in LAYERS:
        for subset, least in (("all", 0.0), ("called fractured", 0.5)):
            some = [r for r in rows if r["layer"] == layer and r["probability"] >= least]
            groups = [row["group"] for row in some]
            for measure in MEASURES if len(set(groups)) > 1 else ():
                values = {
                    name: np.array([row[measure][name] for row in some])
                    for name in some[0][measure]
                }
                found.append(
                    {
                        "kind": "measure",
                        "layer": layer,
                        "grid": some[0]["grid"],
                        "measure": measure,
                        "subset": subset,
                        "images": len(some),
                        "groups": len(set(groups)),
                        "means": {name: round(float(v.mean()), 4) for name, v in values.items()},
                        "differences": {
                            name: interval(values["network"] - values[name], groups, seed)
                            for name in CONTROLS
                        },
                    }
                )
    return found


def interval(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], groups: Sequence[str], seed: int
) -> tuple[float, float]:
    """95 % percentile interval of the mean, whole groups drawn with replacement."""
    _, group = np.unique(list(groups), return_inverse=True)
    sums, counts = np.bincount(group, values), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def _enlarge(maps: Tensor, shape: Sequence[int]) -> Tensor:
    return F.interpolate(maps, tuple(shape[1:]), mode="bilinear", align_corners=False)[:, 0]


def _dilate(masks: Tensor, radius: int) -> Tensor:
    """Every pixel within ``radius`` pixels of the mask, by the larger of both axes."""
    grown = F.max_pool2d(masks[:, None].float(), 2 * radius + 1, stride=1, padding=radius)
    return grown[:, 0].to(masks.dtype)
