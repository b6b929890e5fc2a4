"""Part of the report: the paper's figure 1, the flow of the system, with the counts of this run."""

from __future__ import annotations

from matplotlib.figure import Figure

from examples.ankle_fracture.config import Config
from examples.ankle_fracture.findings import Findings, Replicate
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.diagram import arrow, box, canvas, height
from examples.ankle_fracture.report.drawing import png
from examples.ankle_fracture.report.part import Part

__all__ = ["PART_NAMES", "augmentation", "grey_values", "part"]

PART_NAMES = {"train": "training", "val": "validation (tuning)", "test": "internal test"}
Step = tuple[str, list[str]]
COLUMNS = 5


def part(findings: Findings) -> Part:
    """From files to report in ten steps."""
    steps = _steps(findings)
    caption = (
        "Figure 1. The system, from files to report, with the counts of this run"
        + (f" (seed {findings.first.seed})" if findings.config.seeds > 1 else "")
        + ". Items are what networks see: images, with their copies where the protocol makes any."
    )
    facts = {"system": [{"step": title, "lines": lines} for title, lines in steps]}
    return Part("The system", [html.figure(png(_drawn(steps), dpi=200), caption)], facts)


def _steps(findings: Findings) -> list[Step]:
    """What each step does in this run, in lines for its box."""
    first, config = findings.first, findings.config
    index, counts = first.cohort.scanned, first.cohort.counts()
    files = len({row.path for row in index.rows})
    names = [result.title for result in first.results.values()]
    test = first.items["test"]
    return [
        (
            "Images",
            [
                "synthetic CT, the phantom's" if config.images is None else "your own folder",
                f"{files + len(index.failures)} files",
            ],
        ),
        (
            "Index",
            [
                f"{len(index.rows)} images of {len({r.patient for r in index.rows})} patients",
                f"{len(index.failures)} files without an image",
                "identities become pseudonyms",
            ],
        ),
        (
            "Split by patient",
            ["images of each part:", *_by_part({c["part"]: c["images"] for c in counts})],
        ),
        ("Pre-processing", _preprocessing(config, len(first.cohort.train[0].image))),
        ("Augmentation", _augmentation(first.items)),
        (
            "Networks",
            [
                *names,
                f"epochs {config.epochs}, batches of {config.batch_size}",
                f"Adam at {config.learning_rate:g}",
            ],
        ),
        ("Validation decides", _decisions(config, first)),
        (
            "Test, once",
            [
                f"{len(test)} items of {len(set(test.patients))} patients",
                "by " + " and by ".join(next(iter(first.results.values())).levels),
                "intervals with patients as clusters" if config.inference else "no intervals",
            ],
        ),
        ("Heat maps", [_targets(config), _annotated(first)]),
        (
            "Report",
            [
                "report.html, report.json, predictions.csv",
                f"{config.seeds} seeds" if config.seeds > 1 else "one seed",
            ],
        ),
    ]


def grey_values(config: Config) -> str:
    """Where the grey values of a file become 0..1."""
    if config.window == "minmax":
        return "each image's own range"
    if isinstance(config.window, str):
        return "the window of each file"
    centre, width = config.window
    return f"window {centre:g} / {width:g} HU"


def augmentation(config: Config) -> list[str]:
    """The random changes of the protocol with their ranges."""
    named = (
        (config.contrast, f"contrast ±{config.contrast:.0%}"),
        (config.scaling, f"scaling ±{config.scaling:.0%}"),
        (config.rotation, f"rotation ±{config.rotation:g}°"),
        (config.flips, "flips left-right and up-down, each with a chance of one half"),
    )
    return [text for amount, text in named if amount]


def _by_part(counts: dict[str, int]) -> list[str]:
    return [f"{PART_NAMES[name]} {count}" for name, count in counts.items()]


def _preprocessing(config: Config, channels: int) -> list[str]:
    lines = [grey_values(config), "to 0..1"]
    lines += ["bone mask"] if config.bone_mask else []
    lines.append(f"{config.size}x{config.size} pixels" + (", colour" if channels > 1 else ""))
    if config.noise:
        where = "all parts" if config.noise_on == "all" else "training"
        lines.append(f"noise of SD {config.noise:g}: {where}")
    return lines


def _augmentation(items: dict[str, Items]) -> list[str]:
    """How many items each part has, and what the protocol does to make them."""
    protocol = items["train"].protocol
    lines = ["items:", *_by_part({name: len(part) for name, part in items.items()})]
    if protocol.copies:
        return [f"each image and {protocol.copies} fixed copies", *lines]
    if protocol.online:
        return ["training images anew in each epoch", *lines]
    return ["none", *lines]


def _decisions(config: Config, first: Replicate) -> list[str]:
    kept = " and ".join(str(result.best.epoch) for result in first.results.values())
    lines = ["steps of the learning rate"]
    if config.checkpoint == "best":
        lines.append(f"epochs kept: {kept}")
    decisions = [result.decision for result in first.results.values()]
    if config.calibrate:
        made = sum(decision.calibrator is not None for decision in decisions)
        lines.append(f"calibration of {made} in {len(decisions)}")
    rules = {rule for d in decisions for points in d.points.values() for rule in points}
    chosen = [rule for rule in config.operating_points if rule in rules and not _is_number(rule)]
    lines += [f"threshold: {rule.replace('>=', '≥')}" for rule in chosen]
    return lines if chosen or not rules else [*lines, "not the threshold, which is fixed"]


def _is_number(rule: str) -> bool:
    return rule.replace(".", "", 1).isdigit()


def _targets(config: Config) -> str:
    words = {"predicted": "predicted", "label": "image's own"}
    return f"Grad-CAM of the {' and the '.join(words[t] for t in config.cam_targets)} class"


def _annotated(first: Replicate) -> str:
    counts = [a.images for r in first.results.values() for a in r.agreement.values()]
    images = max(counts, default=0)
    return f"{images} annotated test images" if images else "no annotated region"


def _drawn(steps: list[Step]) -> Figure:
    """Two rows of boxes, read like lines of text."""
    width, pitch, gap, margin = 1.68, 1.86, 0.42, 0.03
    rows = [steps[:COLUMNS], steps[COLUMNS:]]
    tall = [max(height(title, lines, width) for title, lines in row) for row in rows]
    figure, ax = canvas(pitch * COLUMNS - (pitch - width) + 2 * margin, sum(tall) + gap + 0.12)
    y = margin
    for number, (row, high) in enumerate(zip(rows, tall, strict=True)):
        for column, (title, lines) in enumerate(row):
            x, middle = margin + column * pitch, y + high / 2
            step = f"{number * COLUMNS + column + 1}. {title}"
            box(ax, (x, y), (width, high), step, lines, fill="#f3f4f6")
            if column:
                arrow(ax, (x - pitch + width, middle), (x, middle))
        if number == 0:  # from the last box of the row to the first of the next
            last, start = margin + (COLUMNS - 1) * pitch + width / 2, margin + width / 2
            between = y + high + gap / 2
            arrow(ax, (last, y + high), (last, between), (start, between), (start, y + high + gap))
        y += high + gap
    return figure
