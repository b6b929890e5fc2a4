"""Whole networks: classes, and builders with the published sizes."""

from seattn.backbones.efficientnet import EfficientNet
from seattn.backbones.efficientnet_builders import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
)
from seattn.backbones.resnet import ResNet
from seattn.backbones.resnet_blocks import BasicBlock, Bottleneck
from seattn.backbones.resnet_builders import (
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    se_resnet18,
    se_resnet34,
    se_resnet50,
    se_resnet101,
    se_resnet152,
)

__all__ = [
    "BasicBlock", "Bottleneck", "EfficientNet", "ResNet",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "efficientnet_b3", "efficientnet_b4", "efficientnet_b5",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "se_resnet18", "se_resnet34", "se_resnet50", "se_resnet101", "se_resnet152",
]  # fmt: skip
