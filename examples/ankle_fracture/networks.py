"""The networks of the study by name: how each is built, and where Grad-CAM looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

import seattn

__all__ = ["NETWORKS", "Network"]


@dataclass(frozen=True)
class Network:
    """One contestant.

    Args:
        build: Takes ``in_chans`` and ``num_classes`` as keywords.
        target_layer: The last stage's output, after excitation, addition and ReLU: the network's
            final feature map, and never the 1x1 convolutions inside an SE block.
        title: As it stands in the report.
    """

    build: Callable[..., nn.Module]
    target_layer: str
    title: str


# Four stages of one block on 64x64 pixels: the final map is 8x8, where a ResNet50's would be 2x2.
# Residuals that start at zero learn nothing from so few images for the first third of the run.
_small: dict[str, Any] = {
    "layers": (1, 1, 1, 1),
    "channels": (16, 32, 64, 128),
    "stem": "small",
    "zero_init_last": False,
}

NETWORKS = {
    "se_resnet_small": Network(partial(seattn.se_resnet18, **_small), "layer4", "Small SE-ResNet"),
    "resnet_small": Network(partial(seattn.resnet18, **_small), "layer4", "Small ResNet"),
    "se_resnet50": Network(seattn.se_resnet50, "layer4", "SE-ResNet50"),
    "resnet50": Network(seattn.resnet50, "layer4", "ResNet50"),
    "efficientnet_b5": Network(seattn.efficientnet_b5, "act2", "EfficientNet-B5"),
}
