"""Weights of other libraries into networks and back, and our networks on disk."""

from seattn.weights.conversion import convert
from seattn.weights.inflation import inflate
from seattn.weights.input_channels import gray_normalization
from seattn.weights.loading import load_weights
from seattn.weights.report import LoadReport
from seattn.weights.saving import load_model, save_model

__all__ = [
    "LoadReport",
    "convert",
    "gray_normalization",
    "inflate",
    "load_model",
    "load_weights",
    "save_model",
]
