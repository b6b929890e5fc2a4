"""How timm's residual blocks and their attention are read.

Drop path and DropBlock are left out: in evaluation they do nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from seattn.fuse.gates import AcrossChannels
from seattn.fuse.parts import Inverted, Residual, UnfitError

__all__ = ["EXCITATIONS", "NORM_PAIRS", "READERS", "STEMS"]

_RESNET = "timm.models.resnet"
_SENET = "timm.models.senet"
_EFFICIENTNET = "timm.models.efficientnet"
_MOBILE = "timm.models._efficientnet_blocks"
_BOTTLENECK = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))
_INVERTED = (("conv_s2d", "bn_s2d"), ("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))

NORM_PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    f"{_RESNET}.ResNet": (("conv1", "bn1"),),
    f"{_RESNET}.BasicBlock": (("conv1", "bn1"), ("conv2", "bn2")),
    f"{_RESNET}.Bottleneck": _BOTTLENECK,
    f"{_SENET}.SEResNetBlock": (("conv1", "bn1"), ("conv2", "bn2")),
    f"{_SENET}.SEBottleneck": _BOTTLENECK,
    f"{_SENET}.SEResNetBottleneck": _BOTTLENECK,
    f"{_SENET}.SEResNeXtBottleneck": _BOTTLENECK,
    f"{_EFFICIENTNET}.EfficientNet": (("conv_stem", "bn1"), ("conv_head", "bn2")),
    f"{_EFFICIENTNET}.EfficientNetFeatures": (("conv_stem", "bn1"),),
    "timm.models._features.FeatureListNet": (("conv1", "bn1"),),
    "timm.models.mobilenetv3.MobileNetV3": (("conv_stem", "bn1"),),
    f"{_MOBILE}.DepthwiseSeparableConv": (
        ("conv_s2d", "bn_s2d"),
        ("conv_dw", "bn1"),
        ("conv_pw", "bn2"),
    ),
    f"{_MOBILE}.InvertedResidual": _INVERTED,
    f"{_MOBILE}.EdgeResidual": (("conv_exp", "bn1"), ("conv_pwl", "bn2")),
    f"{_MOBILE}.ConvBnAct": (("conv", "bn1"),),
}


def _basic(block: Any) -> Residual:
    body = (block.conv1, block.bn1, block.act1, block.aa)
    return Residual(body, (block.conv2, block.bn2), block.se, block.downsample, block.act2)


def _bottleneck(block: Any) -> Residual:
    body = (
        block.conv1, block.bn1, block.act1, block.conv2, block.bn2, block.act2, block.aa,
    )  # fmt: skip
    return Residual(body, (block.conv3, block.bn3), block.se, block.downsample, block.act3)


def _legacy_bottleneck(block: Any) -> Residual:
    body = (block.conv1, block.bn1, block.relu, block.conv2, block.bn2, block.relu)
    tail = (block.conv3, block.bn3)
    return Residual(body, tail, block.se_module, block.downsample, block.relu)


def _depthwise(block: Any) -> Inverted:
    _check_space_to_depth(block)
    body = (block.conv_dw, block.bn1, block.aa)
    return Inverted(body, block.se, (block.conv_pw, block.bn2), block.has_skip)


def _inverted(block: Any) -> Inverted:
    _check_space_to_depth(block)
    body = (block.conv_pw, block.bn1, block.conv_dw, block.bn2, block.aa)
    return Inverted(body, block.se, (block.conv_pwl, block.bn3), block.has_skip)


def _edge(block: Any) -> Inverted:
    body = (block.conv_exp, block.bn1, block.aa)
    return Inverted(body, block.se, (block.conv_pwl, block.bn2), block.has_skip)


def _check_space_to_depth(block: Any) -> None:
    if block.conv_s2d is not None:
        raise UnfitError("it has a space-to-depth convolution")


STEMS: Mapping[str, tuple[str, str, str, str]] = {
    f"{_RESNET}.ResNet": ("conv1", "bn1", "act1", "maxpool")
}
READERS: Mapping[str, Callable[[Any], Residual | Inverted]] = {
    f"{_RESNET}.BasicBlock": _basic,
    f"{_RESNET}.Bottleneck": _bottleneck,
    f"{_SENET}.SEBottleneck": _legacy_bottleneck,
    f"{_SENET}.SEResNetBottleneck": _legacy_bottleneck,
    f"{_SENET}.SEResNeXtBottleneck": _legacy_bottleneck,
    f"{_MOBILE}.DepthwiseSeparableConv": _depthwise,
    f"{_MOBILE}.InvertedResidual": _inverted,
    f"{_MOBILE}.EdgeResidual": _edge,
}


def _squeeze_excite(se: Any) -> nn.Module:
    _check_maximum(se)
    return nn.Sequential(se.fc1, se.bn, se.act, se.fc2, se.gate)


def _effective(se: Any) -> nn.Module:
    _check_maximum(se)
    return nn.Sequential(se.fc, se.gate)


def _mobile(se: Any) -> nn.Module:
    return nn.Sequential(se.conv_reduce, se.act1, se.conv_expand, se.gate)


def _legacy(se: Any) -> nn.Module:
    return nn.Sequential(se.fc1, se.relu, se.fc2, se.sigmoid)


def _efficient_channel(eca: Any) -> nn.Module:
    layers = (eca.conv, eca.act, eca.conv2, eca.gate)  # two of them are None in the paper's form
    return AcrossChannels(layer for layer in layers if layer is not None)


def _check_maximum(se: Any) -> None:
    if se.add_maxpool:
        raise UnfitError(f"its attention, {type(se).__name__}, reads the maximum too")


EXCITATIONS: Mapping[str, Callable[[Any], nn.Module]] = {
    "timm.layers.squeeze_excite.SEModule": _squeeze_excite,
    "timm.layers.squeeze_excite.EffectiveSEModule": _effective,
    "timm.layers.eca.EcaModule": _efficient_channel,
    f"{_MOBILE}.SqueezeExcite": _mobile,
    f"{_SENET}.SEModule": _legacy,
}
