"""What a map of the same values would score if it did not know where the mask is.

For the pointing game and the mass that is ``chance_level``. Dice at a threshold and the average
precision are averaged over all orders of the map's pixels, by formula. IoU and region recall depend
on the map's shape: they are averaged over all places that the map can be moved to, where what
leaves the image on one side comes in on the other.
"""

import math

import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_pair
from seattn.explain.agreement.overlap import Threshold, marked
from seattn.explain.agreement.regions import required, top_pixels

__all__ = ["average_precision_chance", "dice_chance", "iou_chance", "region_recall_chance"]


def dice_chance(cam: Tensor, mask: Tensor, *, threshold: Threshold) -> Tensor:
    """The mean Dice of the marked pixels over all orders of the pixels, and over all moves, (N,).

    A pixel of the mask is marked with the probability that any pixel is.
    """
    values, inside = flat_pair(cam, mask)
    marks, size = marked(values, inside, threshold).sum(1), inside.sum(1)
    score = 2 * marks * size / inside.shape[1] / (marks + size)
    return score.masked_fill(size == 0, math.nan)


def iou_chance(cam: Tensor, mask: Tensor, *, threshold: Threshold) -> Tensor:
    """The mean IoU of the marked pixels over all cyclic moves of the map, (N,)."""
    values, inside = flat_pair(cam, mask)
    marks = marked(values, inside, threshold)
    both = (marks.sum(1) + inside.sum(1)).reshape(-1, *[1] * (mask.dim() - 1))
    shared = _overlaps(marks.reshape(mask.shape), inside.reshape(mask.shape))
    score = (shared / (both - shared)).flatten(1).mean(1)
    return score.masked_fill(~inside.any(1), math.nan)


def average_precision_chance(cam: Tensor, mask: Tensor) -> Tensor:
    """The mean average precision over all orders of the map's pixels, ties staying tied, (N,).

    A group of t tied pixels that ends at rank c gains t k / n positives on average, for k
    positives among n pixels. Given that a pixel is positive, each of the other c - 1 pixels down
    to this rank is so with probability (k - 1) / (n - 1), which gives the mean precision there.
    """
    values, inside = flat_pair(cam, mask)
    n, chances = values.shape[1], []
    for value, k in zip(values, inside.sum(1).tolist(), strict=True):
        tied = value.unique(return_counts=True)[1].flip(0).double()  # from the highest value
        rank = tied.cumsum(0)
        others = (rank - 1) * (k - 1) / max(n - 1, 1)
        chances.append(float((tied / rank * (1 + others)).sum()) / n if k else math.nan)
    return torch.tensor(chances, dtype=torch.float64, device=cam.device)


def region_recall_chance(cam: Tensor, regions: Tensor, *, top: float, share: float) -> Tensor:
    """The mean region recall over all cyclic moves of the map, (N,)."""
    marks = top_pixels(cam, regions, top).reshape(regions.shape)
    chances = []
    for mark, label_map in zip(marks, regions, strict=True):
        labels = label_map[label_map != 0].unique()
        hit = []
        for label in labels:
            region = label_map == label
            overlap = _overlaps(mark[None], region[None])
            hit.append(float((overlap >= required(int(region.sum()), share)).double().mean()))
        chances.append(sum(hit) / len(hit) if hit else math.nan)
    return torch.tensor(chances, dtype=torch.float64, device=cam.device)


def _overlaps(marks: Tensor, inside: Tensor) -> Tensor:
    """What is marked in the mask after each cyclic move of the marks, ``(N, *spatial)``."""
    axes = tuple(range(1, marks.dim()))
    marks_spectrum, mask_spectrum = (torch.fft.rfftn(t.double(), dim=axes) for t in (marks, inside))
    return torch.fft.irfftn(mask_spectrum * marks_spectrum.conj(), s=marks.shape[1:], dim=axes)
