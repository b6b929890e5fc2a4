"""Part of the report: every metric over the seeds."""

from __future__ import annotations

from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """Means over the seeds with their intervals, and paired differences with their tests."""
    return Part("Repetitions", [_table(findings)], {"repetitions": findings.repetitions})


def _table(findings: Findings) -> str:
    if not findings.repetitions:
        return html.paragraph("One seed: nothing is known of how much a repetition would differ.")
    rows = [
        (
            each.level,
            each.metric,
            f"{each.first} - {each.second}" if each.second else each.first,
            html.interval(each.mean, each.low, each.high),
            html.number(each.sd),
            ", ".join(map(html.number, each.values)),
            html.p_value(each.p_value),
            html.p_value(each.p_holm),
            each.method,
        )
        for each in findings.repetitions
    ]
    head = ("by", "metric", "network", "mean, 95 %", "SD", "runs", "p", "p (Holm)", "method")
    return html.table(head, rows, caption=f"{len(findings.replicates)} seeds.")
