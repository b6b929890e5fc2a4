"""The networks of the study by name: how each is built, and where Grad-CAM looks."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

import seattn
from seattn.weights import load_weights

__all__ = ["Network", "ablation", "build", "find", "names"]


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
_SMALL = {
    "se_resnet_small": Network(partial(seattn.se_resnet18, **_small), "layer4", "Small SE-ResNet"),
    "resnet_small": Network(partial(seattn.resnet18, **_small), "layer4", "Small ResNet"),
}
_TITLES = {
    "se_resnet50": "SE-ResNet50",
    "resnet50": "ResNet50",
    "efficientnet_b5": "EfficientNet-B5",
}


def names() -> list[str]:
    """Every name that ``find`` knows: the study's small networks, and seattn's."""
    return [*_SMALL, *seattn.list_models()]


def find(name: str) -> Network:
    """The network of that name.

    Raises:
        ValueError: There is none.
    """
    if name in _SMALL:
        return _SMALL[name]
    if name not in seattn.list_models():
        close = difflib.get_close_matches(name, names(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see --help"
        raise ValueError(f"`models` has {name!r}, which is no network: {hint}")
    layer = "act2" if name.startswith("efficientnet") else "layer4"
    return Network(partial(seattn.create_model, name), layer, _TITLES.get(name, name))


def build(name: str, *, in_chans: int, num_classes: int, weights: Path | None) -> nn.Module:
    """A network with random weights, or with those of a file and a new last layer.

    Where the file's first convolution takes colour, its weights are summed: that is what they give
    for the grey image repeated over the colours.
    """
    network = find(name).build(in_chans=in_chans, num_classes=num_classes)
    if weights is not None:
        print(load_weights(network, weights, adapt_input="sum", keep_classifier=True), flush=True)
    return network


def ablation(first: str, second: str) -> bool:
    """Whether two networks differ in squeeze-and-excitation alone."""
    return first != second and first.removeprefix("se_") == second.removeprefix("se_")
