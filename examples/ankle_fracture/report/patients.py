"""Part of the report: who and what was studied, and what was not."""

from __future__ import annotations

from collections import Counter
from typing import Any

from matplotlib.figure import Figure

from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.diagram import arrow, box, canvas, height
from examples.ankle_fracture.report.drawing import picture, png, show
from examples.ankle_fracture.report.flow import PART_NAMES
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]

REASONS = 3  # that the figure has room for


def part(findings: Findings) -> Part:
    """The flow of patients and images, their numbers, and some to look at."""
    cohort = findings.first.cohort
    flow = _flow(findings)
    caption = (
        "Flow of patients and images, in the manner of STARD"
        + (f" (seed {findings.first.seed})" if findings.config.seeds > 1 else "")
        + ". In brackets the patients with an image of the class. Split by patient: no patient is "
        "in two parts. A damaged file or an image without a label stops a run before anything "
        "is trained."
    )
    shown = (
        "Training images as the networks get them, before noise and augmentation; "
        "annotated regions, if any, are outlined."
    )
    body = [
        html.figure(png(_drawn(flow), dpi=200), caption),
        _table(flow),
        html.figure(png(_examples(cohort)), shown),
    ]
    facts = {
        "source": cohort.source,
        "class_names": cohort.class_names,
        "parts": cohort.counts(),
        "flow": flow,
    }
    return Part("Patients and images", body, facts)


def _flow(findings: Findings) -> dict[str, Any]:
    """From the files that were found to the items of each part, in numbers."""
    cohort = findings.first.cohort
    scanned = cohort.scanned
    studied = {(row.path, row.frame) for data in cohort.parts.values() for row in data.index.rows}
    left = [row for row in scanned.rows if (row.path, row.frame) not in studied]
    files = len({row.path for row in scanned.rows})
    return {
        "files_found": files + len(scanned.failures),
        "files_skipped": _reasons(cohort, skipped=True),
        "files_refused": _reasons(cohort, skipped=False),
        "files_with_images": files,
        "images": len(scanned.rows),
        "patients": len({row.patient for row in scanned.rows}),
        "views": dict(sorted(Counter(row.view for row in scanned.rows).items())),
        "images_without_label": sum(
            row.label is None for data in cohort.parts.values() for row in data.index.rows
        ),
        "images_of_no_class": len(left),
        "patients_of_no_class": len({row.patient for row in left}),
        "studied": {
            "images": sum(map(len, cohort.parts.values())),
            "patients": sum(c["patients"] for c in cohort.counts()),
        },
        "parts": [_part(findings, name) for name in cohort.parts],
    }


def _reasons(cohort: Cohort, *, skipped: bool) -> dict[str, int]:
    """Files without an image by their reason, the most frequent first."""
    failures = [f for f in cohort.scanned.failures if f.skipped == skipped]
    return dict(Counter(f"{f.stage}: {f.reason}" for f in failures).most_common())


def _part(findings: Findings, name: str) -> dict[str, Any]:
    cohort, items = findings.first.cohort, findings.first.items[name]
    rows = cohort.parts[name].index.rows
    classes = [
        {
            "name": class_name,
            "images": sum(row.label == label for row in rows),
            "patients": len({row.patient for row in rows if row.label == label}),
        }
        for label, class_name in enumerate(cohort.class_names)
    ]
    return {
        "part": name,
        "images": len(rows),
        "patients": len({row.patient for row in rows}),
        "classes": classes,
        "versions_of_each": items.versions,
        "items": len(items),
        "augmented": "anew in each epoch"
        if items.training and items.protocol.online
        else "once"
        if items.versions > 1
        else "not",
    }


