"""Diagrams: boxes of text and arrows between them, measured in inches from the upper left."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

__all__ = ["RADIUS", "arrow", "box", "canvas", "height", "label", "node"]

LINE = 0.165  # between two lines of text
INK = "#1f2937"
PADDING = 0.06
RADIUS = 0.12
LETTERS = 8.6
LETTERS_AN_INCH = 15.3


def canvas(width: float, tall: float) -> tuple[Figure, Axes]:
    """An empty sheet of these inches; y grows downwards."""
    figure = Figure(figsize=(width, tall))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(tall, 0))
    ax.axis("off")
    return figure, ax


def box(
    ax: Axes,
    corner: tuple[float, float],
    size: tuple[float, float],
    title: str,
    lines: Sequence[str] = (),
    *,
    fill: str = "white",
    dashed: bool = False,
) -> None:
    """Draws a box: a bold title, and lines below it, broken where they are too long.

    Args:
        ax: Where.
        corner: The upper left one, (x, y).
        size: Width and height.
        title: Its first line.
        lines: The others.
        fill: Its colour.
        dashed: Whether its edge is: what leaves the flow.
    """
    (x, y), (width, tall) = corner, size
    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            tall,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=fill,
            edgecolor=INK,
            linewidth=0.9,
            linestyle="--" if dashed else "-",
        )
    )
    text = [(line, "bold") for line in _broken(title, width)]
    text += [(part, "normal") for line in lines for part in _broken(line, width)]
    for number, (line, weight) in enumerate(text):
        ax.text(
            x + width / 2,
            y + PADDING + (number + 0.5) * LINE,
            line,
            ha="center",
            va="center",
            fontsize=LETTERS,
            fontweight=weight,
            color=INK,
        )


def height(title: str, lines: Sequence[str], width: float) -> float:
    """What a box of this width needs for its text."""
    count = sum(len(_broken(line, width)) for line in (title, *lines))
    return 2 * PADDING + count * LINE


def arrow(ax: Axes, *points: tuple[float, float]) -> None:
    """Draws a line through the points, with a head at the last."""
    xs, ys = zip(*points[:-1], strict=True)
    ax.plot(xs, ys, color=INK, linewidth=0.9, solid_capstyle="butt")
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=style)


def node(ax: Axes, centre: tuple[float, float], symbol: str) -> None:
    """Draws an operation of two inputs: a symbol in a circle of ``2 * RADIUS`` inches."""
    ax.add_patch(Circle(centre, RADIUS, facecolor="white", edgecolor=INK, linewidth=0.9))
    ax.text(*centre, symbol, ha="center", va="center_baseline", fontsize=10, color=INK)


def label(ax: Axes, place: tuple[float, float], text: str, *, size: float = LETTERS) -> None:
    """Writes to the right of a place."""
    ax.text(*place, text, ha="left", va="center", fontsize=size, color=INK)


def _broken(line: str, width: float) -> list[str]:
    return textwrap.wrap(line, int((width - PADDING) * LETTERS_AN_INCH)) or [""]
