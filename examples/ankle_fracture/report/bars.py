"""Part of the report: the paper's figure 4b, the metrics of the networks side by side."""

from __future__ import annotations

import dataclasses
import math
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.evaluation import Level, Report
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import COLOURS, png
from examples.ankle_fracture.report.part import Part
from seattn.metrics import BinaryReport, Estimate

__all__ = ["METRICS", "PRINTED", "Group", "part"]

METRICS = {  # as the paper calls them: as the reports do
    "accuracy": "accuracy",
    "AUC": "roc_auc",
    "precision": "ppv",
    "recall": "sensitivity",
    "F1": "f1",
}
# Wang et al. 2024, figure 4b and section "Comparative performance metrics", in the order of the
# figure; no precision is printed.
PRINTED = {
    "se_resnet50": {"accuracy": 0.93, "AUC": 0.95, "recall": 0.92, "F1": 0.93},
    "efficientnet_b5": {"accuracy": 0.90, "AUC": 0.92, "recall": 0.88, "F1": 0.89},
    "resnet50": {"accuracy": 0.89, "AUC": 0.91, "recall": 0.87, "F1": 0.88},
}
PRINTED_NOTE = (
    "Hollow diamonds are the values that the paper prints. They are of other images, so nothing "
    "is compared here; and no whole numbers of its 51 fractures and 147 normal images, rightly "
    "and wrongly classified, give any of its three triples of accuracy, recall and F1, whichever "
    "class is positive, and averaged over both classes or not."
)
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")


@dataclasses.dataclass(frozen=True)
class Group:
    """The bars of one network at one level.

    Args:
        name: Of the network.
        title: As it stands in the report.
        colour: In this and the other figures.
        estimates: By metric, of the first seed.
        seeds: By metric, the value of every seed.
        printed: By metric, what the paper prints for this network.
    """

    name: str
    title: str
    colour: str
    estimates: dict[str, Estimate]
    seeds: dict[str, list[float]]
    printed: dict[str, float]


def part(findings: Findings) -> Part:
    """Accuracy, AUC, precision, recall and F1 of every network, by image and by patient."""
    levels = next(iter(findings.first.results.values())).levels
    groups = {level: _groups(findings, level) for level in levels}
    always = {level: _majority(found) for level, found in levels.items()}
    body = [html.figure(png(_drawn(groups, always), dpi=150), _caption(findings, groups))]
    if any(group.printed for group in groups["image"]):
        body.append(html.paragraph(PRINTED_NOTE, notice=True))
    facts = {
        level: {"always_the_largest_class": always[level], "networks": found}
        for level, found in groups.items()
    }
    return Part("The metrics side by side", body, {"bars": facts})


def _groups(findings: Findings, level: str) -> list[Group]:
    """The networks in the order of the paper's figure; others after them."""
    order = [name for name in PRINTED if name in findings.first.results]
    order += [name for name in findings.first.results if name not in PRINTED]
    colours = dict(zip(findings.first.results, cycle(COLOURS), strict=False))
    binary = len(findings.first.cohort.class_names) == 2
    groups = []
    for name in order:
        runs = [replicate.results[name] for replicate in findings.replicates]
        by_seed = [_estimates(run.levels[level].main) for run in runs if level in run.levels]
        groups.append(
            Group(
                name,
                runs[0].title,
                colours[name],
                by_seed[0],
                {metric: [found[metric].value for found in by_seed] for metric in METRICS},
                PRINTED.get(name, {}) if binary and level == "image" else {},
            )
        )
    return groups


def _estimates(report: Report) -> dict[str, Estimate]:
    """The paper's metrics; of more than two classes the means over the classes."""
    if isinstance(report, BinaryReport):
        return {name: report.estimates[key] for name, key in METRICS.items()}
    blocks = {"accuracy": report.overall}
    return {name: blocks.get(name, report.macro)[key] for name, key in METRICS.items()}


def _majority(level: Level) -> float:
    """Accuracy of always naming the largest class."""
    counts = np.bincount(level.cases.y_true)
    return float(counts.max() / counts.sum())


