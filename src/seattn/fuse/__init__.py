"""Copies of networks for inference: BatchNorm folded, gates known before the last convolution."""

from seattn.fuse.inference import fuse_for_inference
from seattn.fuse.report import FuseReport, Fusion

__all__ = ["FuseReport", "Fusion", "fuse_for_inference"]
