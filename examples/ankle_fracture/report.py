"""The findings of a run as one HTML file that needs nothing beside it, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import torch

import seattn
from examples.ankle_fracture import html
from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.config import Config, leaves_out
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.evaluation import Report, by_name, roc_points
from examples.ankle_fracture.explanation import Agreement, annotated, cams
from examples.ankle_fracture.figures import (
    curves_figure,
    examples_figure,
    explanation_figure,
    roc_figure,
)
from seattn.metrics import Estimate

__all__ = ["Findings", "write_html", "write_json"]

BASELINE = "Logistic regression on pixels"
SHOWN = 6
NOT_FOR_DIAGNOSIS = (
    "A worked example of a software library. Not a medical device, not for diagnosis; "
    "nothing here is evidence about patients."
)


@dataclass(frozen=True)
class Findings:
    """Everything that a run found.

    Args:
        config: The run's choices.
        cohort: The images.
        results: Of each network.
        pixels: (N, K) probabilities of the linear baseline on the test images.
        baseline: Its metrics.
        seconds: Wall time so far.
    """

    config: Config
    cohort: Cohort
    results: dict[str, Result]
    pixels: torch.Tensor
    baseline: Report
    seconds: float

    def roc(self) -> dict[str, tuple[list[float], list[float]]]:
        """ROC curves by title; none where there are more than two classes."""
        if len(self.cohort.class_names) > 2:
            return {}
        labels = self.cohort.labels("test")
        scores = {r.title: r.probabilities["test"][:, 1] for r in self.results.values()}
        scores[BASELINE] = self.pixels[:, 1]
        return {title: roc_points(labels, s) for title, s in scores.items()}


def write_json(findings: Findings, path: Path) -> None:
    """Everything in the report but its pictures."""
    facts = {
        "config": dataclasses.asdict(findings.config),
        "versions": _versions(),
        "source": findings.cohort.source,
        "class_names": findings.cohort.class_names,
        "parts": findings.cohort.counts(),
        "split_hash": findings.cohort.split_hash,
        "models": {name: _result_facts(result) for name, result in findings.results.items()},
        "baseline": {"title": BASELINE, "test": findings.baseline.to_dict()},
        "leaves_out": leaves_out(findings.config),
        "seconds": round(findings.seconds, 1),
    }
    path.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_html(findings: Findings, path: Path) -> None:
    """The report that a person opens."""
    config, cohort = findings.config, findings.cohort
    settings = [(name, str(value)) for name, value in dataclasses.asdict(config).items()]
    body = [
        html.paragraph(NOT_FOR_DIAGNOSIS, notice=True),
        html.paragraph(f"Images: {cohort.source}."),
        html.section("Patients and images", _flow_table(cohort), _examples(cohort)),
        html.section("Test results", _results(findings), *_roc(findings)),
        html.section("Training", _curves(findings)),
        html.section("Where the networks look", *_explanations(findings)),
        html.section("What this run leaves out", html.items(leaves_out(config))),
        html.section(
            "How it was made",
            html.table(("choice", "value"), settings),
            html.table(("package", "version"), _versions().items()),
            html.paragraph(
                f"Split by patient; its hash is {cohort.split_hash}. The test images were shown "
                f"to each network once, after training. {findings.seconds:.0f} seconds in all. "
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
        "test": result.report.to_dict(),
        "grad_cam": dataclasses.asdict(result.agreement),
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


def _results(findings: Findings) -> str:
    reports = {r.title: r.report for r in findings.results.values()} | {BASELINE: findings.baseline}
    columns = [by_name(report) for report in reports.values()]
    rows = [(name, *(_estimate(column[name]) for column in columns)) for name in columns[0]]
    caption = "95 % intervals; the images of one patient are one cluster."
    return html.table(("metric", *reports), rows, caption=caption)


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return f"- ({estimate.reason})"
    if math.isnan(estimate.low):
        return html.number(estimate.value)
    interval = f"[{html.number(estimate.low)}, {html.number(estimate.high)}]"
    return f"{html.number(estimate.value)} {interval}"


def _roc(findings: Findings) -> list[str]:
    curves = findings.roc()
    return [html.figure(roc_figure(curves), "ROC curves of the test images.")] if curves else []


def _curves(findings: Findings) -> str:
    counts = np.sum([c["images_of_class"] for c in findings.cohort.counts()], axis=0)
    curves = {r.title: r.curves for r in findings.results.values()}
    picture = curves_figure(curves, majority=float(counts.max() / counts.sum()))
    kept = ", ".join(f"{r.title}: epoch {r.best.epoch}" for r in findings.results.values())
    return html.figure(picture, f"Training and validation by epoch. Weights kept from {kept}.")


def _explanations(findings: Findings) -> list[str]:
    cohort, results = findings.cohort, findings.results.values()
    tables = [_agreement_table(result.title, result.agreement) for result in results]
    positions = annotated(cohort.test)[:SHOWN] or list(range(min(SHOWN, len(cohort.test))))
    maps = {r.title: cams(r.network, r.target_layer, cohort.test, positions)[0] for r in results}
    labels = [cohort.labels("test")[position] for position in positions]
    notes = {
        r.title: [
            f"{cohort.class_names[label]}: {r.probabilities['test'][position, label]:.2f}"
            for position, label in zip(positions, labels, strict=True)
        ]
        for r in results
    }
    caption = (
        "The first test images, those with annotations if there are any; not a selection. Left the "
        "image with its annotated region; then Grad-CAM of the image's own class, with the "
        "network's probability of that class."
    )
    return [
        html.paragraph(
            "A map that agrees with the annotations says something only if it agrees better than "
            "that of a network with random weights, a constant bump in the centre, and the mean "
            "mask of the training images: these know where such regions tend to lie, or nothing."
        ),
        *tables,
        html.figure(explanation_figure(cohort, positions, maps, notes), caption),
    ]


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
