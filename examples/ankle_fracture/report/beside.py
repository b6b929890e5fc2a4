"""Part of the report: this run beside another, such as the paper's beside the sound protocol."""

from __future__ import annotations

import json
import math
from typing import Any

from examples.ankle_fracture.config import shareable
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.protocol import choices
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part
from examples.ankle_fracture.report.results import replicate_facts

__all__ = ["part"]

Facts = dict[str, Any]
TITLE = "Beside another run"


def part(findings: Findings) -> Part | None:
    """Choices in which the runs differ, their splits, and their results side by side, if any."""
    other = findings.beside
    if other is None:
        return None
    choices_differ = _differences(findings, other.facts["config"])
    here, there = replicate_facts(findings.first), other.facts["replicates"][0]
    same = here["split_hash"] == there["split_hash"]
    names = list(findings.first.cohort.class_names)
    verdict = _verdict(same=same, classes=names == other.facts["class_names"])
    results = _results(here, there)
    body = [
        html.paragraph(verdict),
        html.table(
            ("choice", "what it decides", "this run", other.name),
            [(row["choice"], row["about"], row["this"], row["other"]) for row in choices_differ],
            caption="Every choice in which the two differ.",
        ),
        html.table(
            ("network", "metric", "this run", other.name),
            [
                (r["title"], f"{r['metric']}, by {r['level']}", _cell(r["this"]), _cell(r["other"]))
                for r in results
            ],
            caption="Test results of the first seed of each at its main operating point, with the "
            "intervals that its protocol gives. - : that run has no such result.",
        ),
    ]
    facts = {
        "folder": other.name,
        "same_split": same,
        "differences": choices_differ,
        "results": results,
    }
    return Part(TITLE, body, {"beside": facts})


def _differences(findings: Findings, there: Facts) -> list[dict[str, str]]:
    here = json.loads(json.dumps(shareable(findings.config)))  # lists, as there
    about = {field.name: field.metadata["about"] for field in choices()}
    ordered = [*about, *(name for name in here if name not in about)]
    ordered += [name for name in there if name not in here]
    return [
        {
            "choice": name,
            "about": about.get(name, ""),
            "this": str(here.get(name, "-")),
            "other": str(there.get(name, "-")),
        }
        for name in ordered
        if here.get(name) != there.get(name)
    ]


def _verdict(*, same: bool, classes: bool) -> str:
    if not classes:
        return "The classes of the two runs differ: their results are not to be compared."
    if same:
        return (
            "The splits are the same: both runs have the same patients in each part. No test was "
            "made between them; what is counted as a test case may differ (copies)."
        )
    return (
        "The splits differ: other patients were tested, and a difference of two results may be "
        "theirs as well as the protocol's."
    )


def _results(here: Facts, there: Facts) -> list[Facts]:
    """Every metric of every network and level that one of the runs has."""
    rows = []
    for network in dict.fromkeys([*here["models"], *there["models"]]):
        models = [run["models"].get(network, {}) for run in (here, there)]
        title = next(model["title"] for model in models if model)
        levels = [model.get("levels", {}) for model in models]
        for level in dict.fromkeys([*levels[0], *levels[1]]):
            this, other = (_estimates(of.get(level, {})) for of in levels)
            rows += [
                {
                    "network": network,
                    "title": title,
                    "level": level,
                    "metric": metric,
                    "this": this.get(metric),
                    "other": other.get(metric),
                }
                for metric in dict.fromkeys([*this, *other])
            ]
    return rows


def _estimates(level: Facts) -> Facts:
    """Value and interval of each metric at the main operating point of a level, by name."""
    if not level:
        return {}
    report = next(iter(level.values()))
    blocks = (
        {"": report["estimates"]}
        if "estimates" in report
        else {
            "all classes: ": report["overall"],
            "mean of classes: ": report["macro"],
            **{f"{name}: ": of for name, of in report["per_class"].items()},
        }
    )
    return {
        block + name: {end: of[end] for end in ("value", "low", "high")}
        for block, found in blocks.items()
        for name, of in found.items()
    }


def _cell(found: Facts | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    ends = (math.nan if found[end] is None else found[end] for end in ("low", "high"))
    return html.interval(found["value"], *ends)
