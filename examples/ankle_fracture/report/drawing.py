"""What the figures share: their colours, an image with its region, PNG bytes.

Figures are made by matplotlib's object interface, which keeps no global state.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.cams import NOT_ANNOTATED

__all__ = ["COLOURS", "REGION", "outline", "picture", "png", "show"]

COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce", "#be123c", "#525252")
REGION = "#22d3ee"


def picture(image: torch.Tensor) -> np.ndarray[Any, Any]:
    """(1, H, W) as (H, W), and (3, H, W) as (H, W, 3)."""
    return (image[0] if len(image) == 1 else image.permute(1, 2, 0)).numpy()


def show(ax: Axes, pixels: np.ndarray[Any, Any], mask: torch.Tensor) -> None:
    """Draws a grey (H, W) or RGB (H, W, 3) picture with its annotated region outlined.

    Args:
        ax: Where.
        pixels: The picture.
        mask: (1, H, W) as a sample has it.
    """
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1)  # the range concerns grey pictures only
    ax.axis("off")
    region = (mask[0] > 0) & (mask[0] != NOT_ANNOTATED)
    outline(ax, region, colors=REGION, linewidths=1)


def outline(ax: Axes, region: np.ndarray[Any, Any] | torch.Tensor, **style: Any) -> None:
    """Draws the border of a region over a picture of its size, closed at the picture's edge.

    Args:
        ax: Where.
        region: (H, W), bool; nothing is drawn where nothing is marked.
        style: As ``Axes.contour`` takes it.
    """
    mask = np.asarray(region)
    if not mask.any():
        return
    height, width = mask.shape
    across, down = np.arange(-1, width + 1), np.arange(-1, height + 1)
    ax.contour(across, down, np.pad(mask, 1), levels=[0.5], **style)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def png(figure: Figure, *, dpi: int = 110) -> bytes:
    """The figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()
