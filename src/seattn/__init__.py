"""Attention-augmented convolutional backbones for PyTorch.

The public face, re-exported by hand. Importing it loads torch and nothing else heavy.
"""

from seattn import data, explain, metrics
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
from seattn.explain import GradCAM
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
    "list_models",
    "metrics",
    "record_gates",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "se_resnet18",
    "se_resnet34",
    "se_resnet50",
    "se_resnet101",
    "se_resnet152",
]
