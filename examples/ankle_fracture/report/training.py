"""Part of the report: the paper's figure 4a, accuracy by epoch, and what training came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import COLOURS, png
from examples.ankle_fracture.report.part import Part
from examples.ankle_fracture.training import Epoch

__all__ = ["Runs", "drops", "gap", "part"]

# Circles, diamonds and triangles are those of the paper's figure; others follow.
MARKERS = {"se_resnet": "o", "efficientnet": "D", "resnet": "^"}
OTHERS = "svPX*h"
MARKS = 20  # markers on a line, at most


@dataclasses.dataclass(frozen=True)
class Runs:
    """The training of one network, seed by seed.

    Args:
        title: As it stands in the report.
        marker: On its lines.
        seeds: The seeds.
        curves: Of each seed, one row an epoch.
        kept: Of each seed, the epoch whose weights were kept.
    """

    title: str
    marker: str
    seeds: tuple[int, ...]
    curves: tuple[tuple[Epoch, ...], ...]
    kept: tuple[int, ...]

    def mean(self, value: Callable[[Epoch], float]) -> list[float]:
        """By epoch, over the seeds."""
        table = [[value(row) for row in curve] for curve in self.curves]
        return [float(mean) for mean in np.mean(table, axis=0)]

    def facts(self) -> dict[str, Any]:
        """Every row, with what the figure marks."""
        return {
            "title": self.title,
            "marker": self.marker,
            "seeds": [
                {
                    "seed": seed,
                    "kept_epoch": kept,
                    "gap_at_kept": gap(curve[kept - 1]),
                    "gap_at_last": gap(curve[-1]),
                    "learning_rate_drops": drops(curve),
                    "epochs": curve,
                }
                for seed, curve, kept in zip(self.seeds, self.curves, self.kept, strict=True)
            ],
        }


def gap(row: Epoch) -> float:
    """Training less validation accuracy."""
    return row.train_accuracy - row.val_accuracy


def drops(curve: tuple[Epoch, ...]) -> list[int]:
    """The epochs that began with a smaller step size than the one before."""
    return [b.epoch for a, b in pairwise(curve) if b.learning_rate < a.learning_rate]


def part(findings: Findings) -> Part:
    """Accuracy, loss and the gap between the parts by epoch, beside the largest class alone."""
    runs = _runs(findings)
    majority = {name: _majority(findings.first.items[name]) for name in ("train", "val")}
    body = [
        html.figure(png(_drawn(list(runs.values()), majority), dpi=150), _caption(findings)),
        _table(list(runs.values()), majority),
    ]
    facts = {"majority": majority, "networks": {name: run.facts() for name, run in runs.items()}}
    return Part("Training", body, {"training": facts})


def _runs(findings: Findings) -> dict[str, Runs]:
    replicates = findings.replicates
    names = list(findings.first.results)
    found = {}
    for name, marker in _markers(names).items():
        results = [replicate.results[name] for replicate in replicates]
        found[name] = Runs(
            results[0].title,
            marker,
            tuple(replicate.seed for replicate in replicates),
            tuple(tuple(result.curves) for result in results),
            tuple(result.best.epoch for result in results),
        )
    return found


def _markers(names: list[str]) -> dict[str, str]:
    """The marker of each network; of a family only the first gets that of the paper."""
    found: dict[str, str] = {}
    for name in names:
        family = next((m for start, m in MARKERS.items() if name.startswith(start)), "")
        free = [marker for marker in (family, *OTHERS) if marker and marker not in found.values()]
        found[name] = free[0] if free else "."
    return found


def _majority(items: Items) -> float:
    """Accuracy of always naming the largest class."""
    counts = np.bincount(items.labels)
    return float(counts.max() / counts.sum())


def _caption(findings: Findings) -> str:
    several = findings.config.seeds > 1
    text = (
        "Figure 4a. Accuracy by epoch, of the training items while they are learnt from (above "
        "left, which is what the paper shows) and of the validation (tuning) items after each "
        "epoch (above right). Below the loss, training dashed, and the gap: training less "
        "validation accuracy. Rings: the epoch whose weights are kept. Triangles on the lower "
        "edge of the loss: the learning rate was divided by 10 before that epoch."
    )
    if several:
        text += f" Thick lines: means of {findings.config.seeds} seeds; thin ones: each seed."
    return text


def _table(runs: list[Runs], majority: Mapping[str, float]) -> str:
    rows = []
    for run in runs:
        for seed, curve, kept in zip(run.seeds, run.curves, run.kept, strict=True):
            row = curve[kept - 1]
            rows.append(
                (
                    run.title,
                    str(seed),
                    str(kept),
                    html.number(row.train_accuracy),
                    html.number(row.val_accuracy),
                    f"{gap(row):+.3f}",
                    f"{gap(curve[-1]):+.3f}",
                    ", ".join(map(str, drops(curve))) or "none",
                )
            )
    head = (
        "network",
        "seed",
        "epoch kept",
        "training accuracy",
        "validation accuracy",
        "gap",
        "gap in the last epoch",
        "learning rate lowered in",
    )
    caption = (
        "Accuracies of the epoch that is kept. Always naming the largest class gives "
        f"{html.number(majority['train'])} in training, {html.number(majority['val'])} in "
        f"validation (seed {runs[0].seeds[0]})."
    )
    return html.table(head, rows, caption=caption)


def _drawn(runs: list[Runs], majority: Mapping[str, float]) -> Figure:
    """Two accuracies above, the loss and the gap below."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    (train, val), (loss, gaps) = figure.subplots(2, 2)
    for number, run in enumerate(runs):
        colour = COLOURS[number % len(COLOURS)]
        _lines(train, run, lambda row: row.train_accuracy, colour)
        _lines(val, run, lambda row: row.val_accuracy, colour, rings=True)
        _lines(loss, run, lambda row: row.train_loss, colour, dashed=True)
        _lines(loss, run, lambda row: row.val_loss, colour, rings=True)
        _lines(gaps, run, gap, colour, rings=True)
        _drops(loss, run, colour, number)
    for ax, name in ((train, "train"), (val, "val")):
        label = "always the largest class"
        ax.axhline(majority[name], color="0.3", lw=1, ls=":", label=label, gid="majority")
    gaps.axhline(0, color="grey", lw=1, ls=":")
    train.set(title="training", ylabel="accuracy")
    val.set(title="validation (tuning)", ylabel="accuracy")
    low = min(ax.get_ylim()[0] for ax in (train, val))
    high = max(ax.get_ylim()[1] for ax in (train, val))
    for ax in (train, val):
        ax.set_ylim(low, high)
    start = max(curve[0].train_loss for run in runs for curve in run.curves)
    top = min(loss.get_ylim()[1], 2 * start)  # one bad epoch must not flatten the rest
    low = max(0, loss.get_ylim()[0] - 0.15 * top)  # room for the marks of the learning rate
    loss.set(title="loss", ylabel="cross entropy", ylim=(low, top))
    gaps.set(title="gap", ylabel="training - validation accuracy")
    for ax in (train, val, loss, gaps):
        ax.set_xlabel("epoch")
        ax.set_xlim(0.5, len(runs[0].curves[0]) + 0.5)
        ax.title.set_fontsize(10)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = train.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure


