"""The findings of a run as one HTML file that needs nothing beside it, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from pathlib import Path

import numpy as np
import pydicom
import torch

import seattn
from examples.ankle_fracture import html, tables
from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.config import Config, leaves_out
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.explanation import Agreement, annotated, cams
from examples.ankle_fracture.figures import (
    curves_figure,
    examples_figure,
    explanation_figure,
    roc_figure,
)
from examples.ankle_fracture.findings import BASELINE, Findings, Replicate
from examples.ankle_fracture.protocol import choices

__all__ = ["write_html", "write_json"]

SHOWN = 6
_CLASS = {"label": "image's own class", "predicted": "predicted class"}
NOT_FOR_DIAGNOSIS = (
    "A worked example of a software library. Not a medical device, not for diagnosis; "
    "nothing here is evidence about patients."
)


def write_json(findings: Findings, path: Path) -> None:
    """Everything in the report but its pictures; what is not defined is null."""
    first = findings.first
    facts = {
        "config": dataclasses.asdict(findings.config),
        "protocol": tables.protocol_rows(findings.config),
        "versions": _versions(),
        "source": first.cohort.source,
        "class_names": first.cohort.class_names,
        "parts": first.cohort.counts(),
        **_replicate_facts(first),
        "comparisons": [dataclasses.asdict(each) for each in findings.comparisons],
        "repetitions": [dataclasses.asdict(each) for each in findings.repetitions],
        "replicates": [_replicate_facts(each) for each in findings.replicates],
        "leaves_out": leaves_out(findings.config),
        "seconds": round(findings.seconds, 1),
    }
    text = json.dumps(_defined(facts), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _replicate_facts(replicate: Replicate) -> dict[str, object]:
    return {
        "seed": replicate.seed,
        "split_hash": replicate.cohort.split_hash,
        "items": {name: len(items) for name, items in replicate.items.items()},
        "models": {name: _result_facts(result) for name, result in replicate.results.items()},
        "baseline": {"title": BASELINE, "test": replicate.baseline.to_dict()},
    }


def _defined(value: object) -> object:
    if isinstance(value, dict):
        return {name: _defined(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_html(findings: Findings, path: Path) -> None:
    """The report that a person opens."""
    config, cohort = findings.config, findings.first.cohort
    decided = {f.name for f in choices()}
    settings = [
        (name, str(value))
        for name, value in dataclasses.asdict(config).items()
        if name not in decided
    ]
    body = [
        html.paragraph(NOT_FOR_DIAGNOSIS, notice=True),
        html.paragraph(f"Images: {cohort.source}."),
        html.section(
            "Patients and images",
            _flow_table(cohort),
            tables.item_table(findings),
            _examples(cohort),
        ),
        html.section("Protocol", tables.protocol_table(config)),
        html.section("Test results", *tables.result_tables(findings), *_roc(findings)),
        html.section("Networks compared", tables.comparison_table(findings)),
        html.section("Repetitions", tables.repetition_table(findings)),
        html.section("Training", _curves(findings)),
        html.section("Where the networks look", *_explanations(findings)),
        html.section("What this run leaves out", html.items(leaves_out(config))),
        html.section(
            "How it was made",
            html.table(("choice", "value"), settings),
            html.table(("package", "version"), _versions().items()),
            tables.split_table(findings),
            html.paragraph(
                "Split by patient. The test images were shown to each network once, when its "
                "weights, calibration and thresholds were fixed. "
                f"{findings.seconds:.0f} seconds in all. "
                "Method: Wang et al. 2024, doi 10.1186/s12891-024-07355-8."
            ),
        ),
    ]
    path.write_text(html.page(_title(config), body), encoding="utf-8")


def _title(config: Config) -> str:
    return "Ankle-fracture study" if config.images is None else "Study of your own images"


def _versions() -> dict[str, str]:
    modules = (seattn, torch, np, pydicom)
    found = {module.__name__: str(module.__version__) for module in modules}
    return found | {"python": platform.python_version()}


def _result_facts(result: Result) -> dict[str, object]:
    return {
        "title": result.title,
        "parameters": sum(p.numel() for p in result.network.parameters()),
        "best_epoch": result.best.epoch,
        "decision": result.decision.to_dict(),
        "test": result.report.to_dict(),
        "levels": {
            level: {rule: r.to_dict() for rule, r in found.reports.items()}
            for level, found in result.levels.items()
        },
        "grad_cam": {t: dataclasses.asdict(found) for t, found in result.agreement.items()},
    }


def _flow_table(cohort: Cohort) -> str:
    rows = [
        (str(c["part"]), str(c["patients"]), str(c["images"]), *map(str, c["images_of_class"]))
        for c in cohort.counts()
    ]
    return html.table(("part", "patients", "images", *cohort.class_names), rows)


def _examples(cohort: Cohort) -> str:
    caption = (
        "Training images as the networks get them, before augmentation; "
        "annotated regions, if any, are outlined."
    )
    return html.figure(examples_figure(cohort), caption)


def _roc(findings: Findings) -> list[str]:
    curves = findings.roc()
    return [html.figure(roc_figure(curves), "ROC curves of the test images.")] if curves else []


def _curves(findings: Findings) -> str:
    counts = np.sum([c["images_of_class"] for c in findings.first.cohort.counts()], axis=0)
    results = findings.first.results
    curves = {r.title: r.curves for r in results.values()}
    picture = curves_figure(curves, majority=float(counts.max() / counts.sum()))
    kept = ", ".join(f"{r.title}: epoch {r.best.epoch}" for r in results.values())
    return html.figure(picture, f"Training and validation by epoch. Weights kept from {kept}.")


def _explanations(findings: Findings) -> list[str]:
    cohort, results = findings.first.cohort, findings.first.results.values()
    agreements = [
        _agreement_table(f"{result.title}, maps of the {_CLASS[target]}", found)
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
    return [
        html.paragraph(
            "A map that agrees with the annotations says something only if it agrees better than "
            "that of a network with random weights, a constant bump in the centre, and the mean "
            "mask of the training images: these know where such regions tend to lie, or nothing."
        ),
        *agreements,
        html.figure(explanation_figure(cohort, positions, maps, notes), caption),
    ]


def _note(result: Result, cohort: Cohort, position: int, item: int, target: str) -> str:
    """The class that a map explains, and its probability."""
    scores = result.probabilities["test"][item]
    explained = cohort.labels("test")[position] if target == "label" else int(scores.argmax())
    return f"{cohort.class_names[explained]}: {scores[explained]:.2f}"


def _agreement_table(title: str, found: Agreement) -> str:
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
