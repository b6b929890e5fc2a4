"""Heat maps on images, in numpy alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seattn.explain.colours import colourise
from seattn.explain.outlines import Array, draw_outlines, to_numpy

__all__ = ["overlay"]


def overlay(
    image: Array,
    cam: Array,
    *,
    alpha: float = 0.5,
    cmap: str = "inferno",
    vmax: float | None = None,
    contour: Array | Sequence[Array] | None = None,
    boxes: Array | Sequence[Any] | None = None,
    thickness: int | None = None,
) -> NDArray[np.uint8]:
    """Lay a heat map over an image; the weaker the map, the more of the image shows.

    With the strength s = min(cam / vmax, 1), a pixel is (1 - alpha s) image + alpha s colour(s).
    The image is drawn as it is where the map is 0, and never rescaled.

    Args:
        image: Grey or RGB, float in 0..1 or uint8: (H, W), (C, H, W) or (H, W, C), with C 1 or 3;
            for a batch of maps with N in front.
        cam: The map, (H, W), or a batch of them, (N, H, W); not negative. Of the image's size, as
            ``GradCAM`` makes it.
        alpha: Opacity of the map at its strongest, 0..1.
        cmap: ``"inferno"`` or ``"viridis"``.
        vmax: The value drawn at full strength. Each map's own maximum by default; give one value
            to compare the pictures of a series.
        contour: A mask of the shape of ``cam``, such as an expert's region, whose border is drawn
            in cyan; or a list of up to four, such as one from each reader, in cyan, magenta, lime
            and blue, the later over the earlier. The line lies inside the region.
        boxes: (K, 4), the x0, y0, x1, y1 of each box in pixels; for a batch, one such for each
            map. They are half-open: pixel (row, column) covers row..row + 1 and column..column + 1,
            so 0, 0, W, H is the whole image. A pixel that a box covers in part counts as inside.
            Drawn in the next colour after those of the contours.
        thickness: Of the lines, in pixels; by default 1 for every 500 of the image's shorter
            side, and at least 1. A region narrower than two lines is filled.

    Returns:
        RGB, uint8, (H, W, 3) or (N, H, W, 3).

    Raises:
        ValueError: A value is out of its range, or the shapes do not fit each other.
        TypeError: ``image`` is neither float nor uint8.

    Examples:
        >>> import torch
        >>> from seattn.explain import overlay
        >>> image, cam = torch.rand(3, 1, 64, 80), torch.rand(3, 64, 80)
        >>> overlay(image, cam, vmax=1.0).shape
        (3, 64, 80, 3)
    """
    heat = to_numpy(cam).astype(np.float64)
    if heat.ndim not in (2, 3):
        raise ValueError(f"`cam` (shape {heat.shape}) must be (H, W) or (N, H, W)")
    if not (heat >= 0).all() or not np.isfinite(heat).all():
        raise ValueError("`cam` must be finite and not negative; rectify it first")
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` (={alpha}) must lie in 0..1")
    if vmax is not None and not 0 < vmax < np.inf:
        raise ValueError(f"`vmax` (={vmax}) must be greater than 0 and finite")
    background = _to_rgb(to_numpy(image), heat.shape)
    peak = heat.max(axis=(-2, -1), keepdims=True) if vmax is None else vmax
    strength = np.minimum(heat / np.where(peak > 0, peak, 1), 1)
    opacity = alpha * strength[..., np.newaxis]
    mixed = (1 - opacity) * background + opacity * colourise(strength, cmap)
    picture = np.rint(255 * mixed).astype(np.uint8)
    draw_outlines(picture, contour, boxes, thickness)
    return picture


def _to_rgb(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the image as (*shape, 3) in 0..1; ``shape`` is the map's."""
    if image.dtype == np.uint8:
        image = image / 255
    elif not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"`image` ({image.dtype}) must be float in 0..1 or uint8; window it first")
    elif not ((image >= 0) & (image <= 1)).all():
        raise ValueError("a float `image` must lie in 0..1; window or rescale it first")
    *batch, height, width = shape
    if image.shape == shape:
        image = image[..., np.newaxis]
    elif image.shape in [(*batch, channels, height, width) for channels in (1, 3)]:
        image = np.moveaxis(image, -3, -1)
    elif image.shape not in [(*shape, channels) for channels in (1, 3)]:
        raise ValueError(
            f"`image` (shape {image.shape}) does not fit `cam` (shape {shape}); it must be grey or "
            "RGB, of the same height and width, and a batch where `cam` is one"
        )
    return np.broadcast_to(image, (*shape, 3))
