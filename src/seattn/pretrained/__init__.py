"""Pretrained weights: which there are, how to fetch them, and how to prepare images for them."""

from seattn.pretrained.download import download
from seattn.pretrained.table import get_pretrained_cfg, list_pretrained
from seattn.pretrained.transform import InputTransform, input_transform
from seattn.weights.pretrained_config import PretrainedConfig

__all__ = [
    "InputTransform",
    "PretrainedConfig",
    "download",
    "get_pretrained_cfg",
    "input_transform",
    "list_pretrained",
]
