"""How far several readers agree with each other: what a map cannot be asked to exceed."""

import math

import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_mask
from seattn.explain.arguments import check_tensor

__all__ = ["reader_dice"]


def reader_dice(masks: Tensor) -> Tensor:
    """Return the Dice coefficients of each two readers' masks.

    Args:
        masks: The annotated regions of the same cases by each reader, bool or 0 and 1.

    Shape:
        - masks: ``(R, N, *spatial)`` for R readers, any number of spatial dimensions.
        - output: (R, R, N).

    Returns:
        A float64 tensor, symmetric; 0 where one of the two marked nothing, nan where neither
        marked anything.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: ``masks`` is not binary, or not ``(R, N, *spatial)``.

    Examples:
        >>> import torch
        >>> from seattn.explain import reader_dice
        >>> masks = torch.tensor([[[[1, 1, 0, 0]]], [[[0, 1, 0, 0]]]])
        >>> reader_dice(masks)[0, 1]
        tensor([0.6667], dtype=torch.float64)
    """
    check_tensor("masks", masks)
    if masks.dim() < 3:
        raise ValueError(f"`masks` (shape {tuple(masks.shape)}) must be (R, N, *spatial)")
    flat = torch.stack([flat_mask(mask, name="masks") for mask in masks]).double()  # (R, N, pixels)
    shared = torch.einsum("anp,bnp->abn", flat, flat)
    size = flat.sum(2)
    both = size[:, None] + size
    return (2 * shared / both).masked_fill(both == 0, math.nan)
