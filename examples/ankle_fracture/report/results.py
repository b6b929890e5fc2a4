"""Part of the report: what the networks reached on the test images."""

from __future__ import annotations

import dataclasses
from typing import Any

from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.evaluation import Level, by_name
from examples.ankle_fracture.findings import BASELINE, Findings, Replicate
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part
from examples.ankle_fracture.report.precision import precision_of
from seattn.metrics import BinaryReport, OperatingPoint

__all__ = ["part", "replicate_facts"]


def part(findings: Findings) -> Part:
    """Test results at each level and operating point, and how exact this test set can be."""
    size = precision_of(findings.first.cohort)
    facts = replicate_facts(findings.first) | {
        "replicates": [*map(replicate_facts, findings.replicates)],
        "test_size": size,
    }
    return Part("Test results", [*_tables(findings), html.paragraph(size.sentence)], facts)


def replicate_facts(replicate: Replicate) -> dict[str, Any]:
    """What report.json has of a seed."""
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
    rows = [
        (html.metric(name), *(html.estimate(column[name]) for column in columns))
        for name in columns[0]
    ]
    thresholds = [r.threshold for r in reports.values() if isinstance(r, BinaryReport)]
    if thresholds:
        rows.append(("threshold", *map(html.number, thresholds)))
    point = next(iter(findings.first.results.values())).decision.points.get(level, {}).get(rule)
    chosen = ""
    if isinstance(point, OperatingPoint):
        chosen = "The networks' thresholds were chosen on validation, and applied once. "
    intervals = (
        "95 % intervals with patients as clusters."
        if findings.config.inference
        else "This protocol gives no intervals."
    )
    caption = f"By {level}, operating point: {rule}. {chosen}{intervals}"
    return html.table(("metric", *reports), rows, caption=caption)
