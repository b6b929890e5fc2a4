"""How torchvision's residual blocks and their attention are read.

Its layers of convolution, norm and activation are Sequentials, whose BatchNorms need no table.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from seattn.fuse.parts import Inverted, Residual

__all__ = ["EXCITATIONS", "NORM_PAIRS", "READERS", "STEMS"]

_RESNET = "torchvision.models.resnet"

NORM_PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "torchvision.models._utils.IntermediateLayerGetter": (("conv1", "bn1"),),
    f"{_RESNET}.ResNet": (("conv1", "bn1"),),
    f"{_RESNET}.BasicBlock": (("conv1", "bn1"), ("conv2", "bn2")),
    f"{_RESNET}.Bottleneck": (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")),
}


def _basic(block: Any) -> Residual:
    body = (block.conv1, block.bn1, block.relu)
    return Residual(body, (block.conv2, block.bn2), None, block.downsample, block.relu)


def _bottleneck(block: Any) -> Residual:
    body = (block.conv1, block.bn1, block.relu, block.conv2, block.bn2, block.relu)
    return Residual(body, (block.conv3, block.bn3), None, block.downsample, block.relu)


def _inverted(block: Any) -> Inverted:
    *body, attention, tail = block.block
    return Inverted(body, attention, tuple(tail), block.use_res_connect)


STEMS: Mapping[str, tuple[str, str, str, str]] = {
    f"{_RESNET}.ResNet": ("conv1", "bn1", "relu", "maxpool")
}
READERS: Mapping[str, Callable[[Any], Residual | Inverted]] = {
    f"{_RESNET}.BasicBlock": _basic,
    f"{_RESNET}.Bottleneck": _bottleneck,
    "torchvision.models.efficientnet.MBConv": _inverted,
}


def _squeeze_excitation(se: Any) -> nn.Module:
    return nn.Sequential(se.fc1, se.activation, se.fc2, se.scale_activation)


EXCITATIONS: Mapping[str, Callable[[Any], nn.Module]] = {
    "torchvision.ops.misc.SqueezeExcitation": _squeeze_excitation,
}
