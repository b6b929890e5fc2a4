"""Whole networks: classes, and builders with the published sizes."""

from seattn.backbones.backbone import Backbone
from seattn.backbones.efficientnet import EfficientNet
from seattn.backbones.efficientnet_builders import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
)
from seattn.backbones.features import FeatureMaps, FeatureNet
from seattn.backbones.fused import FusedPath, fused_paths
from seattn.backbones.param_groups import layer_decay_groups
from seattn.backbones.resnet import ResNet
from seattn.backbones.resnet_blocks import BasicBlock, Bottleneck
from seattn.backbones.resnet_builders import resnet18, resnet34, resnet50, resnet101, resnet152
from seattn.backbones.resnext_builders import (
    resnext50_32x4d,
    resnext101_32x4d,
    se_resnext50_32x4d,
    se_resnext101_32x4d,
    senet154,
)
from seattn.backbones.se_resnet_builders import (
    se_resnet18,
    se_resnet34,
    se_resnet50,
    se_resnet101,
    se_resnet152,
)

__all__ = [
    "Backbone", "BasicBlock", "Bottleneck", "EfficientNet", "FeatureMaps", "FeatureNet",
    "FusedPath", "ResNet",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "fused_paths", "layer_decay_groups",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x4d",
    "se_resnet18", "se_resnet34", "se_resnet50", "se_resnet101", "se_resnet152",
    "se_resnext50_32x4d", "se_resnext101_32x4d", "senet154",
]  # fmt: skip
