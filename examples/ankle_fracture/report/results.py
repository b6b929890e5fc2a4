"""Part of the report: what the networks reached on the test images."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from matplotlib.figure import Figure

from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.evaluation import Level, by_name
from examples.ankle_fracture.findings import BASELINE, Findings, Replicate
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import COLOURS, png
from examples.ankle_fracture.report.part import Part
from seattn.metrics import BinaryReport, Estimate

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """Test results at each level and operating point, and ROC curves."""
    body = _tables(findings)
    if findings.roc():
        body.append(html.figure(png(_roc(findings)), "ROC curves of the test images."))
    facts = _replicate(findings.first)
    return Part(
        "Test results", body, facts | {"replicates": [*map(_replicate, findings.replicates)]}
    )


def _replicate(replicate: Replicate) -> dict[str, Any]:
    return {
        "seed": replicate.seed,
        "split_hash": replicate.cohort.split_hash,
        "items": {name: len(items) for name, items in replicate.items.items()},
        "models": {name: _result(result) for name, result in replicate.results.items()},
        "baseline": {"title": BASELINE, "test": replicate.baseline.to_dict()},
    }


def _result(result: Result) -> dict[str, Any]:
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


def _tables(findings: Findings) -> list[str]:
    results = findings.first.results.values()
    levels = next(iter(results)).levels
    tables = [
        _table(findings, level, rule, {r.title: r.levels[level] for r in results})
        for level in levels
        for rule in levels[level].reports
    ]
    if findings.config.patient_level and "patient" not in levels:
        tables.append(
            html.paragraph(
                "Not by patient: some have images of several classes beside the first, which is "
                f"taken for nothing found ({findings.first.cohort.class_names[0]})."
            )
        )
    return tables


def _table(findings: Findings, level: str, rule: str, by_title: dict[str, Level]) -> str:
    reports = {title: found.reports[rule] for title, found in by_title.items()}
    if level == "image":
        reports |= {BASELINE: findings.first.baseline}
    columns = [by_name(report) for report in reports.values()]
    rows = [(name, *(_estimate(column[name]) for column in columns)) for name in columns[0]]
    thresholds = [r.threshold for r in reports.values() if isinstance(r, BinaryReport)]
    if thresholds:
        rows.append(("threshold", *map(html.number, thresholds)))
    caption = f"By {level}, operating point: {rule}. " + (
        "Chosen on validation, applied once. 95 % intervals with patients as clusters."
        if findings.config.inference
        else "This protocol gives its networks no intervals."
    )
    return html.table(("metric", *reports), rows, caption=caption)


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return f"- ({estimate.reason})"
    return html.interval(estimate.value, estimate.low, estimate.high)


def _roc(findings: Findings) -> Figure:
    """ROC curves from (false positive rate, sensitivity) by name."""
    figure = Figure(figsize=(4.4, 4), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], ":", color="grey", lw=1)
    for colour, (title, (false_positive, sensitivity)) in zip(
        COLOURS, findings.roc().items(), strict=False
    ):
        ax.plot(false_positive, sensitivity, color=colour, label=title)
    ax.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    ax.legend(fontsize=8, loc="lower right")
    return figure
