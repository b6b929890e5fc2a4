"""How our own residual blocks are read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from seattn.fuse.parts import Inverted, Residual, UnfitError

__all__ = ["EXCITATIONS", "NORM_PAIRS", "READERS", "STEMS"]

_RESNET = "seattn.backbones.resnet_blocks"
_EFFICIENTNET = "seattn.backbones.efficientnet_blocks"

NORM_PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "seattn.backbones.resnet.ResNet": (("conv1", "bn1"),),
    "seattn.backbones.efficientnet.EfficientNet": (("conv_stem", "bn1"), ("conv_head", "bn2")),
    "seattn.backbones.features.FeatureNet": (
        ("conv1", "bn1"),
        ("conv_stem", "bn1"),
        ("conv_head", "bn2"),
    ),
    f"{_RESNET}.BasicBlock": (("conv1", "bn1"), ("conv2", "bn2")),
    f"{_RESNET}.Bottleneck": (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")),
    f"{_EFFICIENTNET}.DepthwiseSeparable": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    f"{_EFFICIENTNET}.InvertedBottleneck": (
        ("conv_pw", "bn1"),
        ("conv_dw", "bn2"),
        ("conv_pwl", "bn3"),
    ),
}


def _basic(block: Any) -> Residual:
    return _residual(block, (block.conv1, block.bn1, block.act1), (block.conv2, block.bn2))


def _bottleneck(block: Any) -> Residual:
    body = (block.conv1, block.bn1, block.act1, block.conv2, block.bn2, block.act2)
    return _residual(block, body, (block.conv3, block.bn3))


def _residual(block: Any, body: Sequence[nn.Module], tail: Sequence[nn.Module]) -> Residual:
    attends = type(block.se) is not nn.Identity
    if attends and block.attention_position != "standard":
        raise UnfitError(
            f"its attention is at position {block.attention_position!r}, not 'standard'"
        )
    return Residual(body, tail, block.se, block.downsample, nn.ReLU(inplace=True))


def _depthwise(block: Any) -> Inverted:
    body = (block.conv_dw, block.bn1, block.act1)
    return Inverted(body, block.se, (block.conv_pw, block.bn2), block.has_shortcut)


def _inverted(block: Any) -> Inverted:
    body = (block.conv_pw, block.bn1, block.act1, block.conv_dw, block.bn2, block.act2)
    return Inverted(body, block.se, (block.conv_pwl, block.bn3), block.has_shortcut)


STEMS: Mapping[str, tuple[str, str, str, str]] = {
    "seattn.backbones.resnet.ResNet": ("conv1", "bn1", "act1", "maxpool")
}
READERS: Mapping[str, Callable[[Any], Residual | Inverted]] = {
    f"{_RESNET}.BasicBlock": _basic,
    f"{_RESNET}.Bottleneck": _bottleneck,
    f"{_EFFICIENTNET}.DepthwiseSeparable": _depthwise,
    f"{_EFFICIENTNET}.InvertedBottleneck": _inverted,
}


def _squeeze_excitation(se: Any) -> nn.Module:
    return nn.Sequential(se.fc1, nn.ReLU(), se.fc2, nn.Sigmoid())


def _squeeze_excite(se: Any) -> nn.Module:
    return nn.Sequential(se.conv_reduce, nn.SiLU(), se.conv_expand, nn.Sigmoid())


def _effective(se: Any) -> nn.Module:
    return nn.Sequential(se.fc, nn.Hardsigmoid())


_SE = "seattn.attention.squeeze_excitation"

EXCITATIONS: Mapping[str, Callable[[Any], nn.Module]] = {
    f"{_SE}.SEBlock": _squeeze_excitation,
    f"{_SE}.SqueezeExcite": _squeeze_excite,
    "seattn.attention.effective_squeeze_excitation.EffectiveSE": _effective,
}