def _caption(findings: Findings, groups: dict[str, list[Group]]) -> str:
    first = findings.first
    rule = next(iter(next(iter(first.results.values())).levels["image"].reports))
    text = f"Figure 4b. Internal test by {' and by '.join(groups)}, operating point: {rule}. "
    if len(first.cohort.class_names) > 2:
        text += "All but accuracy are means over the classes. "
    else:
        text += f"Positive is {first.cohort.class_names[1]}. "
    text += (
        "Whiskers: 95 % intervals with patients as clusters. "
        if findings.config.inference
        else "This protocol gives no intervals. "
    )
    if findings.config.seeds > 1:
        text += f"Bars: seed {first.seed}; dots: each of the {findings.config.seeds} seeds. "
    text += "Dotted: the accuracy of always naming the largest class."
    return text + _missing(groups, intervals=findings.config.inference)


def _missing(groups: dict[str, list[Group]], *, intervals: bool) -> str:
    """Why values, and intervals where the protocol gives any, are not there."""
    reasons: dict[str, set[str]] = {}
    for group in (group for found in groups.values() for group in found):
        for metric, estimate in group.estimates.items():
            if math.isnan(estimate.value):
                reasons.setdefault(f"Not defined: {estimate.reason}", set()).add(metric)
            elif intervals and math.isnan(estimate.low):
                reason = str(estimate.reason).removeprefix("no interval: ")
                reasons.setdefault(f"No interval: {reason}", set()).add(metric)
    return "".join(
        f" {reason} ({', '.join(m for m in METRICS if m in metrics)})."
        for reason, metrics in reasons.items()
    )


def _drawn(groups: dict[str, list[Group]], always: dict[str, float]) -> Figure:
    """A row of grouped bars for each level."""
    figure = Figure(figsize=(9, 2.9 * len(groups) + 0.4), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for ax, (level, found) in zip(axes, groups.items(), strict=True):
        _bars(ax, found)
        ax.plot([-0.45, 0.45], [always[level]] * 2, ":", color="0.2", lw=1.2, gid="majority")
        ax.set_title(f"by {level}", fontsize=10, loc="left")
    handles = [*axes[0].containers, *axes[0].findobj(lambda artist: artist.get_gid() == "paper")]
    figure.legend(
        handles=handles[: len(axes[0].containers) + 1],  # the paper's marker once
        loc="outside upper center",
        ncols=4,
        fontsize=9,
        frameon=False,
    )
    return figure


def _bars(ax: Axes, groups: list[Group]) -> None:
    """Bars with whiskers; dots of the seeds to the right in a bar, the paper's value to the left.

    Numbers stand below the bars, where nothing else is.
    """
    places = np.arange(len(METRICS))
    width = 0.8 / len(groups)
    for number, group in enumerate(groups):
        x = places + (number - (len(groups) - 1) / 2) * width
        ax.bar(
            x,
            [group.estimates[metric].value for metric in METRICS],
            0.92 * width,
            facecolor=f"{group.colour}55",
            edgecolor=group.colour,
            hatch=HATCHES[number % len(HATCHES)],
            label=group.title,
        )
        for at, metric in zip(x, METRICS, strict=True):
            estimate, seeds = group.estimates[metric], group.seeds[metric]
            # Not by errorbar, which refuses an interval of the bootstrap that misses its value.
            ends = [estimate.low, estimate.high]
            ax.plot([at, at], ends, "-_", color=group.colour, lw=1.3, markersize=7, gid="interval")
            if len(seeds) > 1:
                dots = [at + width / 4] * len(seeds)
                ax.plot(dots, seeds, "o", color="0.15", markersize=2.5, gid="seeds")
            text = "-" if math.isnan(estimate.value) else f"{estimate.value:.2f}"
            letters = 7 if len(groups) < 5 else 5
            ax.text(at, -0.02, text, ha="center", va="top", fontsize=letters)
        if group.printed:
            printed = [group.printed.get(metric, math.nan) for metric in METRICS]
            look: dict[str, Any] = {"color": "black", "markerfacecolor": "none", "linestyle": ""}
            label = "the paper's, of other images"
            ax.plot(x - width / 4, printed, marker="D", label=label, gid="paper", **look)
    ax.set_xticks(places, list(METRICS))
    ax.tick_params(axis="x", length=0, pad=14)
    ax.set(ylim=(0, 1.04), yticks=np.arange(0, 1.01, 0.2), xlim=(-0.55, len(METRICS) - 0.45))
    ax.spines[["top", "right"]].set_visible(False)
