"""Which pixels of an image go first, and what they become."""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

__all__ = ["Baseline", "places", "replacement"]

Baseline: TypeAlias = float | Tensor | Literal["mean", "blur"]


def places(maps: Tensor, seed: int) -> Tensor:
    """Return each pixel's place in the order of falling values, ties at random; (N, pixels)."""
    flat = maps.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    shuffle = torch.rand(flat.shape, generator=generator).argsort(1).to(flat.device)
    shuffled = flat.gather(1, shuffle)
    order = shuffle.gather(1, shuffled.argsort(dim=1, descending=True, stable=True))
    return order.argsort(1)


def replacement(x: Tensor, baseline: Baseline) -> Tensor:
    """Return what replaces the pixels of ``x``, in its shape."""
    spatial = tuple(range(2, x.dim()))
    if isinstance(baseline, str):
        if baseline == "mean":
            return x.mean(spatial, keepdim=True).expand_as(x)
        if baseline == "blur":
            return _blurred(x, min(x.shape[2:]) / 10)
        raise ValueError(
            f"`baseline` (={baseline!r}) must be 'mean', 'blur', a value or a tensor that expands "
            "to `x`"
        )
    value = torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
    if not value.isfinite().all():
        raise ValueError("`baseline` holds nan or infinity; give what a deleted pixel becomes")
    try:
        return value.expand_as(x)
    except RuntimeError as error:
        raise ValueError(
            f"`baseline` (shape {tuple(value.shape)}) must expand to `x`, {tuple(x.shape)}"
        ) from error


def _blurred(x: Tensor, deviation: float) -> Tensor:
    """Return the images under a Gaussian of 3 deviations to each side, borders repeated."""
    radius = math.ceil(3 * deviation)
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-offsets.square() / (2 * deviation**2))
    weights = weights / weights.sum()
    for dim in range(2, x.dim()):
        index = torch.arange(-radius, x.shape[dim] + radius, device=x.device)
        padded = x.index_select(dim, index.clamp(0, x.shape[dim] - 1))
        x = padded.unfold(dim, len(weights), 1) @ weights
    return x
