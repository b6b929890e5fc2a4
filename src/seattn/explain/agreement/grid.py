"""What a mask looks like on the coarse grid that class activation maps are computed on."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from seattn.explain.agreement.arguments import flat_mask

__all__ = ["mask_on_grid"]

_POOLING: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


def mask_on_grid(mask: Tensor, grid: Sequence[int]) -> Tensor:
    """Return the map of a network that knows the mask but has only the cells of a grid to say so.

    The mask is averaged over each cell and interpolated back as ``GradCAM`` does it. What this map
    scores is the resolution ceiling of the grid, in this sense: what such a layer would score if it
    knew the mask exactly. It is no bound: a map that leaves the rim of the mask out may have more
    mass inside, and a mask that covers no cell's centre has the ceiling 0 in the pointing game,
    which a tolerance mends.

    A mask made of whole cells has the ceiling 1 in the pointing game. The interpolation blurs its
    rim, which costs mass; and its corners, which costs IoU, Dice and average precision where the
    cells are wider than 4 pixels, in 3D always.

    Args:
        mask: The annotated regions, bool or 0 and 1.
        grid: The size of the layer's output, as in ``GradCAM(...).explain(x).raw.shape[1:]``.

    Shape:
        - mask, output: ``(N, *spatial)``, with one to three spatial dimensions.

    Returns:
        The maps, float64, in 0..1.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: ``mask`` is not binary, or ``grid`` has not as many axes, or one that is below 1
            or above the mask's.

    Examples:
        >>> import torch
        >>> from seattn.explain import dice, mask_on_grid
        >>> mask = torch.zeros(1, 8, 8)
        >>> mask[:, :4, 2:4] = 1
        >>> round(dice(mask_on_grid(mask, (2, 2)), mask).item(), 3)
        0.25
    """
    inside, spatial, axes = flat_mask(mask), tuple(mask.shape[1:]), mask.dim() - 1
    grid = tuple(grid)
    if (
        axes not in _POOLING
        or len(grid) != axes
        or any(not 1 <= cells <= size for cells, size in zip(grid, spatial, strict=True))
    ):
        raise ValueError(
            f"`grid` (={grid}) must have 1 .. size cells along each of the one to three spatial "
            f"axes of `mask` (={spatial})"
        )
    pixels = inside.double().reshape(len(mask), 1, *spatial)
    cells = _POOLING[axes](pixels, grid)
    back = F.interpolate(cells, spatial, mode=_INTERPOLATION[axes], align_corners=False)
    return back.squeeze(1)
