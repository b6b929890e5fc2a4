"""Part of the report: every metric over the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from examples.ankle_fracture import networks
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.repetitions import Repeated
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.comparisons import pair
from examples.ankle_fracture.report.drawing import COLOURS, png
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]

COLUMNS = 4


def part(findings: Findings) -> Part:
    """Means over the seeds with their intervals, and paired differences with their tests."""
    rows = findings.repetitions
    if not rows:
        text = "One seed: nothing is known of how much a repetition would differ."
        return Part("Repetitions", [html.paragraph(text)], {"repetitions": rows})
    means = [row for row in rows if row.second is None]
    differences = [row for row in rows if row.second is not None]
    seeds = [each.seed for each in findings.replicates]
    body = [
        html.figure(
            png(_figure(means)), f"Each seed (+), the mean with its interval. {len(seeds)} seeds."
        ),
        _means(means),
    ]
    if differences:
        caption = (
            "Differences in each seed (+), and their mean with its interval; to the right of 0 the "
            "first network is better."
        )
        body += [html.figure(png(_figure(differences)), caption), _differences(differences)]
    return Part("Repetitions", [*body, _runs(rows, seeds)], {"repetitions": rows})


def _who(row: Repeated) -> str:
    if row.second is None:
        return networks.find(row.first).title
    return pair(row.first, row.second, ablation=row.ablation)


def _figure(rows: Sequence[Repeated]) -> Figure:
    """A panel for each metric and level."""
    panels = list(dict.fromkeys((row.level, row.metric) for row in rows))
    named = list(dict.fromkeys(map(_who, rows)))
    lines, columns = math.ceil(len(panels) / COLUMNS), min(COLUMNS, len(panels))
    height = lines * (0.8 + 0.3 * len(named))
    figure = Figure(figsize=(2 + 2 * columns, height), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).flat
    for ax, panel in zip(axes, panels, strict=False):
        for row in rows:
            if (row.level, row.metric) == panel:
                place = named.index(_who(row))
                ax.plot(row.values, [place] * len(row.values), "+", color="0.4", ms=7)
                ax.plot([row.low, row.high], [place, place], color=COLOURS[0], lw=1.4)
                ax.plot([row.mean], [place], "s", color=COLOURS[0], ms=4)
        if rows[0].second is not None:
            ax.axvline(0, color="0.45", ls=":", lw=1)
        ax.set_title(f"{html.metric(panel[1])}, by {panel[0]}", fontsize=8)
        ax.set_yticks(range(len(named)), [name.replace(" (", "\n(") for name in named])
        ax.set_ylim(len(named) - 0.5, -0.5)
        ax.tick_params(labelsize=8)
    for ax in figure.axes[len(panels) :]:
        ax.axis("off")
    return figure


def _means(rows: Sequence[Repeated]) -> str:
    cells = [
        (
            f"{html.metric(row.metric)}, by {row.level}",
            _who(row),
            html.interval(row.mean, row.low, row.high),
            html.number(row.sd),
        )
        for row in rows
    ]
    return html.table(("metric", "network", "mean, 95 %", "SD"), cells, caption=_methods(rows))


def _differences(rows: Sequence[Repeated]) -> str:
    cells = [
        (
            f"{html.metric(row.metric)}, by {row.level}",
            _who(row),
            html.interval(row.mean, row.low, row.high),
            html.number(row.sd),
            html.p_value(row.p_value),
            html.p_value(row.p_holm),
        )
        for row in rows
    ]
    tested = any(not math.isnan(row.p_value) for row in rows)
    test = (
        f" p by the same, {len(rows)} differences adjusted together." if tested else " Not tested."
    )
    head = ("metric", "networks", "mean difference, 95 %", "SD", "p", "p (Holm)")
    return html.table(head, cells, caption=_methods(rows) + test)


def _methods(rows: Sequence[Repeated]) -> str:
    return f"Intervals: {'; '.join(dict.fromkeys(row.method for row in rows))}."


def _runs(rows: Sequence[Repeated], seeds: Sequence[int]) -> str:
    cells = [
        (f"{html.metric(row.metric)}, by {row.level}", _who(row), *map(html.number, row.values))
        for row in rows
        if row.second is None
    ]
    head = ("metric", "network", *(f"seed {seed}" for seed in seeds))
    return html.table(head, cells, caption="Every run.")
