"""Where a map is strongest, and where its mass lies: the pointing game and its energy form."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_mask, flat_pair, pixel_steps

__all__ = ["chance_level", "mass_in_mask", "pointing_game"]

# Distances are decimals; a pixel exactly at the tolerance must not fall off by rounding.
_ROUNDING = 1e-9


def pointing_game(
    cam: Tensor,
    mask: Tensor,
    *,
    tolerance: float = 0.0,
    spacing: Sequence[float] | Tensor | None = None,
) -> Tensor:
    """Return, for each case, whether the strongest point of the map lies in the mask, or near it.

    Several equal maxima count by the fraction of them that hits. A blank map points nowhere and is
    a miss, 0.

    Differs from the paper: no tolerance unless asked for, and then in mm (there 15 pixels).

    Args:
        cam: The maps, finite and not negative.
        mask: The annotated regions, bool or 0 and 1.
        tolerance: A maximum hits when the centre of its pixel is at most this far from the centre
            of a pixel of the mask, in mm (Euclidean, exact).
        spacing: The distance of neighbouring pixels along each spatial axis in the tensor's order,
            in mm; a row for each case where they differ.

    Shape:
        - cam, mask: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``cam[None], mask[None]``.
        - spacing: (D,) or (N, D), for D spatial dimensions.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; nan where the mask is empty. ``chance_level`` of the same mask
        and tolerance is what a random point scores.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The shapes differ, ``cam`` is negative or not finite, ``mask`` is not binary,
            or ``tolerance`` is negative or comes without ``spacing``.

    References:
        Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016:
        the pointing game.

    Examples:
        >>> import torch
        >>> from seattn.explain import pointing_game
        >>> cam = torch.tensor([[[0.0, 3.0], [3.0, 1.0]]])
        >>> mask = torch.tensor([[[0, 1], [0, 0]]])
        >>> pointing_game(cam, mask)
        tensor([0.5000], dtype=torch.float64)
        >>> pointing_game(cam, mask, tolerance=1.0, spacing=(0.7, 0.7))
        tensor([1.], dtype=torch.float64)
    """
    values, inside = flat_pair(cam, mask)
    target = _grown(mask, tolerance, spacing)
    peak = (values == values.amax(1, keepdim=True)) & (values > 0)
    hit = (peak & target).sum(1) / peak.sum(1).clamp(min=1).double()
    return hit.masked_fill(~inside.any(1), math.nan)


def mass_in_mask(cam: Tensor, mask: Tensor) -> Tensor:
    """Return, for each case, the share of the map's sum that lies in the mask.

    Args:
        cam: The maps, finite and not negative. Not min-max scaled: that moves the zero, and the
            share with it.
        mask: The annotated regions, bool or 0 and 1.

    Shape:
        - cam, mask: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``cam[None], mask[None]``.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; nan where the map is blank or the mask empty.
        ``chance_level(mask)`` is what a constant map scores.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: The shapes differ, ``cam`` is negative or not finite, or ``mask`` is not binary.

    References:
        Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
        Networks", CVPR Workshops 2020: the energy-based pointing game.

    Examples:
        >>> import torch
        >>> from seattn.explain import mass_in_mask
        >>> cam = torch.tensor([[[0.0, 3.0], [4.0, 1.0]]])
        >>> mass_in_mask(cam, mask=torch.tensor([[[0, 1], [0, 1]]]))
        tensor([0.5000], dtype=torch.float64)
    """
    values, inside = flat_pair(cam, mask)
    share = (values * inside).sum(1) / values.sum(1)
    return share.masked_fill(~inside.any(1), math.nan)


def chance_level(
    mask: Tensor, *, tolerance: float = 0.0, spacing: Sequence[float] | Tensor | None = None
) -> Tensor:
    """Return the share of pixels that each mask covers.

    A point drawn at random scores it in ``pointing_game``, a constant map in ``mass_in_mask``.

    Args:
        mask: The annotated regions, bool or 0 and 1.
        tolerance: As in ``pointing_game``: the mask with all that lies this near, in mm.
        spacing: As in ``pointing_game``.

    Shape:
        - mask: ``(N, *spatial)``, any number of spatial dimensions; a single image is
          ``mask[None]``.
        - output: (N,).

    Returns:
        A float64 tensor; nan where the mask is empty, as in the measures, so that the means of all
        three run over the same cases.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: ``mask`` is not binary, or ``tolerance`` is negative or comes without
            ``spacing``.

    Examples:
        >>> import torch
        >>> from seattn.explain import chance_level
        >>> chance_level(torch.tensor([[[0, 1], [0, 0]]]))
        tensor([0.2500], dtype=torch.float64)
    """
    inside = flat_mask(mask)
    share = _grown(mask, tolerance, spacing).double().mean(1)
    return share.masked_fill(~inside.any(1), math.nan)


def _grown(mask: Tensor, tolerance: float, spacing: Sequence[float] | Tensor | None) -> Tensor:
    """The masks with all pixels at most ``tolerance`` mm away, (N, pixels)."""
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"`tolerance` (={tolerance}) must be finite and not negative, in mm")
    if spacing is None:
        if tolerance > 0:
            raise ValueError(
                f"`tolerance` (={tolerance}) is in mm and needs `spacing`, the mm between pixels"
            )
        return flat_mask(mask)
    steps, grown = pixel_steps(spacing, mask.shape), torch.empty_like(mask, dtype=torch.bool)
    for step in sorted(set(map(tuple, steps.tolist()))):
        same = (steps == torch.tensor(step, dtype=steps.dtype)).all(1)
        grown[same] = _near(mask[same] != 0, tolerance, step)
    return grown.flatten(1)


def _near(mask: Tensor, tolerance: float, step: tuple[float, ...]) -> Tensor:
    """The pixels within reach of the mask: the squared distance, one axis after the other."""
    squared = torch.where(mask, 0.0, math.inf).double()
    for axis, mm in enumerate(step, start=1):
        size = mask.shape[axis]
        nearest = squared.clone()
        for pixels in range(1, min(int(tolerance / mm + _ROUNDING), size - 1) + 1):
            kept, further = size - pixels, (pixels * mm) ** 2
            ahead, behind = (squared.narrow(axis, at, kept) + further for at in (pixels, 0))
            for at, distance in ((0, ahead), (pixels, behind)):
                view = nearest.narrow(axis, at, kept)
                view.copy_(torch.minimum(view, distance))
        squared = nearest
    return squared <= (tolerance * (1 + _ROUNDING)) ** 2
