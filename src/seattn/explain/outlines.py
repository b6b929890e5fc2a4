"""Outlines of regions and boxes, checked, and drawn into a picture."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "COLOURS",
    "Array",
    "box_colour",
    "draw_outlines",
    "read_boxes",
    "read_contours",
    "to_numpy",
]

Array: TypeAlias = Tensor | NDArray[Any]

# Cyan, magenta, lime, blue: far from each other, from both colour maps and from grey images.
COLOURS = ((0, 255, 255), (255, 0, 255), (0, 255, 0), (64, 96, 255))


def to_numpy(array: Array) -> NDArray[Any]:
    """Return an array on the CPU; floating-point tensors become float64."""
    if isinstance(array, Tensor):
        array = array.detach().cpu()
        return (array.double() if array.is_floating_point() else array).numpy()  # bfloat16 too
    return np.asarray(array)


def read_contours(
    contour: Array | Sequence[Array] | None, shape: tuple[int, ...]
) -> list[NDArray[np.bool_]]:
    """Return the regions of each reader; ``shape`` is that of the map."""
    if contour is None:
        return []
    if isinstance(contour, Tensor | np.ndarray):
        contour = [contour]
    masks = [to_numpy(mask) for mask in contour]
    for number, mask in enumerate(masks):
        if mask.shape != shape:
            raise ValueError(
                f"`contour` {number} (shape {mask.shape}) must have the shape of `cam`, {shape}"
            )
    if len(masks) > len(COLOURS):
        raise ValueError(
            f"`contour` has {len(masks)} regions; {len(COLOURS)} colours can be told apart, "
            "choose some or join them"
        )
    return [mask.astype(bool) for mask in masks]


def read_boxes(
    boxes: Array | Sequence[Any] | None, shape: tuple[int, ...]
) -> list[NDArray[np.float64]]:
    """Return the boxes of each image, (K, 4); ``shape`` is that of the map."""
    images = 1 if len(shape) == 2 else shape[0]
    if boxes is None:
        return [np.empty((0, 4))] * images
    if len(shape) == 2:
        boxes = [boxes]
    elif len(boxes) != images:
        raise ValueError(f"`boxes` has {len(boxes)} entries for {images} images; give one per map")
    height, width = shape[-2:]
    checked = []
    for each in boxes:
        corners = to_numpy(each).astype(np.float64)
        corners = corners.reshape(0, 4) if corners.size == 0 else corners
        if corners.ndim != 2 or corners.shape[1] != 4:
            raise ValueError(
                f"`boxes` (shape {corners.shape}) must be (K, 4): x0, y0, x1, y1 of each box"
            )
        for x0, y0, x1, y1 in corners.tolist():
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise ValueError(
                    f"`boxes` ({x0:g}, {y0:g}, {x1:g}, {y1:g}) must have 0 <= x0 < x1 <= {width} "
                    f"and 0 <= y0 < y1 <= {height}, in pixels of the map"
                )
        checked.append(corners)
    return checked


def draw_outlines(
    picture: NDArray[np.uint8],
    contour: Array | Sequence[Array] | None,
    boxes: Array | Sequence[Any] | None,
    thickness: int | None,
) -> None:
    """Draw into ``picture``, (H, W, 3) or (N, H, W, 3); see ``overlay`` for the rest."""
    shape = picture.shape[:-1]
    if thickness is None:
        thickness = max(1, round(min(shape[-2:]) / 500))
    elif thickness < 1:
        raise ValueError(f"`thickness` (={thickness}) must be 1 pixel or more")
    masks = read_contours(contour, shape)
    for mask, colour in zip(masks, COLOURS, strict=False):
        picture[_border(mask, thickness)] = colour
    colour = box_colour(masks)
    pictures = picture.reshape(-1, *picture.shape[-3:])  # a view
    for image, corners in zip(pictures, read_boxes(boxes, shape), strict=True):
        for x0, y0, x1, y1 in corners:
            inside = np.zeros(shape[-2:], dtype=bool)
            inside[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
            image[_border(inside, thickness)] = colour


def box_colour(masks: Sequence[object]) -> tuple[int, int, int]:
    """Return the colour of the boxes: the next after those of the contours, in turn."""
    return COLOURS[len(masks) % len(COLOURS)]


def _border(mask: NDArray[np.bool_], thickness: int) -> NDArray[np.bool_]:
    """Return the mask's pixels that lie within ``thickness`` steps of the outside.

    A step goes to one of four neighbours, and what is beyond the image is outside.
    """
    core = mask
    for _ in range(thickness):
        padded = np.pad(core, [(0, 0)] * (core.ndim - 2) + [(1, 1), (1, 1)])
        vertical = padded[..., :-2, 1:-1] & padded[..., 2:, 1:-1]
        horizontal = padded[..., 1:-1, :-2] & padded[..., 1:-1, 2:]
        core = core & vertical & horizontal
    return mask & ~core
