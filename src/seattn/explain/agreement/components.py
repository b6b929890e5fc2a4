"""The connected regions of a mask."""

import itertools

import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_mask

__all__ = ["label_regions"]


def label_regions(mask: Tensor, *, diagonal: bool = True) -> Tensor:
    """Return the connected regions of each mask, numbered from 1 in the order of their first pixel.

    Args:
        mask: The annotated regions, bool or 0 and 1.
        diagonal: Whether pixels that share only a corner or an edge are connected.

    Shape:
        - mask, output: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``mask[None]``.

    Returns:
        An int64 label map, 0 outside the mask.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: ``mask`` is not binary.

    Examples:
        >>> import torch
        >>> from seattn.explain import label_regions
        >>> mask = torch.tensor([[[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]])
        >>> label_regions(mask)
        tensor([[[1, 0, 1],
                 [0, 1, 0],
                 [0, 0, 0],
                 [2, 0, 0]]])
        >>> int(label_regions(mask, diagonal=False).max())
        4
    """
    inside = flat_mask(mask).reshape(mask.shape)
    index = torch.arange(mask.numel(), device=mask.device).reshape(mask.shape)
    pairs = [_neighbours(inside, index, step) for step in _steps(mask.dim() - 1, diagonal=diagonal)]
    one, other = torch.cat(pairs, dim=1)
    first = index.flatten()  # of each pixel, a pixel of its region; in the end the first
    while not torch.equal(first[one], first[other]):
        lower = torch.minimum(first[one], first[other])
        for end in (first[one], first[other]):
            first = first.scatter_reduce(0, end, lower, "amin")
        while not torch.equal(first, first[first]):
            first = first[first]
    is_first = inside.flatten() & (first == index.flatten())
    number = is_first.reshape(mask.shape).flatten(1).cumsum(1).flatten()  # restarts at each case
    return (number[first] * inside.flatten()).reshape(mask.shape)


def _steps(axes: int, *, diagonal: bool) -> list[tuple[int, ...]]:
    """The steps to half of the neighbours; the others are their opposites."""
    steps = itertools.product((-1, 0, 1), repeat=axes)
    return [s for s in steps if s > (0,) * axes and (diagonal or sum(map(abs, s)) == 1)]


def _neighbours(inside: Tensor, index: Tensor, step: tuple[int, ...]) -> Tensor:
    """The pixels of the mask that are one step apart, (2, pairs)."""
    here = (slice(None), *(slice(max(0, -d), -d if d > 0 else None) for d in step))
    there = (slice(None), *(slice(max(0, d), d if d < 0 else None) for d in step))
    both = inside[here] & inside[there]
    return torch.stack((index[here][both], index[there][both]))
