"""Drawing a residual module with its numbers, with squeeze-and-excitation or without."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.report.diagram import RADIUS, arrow, box, canvas, label, node

__all__ = ["Module", "convolution_words", "drawn"]

Shape = tuple[int, ...]
WIDE, NARROW, BOX, STEP = 2.3, 1.4, 0.45, 0.64  # inches
PANEL = 4.55


@dataclass(frozen=True)
class Module:
    """The last block of a residual network, as it was trained.

    Args:
        title: Of the network.
        block: Its name in the network.
        shape_in, shape_out: Channels, height and width for an image of the run.
        convolutions: (kernel size, channels in, channels out, stride, groups), in order.
        shortcut: What the skip connection does.
        hidden: Units between the two layers of the excitation; None without one.
    """

    title: str
    block: str
    shape_in: Shape
    shape_out: Shape
    convolutions: tuple[tuple[int, int, int, int, int], ...]
    shortcut: str
    hidden: int | None

    @property
    def reduction(self) -> float | None:
        """Channels for each hidden unit, the paper's r."""
        return None if self.hidden is None else self.shape_out[0] / self.hidden


def convolution_words(size: int, entering: int, leaving: int, stride: int, groups: int) -> str:
    """A convolution in words: kernel and channels; then stride and groups, where there are any."""
    text = f"{size}x{size} convolution, {entering} → {leaving}"
    text += f"; stride {stride}" if stride > 1 else ""
    return text + (f"; {groups} groups" if groups > 1 else "")


def drawn(modules: list[Module]) -> Figure:
    """The modules beside each other, from input to output."""
    depth = max(len(module.convolutions) for module in modules)
    rows = depth + (7 if any(module.hidden for module in modules) else 3)
    figure, ax = canvas(PANEL * len(modules), 0.2 + rows * STEP)
    for number, module in enumerate(modules):
        _draw(ax, module, number * PANEL, depth, rows)
    return figure


def _draw(ax: Axes, module: Module, x: float, depth: int, rows: int) -> None:
    """One module: the skip connection left, the residual, the excitation right."""
    skip, middle = x + 0.2, x + 0.55 + WIDE / 2
    side, left = x + PANEL - NARROW / 2 - 0.1, x + 0.55
    kind = "3a. Residual module" if module.hidden is None else "3b. SE-residual module"
    label(ax, (x + 0.1, 0.13), f"{kind}: {module.title}", size=10)

    def level(row: float) -> float:
        return 0.4 + row * STEP

    def shape(y: float, dims: Shape, *, note: str = "") -> None:
        label(ax, (middle + 0.07, y), " x ".join(map(str, dims)) + note, size=7.5)

    bottom = rows - 2.0  # the addition
    add = level(bottom) + BOX / 2
    arrow(ax, (middle, level(0) - 0.1), (middle, level(0.5)))
    shape(level(0.25), module.shape_in, note=" (channels, height, width)")
    for row, layer in enumerate(module.convolutions):
        at = level(row + 0.5)
        last = row == len(module.convolutions) - 1
        title, *rest = convolution_words(*layer).split("; ")
        line = ", ".join([*rest, "BatchNorm" if last else "BatchNorm, ReLU"])
        box(ax, (left, at), (WIDE, BOX), title, [line], fill="#f3f4f6")
        end = add - RADIUS if last else at + STEP
        if not (last and module.hidden):
            arrow(ax, (middle, at + BOX), (middle, end))
    after = level(len(module.convolutions) - 0.5) + BOX
    shape(after + 0.22, module.shape_out)
    if module.hidden:
        scale = level(bottom - 1) + BOX / 2
        _excitation(ax, module, (middle, after), side, scale)
        arrow(ax, (middle, after), (middle, scale - RADIUS))
        node(ax, (middle, scale), "\N{MULTIPLICATION SIGN}")
        label(ax, (middle + 0.16, scale + 0.13), "scale: each channel by its gate", size=7.5)
        arrow(ax, (middle, scale + RADIUS), (middle, add - RADIUS))
    node(ax, (middle, add), "+")
    _skip(ax, module, skip, (middle, level(0) + 0.02), add)
    relu = level(bottom + 0.75)
    arrow(ax, (middle, add + RADIUS), (middle, relu))
    box(ax, (middle - 0.4, relu), (0.8, 0.29), "ReLU", fill="#f3f4f6")
    arrow(ax, (middle, relu + 0.29), (middle, relu + 0.52))


def _skip(ax: Axes, module: Module, x: float, start: tuple[float, float], add: float) -> None:
    arrow(ax, start, (x, start[1]), (x, add), (start[0] - RADIUS, add))
    ax.text(
        x - 0.05,
        (start[1] + add) / 2,
        module.shortcut,
        rotation=90,
        ha="right",
        va="center",
        fontsize=7.5,
    )


def _excitation(
    ax: Axes, module: Module, start: tuple[float, float], x: float, scale: float
) -> None:
    """Pooling, two layers and the gates, from the residual down to where they scale it."""
    channels, *spatial = module.shape_out
    layers: tuple[tuple[str, list[str]], ...] = (
        ("Global pooling", [f"{' x '.join(map(str, spatial))} → 1 x 1"]),
        ("FC", [f"{channels} → {module.hidden}"]),
        ("ReLU", []),
        ("FC", [f"{module.hidden} → {channels}"]),
        ("Sigmoid", []),
    )
    tall = [BOX if lines else 0.28 for _, lines in layers]
    top = start[1] + 0.12
    gap = (scale - 0.2 - top - sum(tall)) / len(layers)
    branch = start[1] + 0.1
    y, before = top + gap, (x, branch)
    ax.plot([start[0], x], [branch, branch], color="#1f2937", linewidth=0.9)
    for (title, lines), high in zip(layers, tall, strict=True):
        arrow(ax, before, (x, y))
        box(ax, (x - NARROW / 2, y), (NARROW, high), title, lines, fill="#dbeafe")
        before, y = (x, y + high), y + high + gap
    arrow(ax, before, (x, scale), (start[0] + RADIUS, scale))
