"""Finds images that are nearly the same, by the correlation of their thumbnails.

A copy that was compressed, resized or windowed anew has other bytes, and no hash finds it. The
zero-mean normalised correlation of 32 x 32 thumbnails does.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["near_duplicates", "thumbnails"]

_SIDE = 32
_BLOCK = 2048
"""Images on each side of a block of correlations, which takes 16 MiB."""

_KEPT = 1000
"""Pairs that are kept: so many that a thousand blank images need no million of them."""


def thumbnails(images: Tensor) -> Tensor:
    """Reduce each image to a vector of norm 1 and mean 0, so that products are correlations.

    Args:
        images: (N, C, H, W) or (N, H, W), of any type.

    Returns:
        float32 (N, 1024), on the CPU. An image of one value, which correlates with none, is 0.
    """
    images = images.detach().float()
    grey = images.mean(1, keepdim=True) if images.ndim == 4 else images[:, None]
    small = F.adaptive_avg_pool2d(grey, _SIDE).flatten(1).cpu()  # (N, 1024)
    largest = small.abs().amax(1, keepdim=True)
    small = small - small.mean(1, keepdim=True)
    norm = small.norm(dim=1, keepdim=True)
    return torch.where(norm > _SIDE * 1e-5 * largest, small / norm, 0.0)


def near_duplicates(
    vectors: Tensor, *, groups: Tensor, parts: Tensor, threshold: float
) -> tuple[list[tuple[int, int, float]], int]:
    """Find pairs of another group and another part whose vectors correlate at least so much.

    One product of matrices, in blocks: the memory does not grow with the square of the images.

    Args:
        vectors: What ``thumbnails`` returns, (N, 1024).
        groups: int64 (N,), the group of each image.
        parts: int64 (N,), the part of each image.
        threshold: The least correlation.

    Returns:
        The pairs that are most alike, as (first, second, correlation), and the number of all.
    """
    kept: list[tuple[int, int, float]] = []
    count = 0
    starts = range(0, len(vectors), _BLOCK)
    for a in starts:
        for b in starts[a // _BLOCK :]:
            alike = vectors[a : a + _BLOCK] @ vectors[b : b + _BLOCK].T
            i, j = (alike >= threshold).nonzero(as_tuple=True)
            value, i, j = alike[i, j], i + a, j + b
            apart = (i < j) & (groups[i] != groups[j]) & (parts[i] != parts[j])
            value, i, j = value[apart], i[apart], j[apart]
            count += len(value)
            best = value.sort(descending=True, stable=True).indices[:_KEPT]
            found = (i[best].tolist(), j[best].tolist(), value[best].clamp(max=1.0).tolist())
            kept = sorted([*kept, *zip(*found, strict=True)], key=lambda pair: (-pair[2], pair))
            kept = kept[:_KEPT]
    return kept, count
