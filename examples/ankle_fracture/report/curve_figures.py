"""The curves of the report as figures; every number in them is in the facts that they get."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.report.drawing import COLOURS

__all__ = ["calibration", "rates", "roc_of_classes"]

LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
MARKS = ("o", "s", "D", "^")
GREY = "0.45"
COLUMNS = 4

Facts = Mapping[str, Any]


def rates(models: Mapping[str, Facts]) -> Figure:
    """ROC, precision-recall and decision curves side by side."""
    figure, (roc, pr, benefit), legends = _panels(3, 3.6, 4 * len(models))
    first = next(iter(models.values()))
    for model, style in _styled(models):
        _roc(roc, model, style)
        _recall(pr, model, style)
        _benefit(benefit, model, style)
    pr.axhline(first["prevalence"], color=GREY, ls=":", lw=1)
    pr.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", aspect="equal")
    for ax in (roc, pr):
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    _finish_roc(roc)
    curve = first["net_benefit"]
    benefit.plot(curve.thresholds, curve.treat_all, color="black", lw=0.8, label="treat all")
    benefit.axhline(0, color=GREY, ls=":", lw=1, label="treat none")
    top = max(0.01, first["prevalence"], *(m["net_benefit"].model.max() for m in models.values()))
    benefit.set(xlim=(0, 1), ylim=(-0.4 * top, 1.1 * top))
    benefit.set(xlabel="threshold probability", ylabel="net benefit", box_aspect=1)
    for ax, below in zip((roc, pr, benefit), legends, strict=True):
        _legend(ax, below)
    return figure


def roc_of_classes(classes: Mapping[str, Mapping[str, Facts]]) -> Figure:
    """A panel for each class against the rest."""
    lines = 3 * len(next(iter(classes.values())))
    figure, axes, legends = _panels(len(classes), 2.9, lines)
    for ax, below, (name, models) in zip(axes, legends, classes.items(), strict=True):
        for model, style in _styled(models):
            _roc(ax, model, style)
        _finish_roc(ax)
        _legend(ax, below)
        ax.set_title(f"{name} against the rest".replace("$", r"\$"), fontsize=9)
    return figure


def calibration(models: Mapping[str, Facts]) -> Figure:
    """A panel for each model: what came true against what was predicted, above a histogram."""
    rows, columns = math.ceil(len(models) / COLUMNS), min(COLUMNS, len(models))
    figure = Figure(figsize=(2.9 * columns, 4 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[3, 1] * rows)
    for number, (model, style) in enumerate(_styled(models)):
        row, column = divmod(number, COLUMNS)
        _reliability(axes[2 * row, column], axes[2 * row + 1, column], model, style)
    for ax in (ax for ax in axes.flat if not ax.has_data()):
        ax.axis("off")
    return figure


def _panels(number: int, width: float, lines: int) -> tuple[Figure, list[Axes], list[Axes]]:
    """Square panels, up to four in a row, with room for so many lines of a legend below each."""
    rows, columns = math.ceil(number / COLUMNS), min(COLUMNS, number)
    heights = [width, 0.4 + 0.13 * lines]
    figure = Figure(figsize=(width * columns, rows * sum(heights)), layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=heights * rows)
    above, below = (list(axes[start::2].flat) for start in (0, 1))
    for ax in (*below, *above[number:]):
        ax.axis("off")
    return figure, above[:number], below[:number]


def _styled(models: Mapping[str, Facts]) -> list[tuple[Facts, dict[str, Any]]]:
    """Colours and lines of the networks; the baseline is thin and grey."""
    styles = [
        {"color": COLOURS[i % len(COLOURS)], "ls": LINES[i % len(LINES)], "lw": 1.5}
        for i in range(len(models))
    ]
    grey = {"color": "0.4", "ls": (0, (1, 1)), "lw": 1.2}
    named = zip(models.items(), styles, strict=True)
    return [(model, grey if name == "baseline" else style) for (name, model), style in named]


def _roc(ax: Axes, model: Facts, style: dict[str, Any]) -> None:
    curve = model["roc"]
    label = f"{model['title']}\nAUC {model['roc_auc']:.3f}" + _brackets(model["roc_auc_interval"])
    if model["roc_band"] is not None and model["roc_band"].reason:
        label += f"\nno band: {model['roc_band'].reason}"
    ax.plot(curve.fpr, curve.tpr, label=label, **style)
    _band(ax, model["roc_band"], style)
    for mark, (rule, at) in _marks(model):
        found, spared = at["sensitivity"], at["specificity"]
        x, y, line = 1 - spared.value, found.value, {"color": style["color"], "lw": 0.8}
        ax.plot([x, x], [found.low, found.high], **line)
        ax.plot([1 - spared.low, 1 - spared.high], [y, y], **line)
        _mark(
            ax,
            x,
            y,
            mark,
            style,
            f"{rule}: score \N{GREATER-THAN OR EQUAL TO} {at['threshold']:.2f}",
        )


def _finish_roc(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1)
    ax.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="sensitivity", aspect="equal")


def _recall(ax: Axes, model: Facts, style: dict[str, Any]) -> None:
    curve = model["precision_recall"]
    label = f"{model['title']}\naverage precision {model['average_precision']:.3f}"
    ax.step(curve["recall"], curve["precision"], where="post", label=label, **style)
    _band(ax, model["precision_recall_band"], style, step="pre")
    for mark, (_, at) in _marks(model):
        _mark(ax, at["sensitivity"].value, at["ppv"].value, mark, style)


def _benefit(ax: Axes, model: Facts, style: dict[str, Any]) -> None:
    curve = model["net_benefit"]
    ax.plot(curve.thresholds, curve.model, label=model["title"], **style)
    _band(ax, model["net_benefit_band"], style)
    for mark, (_, at) in _marks(model):
        _mark(ax, at["threshold"], at["net_benefit"].value, mark, style)


def _marks(model: Facts) -> list[tuple[str, tuple[str, Any]]]:
    """The operating points with a mark for each rule; the baseline has none that was chosen."""
    return list(zip(MARKS, model.get("operating_points", {}).items(), strict=False))


def _mark(
    ax: Axes, x: float, y: float, mark: str, style: dict[str, Any], label: str | None = None
) -> None:
    ax.plot([x], [y], mark, color=style["color"], ms=5, mfc="white", label=label)


def _band(ax: Axes, band: Any, style: dict[str, Any], **how: Any) -> None:
    if band is not None:
        ax.fill_between(band.at, band.low, band.high, color=style["color"], alpha=0.12, lw=0, **how)


def _brackets(interval: tuple[float, float] | None) -> str:
    if interval is None or math.isnan(interval[0]):
        return ""
    return f" [{interval[0]:.3f}, {interval[1]:.3f}]"


def _legend(ax: Axes, below: Axes) -> None:
    below.legend(
        *ax.get_legend_handles_labels(),
        fontsize=7.5,
        loc="upper left",
        frameon=False,
        borderaxespad=0,
    )


def _reliability(ax: Axes, below: Axes, model: Facts, style: dict[str, Any]) -> None:
    of, line = model["calibration"], {"color": style["color"]}
    ax.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1)
    if "prevalence" in model:
        ax.axhline(model["prevalence"], color=GREY, ls=":", lw=1)
    for x, ends in zip(of["mean_score"], of["intervals"] or (), strict=False):
        ax.plot([x, x], ends, lw=0.9, **line)
    ax.plot(of["mean_score"], of["observed"], "o", ms=4, **line)
    words, fit = f"{model['title']}\nECE {of['ece']:.3f}", of["recalibration"]
    if fit is not None and not math.isnan(fit.slope):
        places = np.linspace(0.005, 0.995, 199)
        logits = fit.intercept + fit.slope * np.log(places / (1 - places))
        ax.plot(places, (1 + np.tanh(logits / 2)) / 2, lw=1, **line)
        words += f", slope {fit.slope:.2f}, intercept {fit.intercept:.2f}"
    ax.set_title(words, fontsize=8)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed share")
    bars: dict[str, Any] = {"width": 0.05, "align": "edge"}
    yes, no = ("positive", "negative") if of["kind"] == "positive" else ("right", "wrong")
    below.bar(of["edges"][:-1], of["did_not"], color="0.75", label=no, **bars)
    below.bar(of["edges"][:-1], of["came_true"], bottom=of["did_not"], label=yes, **bars, **line)
    of_what = "" if of["kind"] == "positive" else " of the prediction"
    below.set(xlim=(-0.02, 1.02), xlabel=f"probability{of_what}", ylabel="cases")
    below.legend(fontsize=7, frameon=False)
