"""Part of the report: do the heat maps point at the annotated regions?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.explanation import Agreement, annotated, cams
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import picture, png, show
from examples.ankle_fracture.report.part import Part
from seattn.explain import overlay

__all__ = ["part"]

SHOWN = 6
_CLASS = {"label": "image's own class", "predicted": "predicted class"}


def part(findings: Findings) -> Part:
    """The agreement of each network's maps beside its controls, and some maps to look at."""
    cohort, results = findings.first.cohort, findings.first.results.values()
    agreements = [
        _agreement(f"{result.title}, maps of the {_CLASS[target]}", found)
        for result in results
        for target, found in result.agreement.items()
    ]
    positions = annotated(cohort.test)[:SHOWN] or list(range(min(SHOWN, len(cohort.test))))
    target = findings.config.cam_targets[0]
    maps = {
        r.title: cams(r.network, r.target_layer, cohort.test, positions, target=target)[0]
        for r in results
    }
    versions = findings.first.items["test"].versions
    notes = {
        r.title: [_note(r, cohort, position, position * versions, target) for position in positions]
        for r in results
    }
    caption = (
        "The first test images, those with annotations if there are any; not a selection. Left the "
        f"image with its annotated region; then Grad-CAM of the {_CLASS[target]}, with the "
        "network's probability of that class."
    )
    body = [
        html.paragraph(
            "A map that agrees with the annotations says something only if it agrees better than "
            "that of a network with random weights, a constant bump in the centre, and the mean "
            "mask of the training images: these know where such regions tend to lie, or nothing."
        ),
        *agreements,
        html.figure(png(_maps(cohort, positions, maps, notes)), caption),
    ]
    return Part("Where the networks look", body)


def _note(result: Result, cohort: Cohort, position: int, item: int, target: str) -> str:
    """The class that a map explains, and its probability."""
    scores = result.probabilities["test"][item]
    explained = cohort.labels("test")[position] if target == "label" else int(scores.argmax())
    return f"{cohort.class_names[explained]}: {scores[explained]:.2f}"


def _maps(
    cohort: Cohort,
    positions: Sequence[int],
    maps: Mapping[str, torch.Tensor],
    notes: Mapping[str, Sequence[str]],
) -> Figure:
    """Test images in rows: the image with its annotation, then each network's Grad-CAM over it."""
    figure = Figure(figsize=(2.1 * (1 + len(maps)), 2.25 * len(positions)), layout="constrained")
    axes = figure.subplots(len(positions), 1 + len(maps), squeeze=False)
    for number, (position, line) in enumerate(zip(positions, axes, strict=True)):
        sample = cohort.test[position]
        show(line[0], picture(sample.image), sample.mask)
        line[0].set_title(f"label: {cohort.class_names[int(sample.label)]}", fontsize=8)
        for ax, (title, found) in zip(line[1:], maps.items(), strict=True):
            show(ax, overlay(sample.image, found[number]), sample.mask)
            ax.set_title(f"{title}\n{notes[title][number]}", fontsize=8)
    return figure


def _agreement(title: str, found: Agreement) -> str:
    """The measures of one network beside their controls, with the verdict in words."""
    if found.reason:
        return html.paragraph(f"{title}: not scored, since {found.reason}.")
    first = found.measures[0]
    rows = [["network"], *([control] for control in first.controls)]
    rows += [["any map without structure"], ["verdict"]]
    for measure in found.measures:
        cells = [(html.number(measure.model), "")]
        for control, value in measure.controls.items():
            low, high = measure.differences[control]
            cells.append((html.number(value), f"{low:+.3f} to {high:+.3f}"))
        cells += [(html.number(measure.chance), ""), (measure.verdict, "")]
        for row, cell in zip(rows, cells, strict=True):
            row.extend(cell)
    grid = "x".join(map(str, found.grid))
    caption = (
        f"{title}: {found.images} annotated test images of {found.patients} patients; "
        f"maps of {grid} cells"
    )
    head = ["map"]
    for measure in found.measures:
        head += [measure.name, "network minus it, 95 %"]
    return html.table(head, rows, caption=caption)
