"""Part of the report: who and what was studied."""

from __future__ import annotations

from matplotlib.figure import Figure

from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import picture, png, show
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """Patients and images of each part, what the protocol makes of them, and some to look at."""
    cohort = findings.first.cohort
    caption = (
        "Training images as the networks get them, before augmentation; "
        "annotated regions, if any, are outlined."
    )
    body = [
        _flow(cohort),
        _items(findings),
        html.figure(png(_examples(cohort)), caption),
    ]
    facts = {
        "source": cohort.source,
        "class_names": cohort.class_names,
        "parts": cohort.counts(),
    }
    return Part("Patients and images", body, facts)


def _flow(cohort: Cohort) -> str:
    rows = [
        (str(c["part"]), str(c["patients"]), str(c["images"]), *map(str, c["images_of_class"]))
        for c in cohort.counts()
    ]
    return html.table(("part", "patients", "images", *cohort.class_names), rows)


def _items(findings: Findings) -> str:
    """What the protocol makes of the images of each part."""
    rows = [
        (name, str(len(items.dataset)), str(items.versions), str(len(items)))
        for name, items in findings.first.items.items()
    ]
    return html.table(("part", "images", "versions of each", "items"), rows)


def _examples(cohort: Cohort, *, columns: int = 6) -> Figure:
    """The first training images of each class, with their annotations outlined."""
    names = cohort.class_names
    figure = Figure(figsize=(1.6 * columns, 1.8 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), columns, squeeze=False)
    labels = [row.label for row in cohort.train.index.rows]
    for label, (name, line) in enumerate(zip(names, axes, strict=True)):
        found = [i for i, other in enumerate(labels) if other == label][:columns]
        for ax in line:
            ax.axis("off")
        for ax, position in zip(line, found, strict=False):
            sample = cohort.train[position]
            show(ax, picture(sample.image), sample.mask)
        line[0].set_title(name, loc="left", fontsize=9)
    return figure
