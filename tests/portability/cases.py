"""The small networks that must travel: every family of builders, every block, every position."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seattn.attention import (
    BAMBlock,
    CBAMBlock,
    CoordAttention,
    ECABlock,
    EffectiveSE,
    GatherExcite,
    GlobalContext,
    GlobalContextAdd,
    SCSEBlock,
    SEBlock,
    SimAM,
    SqueezeExcite,
    TripletAttention,
)
from seattn.backbones import EfficientNet, resnet18, resnet50, resnext50_32x4d, senet154

__all__ = ["ALONE", "MIXED", "NETWORKS", "free_batch_and_size", "images", "lively", "networks"]

Build = Callable[..., nn.Module]
Attention = Callable[[int], nn.Module] | None

_one_each = {"layers": (1, 1, 1, 1), "in_chans": 1, "num_classes": 3}
_narrow = _one_each | {"channels": (16, 16, 24, 32)}
_grouped = _one_each | {"channels": (32, 32, 32, 32)}  # 64 groups want as many channels

_FAMILIES: dict[str, Build] = {
    "basic": partial(resnet18, **_narrow),
    "bottleneck": partial(resnet50, **_narrow),
    "resnext": partial(resnext50_32x4d, **_grouped),
    "senet154": partial(senet154, **_grouped),
}
_coordinate = partial(CoordAttention, reduction=8)  # fewer channels than its default of 32
_gather = partial(GatherExcite, extent=4, learn_gather=True, mlp=True)
# Its forms, one in each stage; extents leave more than one pixel of 33 x 33, as export wants.
_gathers = (
    _gather,
    partial(GatherExcite, extent=2, learn_gather=True),
    partial(GatherExcite, extent=2),
    GatherExcite,
)
_BLOCKS: dict[str, Attention | tuple[Attention, ...]] = {
    "none": None,
    "SEBlock": SEBlock,
    "SqueezeExcite": SqueezeExcite,
    "EffectiveSE": EffectiveSE,
    "ECABlock": ECABlock,
    "CBAMBlock": CBAMBlock,
    "SCSEBlock": SCSEBlock,
    "GlobalContext": GlobalContext,
    "GlobalContextAdd": GlobalContextAdd,
    "CoordAttention": _coordinate,
    "SimAM": SimAM,
    "BAMBlock": BAMBlock,
    "TripletAttention": TripletAttention,
    "GatherExcite": _gathers,
}
_POSITIONS = ("standard", "pre", "post", "identity")


def _network(
    family: str, attention: Attention | tuple[Attention, ...], position: str = "standard"
) -> Build:
    return partial(_FAMILIES[family], attention=attention, attention_position=position)


_efficientnet = partial(EfficientNet, width=0.25, depth=0.3, in_chans=1, num_classes=3)

# Every family with every block at every position; an EfficientNet has its own.
PRODUCT: dict[str, Build] = {
    f"{family}-{block}-{position}": _network(family, attention, position)
    for family in _FAMILIES
    for block, attention in _BLOCKS.items()
    for position in (_POSITIONS if attention else _POSITIONS[:1])
} | {"efficientnet": _efficientnet}

# Every family, block and position once, in as few networks as hold them: for what is slow.
MIXED: dict[str, Build] = {
    "basic-mixed": _network("basic", (SEBlock, SqueezeExcite, EffectiveSE, ECABlock)),
    "bottleneck-mixed": _network(
        "bottleneck", (CBAMBlock, SCSEBlock, GlobalContext, GlobalContextAdd), "pre"
    ),
    "resnext-mixed": _network("resnext", (_coordinate, SimAM, None, SEBlock), "post"),
    "senet154-mixed": _network(
        "senet154", (_gather, BAMBlock, TripletAttention, SEBlock), "identity"
    ),
    "efficientnet": _efficientnet,
}
NETWORKS = PRODUCT | MIXED

# Every block alone in one family, every family and every position with one block.
ALONE = (
    *(f"basic-{block}-standard" for block in _BLOCKS),
    *(f"basic-SEBlock-{position}" for position in _POSITIONS[1:]),
    *(f"{family}-SEBlock-standard" for family in _FAMILIES if family != "basic"),
    "efficientnet",
)


def networks(names: Iterable[str], *, full: Iterable[str] = PRODUCT) -> Any:
    """Parametrise ``build`` with some networks, and with others under ``pytest -m full``."""
    return pytest.mark.parametrize(
        "build",
        [
            *(pytest.param(NETWORKS[name], id=name) for name in names),
            *(
                pytest.param(NETWORKS[name], id=f"full-{name}", marks=pytest.mark.full)
                for name in full
            ),
        ],
    )


def images(batch: int = 2, size: tuple[int, int] = (32, 40)) -> Tensor:
    """Return grey images."""
    return torch.randn(batch, 1, *size)


def free_batch_and_size(smallest: int = 33) -> dict[int, torch.export.Dim]:
    """Return the free dimensions of images, sides from ``smallest`` on.

    At 32 pixels and less the last map has one pixel, which export takes for another case.
    """
    side = {"min": smallest, "max": 512}
    batch = torch.export.Dim("N", max=64)
    return {0: batch, 2: torch.export.Dim("H", **side), 3: torch.export.Dim("W", **side)}


def lively(network: nn.Module) -> nn.Module:
    """Move biases, normalisations and their statistics away from where they start.

    No residual is zero then, and no BatchNorm does nothing in evaluation.
    """
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.ndim == 1:
                tensor.add_(torch.rand_like(tensor) * 0.3)
    return network
