"""Grad-CAM of a CT volume: the shape of the map, and its price beside a plain forward pass."""

from __future__ import annotations

import multiprocessing
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from seattn.backbones import ResNet
from seattn.data import read_series
from seattn.explain import GradCAM, montage
from seattn.weights import inflate, load_model, load_weights

__all__ = ["read_volume", "volume_row"]

WINDOW = (400.0, 1800.0)  # bone, in HU
ROUNDS = 5


def read_volume(folder: Path, size: int) -> tuple[Tensor, tuple[float, ...]]:
    """One series in the bone window, (1, 1, D, size, size) in 0..1, and its spacing in mm."""
    volume = read_series(folder, units="window", window=WINDOW)
    depth, height, width = volume.pixels.shape[1:]
    shape = (depth, size, size * width // height)
    resized = F.interpolate(volume.pixels[None], shape, mode="trilinear", align_corners=False)
    spacing = zip(volume.spacing, (1, height / size, height / size), strict=True)
    return resized.clamp(0, 1), tuple(mm * factor for mm, factor in spacing)


def volume_row(flat: Path, series: Path, picture: Path, *, size: int) -> dict[str, Any]:
    """Times and memory of the map of the network in ``flat``, inflated to three dimensions.

    Nobody taught that network CT, and nobody labelled the volume: the map has no meaning here.
    """
    x, spacing = read_volume(series, size)
    network = _inflated(flat)
    found = GradCAM(network, "layer4").explain(x, target=1)
    Image.fromarray(montage(x[0], found.maps[0])).save(picture)
    context = multiprocessing.get_context("spawn")
    costs = {}
    for way in ("forward", "Grad-CAM"):
        with context.Pool(1) as pool:  # a fresh process each, for its peak of memory
            costs[way] = pool.apply(_cost, (flat, tuple(x.shape), way))
    return {
        "kind": "volume",
        "shape": tuple(x.shape[2:]),
        "spacing_mm": [round(mm, 2) for mm in spacing],
        "grid": tuple(found.raw.shape[1:]),
        "map": tuple(found.maps.shape),
        "cell_mm": [
            round(mm * n / g, 1)
            for mm, n, g in zip(spacing, x.shape[2:], found.raw.shape[1:], strict=True)
        ],
        "costs": costs,
    }


def _inflated(flat: Path) -> ResNet:
    network = load_model(flat)
    solid = ResNet(**{**network.config, "spatial_dims": 3})
    load_weights(solid, inflate(network.state_dict(), solid))
    return solid.eval()


def _cost(flat: Path, shape: tuple[int, ...], way: str) -> dict[str, float]:
    """Median CPU seconds, and the peak of resident memory above what was there before, in MiB."""
    torch.set_num_threads(1)
    network, x = _inflated(flat), torch.rand(shape)
    cam = GradCAM(network, "layer4")
    seconds = []
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    for _ in range(ROUNDS):
        start = time.process_time()
        if way == "forward":
            with torch.no_grad():
                network(x)
        else:
            cam(x, target=1)
        seconds.append(time.process_time() - start)
    peak = _status("VmHWM") - before
    return {"cpu_seconds": round(float(np.median(seconds)), 3), "peak_mib": round(peak)}


def _status(key: str) -> float:
    found = re.search(rf"{key}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError(f"/proc/self/status has no {key}; memory is measured on Linux alone")
    return int(found[1]) / 1024
