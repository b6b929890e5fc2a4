"""Part of the report: do the heat maps point at the annotated regions?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.explanation import Agreement, Measure
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.readers import RULES
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.annotation_figure import CLASS, annotation_figure
from examples.ankle_fracture.report.drawing import COLOURS, png
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]

CONTROLS = {"randomised weights": "o", "constant centre": "D", "mean training mask": "s"}


def part(findings: Findings) -> Part:
    """The annotations beside some maps, and the agreement of all maps beside their controls.

    The numbers of the agreement are in report.json with those of the networks ("grad_cam").
    """
    results = list(findings.first.results.values())
    figure, shown = annotation_figure(findings)
    body = [figure]
    normal = findings.first.cohort.class_names[0]
    found = {
        f"{r.title}, {CLASS[target]}": agreement
        for r in results
        for target, agreement in r.agreement.items()
    }
    scored = [(title, each) for title, each in found.items() if each.measures]
    if scored:
        body += [
            html.paragraph(
                "A map that agrees with the annotations says something only if it agrees better "
                "than that of a network with random weights (the sanity check of randomised "
                "weights), a constant bump in the centre, and the mean mask of the training "
                "images: these know where such regions tend to lie, or nothing. Agreement says "
                "where a map is strong, not why the network decided. Of a missed finding "
                f"the map of the predicted class explains '{normal}'."
            ),
            html.figure(png(_dots(scored)), _legend()),
        ]
    body += [_table(title, each) for title, each in found.items()]
    if scored:
        body.append(html.items(_rules(scored[0][1])))
        body += _readers(findings, results)
    return Part("Where the networks look", body, {"annotation_figure": shown})


def _table(title: str, found: Agreement) -> str:
    """A line for each measure: the network, chance, the controls and the verdict."""
    if not found.measures:
        return html.paragraph(f"{title}: not scored, since {found.reason}.")
    rows = []
    for each in found.measures:
        value = html.interval(each.model, each.low, each.high)
        cells = [_control(each, control) for control in CONTROLS]
        edges = (html.number(each.chance), html.number(each.ceiling))
        rows.append((each.name, value, *edges, *cells, each.verdict))
    grid = "x".join(map(str, found.grid))
    blank = ", ".join(f"{count} of {name}" for name, count in found.blank.items() if count)
    caption = (
        f"{title}, maps of all {found.images} annotated test images, of {found.patients} patients; "
        f"{grid} cells. {found.regions}. Blank maps: {blank or 'none'}. Controls: their mean, "
        "and the 95 % interval of the network minus the control, patients drawn again."
    )
    head = ("measure", "network, 95 %", "chance", "ceiling of the grid", *CONTROLS, "verdict")
    return html.table(head, rows, caption=caption)


def _control(measure: Measure, control: str) -> str:
    low, high = measure.differences[control]
    return f"{html.number(measure.controls[control])} ({low:+.3f} to {high:+.3f})"


def _rules(found: Agreement) -> list[str]:
    """What the measures mean."""
    meanings = {
        "pointing game": "is the map's strongest point in the annotation?",
        "mass in mask": "the share of the map's sum that lies in the annotation",
        "average precision": "of the pixels, in the order of the map",
        "region recall": "the share of the annotated regions that the map hits",
        "chance": "what maps score that do not know where the annotation is",
        "ceiling of the grid": "what the annotation itself scores, averaged over the map's cells",
    }
    names = dict.fromkeys((*(each.name for each in found.measures), *meanings))
    lines = []
    for name in names:
        said = [text for text in (meanings.get(name), found.rules.get(name)) if text]
        lines.append(f"{name}: {'; '.join(said)}")
    return lines


def _readers(findings: Findings, results: list[Result]) -> list[str]:
    """Readers among themselves, and each network beside them."""
    target = findings.config.cam_targets[0]
    found = {r.title: r.agreement[target].readers for r in results}
    tables = {title: readers for title, readers in found.items() if readers is not None}
    if not tables:
        return []
    first = next(iter(tables.values()))
    rows = [
        (
            name,
            *(html.number(value) for value in first.dice[name].values()),
            *(
                html.number(each.network[measure][name])
                for each in tables.values()
                for measure in each.network
            ),
        )
        for name in first.dice
    ]
    measures = [f"{title}: {m}" for title, each in tables.items() for m in each.network]
    head = ("reader", *(f"Dice with {name}" for name in first.dice), *measures)
    between = ", ".join(f"{name} {html.number(value)}" for name, value in first.between.items())
    caption = (
        "The reference standard and three simulated readers: Dice of each two, and each network's "
        f"maps of the {CLASS[target]} against each of them, means over the annotated test images. "
        f"One reader's outline taken for a map of another's scores on average: {between}."
    )
    simulated = "Nobody has drawn these: simulated readers, made of the reference standard. "
    rules = "; ".join(f"{name}: {rule}" for name, rule in RULES.items())
    return [html.table(head, rows, caption=caption), html.paragraph(f"{simulated}{rules}.")]


def _dots(panels: Sequence[tuple[str, Agreement]]) -> Figure:
    """A panel for each network and class that is explained, a line for each measure."""
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(1.7 + 3.3 * columns, 1.1 + 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    for ax, (title, found) in zip(axes.flat, panels, strict=False):
        ax.set_title(title, fontsize=9)
        _panel(ax, found)
    for ax in axes[-1]:
        ax.set_xlabel("mean over the annotated test images", fontsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=1 + columns, fontsize=8)
    return figure


def _panel(ax: Axes, found: Agreement) -> None:
    names = [each.name for each in found.measures]
    places = range(len(names))
    for each, place in zip(found.measures, places, strict=True):
        ax.plot([each.low, each.high], [place, place], color=COLOURS[0], lw=2.5, zorder=1)
    ax.plot([m.model for m in found.measures], places, "o", color=COLOURS[0], label="network, 95 %")
    for colour, (control, marker) in zip(COLOURS[1:], CONTROLS.items(), strict=False):
        values = [each.controls[control] for each in found.measures]
        ax.plot(values, places, marker, color=colour, mfc="none", ms=6, label=control)
    ax.plot([m.chance for m in found.measures], places, "|k", ms=11, mew=1.5, label="chance")
    ceiling = [m.ceiling for m in found.measures]
    ax.plot(ceiling, places, ">", color="0.55", ms=4, label="ceiling of the grid")
    ax.set_yticks(places, names)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlim=(-0.02, 1.02))
    ax.tick_params(labelsize=8)
    ax.set_axisbelow(True)
    ax.grid(axis="y", lw=0.5, color="0.9")


def _legend() -> str:
    return (
        "Agreement of Grad-CAM with the reference standard. Filled: the network with its 95 % "
        "interval. Hollow: the controls, none of which has learnt from the images. A network "
        "that lies among them shows where fractures tend to be, no more."
    )
