"""Part of the report: tests between the networks of the first seed."""

from __future__ import annotations

from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """Paired differences with the tests' names, adjusted together."""
    return Part("Networks compared", [_table(findings)], {"comparisons": findings.comparisons})


def _table(findings: Findings) -> str:
    if not findings.comparisons:
        return html.paragraph("None: this protocol tests nothing, or there is one network.")
    rows = [
        (
            each.level,
            each.comparison.metric,
            f"{each.first} - {each.second}" + (" (SE ablation)" if each.ablation else ""),
            html.interval(each.comparison.difference, each.comparison.low, each.comparison.high),
            html.p_value(each.comparison.p_value),
            html.p_value(each.p_holm),
            each.comparison.method or str(each.comparison.reason),
        )
        for each in findings.comparisons
    ]
    head = ("by", "metric", "networks", "difference, 95 %", "p", "p (Holm)", "method")
    caption = f"Seed {findings.first.seed}, {len(rows)} comparisons adjusted together."
    return html.table(head, rows, caption=caption)