def _lines(
    ax: Axes,
    run: Runs,
    value: Callable[[Epoch], float],
    colour: str,
    *,
    dashed: bool = False,
    rings: bool = False,
) -> None:
    """The mean of the seeds with markers, each seed thin, rings about the epochs kept."""
    epochs = [row.epoch for row in run.curves[0]]
    style = "--" if dashed else "-"
    several = len(run.curves) > 1
    for curve, kept in zip(run.curves, run.kept, strict=True):
        if several:
            ax.plot(epochs, [value(row) for row in curve], style, color=colour, lw=0.6, alpha=0.5)
        if rings:
            ring: dict[str, Any] = {"markersize": 6 if several else 10, "markerfacecolor": "none"}
            ax.plot([kept], [value(curve[kept - 1])], "o", color=colour, gid="kept", **ring)
    ax.plot(
        epochs,
        run.mean(value),
        style,
        color=colour,
        lw=1.2 if dashed else 1.6,
        marker=run.marker,
        markersize=4.5,
        markevery=-(-len(epochs) // MARKS),
        markerfacecolor="white" if dashed else colour,
        label=run.title,
        gid="mean",
    )


def _drops(ax: Axes, run: Runs, colour: str, number: int) -> None:
    """A mark near the lower edge for every epoch that began with a smaller step size."""
    epochs = [epoch for curve in run.curves for epoch in drops(curve)]
    edge = ax.get_xaxis_transform()  # y in 0..1 of the axes
    place = [0.03 + 0.04 * number] * len(epochs)
    ax.plot(epochs, place, "v", color=colour, markersize=5, transform=edge, gid="drops")
