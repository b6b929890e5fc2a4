"""The reliability diagram: whether predicted probabilities come true, with intervals."""

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from seattn.metrics.calibration_error import Reliability, ece, reliability
from seattn.metrics.calibration_line import Recalibration, recalibration
from seattn.metrics.clusters import count
from seattn.metrics.estimate import Estimate
from seattn.metrics.figures import (
    COLOURS,
    GREY,
    WIDTH,
    cases_title,
    label_axes,
    legend_below,
    methods_words,
    new_figure,
)
from seattn.metrics.inputs import Flags, Labels, Scores, as_patients, binary_scores, check_level
from seattn.metrics.proportion import share_estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_reliability"]


def plot_reliability(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    bins: int = 10,
    binning: Literal["width", "mass"] = "width",
    level: float = 0.95,
) -> "Figure":
    """Draw what came true against what was predicted, bin by bin, above a histogram of the scores.

    The points are those of ``reliability`` with the intervals of ``share_interval``; the line is
    that of ``recalibration``, which needs no bins. The legend has ``ece``, and slope and intercept
    of the line; they are estimates without intervals. Needs matplotlib, the ``plot`` extra; its
    global state is left alone, and ``figure.savefig(path)`` keeps the picture.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of the positive class.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        bins: Number of bins.
        binning: As in ``reliability``.
        level: Confidence level of the intervals.

    Shape:
        All (N,).

    Returns:
        A ``matplotlib.figure.Figure``, 8 cm wide. Where there is no line the legend says why.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If scores are no probabilities, an argument is empty, not finite, of another
            length or outside its range, or a patient is missing.
        ImportError: matplotlib is not installed.

    Examples:
        >>> from seattn.metrics import plot_reliability
        >>> figure = plot_reliability(
        ...     y_true=[1, 1, 0, 0, 1, 0], y_score=[0.9, 0.4, 0.2, 0.6, 0.8, 0.1], bins=2
        ... )
        >>> [ax.get_ylabel() for ax in figure.axes]
        ['observed share', 'cases']
    """
    check_level(level)
    positive, scores = binary_scores(y_true, y_score)
    codes = None if patients is None else as_patients(patients, len(scores))
    table = reliability(y_true=positive, y_score=scores, bins=bins, binning=binning)
    shares = _shares(table, positive, scores, codes, level)
    error = ece(y_true=positive, y_score=scores, bins=bins, binning=binning)
    fit = recalibration(y_true=positive, y_score=scores)

    figure = new_figure(WIDTH, 1.25 * WIDTH)
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    places = np.linspace(0.005, 0.995, 199)
    line = ax.plot(
        places,
        _recalibrated(places, fit),
        color=COLOURS[1],
        linewidth=1.2,
        linestyle="" if math.isnan(fit.slope) else "-",
        label=_words(fit),
    )
    for x, share in zip(table.mean_score, shares, strict=True):
        ax.plot([x, x], [share.low, share.high], color=COLOURS[0], linewidth=0.9)
    kind = "equal width" if binning == "width" else "equally many cases"
    label = f"{len(shares)} bins of {kind}: ECE {error:.3f}\n{methods_words(shares, level)}"
    entries = [
        *ax.plot(
            table.mean_score,
            table.observed,
            color=COLOURS[0],
            marker="o",
            markersize=4,
            linestyle="",
            label=label,
        ),
        *line,
    ]
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    label_axes(ax, "", "observed share")
    cases_title(ax, len(scores), None if codes is None else count(codes))

    edges, base = np.arange(21) / 20, np.zeros(20)
    for name, among, colour in (("negative", ~positive, "0.7"), ("positive", positive, COLOURS[0])):
        cases = np.histogram(scores[among], edges)[0]
        entries.append(
            below.bar(edges[:-1], cases, 0.05, base, align="edge", color=colour, label=name)
        )
        base = base + cases
    below.locator_params(axis="y", nbins=3, integer=True)
    label_axes(below, "predicted probability", "cases")
    legend_below(figure, entries)
    return figure


def _shares(
    table: Reliability, positive: Flags, scores: Scores, codes: Labels | None, level: float
) -> list[Estimate]:
    """The share of the positives in each bin; nan in an empty one."""
    of_case = np.searchsorted(table.edges[1:-1], scores, side="right")
    return [
        share_estimate(
            positive[of_case == b],
            None if codes is None else codes[of_case == b],
            level=level,
            undefined="no cases",
        )
        for b in range(len(table.counts))
    ]


def _recalibrated(scores: Scores, fit: Recalibration) -> Scores:
    """The probabilities that the fitted line gives in place of these; nan without a line."""
    logits = np.log(scores / (1 - scores))
    return 1 / (1 + np.exp(-(fit.intercept + fit.slope * logits)))


def _words(fit: Recalibration) -> str:
    if math.isnan(fit.slope):
        return f"no recalibration line: {fit.reason}"
    return f"recalibration: slope {fit.slope:.2f}, intercept {fit.intercept:.2f}"
