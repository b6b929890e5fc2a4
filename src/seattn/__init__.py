"""Attention-augmented convolutional backbones for PyTorch."""

__version__ = "0.1.0"
