"""The report of a run: one HTML file that needs nothing beside it, and report.json.

Each module here is a part: ``part(findings)`` gives its title, its bricks and its numbers, or None
where it has nothing to say of the run. The checklist is made of all others.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from examples.ankle_fracture.config import Config, shareable
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import (
    attention,
    bars,
    beside,
    brief,
    checklist,
    comparisons,
    confounder,
    confusion,
    curves,
    failures,
    flow,
    heat_maps,
    html,
    left_out,
    limitations,
    making,
    modules,
    patients,
    pictures,
    protocol,
    repetitions,
    results,
    subgroups,
    training,
    weaknesses,
)
from examples.ankle_fracture.report.part import Part

__all__ = ["write_report"]

PARTS = (
    brief,
    flow,
    patients,
    pictures,
    modules,
    protocol,
    training,
    results,
    bars,
    curves,
    confusion,
    subgroups,
    comparisons,
    repetitions,
    beside,
    heat_maps,
    failures,
    attention,
    confounder,
    weaknesses,
    left_out,
    limitations,
    making,
)
NOT_FOR_DIAGNOSIS = (
    "A worked example of a software library. Not a medical device, not for diagnosis; "
    "nothing here is evidence about patients."
)


def write_report(findings: Findings, folder: Path) -> None:
    """Writes report.html for a person and report.json for a program.

    Args:
        findings: Of the run.
        folder: Where they go.
    """
    parts = [part for module in PARTS if (part := module.part(findings)) is not None]
    parts.insert(-1, checklist.part(findings, parts))
    facts: dict[str, Any] = {"config": shareable(findings.config)}
    for part in parts:
        if shared := facts.keys() & part.facts.keys():
            raise ValueError(f"two parts of the report have the facts {', '.join(shared)}.")
        facts |= part.facts
    text = json.dumps(_plain(facts), indent=2, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(_page(findings, parts), encoding="utf-8")


def _page(findings: Findings, parts: list[Part]) -> str:
    """The first part stands above the contents; the others are numbered."""
    first, *others = parts
    body = [
        html.paragraph(NOT_FOR_DIAGNOSIS, notice=True),
        html.paragraph(f"Images: {findings.first.cohort.source}."),
        html.section(first.title, *first.body),
        html.contents(part.title for part in others),
        *(html.section(part.title, *part.body, number=i) for i, part in enumerate(others, 1)),
    ]
    return html.page(_title(findings.config), body)


def _title(config: Config) -> str:
    return "Ankle-fracture study" if config.images is None else "Study of your own images"


def _plain(value: object) -> object:
    """The same in types that JSON has; what is not a finite number is null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and numbers of numpy and torch
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
