"""Plots of the sanity checks: how alike the maps are, beside maps of different images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from seattn.explain.label_permutation import LabelPermutationTest
from seattn.explain.map_pairs import MapSimilarity
from seattn.explain.randomisation import RandomisationTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_label_permutation", "plot_randomisation"]

# Of Okabe and Ito's colours, told apart by colour-blind eyes.
BLUE = "#0072b2"
MEASURES = {"rank_correlation": "rank correlation", "ssim": "SSIM"}


def plot_randomisation(test: RandomisationTest) -> Figure:
    """Draw how alike the maps stay with each step, over the band of maps of different images.

    A point is one draw, its mean over the images; a bar is the mean of the draws. The band
    holds 90 % of the pairs of maps of different images, and the dashed line is their mean. Needs
    matplotlib, the ``plot`` extra; its global state is left alone, and ``figure.savefig(path)``
    keeps the picture.

    Args:
        test: What ``randomisation_test`` returned.

    Returns:
        A ``matplotlib.figure.Figure`` with axes for the rank correlation and for SSIM.

    Raises:
        ImportError: matplotlib is not installed.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import plot_randomisation, randomisation_test
        >>> model = nn.Conv2d(1, 1, 3)
        >>> gradient = lambda model, x: model(x).squeeze(1)
        >>> test = randomisation_test(model, gradient, torch.rand(8, 1, 16, 16), seed=0)
        >>> len(plot_randomisation(test).axes)
        2
    """
    rows = {**test.steps, "all": test.whole}
    figure, grid = _figure(max(4.0, 1.5 + 0.3 * len(rows)), test.verdict)
    for ax, (measure, title) in zip(grid, MEASURES.items(), strict=True):
        _band(ax, getattr(test.unrelated, measure))
        _draw_rows(ax, rows, measure, line="-" if test.order == "cascade" else "none")
        ax.set_ylabel(title, fontsize=8)
        ax.set_xlabel(
            "randomised from the head to" if test.order == "cascade" else "randomised alone",
            fontsize=8,
        )
    return figure


def plot_label_permutation(test: LabelPermutationTest) -> Figure:
    """Draw how alike maps are after training on true and on permuted labels.

    A grey point is an image, a blue one a repeat, its mean over the images; band and dashed line
    are those of ``plot_randomisation``. Needs matplotlib, the ``plot`` extra; its global state is
    left alone.

    Args:
        test: What ``label_permutation_test`` returned.

    Returns:
        A ``matplotlib.figure.Figure`` with axes for the rank correlation and for SSIM.

    Raises:
        ImportError: matplotlib is not installed.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import label_permutation_test, plot_label_permutation
        >>> train = lambda labels, seed: nn.Conv2d(1, 1, 3)
        >>> maps = lambda model, x: model(x).squeeze(1)
        >>> x = torch.rand(8, 1, 16, 16)
        >>> test = label_permutation_test(train, maps, x, [0, 1] * 20, seed=0)
        >>> len(plot_label_permutation(test).axes)
        2
    """
    rows = {"true labels,\nother seed": test.true_labels, "permuted labels": test.permuted_labels}
    figure, grid = _figure(3.0, test.verdict)
    for ax, (measure, title) in zip(grid, MEASURES.items(), strict=True):
        _band(ax, getattr(test.unrelated, measure))
        for position, row in enumerate(rows.values()):
            values = getattr(row, measure).flatten().tolist()
            ax.plot([position] * len(values), values, ".", color="0.6", markersize=3)
        _draw_rows(ax, rows, measure, line="none")
        ax.set_ylabel(title, fontsize=8)
        ax.set_xlim(-0.6, len(rows) - 0.4)
    return figure


def _figure(width: float, title: str) -> tuple[Figure, list[Axes]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "seattn[plot]"') from error
    figure = Figure(figsize=(2 * width, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=8, wrap=True)
    return figure, list(figure.subplots(1, 2))


def _band(ax: Axes, values: Tensor) -> None:
    low, high = values.nanquantile(0.05).item(), values.nanquantile(0.95).item()
    ax.axhspan(low, high, color="0.9", label="90 % of maps of different images")
    ax.axhline(values.nanmean().item(), color="black", linestyle="--", linewidth=1)
    ax.set_ylim(-1.05, 1.05)
    ax.legend(loc="lower right", fontsize=7, frameon=False)
    ax.tick_params(labelsize=8)


def _draw_rows(ax: Axes, rows: dict[str, MapSimilarity], measure: str, *, line: str) -> None:
    by_draw = [getattr(row, measure).nanmean(1) for row in rows.values()]
    positions = range(len(rows))
    for position, values in zip(positions, by_draw, strict=True):
        ax.plot([position] * len(values), values.tolist(), ".", color=BLUE, markersize=4)
    means = [values.nanmean().item() for values in by_draw]
    ax.plot(positions, means, color=BLUE, linestyle=line, marker="_", linewidth=1.2)
    turned = len(max(rows, key=len)) > 3 and len(rows) > 2
    ax.set_xticks(list(positions), list(rows), rotation=90 if turned else 0)
