"""The region of interest of Wang et al. (2024): the bones, found by their density."""

from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

__all__ = ["bone_mask"]

Array = TypeVar("Array", torch.Tensor, NDArray[Any])


def bone_mask(hu: Array, *, threshold: float = 150.0, closing: int = 2, dilation: int = 2) -> Array:
    """Mark the bones of a CT image: threshold, close, fill holes, dilate.

    Wang et al. (2024) remove the background with a mask of the bones and do not say how the mask is
    made; the steps and their numbers are this library's. The shell of a bone lies far above
    150 HU, and soft tissue without contrast medium below. Closing bridges gaps in a thin shell, so
    that filling catches the marrow inside; dilation keeps a rim around the bone, where fracture
    lines end.

    Args:
        hu: Images in Hounsfield units, as ``read_dicom(path, units="modality")`` gives them.
        threshold: A pixel above it is bone, in Hounsfield units.
        closing: Radius r of the closing, in pixels; the element is the square of side 2 r + 1.
            Outside the image lies background; what is bone before stays bone at the border too.
        dilation: Radius of the dilation, in pixels; its element is a square likewise.

    Shape:
        ``hu`` is (..., H, W), a tensor or a NumPy array; each image is treated by itself. A hole is
        background that no path of horizontal and vertical steps joins to the border of the image.

    Returns:
        A mask of the shape and the kind of ``hu``, on its device, bool.

    Raises:
        ValueError: ``hu`` has fewer than two dimensions, or a radius is negative.

    Examples:
        >>> import torch
        >>> from seattn.data.roi import bone_mask
        >>> hu = torch.full((16, 16), -1000.0)
        >>> hu[5:11, 5:11] = 700.0  # cortex
        >>> hu[6:10, 6:10] = 40.0  # marrow
        >>> bone_mask(hu, dilation=0).sum().item()
        36
    """
    if hu.ndim < 2:
        raise ValueError(f"`hu` has shape {tuple(hu.shape)}, but an image is (..., H, W).")
    for name, radius in (("closing", closing), ("dilation", dilation)):
        if radius < 0:
            raise ValueError(
                f"`{name}` (={radius}) is a radius in pixels and must not be negative."
            )
    dense = hu > threshold
    if isinstance(dense, np.ndarray):
        return _mask(torch.from_numpy(dense), closing, dilation).numpy()
    return _mask(dense, closing, dilation)


def _mask(dense: torch.Tensor, closing: int, dilation: int) -> torch.Tensor:
    mask = dense.reshape(-1, *dense.shape[-2:])
    return _dilate(_fill_holes(_close(mask, closing)), dilation).reshape(dense.shape)


def _close(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Close masks (N, H, W), with room around them, so that the border counts as background."""
    height, width = mask.shape[-2:]
    closed = ~_dilate(~_dilate(F.pad(mask, [radius] * 4), radius), radius)
    return closed[:, radius : radius + height, radius : radius + width]


def _dilate(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Dilate masks (N, H, W) by a square."""
    side = 2 * radius + 1
    return F.max_pool2d(mask.float(), side, stride=1, padding=radius) > 0


def _fill_holes(mask: torch.Tensor) -> torch.Tensor:
    """Set what no path of background joins to the border of the image; the mask is (N, H, W)."""
    border = torch.ones_like(mask)
    border[:, 1:-1, 1:-1] = False
    # What reaches one pixel of a run of background reaches the whole run; so runs are marked as
    # reached, and a pixel waits until its run in the row or its run in the column is.
    waiting = (~mask).flatten().nonzero()[:, 0]
    row = _number_runs(mask).flatten()[waiting]
    column = _number_runs(mask.mT).mT.flatten()[waiting]
    reached_row = torch.zeros(mask.numel() + 1, dtype=torch.bool, device=mask.device)
    reached_column = torch.zeros_like(reached_row)
    hit = border.flatten()[waiting]
    while hit.any():
        reached_row[row[hit]] = True
        reached_column[column[hit]] = True
        waiting, row, column = waiting[~hit], row[~hit], column[~hit]
        hit = reached_row[row] | reached_column[column]
    filled = mask.flatten().clone()
    filled[waiting] = True
    return filled.reshape(mask.shape)


def _number_runs(mask: torch.Tensor) -> torch.Tensor:
    """Number the runs of background along the last axis; each pixel of the mask begins a number.

    Where a line ends and the next begins a run goes on: both ends lie on the border of the image.
    """
    return mask.flatten().cumsum(0).reshape(mask.shape)
