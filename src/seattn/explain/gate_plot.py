"""Curves of the gates by class, as in the SENet paper's section 7.2 (arXiv:1709.01507)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seattn.attention import GateSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_gates"]

# Okabe and Ito's colours, told apart by colour-blind eyes, without black (all images) and yellow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
LINES = ("-", "-.", ":")
OVERALL: dict[str, Any] = {
    "label": "all images",
    "color": "black",
    "linestyle": "--",
    "linewidth": 1,
    "marker": ".",
    "markersize": 3,
}


def plot_gates(
    summary: Mapping[str, GateSummary],
    *,
    blocks: Sequence[str] | None = None,
    channels: int = 50,
    classes: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw the mean gates of the classes, block by block, over channels picked at even distances.

    Each block has axes of its own, all with one scale: a curve for each class, and a dashed one
    for all images. Needs matplotlib, the ``plot`` extra; its global state is left alone, and
    ``figure.savefig(path)`` keeps the picture.

    Args:
        summary: The summaries by module name, from ``GateStatistics``.
        blocks: Names of the blocks to draw, in this order; all by default. The paper draws the
            last block of each stage.
        channels: At most so many channels of each block, the paper's 50 by default.
        classes: Labels of the classes to draw; all by default, which may be 18 at most. The dashed
            curve is of all images in any case.
        class_names: Names of the classes, by label.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        ValueError: There is nothing to draw, a block or class is not in ``summary``, there are too
            many classes, or one has no name.
        ImportError: matplotlib is not installed.

    Examples:
        >>> import torch
        >>> from seattn.attention import GateStatistics
        >>> from seattn.explain import plot_gates
        >>> statistics = GateStatistics()
        >>> gates = {"layer1": torch.rand(8, 64), "layer2": torch.rand(8, 128)}
        >>> statistics.update(gates, [0, 1] * 4)
        >>> figure = plot_gates(statistics.summary(), class_names=["intact", "fractured"])
        >>> len(figure.axes)
        2
    """
    if channels < 1:
        raise ValueError(f"`channels` (={channels}) must be 1 or more")
    drawn = _choose_blocks(summary, blocks)
    labels = _choose_classes(drawn, classes)
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "seattn[plot]"') from error
    styles = {label: _line(number, label, class_names) for number, label in enumerate(labels)}
    columns = min(4, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    legend_columns = min(6, 2 * columns)
    height = 0.7 + 2.2 * rows + 0.2 * math.ceil((len(labels) + 1) / legend_columns)
    figure = Figure(figsize=(1 + 2.8 * columns, height), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for ax in grid.flat[len(drawn) :]:
        ax.remove()
    for ax, (name, block) in zip(grid.flat, drawn.items(), strict=False):
        _draw(ax, block, channels, styles)
        ax.set_title(f"{name}\n{_share(block)}", loc="left", fontsize=8)
    for ax in grid[:, 0]:
        ax.set_ylabel("mean gate", fontsize=8)
    handles = [Line2D([], [], **style) for style in (*styles.values(), OVERALL)]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=legend_columns,
        fontsize=8,
        frameon=False,
    )
    return figure


def _choose_blocks(
    summary: Mapping[str, GateSummary], blocks: Sequence[str] | None
) -> dict[str, GateSummary]:
    for name in blocks or ():
        if name not in summary:
            raise ValueError(f"`blocks` {name!r} not found; choose from {list(summary)}")
    names = summary if blocks is None else blocks
    if not names:
        raise ValueError(
            "there are no blocks to draw; `record_gates` finds those whose class defines `gate`"
        )
    return {name: summary[name] for name in names}


def _choose_classes(
    drawn: Mapping[str, GateSummary], classes: Sequence[int] | None
) -> Sequence[int]:
    seen = sorted({label for block in drawn.values() for label in block.classes})
    for label in classes or ():
        if label not in seen:
            raise ValueError(f"`classes` {label} not found; choose from {seen}")
    labels = seen if classes is None else classes
    if not 1 <= len(labels) <= len(COLOURS) * len(LINES):
        raise ValueError(
            f"`classes` are {len(labels)}; 1 to {len(COLOURS) * len(LINES)} can be told apart in a "
            "plot, choose some"
        )
    return labels


def _line(number: int, label: int, class_names: Sequence[str] | None) -> dict[str, Any]:
    if class_names is not None and label >= len(class_names):
        raise ValueError(
            f"`class_names` {list(class_names)} has no name for class {label}; give one per label, "
            "from label 0 on"
        )
    turn, colour = divmod(number, len(COLOURS))
    return {
        "label": f"class {label}" if class_names is None else class_names[label],
        "color": COLOURS[colour],
        "linestyle": LINES[turn],
        "linewidth": 1.2,
        "marker": ".",
        "markersize": 3,
    }


def _draw(
    ax: Axes, block: GateSummary, channels: int, styles: Mapping[int, dict[str, Any]]
) -> None:
    count = len(block.overall_mean)
    shown = min(channels, count)
    picked = [position * count // shown for position in range(shown)]
    # Below the classes: nearly equal curves would otherwise hide under it.
    ax.plot(picked, block.overall_mean[picked].tolist(), **OVERALL)
    for label, style in styles.items():
        if label in block.classes:  # a block need not run for every image
            row = block.mean[block.classes.index(label)]
            ax.plot(picked, row[picked].tolist(), **style)
    ax.set_xlabel("channel", fontsize=8)
    ax.locator_params(axis="x", integer=True)
    if count == 1:  # a gate over space; no integers lie around its point
        ax.set_xticks([0])
    ax.tick_params(labelsize=8)


def _share(block: GateSummary) -> str:
    return block.reason or f"η² {block.eta_squared:.2f}, chance {block.chance:.2f}"
