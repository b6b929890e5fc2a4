"""Attention-augmented convolutional backbones for PyTorch.

The public face, re-exported by hand. Importing it loads torch and nothing else heavy.
"""

from seattn import data, explain, fuse, metrics, predict, pretrained, surgery, weights
from seattn.attention import SEBlock, record_gates
from seattn.backbones import (
    EfficientNet,
    ResNet,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    fused_paths,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x4d,
    se_resnet18,
    se_resnet34,
    se_resnet50,
    se_resnet101,
    se_resnet152,
    se_resnext50_32x4d,
    se_resnext101_32x4d,
    senet154,
)
from seattn.explain import GradCAM
from seattn.fuse import fuse_for_inference
from seattn.ops import set_fused
from seattn.surgery import fold_attention, insert_attention, remove_attention
from seattn.zoo import create_model, list_models

__version__ = "0.1.0"

__all__ = [
    "EfficientNet",
    "GradCAM",
    "ResNet",
    "SEBlock",
    "create_model",
    "data",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "explain",
    "fold_attention",
    "fuse",
    "fuse_for_inference",
    "fused_paths",
    "insert_attention",
    "list_models",
    "metrics",
    "predict",
    "pretrained",
    "record_gates",
    "remove_attention",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x4d",
    "se_resnet18",
    "se_resnet34",
    "se_resnet50",
    "se_resnet101",
    "se_resnet152",
    "se_resnext50_32x4d",
    "se_resnext101_32x4d",
    "senet154",
    "set_fused",
    "surgery",
    "weights",
]
