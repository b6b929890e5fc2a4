"""What is drawn on a figure, read back from its artists."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE = "#0072b2", "#d55e00"


def xy(line) -> tuple[list[float], list[float]]:
    return list(line.get_xdata()), list(line.get_ydata())


def curve(ax: Axes, colour: str):
    """The first line of a colour that is more than a stroke or a point."""
    return next(
        line for line in ax.get_lines() if line.get_color() == colour and len(line.get_xdata()) > 2
    )


def strokes(ax: Axes, colour: str) -> list[tuple[list[float], list[float]]]:
    """Lines of a colour from one point to another."""
    return [
        xy(line)
        for line in ax.get_lines()
        if line.get_color() == colour and len(line.get_xdata()) == 2
    ]


def corners(band) -> set[tuple[float, float]]:
    return {tuple(point) for path in band.get_paths() for point in path.vertices.tolist()}


def legend(figure: Figure) -> list[str]:
    """Its entries, broken lines joined."""
    return [" ".join(text.get_text().split()) for text in figure.legends[0].get_texts()]


def fits(figure: Figure) -> bool:
    """Whether, once laid out, everything lies on the page and the legend hides no axes."""
    figure.savefig(io.BytesIO(), format="png")
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    others = [legend.get_window_extent() for legend in figure.legends]
    if figure._supxlabel is not None:
        others.append(figure._supxlabel.get_window_extent())
    page = figure.bbox
    inside = all(
        box.x0 >= page.x0 - 1
        and box.y0 >= page.y0 - 1
        and box.x1 <= page.x1 + 1
        and box.y1 <= page.y1 + 1
        for box in boxes + others
    )
    apart = not any(other.overlaps(box) for other in others for box in boxes)
    large = all(min(np.array(ax.get_window_extent().size) / figure.dpi) > 0.2 for ax in figure.axes)
    return inside and apart and large
