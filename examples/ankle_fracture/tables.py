"""Tables of the report: the protocol with what it assumes, test results, tests, repetitions."""

from __future__ import annotations

import math

from examples.ankle_fracture import html
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.evaluation import Level, by_name
from examples.ankle_fracture.findings import BASELINE, Findings
from examples.ankle_fracture.protocol import PROTOCOLS, assumed, choices
from seattn.metrics import BinaryReport, Estimate

__all__ = [
    "comparison_table",
    "item_table",
    "protocol_rows",
    "protocol_table",
    "repetition_table",
    "result_tables",
    "split_table",
]


def protocol_rows(config: Config) -> list[dict[str, object]]:
    """Every choice: what it decides, this run's value, both protocols', and what is assumed."""
    paper, sound = PROTOCOLS["paper"](), PROTOCOLS["sound"]()
    return [
        {
            "choice": f.name,
            "about": f.metadata["about"],
            "run": getattr(config, f.name),
            "paper": getattr(paper, f.name),
            "sound": getattr(sound, f.name),
            "assumed": assumed(f),
        }
        for f in choices()
    ]


def protocol_table(config: Config) -> str:
    """The same as a table; choices in which the protocols differ come first."""
    ordered = sorted(protocol_rows(config), key=lambda row: row["paper"] == row["sound"])
    rows = [
        (
            str(row["choice"]),
            str(row["about"]),
            str(row["run"]),
            str(row["paper"]) + (" (assumed)" if row["assumed"] else ""),
            str(row["sound"]),
            f"assumed, the paper does not state: {row['assumed']}" if row["assumed"] else "",
        )
        for row in ordered
    ]
    head = ("choice", "what it decides", "this run", "paper", "sound", "note")
    caption = f"Protocol '{config.protocol}'. Where the two protocols differ, above; then the rest."
    return html.table(head, rows, caption=caption)


def item_table(findings: Findings) -> str:
    """What the protocol makes of the images of each part."""
    rows = [
        (name, str(len(items.dataset)), str(items.versions), str(len(items)))
        for name, items in findings.first.items.items()
    ]
    return html.table(("part", "images", "versions of each", "items"), rows)


def split_table(findings: Findings) -> str:
    """The hash of each seed's split: equal hashes, equal patients in each part."""
    rows = [(str(each.seed), each.cohort.split_hash) for each in findings.replicates]
    return html.table(("seed", "hash of the split"), rows)


def result_tables(findings: Findings) -> list[str]:
    """Test results at each level and operating point."""
    results = findings.first.results.values()
    levels = next(iter(results)).levels
    tables = [
        _results(findings, level, rule, {r.title: r.levels[level] for r in results})
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


def _results(findings: Findings, level: str, rule: str, by_title: dict[str, Level]) -> str:
    reports = {title: found.reports[rule] for title, found in by_title.items()}
    if level == "image":
        reports |= {BASELINE: findings.first.baseline}
    columns = [by_name(report) for report in reports.values()]
    rows = [(name, *(_estimate(column[name]) for column in columns)) for name in columns[0]]
    thresholds = [r.threshold for r in reports.values() if isinstance(r, BinaryReport)]
    if thresholds:
        rows.append(("threshold", *map(html.number, thresholds)))
    config = findings.config
    caption = f"By {level}, operating point: {rule}. " + (
        "Chosen on validation, applied once. 95 % intervals with patients as clusters."
        if config.inference
        else "This protocol gives its networks no intervals."
    )
    return html.table(("metric", *reports), rows, caption=caption)


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return f"- ({estimate.reason})"
    return _with_interval(estimate.value, estimate.low, estimate.high)


def _with_interval(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return html.number(value)
    return f"{html.number(value)} [{html.number(low)}, {html.number(high)}]"


def comparison_table(findings: Findings) -> str:
    """The tests between networks of the first seed."""
    if not findings.comparisons:
        return html.paragraph("None: this protocol tests nothing, or there is one network.")
    rows = [
        (
            each.level,
            each.comparison.metric,
            f"{each.first} - {each.second}" + (" (SE ablation)" if each.ablation else ""),
            _with_interval(each.comparison.difference, each.comparison.low, each.comparison.high),
            _p(each.comparison.p_value),
            _p(each.p_holm),
            each.comparison.method or str(each.comparison.reason),
        )
        for each in findings.comparisons
    ]
    head = ("by", "metric", "networks", "difference, 95 %", "p", "p (Holm)", "method")
    caption = f"Seed {findings.first.seed}, {len(rows)} comparisons adjusted together."
    return html.table(head, rows, caption=caption)


def repetition_table(findings: Findings) -> str:
    """Every metric over the seeds."""
    if not findings.repetitions:
        return html.paragraph("One seed: nothing is known of how much a repetition would differ.")
    rows = [
        (
            each.level,
            each.metric,
            f"{each.first} - {each.second}" if each.second else each.first,
            _with_interval(each.mean, each.low, each.high),
            html.number(each.sd),
            ", ".join(map(html.number, each.values)),
            _p(each.p_value),
            _p(each.p_holm),
            each.method,
        )
        for each in findings.repetitions
    ]
    head = ("by", "metric", "network", "mean, 95 %", "SD", "runs", "p", "p (Holm)", "method")
    return html.table(head, rows, caption=f"{len(findings.replicates)} seeds.")


def _p(value: float) -> str:
    return "" if math.isnan(value) else html.number(value)
