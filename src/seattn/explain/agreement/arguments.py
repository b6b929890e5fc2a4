"""What every measure takes: maps and masks of one shape, and the distances of pixels."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seattn.explain.arguments import check_tensor

__all__ = ["flat_maps", "flat_mask", "flat_pair", "pixel_steps", "to_mask_size"]


def flat_pair(cam: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The maps as float64 and the masks as bool, both (N, pixels)."""
    to_mask_size(cam, mask, name="mask")
    inside = flat_mask(mask)
    return flat_maps(cam), inside


def to_mask_size(cam: Tensor, mask: Tensor, *, name: str) -> None:
    """Refuse maps that do not have the shape of the annotation."""
    check_tensor("cam", cam)
    check_tensor(name, mask)
    if cam.shape != mask.shape:
        raise ValueError(
            f"`cam` (shape {tuple(cam.shape)}) and `{name}` (shape {tuple(mask.shape)}) must have "
            f"one shape, (N, *spatial); compare at the size of the {name}"
        )


def flat_maps(cam: Tensor) -> Tensor:
    """The maps as float64, (N, pixels)."""
    if not ((cam >= 0) & cam.isfinite()).all():
        raise ValueError("`cam` must be finite and not negative; rectify it first")
    return cam.flatten(1).double()


def flat_mask(mask: Tensor, *, name: str = "mask") -> Tensor:
    """The masks as bool, (N, pixels); ``name`` is the caller's argument."""
    check_tensor(name, mask)
    if mask.dim() < 2:
        raise ValueError(f"`{name}` (shape {tuple(mask.shape)}) must be (N, *spatial)")
    inside = mask != 0
    if not (inside == mask).all():
        raise ValueError(
            f"`{name}` holds values such as {mask[inside != mask][0]:g}, not 0 and 1 only; give "
            f"`{name} > 0`, or of a label map `{name} == label`"
        )
    return inside.flatten(1)


def pixel_steps(spacing: Sequence[float] | Tensor, shape: Sequence[int]) -> Tensor:
    """The distances of neighbouring pixels along each axis, in mm, (N, D), for a (N, *spatial)."""
    n, axes = shape[0], len(shape) - 1
    steps = torch.as_tensor(spacing, dtype=torch.float64, device="cpu")
    if steps.shape not in {(axes,), (n, axes)}:
        raise ValueError(
            f"`spacing` (shape {tuple(steps.shape)}) must give mm for each of the {axes} spatial "
            f"axes, in their order: shape ({axes},), or ({n}, {axes}) where the cases differ"
        )
    if not ((steps > 0) & (steps < math.inf)).all():
        raise ValueError(f"`spacing` (={steps.tolist()}) must be finite and above 0, in mm")
    return steps.expand(n, axes)
