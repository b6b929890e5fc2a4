"""Part of the report: what squeeze-and-excitation does, by class and from image to image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.figure import Figure

from examples.ankle_fracture.attention import (
    Activations,
    Block,
    activations,
    last_blocks,
    record,
    separation,
)
from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import picture, png
from examples.ankle_fracture.report.part import Part
from seattn.attention import GateStatistics, GateSummary
from seattn.explain import plot_gates

__all__ = ["part"]

IMAGES = 3
NARROWEST = 0.1


def part(findings: Findings) -> Part:
    """Gates by class, how far they tell the classes apart, and maps before and after them."""
    cohort = findings.first.cohort
    body = [
        html.paragraph(
            "Squeeze-and-excitation multiplies each channel by a gate between 0 and 1, which it "
            "computes from the means of all channels. There is one gate for an image and channel, "
            "none for a place: where the network looks can change only through the mix of "
            "channels. All test images, without noise or augmentation."
        )
    ]
    facts = {}
    for name, result in findings.first.results.items():
        found, text = _network(result, cohort, findings.first.seed)
        body += text
        if found:
            facts[name] = found
    return Part("What the attention does", body, {"attention": facts})


def _network(result: Result, cohort: Cohort, seed: int) -> tuple[dict[str, Any], list[str]]:
    gates = record(result.network, cohort.test)
    if not gates:
        return {}, [html.paragraph(f"{result.title} has no gates: there is nothing to show.")]
    labels = cohort.labels("test")
    groups = [f"{row.patient} {row.label}" for row in cohort.test.index.rows]
    blocks = {name: separation(gate, labels, groups, seed=seed) for name, gate in gates.items()}
    statistics = GateStatistics()
    statistics.update(gates, labels)
    summary = statistics.summary()
    shown = last_blocks(gates)
    positions = _chosen(labels)
    maps = activations(result.network, shown, cohort.test.batch(positions).image)
    body = [
        html.figure(
            png(plot_gates(summary, blocks=shown, class_names=cohort.class_names)),
            f"{result.title}: mean gate of each class in the last block of each stage, over "
            "channels at even distances. Curves that lie on each other: the gates do the same for "
            "each class. Over each panel the share of the gates' variance between the classes, and "
            "what it would be on average if images had their labels by chance.",
        ),
        _table(result.title, blocks, summary),
        html.figure(png(_draw(cohort, positions, maps)), _caption(result.title, maps)),
    ]
    facts = {
        "blocks": blocks,
        "by_class": {
            name: {
                "mean_gates": {cohort.class_names[k]: row for k, row in zip(c, m, strict=True)},
                "chance": summary[name].chance,
            }
            for name, c, m in ((n, summary[n].classes, summary[n].mean) for n in shown)
        },
        "activations": {
            name: [{"test_image": p, **_numbers(found, n)} for n, p in enumerate(positions)]
            for name, found in maps.items()
        },
    }
    return facts, body


def _chosen(labels: list[int]) -> list[int]:
    """The first images of the classes, in turn, the last class first."""
    turn: dict[int, int] = {}
    order = []
    for position, label in enumerate(labels):
        turn[label] = turn.get(label, -1) + 1
        order.append((turn[label], -label, position))
    return [position for _, _, position in sorted(order)[:IMAGES]]


def _table(title: str, blocks: Mapping[str, Block], summary: Mapping[str, GateSummary]) -> str:
    rows = [
        (
            name,
            str(len(summary[name].overall_mean)),
            html.number(float(summary[name].overall_mean.mean())),
            *_cells(block, summary[name].reason),
        )
        for name, block in blocks.items()
    ]
    draws = next(iter(blocks.values())).draws
    head = (
        "block",
        "channels",
        "mean gate",
        "η² of the classes",
        "permuted: mean",
        "permuted: 95th percentile",
        "p",
    )
    caption = (
        f"{title}: the share of the gates' variance over the test images that lies between the "
        f"classes (η², 0 to 1), beside the same with labels permuted {draws} times; the images of "
        "a patient keep their label in common. p: share of permutations that reach the value, "
        f"unadjusted for the {len(blocks)} blocks."
    )
    return html.table(head, rows, caption=caption)


def _cells(block: Block, reason: str | None) -> tuple[str, ...]:
    if reason:
        return (f"- ({reason})", "", "", "")
    values = (block.eta_squared, block.permuted, block.permuted_95, block.p_value)
    return tuple(map(html.number, values))


def _numbers(found: Activations, image: int) -> dict[str, float]:
    before, after, ratio = found.before[image], found.after[image], found.ratio[image]
    return {
        "mean_before": float(before.mean()),
        "mean_after": float(after.mean()),
        "lowest_ratio": float(ratio.nan_to_num(torch.inf).min()),
        "highest_ratio": float(ratio.nan_to_num(-torch.inf).max()),
    }


def _draw(cohort: Cohort, positions: list[int], maps: Mapping[str, Activations]) -> Figure:
    """The images, and a line for each block: before, after and their ratio, image by image."""
    columns = 3 * len(positions)
    figure = Figure(figsize=(1.15 * columns + 1.0, 1.6 + 1.25 * len(maps)), layout="constrained")
    grid = figure.add_gridspec(1 + len(maps), columns)
    names, rows = cohort.class_names, cohort.test.index.rows
    labels = cohort.labels("test")
    for number, position in enumerate(positions):
        ax = figure.add_subplot(grid[0, 3 * number + 1])
        ax.imshow(picture(cohort.test[position].image), cmap="gray", vmin=0, vmax=1)
        ax.set_title(f"{rows[position].view}, {names[labels[position]]}", fontsize=8)
        ax.axis("off")
    low, high = _ratio_scale(maps)
    for line, (name, found) in enumerate(maps.items(), start=1):
        top = float(found.before.max())
        panels = (
            ("before", found.before, "inferno", 0.0, top),
            ("after", found.after, "inferno", 0.0, top),
            ("after / before", found.ratio, "cividis", low, high),
        )
        for number in range(len(positions)):
            for place, (title, values, cmap, least, most) in enumerate(panels):
                ax = figure.add_subplot(grid[line, 3 * number + place])
                ax.imshow(values[number].numpy(), cmap=cmap, vmin=least, vmax=most)
                ax.set(xticks=[], yticks=[])
                if line == 1:
                    ax.set_title(title, fontsize=8)
                if number == place == 0:
                    text = f"{name}\n0 to {top:.2g}"
                    ax.set_ylabel(text, fontsize=7, rotation=0, ha="right", va="center")
    return figure


def _ratio_scale(maps: Mapping[str, Activations]) -> tuple[float, float]:
    """One scale for all blocks, and so wide that rounding does not look like a pattern."""
    ratios = torch.cat([found.ratio.flatten() for found in maps.values()])
    known = ratios[ratios.isfinite()]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    missing = max(0.0, NARROWEST - (high - low)) / 2
    return low - missing, high + missing


def _caption(title: str, maps: Mapping[str, Activations]) -> str:
    low, high = _ratio_scale(maps)
    return (
        f"{title}: mean absolute activation over the channels before and after the gates of the "
        "last block of each stage, on one colour scale for each block (its ends are on the left), "
        f"and the ratio of the two, from {low:.2f} (dark) to {high:.2f} (bright) in all blocks. A "
        "ratio that is the same everywhere: the gates only dim the map."
    )
