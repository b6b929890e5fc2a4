"""The slices of a volume with its map, side by side in one picture."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seattn.explain.arguments import check_whole
from seattn.explain.drawing import overlay
from seattn.explain.outlines import Array, read_contours, to_numpy

__all__ = ["montage"]

# Ten figures, 5 rows of 3 pixels each; a row is a digit in octal.
_FIGURES = (
    *("75557", "26227", "71747", "71717", "55711"),
    *("74717", "74757", "71122", "75757", "75717"),
)
_LINE = 96  # grey


def montage(
    volume: Array,
    cam: Array,
    *,
    slices: int | Sequence[int] = 12,
    pick: Literal["even", "strongest"] = "even",
    columns: int | None = None,
    numbers: bool = True,
    alpha: float = 0.5,
    cmap: str = "inferno",
    vmax: float | None = None,
    contour: Array | Sequence[Array] | None = None,
    thickness: int | None = None,
) -> NDArray[np.uint8]:
    """Lay a map over slices of its volume, and the slices in rows, all with one scale of colours.

    Args:
        volume: Grey or RGB, float in 0..1 or uint8: (D, H, W), (1, D, H, W), (D, C, H, W) or
            (D, H, W, C), with C 1 or 3. Slices are taken along D; permute it for another view.
        cam: The map, (D, H, W), not negative.
        slices: How many to show, at most all; or which, counted from 0, in the order given.
        pick: Which, if ``slices`` is a number: ``"even"``, the middle slice of each of so many
            equal parts; ``"strongest"``, those whose map has the largest sum, in their order in
            the volume.
        columns: Slices in a row; by default so many that the picture is about 4:3.
        numbers: Whether to write each slice's number, counted from 0, in its upper left corner.
        alpha: As in ``overlay``.
        cmap: As in ``overlay``.
        vmax: As in ``overlay``; the maximum of the whole volume by default, also of the slices
            that are not shown.
        contour: As in ``overlay``, for the whole volume, (D, H, W).
        thickness: As in ``overlay``.

    Returns:
        RGB, uint8, of rows * H by columns * W pixels and the grey lines between them; black where
        the last row has no slice.

    Raises:
        ValueError: A value is out of its range, or the shapes do not fit each other.
        TypeError: ``volume`` is neither float nor uint8.

    Examples:
        >>> import torch
        >>> from seattn.explain import montage
        >>> montage(torch.rand(1, 40, 64, 80), torch.rand(40, 64, 80), slices=6).shape
        (129, 242, 3)
    """
    heat, image = to_numpy(cam), to_numpy(volume)
    if heat.ndim != 3 or 0 in heat.shape:
        raise ValueError(f"`cam` (shape {heat.shape}) must be (D, H, W)")
    if image.shape == (1, *heat.shape):
        image = image[0]
    if len(image) != len(heat):
        raise ValueError(
            f"`volume` (shape {image.shape}) does not fit `cam` (shape {heat.shape}); it must be "
            "(D, H, W), (1, D, H, W), (D, C, H, W) or (D, H, W, C)"
        )
    shown = _choose(heat, slices, pick)
    masks = [mask[shown] for mask in read_contours(contour, heat.shape)]
    pictures = overlay(
        image[shown],
        heat[shown],
        alpha=alpha,
        cmap=cmap,
        vmax=(float(heat.max()) or 1.0) if vmax is None else vmax,
        contour=masks,
        thickness=thickness,
    )
    if numbers:
        for picture, number in zip(pictures, shown, strict=True):
            _write(picture, number)
    return _lay_out(pictures, columns)


def _choose(heat: NDArray[Any], slices: int | Sequence[int], pick: str) -> list[int]:
    depth = len(heat)
    if isinstance(slices, Iterable):
        chosen = [int(number) for number in slices]
        if not chosen or not all(0 <= number < depth for number in chosen):
            raise ValueError(f"`slices` (={chosen}) must be in 0..{depth - 1}, one or more")
        return chosen
    check_whole("slices", slices, least=1)
    count = min(slices, depth)
    if pick == "even":
        return [(2 * part + 1) * depth // (2 * count) for part in range(count)]
    if pick == "strongest":
        order = np.argsort(-heat.sum(axis=(1, 2), dtype=np.float64), kind="stable")
        return sorted(order[:count].tolist())
    raise ValueError(f"`pick` (={pick!r}) must be 'even' or 'strongest'")


def _lay_out(pictures: NDArray[np.uint8], columns: int | None) -> NDArray[np.uint8]:
    """Put (N, H, W, 3) into rows, with a line between neighbours."""
    count, height, width, _ = pictures.shape
    if columns is None:
        columns = min(count, max(1, round(math.sqrt(count * height / width * 4 / 3))))
        columns = math.ceil(count / math.ceil(count / columns))  # the last row nearly full
    else:
        check_whole("columns", columns, least=1)
    rows = math.ceil(count / columns)
    line = max(1, round(min(height, width) / 250))
    cells = np.full((rows * columns, height + line, width + line, 3), _LINE, dtype=np.uint8)
    cells[:count, :height, :width] = pictures
    cells[count:, :height, :width] = 0
    grid = cells.reshape(rows, columns, height + line, width + line, 3).swapaxes(1, 2)
    return grid.reshape(rows * (height + line), -1, 3)[:-line, :-line]


def _write(picture: NDArray[np.uint8], number: int) -> None:
    """Write a number in white on black in the upper left corner, as far as there is room."""
    figures = np.array([[int(row, 8) for row in _FIGURES[int(digit)]] for digit in str(number)])
    bits = figures[..., np.newaxis] >> [2, 1, 0] & 1  # (digits, 5, 3)
    spaced = np.pad(bits, [(0, 0), (1, 1), (0, 1)]).swapaxes(0, 1).reshape(7, -1)
    text = np.pad(spaced, [(0, 0), (1, 0)])
    size = max(1, round(min(picture.shape[:2]) / 120))
    dots = np.kron(text, np.ones((size, size), dtype=int))
    height, width = picture.shape[:2]
    dots = dots[:height, :width]
    picture[: dots.shape[0], : dots.shape[1]] = 255 * dots[..., np.newaxis]
