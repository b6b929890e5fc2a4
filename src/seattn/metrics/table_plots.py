"""The confusion table, and the forest plot of models and subgroups, with intervals."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seattn.metrics.clusters import count
from seattn.metrics.counts import confusion_matrix
from seattn.metrics.estimate import Estimate
from seattn.metrics.figures import (
    COLOURS,
    GREY,
    LETTERS,
    WIDTH,
    cases_title,
    label_axes,
    methods_words,
    new_figure,
)
from seattn.metrics.inputs import as_patients, check_level, label_pair
from seattn.metrics.proportion import share_estimate
from seattn.metrics.subgroups import SubgroupReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_confusion", "plot_forest"]


def plot_confusion(
    *,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    level: float = 0.95,
) -> "Figure":
    """Draw the table of ``confusion_matrix``: counts, and shares of each true class.

    The diagonal holds the sensitivity of every class. Intervals are those of ``share_interval``.
    Needs matplotlib, the ``plot`` extra; its global state is left alone, and
    ``figure.savefig(path)`` keeps the picture.

    Args:
        y_true: Labels 0 .. K - 1.
        y_pred: Predicted labels 0 .. K - 1; from scores by ``y_score >= threshold``.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        class_names: K names; ``None`` takes "0", "1", ... up to the largest label.
        level: Confidence level of the intervals.

    Shape:
        Labels and patients (N,).

    Returns:
        A ``matplotlib.figure.Figure``; a class without cases has counts only.

    Raises:
        TypeError: If labels are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, not a label, of another length or outside
            its range, or a patient is missing.
        ImportError: matplotlib is not installed.

    Examples:
        >>> from seattn.metrics import plot_confusion
        >>> figure = plot_confusion(
        ...     y_true=[1, 1, 0, 0, 0], y_pred=[1, 0, 0, 0, 1], class_names=["intact", "fractured"]
        ... )
        >>> figure.axes[0].texts[0].get_text().split()
        ['2', '67%', '[21,', '94]']
    """
    check_level(level)
    named = None if class_names is None else len(class_names)
    true, predicted, classes = label_pair(y_true, y_pred, num_classes=named)
    codes = None if patients is None else as_patients(patients, len(true))
    names = [str(k) for k in range(classes)] if class_names is None else list(class_names)
    table = confusion_matrix(y_true=true, y_pred=predicted, num_classes=classes)
    shares = {
        (k, j): share_estimate(
            predicted[true == k] == j,
            None if codes is None else codes[true == k],
            level=level,
            undefined="no cases",
        )
        for k in range(classes)
        for j in range(classes)
    }

    figure = new_figure(1.5 + 0.8 * classes, 1.3 + 0.6 * classes)
    from matplotlib.colors import LinearSegmentedColormap

    ax = figure.subplots()
    # Up to a blue on which black can be read.
    blues = LinearSegmentedColormap.from_list("shares", ["white", COLOURS[4]])
    values = np.reshape([share.value for share in shares.values()], table.shape)
    ax.imshow(np.nan_to_num(values), cmap=blues, vmin=0, vmax=1, aspect="auto")
    for (k, j), share in shares.items():
        ax.text(j, k, _cell(int(table[k, j]), share), ha="center", va="center", fontsize=LETTERS)
    label_axes(ax, "predicted", "true")
    broken = [textwrap.fill(name, 10) for name in names]
    ax.set_xticks(range(classes), broken)
    ax.set_yticks(range(classes), broken)
    ax.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="0.8", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    cases_title(ax, len(true), None if codes is None else count(codes))
    words = methods_words(shares.values(), level)
    figure.supxlabel(f"shares of each row\n{words}", fontsize=LETTERS - 1)
    return figure


def plot_forest(
    estimates: Mapping[str, Estimate] | SubgroupReport,
    *,
    metric: str,
    reference: float | None = None,
) -> "Figure":
    """Draw estimates below each other with their intervals, cases and patients printed beside.

    Needs matplotlib, the ``plot`` extra; its global state is left alone, and
    ``figure.savefig(path)`` keeps the picture.

    Args:
        estimates: By the name of the model or of the subgroup, from the top. Of a
            ``SubgroupReport`` all cases come first, and a line marks their value.
        metric: Which estimate of a ``SubgroupReport`` to draw, such as ``"roc_auc"``; of a mapping
            what its estimates are, to be written below them.
        reference: A value to mark by a line, such as that of a published model.

    Returns:
        A ``matplotlib.figure.Figure``, which names the methods of the intervals and says below why
        any is missing.

    Raises:
        ValueError: There is nothing to draw, or the intervals are of several levels.
        KeyError: The reports have no such metric.
        ImportError: matplotlib is not installed.

    Examples:
        >>> from seattn.metrics import plot_forest, share_interval
        >>> figure = plot_forest(
        ...     {"A": share_interval([1, 1, 0, 1]), "B": share_interval([1, 0, 0, 1])},
        ...     metric="sensitivity",
        ... )
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['A', 'B']
    """
    rows = dict(estimates) if isinstance(estimates, Mapping) else _of_subgroups(estimates, metric)
    levels = {estimate.level for estimate in rows.values()}
    if len(levels) != 1:
        raise ValueError(
            f"`estimates` are {len(rows)} with intervals of levels {sorted(levels)}; give one or "
            "more, of one level."
        )
    if reference is None and isinstance(estimates, SubgroupReport):
        reference = estimates.overall[metric].value

    notes = [methods_words(rows.values(), levels.pop())]
    notes += [f"{name}: {estimate.reason}" for name, estimate in rows.items() if estimate.reason]
    figure = new_figure(2 * WIDTH, 0.8 + 0.22 * len(rows) + 0.15 * len(notes))
    ax = figure.subplots()
    for place, estimate in enumerate(rows.values()):
        ax.plot([estimate.low, estimate.high], [place, place], color=COLOURS[0], linewidth=1.4)
        ax.plot([estimate.value], [place], color=COLOURS[0], marker="s", markersize=4)
    if reference is not None:
        ends = [-0.5, len(rows) - 0.5]
        ax.plot([reference, reference], ends, color=GREY, linestyle=":", linewidth=1)
    ax.set_ylim(len(rows) - 0.5, -1.5)  # a row for the heads of the columns
    ax.set_yticks(range(len(rows)), list(rows))
    label_axes(ax, metric, "")
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "top", "right"]].set_visible(False)
    _columns(figure, rows)
    figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=LETTERS - 1)
    return figure


def _of_subgroups(report: SubgroupReport, metric: str) -> dict[str, Estimate]:
    reports = {"(all)": report.overall, **report.subgroups}
    return {name: of[metric] for name, of in reports.items()}


def _columns(figure: "Figure", rows: Mapping[str, Estimate]) -> None:
    """The numbers to the right of the axes, each column flush right under its head."""
    (ax,) = figure.axes
    heads = ("value", "interval", "cases", "patients")
    columns = zip(*map(_numbers, rows.values()), strict=True)
    for offset, head, cells in zip((36, 104, 138, 184), heads, columns, strict=True):
        for place, text in [(-1, head), *enumerate(cells)]:
            ax.annotate(
                text,
                (1, place),
                (offset, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=LETTERS,
            )


def _numbers(e: Estimate) -> tuple[str, str, str, str]:
    value = "-" if math.isnan(e.value) else f"{e.value:.3f}"
    interval = "-" if math.isnan(e.low) else f"[{e.low:.3f}, {e.high:.3f}]"
    return value, interval, str(e.n), "-" if e.n_patients is None else str(e.n_patients)


def _cell(n: int, share: Estimate) -> str:
    lines = [str(n)]
    if not math.isnan(share.value):
        lines.append(f"{100 * share.value:.0f}%")
    if not math.isnan(share.low):
        lines.append(f"[{100 * share.low:.0f}, {100 * share.high:.0f}]")
    return "\n".join(lines)