def _drawn(flow: dict[str, Any]) -> Figure:
    """The flow from top to bottom; what leaves it stands to the right in dashed boxes."""
    width, side, gap, sheet = 2.9, 2.9, 0.3, 9.2
    middle, right = sheet / 2, sheet - side - 0.06
    trunk = [
        ("Files found", [f"n = {flow['files_found']}"]),
        (
            "Images",
            [
                f"n = {flow['images']} of {flow['patients']} patients",
                ", ".join(f"{view} {count}" for view, count in flow["views"].items()),
            ],
        ),
        (
            "Studied, split by patient",
            [f"n = {flow['studied']['images']} of {flow['studied']['patients']} patients"],
        ),
    ]
    skipped, refused = flow["files_skipped"], flow["files_refused"]
    leaving = [
        (
            f"No image: {sum(skipped.values()) + sum(refused.values())} files",
            [
                f"skipped {sum(skipped.values())}",
                *_some(skipped),
                f"refused as damaged {sum(refused.values())}",
                *_some(refused),
            ],
        ),
        (
            f"Left out: {flow['images_of_no_class']} images",
            [
                f"of no class of this task: {flow['images_of_no_class']} "
                f"({flow['patients_of_no_class']} patients)",
                f"without a label: {flow['images_without_label']}",
            ],
        ),
    ]
    columns = [_column(part) for part in flow["parts"]]
    spaces = [height(*each, side) + 0.2 for each in leaving] + [2 * gap]
    third = 2.85
    tall = [height(*each, width) for each in trunk]
    low = max(height(*above, third) for above, _ in columns)
    last = max(height(*below, third) for _, below in columns)
    figure, ax = canvas(sheet, sum(tall) + sum(spaces) + low + gap + last + 0.12)
    y = 0.06
    for number, (each, high, space) in enumerate(zip(trunk, tall, spaces, strict=True)):
        box(ax, (middle - width / 2, y), (width, high), *each, fill="#f3f4f6")
        y += high
        if number < len(leaving):
            at = y + space / 2
            arrow(ax, (middle, at), (right, at))
            box(ax, (right, y + 0.1), (side, space - 0.2), *leaving[number], dashed=True)
            arrow(ax, (middle, y), (middle, y + space))
        y += space
    for number, (above, below) in enumerate(columns):
        x = middle + (number - 1) * (third + 0.2)
        arrow(ax, (middle, y - 2 * gap), (middle, y - gap), (x, y - gap), (x, y))
        box(ax, (x - third / 2, y), (third, low), *above, fill="#e5e7eb")
        arrow(ax, (x, y + low), (x, y + low + gap))
        box(ax, (x - third / 2, y + low + gap), (third, last), *below)
    return figure


def _some(reasons: dict[str, int]) -> list[str]:
    """The first of the reasons, and how many files have others."""
    named = list(reasons.items())
    lines = [f"{count}: {reason.partition(': ')[2]}" for reason, count in named[:REASONS]]
    rest = sum(count for _, count in named[REASONS:])
    return [*lines, f"{rest}: other reasons"] if rest else lines


def _column(part: dict[str, Any]) -> tuple[tuple[str, list[str]], tuple[str, list[str]]]:
    """The two boxes of a part: its images by class, and what the networks get."""
    classes = [f"{c['name']}: {c['images']} ({c['patients']})" for c in part["classes"]]
    counts = f"n = {part['images']} of {part['patients']} patients"
    how = {
        "anew in each epoch": "augmented anew in each epoch",
        "once": f"each image and {part['versions_of_each'] - 1} augmented copies",
        "not": "as they are",
    }[part["augmented"]]
    name = PART_NAMES[part["part"]]
    above = (f"{name[0].upper()}{name[1:]}", [counts, *classes])
    return above, (f"{part['items']} items", [how])


def _table(flow: dict[str, Any]) -> str:
    """The same by part, to be read without the figure."""
    rows = [
        (
            PART_NAMES[part["part"]],
            str(part["patients"]),
            str(part["images"]),
            *(f"{c['images']} ({c['patients']})" for c in part["classes"]),
            str(part["items"]),
        )
        for part in flow["parts"]
    ]
    names = [f"{c['name']} (patients)" for c in flow["parts"][0]["classes"]]
    return html.table(("part", "patients", "images", *names, "items"), rows)


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
