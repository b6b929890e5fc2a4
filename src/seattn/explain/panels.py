"""An image, its map, the two together, and the annotation, beside each other in one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seattn.explain.drawing import overlay
from seattn.explain.outlines import (
    COLOURS,
    Array,
    box_colour,
    read_boxes,
    read_contours,
    to_numpy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["side_by_side"]


def side_by_side(
    image: Array,
    cam: Array,
    *,
    alpha: float = 0.5,
    cmap: str = "inferno",
    vmax: float | None = None,
    contour: Array | Sequence[Array] | None = None,
    boxes: Array | Sequence[Any] | None = None,
    contour_names: Sequence[str] | None = None,
    window: str | None = None,
    map_label: str = "Grad-CAM",
    spacing: Sequence[float] | None = None,
) -> Figure:
    """Draw an image, its map with a bar of its values, the overlay, and the annotation if any.

    The outlines of the annotation are in the last panel and on the overlay. Needs matplotlib, the
    ``plot`` extra; its global state is left alone, and ``figure.savefig(path)`` keeps the picture.

    Args:
        image: Grey or RGB, as in ``overlay``; one image.
        cam: Its map, (H, W), not negative.
        alpha: As in ``overlay``.
        cmap: As in ``overlay``.
        vmax: As in ``overlay``; also the end of the bar.
        contour: As in ``overlay``.
        boxes: As in ``overlay``, (K, 4).
        contour_names: What a legend calls the contours, such as "reader 1"; none by default.
        window: What the image shows of its range, such as "W 400 L 40", for its title.
        map_label: The title of the map.
        spacing: Distance in mm between the centres of (rows, columns), such as
            ``DicomImage.meta.spacing``: draws a bar of a round length, and pixels in their shape.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: A value is out of its range, or the shapes do not fit each other.
        TypeError: ``image`` is neither float nor uint8.
        ImportError: matplotlib is not installed.

    Examples:
        >>> import torch
        >>> from seattn.explain import side_by_side
        >>> mask = torch.zeros(64, 80)
        >>> mask[20:30, 40:60] = 1
        >>> figure = side_by_side(torch.rand(1, 64, 80), torch.rand(64, 80), contour=mask)
        >>> [ax.get_title() for ax in figure.axes if ax.get_title()]
        ['image', 'Grad-CAM', 'overlay', 'annotation']
    """
    heat = to_numpy(cam)
    if heat.ndim != 2:
        raise ValueError(f"`cam` (shape {heat.shape}) must be (H, W), of one image")
    shown = overlay(image, heat, alpha=alpha, cmap=cmap, vmax=vmax)
    plain = overlay(image, np.zeros_like(heat))
    masks = read_contours(contour, heat.shape)
    (corners,) = read_boxes(boxes, heat.shape)
    annotated = bool(masks) or len(corners) > 0
    if contour_names is not None and len(contour_names) != len(masks):
        raise ValueError(
            f"`contour_names` has {len(contour_names)} for {len(masks)} contours; name each"
        )
    if spacing is not None and not (len(spacing) == 2 and all(0 < mm < math.inf for mm in spacing)):
        raise ValueError(f"`spacing` (={spacing!r}) must be (rows, columns) in mm, more than 0")
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "seattn[plot]"') from error

    panels = 4 if annotated else 3
    aspect = 1.0 if spacing is None else spacing[0] / spacing[1]
    tall = min(2.5, max(0.4, aspect * heat.shape[0] / heat.shape[1]))  # a panel's height to width
    height = 2.6 * tall + (1.1 if contour_names else 0.8)
    figure = Figure(figsize=(2.6 * panels, height), layout="constrained")
    axes = figure.subplots(1, panels)
    title = "image" if window is None else f"image, {window}"
    for ax, picture, name in zip(
        axes,
        (plain, heat, shown, plain),
        (title, map_label, "overlay", "annotation"),
        strict=False,
    ):
        top = vmax or float(heat.max()) or 1.0
        drawn = ax.imshow(picture, cmap=cmap, vmin=0, vmax=top, aspect=aspect)
        ax.set_title(name, fontsize=9)
        ax.set_axis_off()
        if picture is heat:
            bar = ax.inset_axes((0, -0.07, 1, 0.04))
            figure.colorbar(drawn, cax=bar, orientation="horizontal")
            bar.tick_params(labelsize=7)
            bar.xaxis.get_offset_text().set_fontsize(7)
    for ax in axes[2:]:
        _outline(ax, masks, corners)
    if spacing is not None:
        _scale_bar(axes[0], heat.shape, spacing)
    for ax in axes:  # as they were before the lines
        ax.set(xlim=(-0.5, heat.shape[1] - 0.5), ylim=(heat.shape[0] - 0.5, -0.5))
    if contour_names:
        colours = [*COLOURS[: len(masks)], box_colour(masks)]
        names = [*contour_names, *(["boxes"] if len(corners) else [])]
        handles = [
            Line2D([], [], color=_rgb(colour), label=name)
            for colour, name in zip(colours, names, strict=False)
        ]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            fontsize=8,
            facecolor="0.3",
            labelcolor="white",
        )
    return figure


def _rgb(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = (value / 255 for value in colour)
    return red, green, blue


def _outline(ax: Axes, masks: Sequence[NDArray[np.bool_]], corners: NDArray[np.float64]) -> None:
    from matplotlib.patches import Rectangle

    for mask, colour in zip(masks, COLOURS, strict=False):
        if mask.any():
            # Padded, a region at the border of the image is closed there.
            height, width = mask.shape
            across, down = np.arange(-1, width + 1), np.arange(-1, height + 1)
            ax.contour(
                across, down, np.pad(mask, 1), levels=[0.5], colors=[_rgb(colour)], linewidths=1.2
            )
    for x0, y0, x1, y1 in corners:
        corner = (x0 - 0.5, y0 - 0.5)  # of axes in which a pixel's centre has whole coordinates
        edge = _rgb(box_colour(masks))
        ax.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor=edge, linewidth=1.2))


def _scale_bar(ax: Axes, shape: tuple[int, ...], spacing: Sequence[float]) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten mm, at most a third of the width."""
    from matplotlib.patheffects import withStroke

    height, width = shape
    room = width * spacing[1] / 3
    unit = 10.0 ** math.floor(math.log10(room))
    length = max(step * unit for step in (1, 2, 5) if step * unit <= room)
    start, end, y = 0.05 * width, 0.05 * width + length / spacing[1], 0.94 * height
    outline = [withStroke(linewidth=4, foreground="black")]
    ax.plot([start, end], [y, y], color="white", lw=2, solid_capstyle="butt", path_effects=outline)
    ax.text(
        start,
        y - 0.02 * height,
        f"{length:g} mm",
        color="white",
        fontsize=8,
        va="bottom",
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )
