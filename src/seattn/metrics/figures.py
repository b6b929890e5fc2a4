"""What all plots of metrics share: one width, one size of letters, colours, and words for numbers.

matplotlib is imported when a figure is made, and pyplot, with its global state, never.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy.typing as npt

from seattn.metrics.curve_band import CurveBand
from seattn.metrics.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "GREY",
    "LETTERS",
    "WIDTH",
    "band_note",
    "by_name",
    "cases_title",
    "finish_curves",
    "interval_words",
    "label_axes",
    "legend_below",
    "methods_words",
    "new_figure",
]

# Okabe and Ito's colours, told apart by colour-blind eyes, without black and yellow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
GREY = "0.45"
WIDTH = 3.15  # inches, 8 cm: a column of a journal
LETTERS = 8  # points
_LINE = 44  # letters of a legend across such a figure


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "seattn[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def by_name(y_score: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Mapping[str, npt.ArrayLike]:
    """The scores of every model by its name, which is "" for one without."""
    if not isinstance(y_score, Mapping):
        return {"": y_score}
    if not 1 <= len(y_score) <= len(COLOURS):
        raise ValueError(
            f"`y_score` has {len(y_score)} models; 1 to {len(COLOURS)} can be told apart in a plot."
        )
    return y_score


def label_axes(ax: "Axes", x: str, y: str) -> None:
    """Name the axes in small letters."""
    ax.set_xlabel(x, fontsize=LETTERS)
    ax.set_ylabel(y, fontsize=LETTERS)
    ax.tick_params(labelsize=LETTERS)


def cases_title(ax: "Axes", n: int, n_patients: int | None) -> None:
    """Say above the axes what the plot rests on."""
    of = "taken for independent" if n_patients is None else f"of {n_patients} patients"
    ax.set_title(f"{n} cases {of}", loc="left", fontsize=LETTERS)


def legend_below(figure: "Figure", entries: "Sequence[Artist]") -> None:
    """The labels of what is drawn, below the plot where they hide nothing, which makes it higher.

    Long lines are broken.
    """
    labels = [
        "\n".join(textwrap.fill(line, _LINE) for line in str(entry.get_label()).split("\n"))
        for entry in entries
    ]
    lines = sum(1 + label.count("\n") for label in labels)
    points = (1.25 * lines + 0.5 * len(labels)) * (LETTERS - 1)
    figure.set_figheight(figure.get_figheight() + 0.2 + points / 72)
    figure.legend(entries, labels, loc="outside lower left", fontsize=LETTERS - 1, frameon=False)


def finish_curves(
    figure: "Figure",
    entries: "Sequence[Artist]",
    bands: Sequence[CurveBand],
    estimates: Sequence[Estimate],
) -> "Figure":
    """The title and the legend of curves, which ends in what the bands and the brackets are."""
    (ax,) = figure.axes
    cases_title(ax, bands[0].n, bands[0].n_patients)
    level, methods = bands[0].level, [band.method for band in bands if band.method]
    notes = [f"{100 * level:g}% band: {methods[0]}"] if methods else []
    notes += [methods_words(estimates, level)] if estimates else []
    if notes:
        alpha = 0.3 if methods else 0
        patch = ax.fill_between([], [], color=GREY, alpha=alpha, linewidth=0)
        patch.set_label("\n".join(notes))
        entries = [*entries, patch]
    legend_below(figure, entries)
    return figure


def band_note(band: CurveBand) -> str:
    """A line on a band that is missing, or on resamples that it leaves out."""
    if band.reason is not None:
        return f"\nno band: {band.reason}"
    return f"\nband without {band.undefined} undefined resamples" if band.undefined else ""


def interval_words(estimate: Estimate) -> str:
    """The value and its interval, or why one is missing."""
    if math.isnan(estimate.value):
        return f"undefined: {estimate.reason}"
    if math.isnan(estimate.low):
        reason = (estimate.reason or "not estimated").removeprefix("no interval: ")
        return f"{estimate.value:.3f}, no interval: {reason}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def methods_words(estimates: Iterable[Estimate], level: float) -> str:
    """What brackets hold, with the method of every interval that there is."""
    methods = dict.fromkeys(e.method for e in estimates if e.method)
    return f"{100 * level:g}% intervals: {'; '.join(methods) or 'none'}"
