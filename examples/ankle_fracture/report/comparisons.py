"""Part of the report: tests between the networks of the first seed."""

from __future__ import annotations

from itertools import groupby

from examples.ankle_fracture import networks
from examples.ankle_fracture.comparisons import Paired
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import png
from examples.ankle_fracture.report.part import Part
from seattn.metrics import Estimate, plot_forest

__all__ = ["pair", "part"]


def part(findings: Findings) -> Part:
    """Paired differences with the tests' names, adjusted together."""
    found = findings.comparisons
    if not found:
        text = "None: this protocol tests nothing, or there is one network."
        return Part("Networks compared", [html.paragraph(text)], {"comparisons": found})
    ordered = sorted(found, key=lambda each: (each.first, each.second))  # stable
    body = [
        _figure(list(rows))
        for _, rows in groupby(ordered, key=lambda each: (each.first, each.second))
    ]
    return Part("Networks compared", [*body, _table(findings)], {"comparisons": found})


def pair(first: str, second: str, *, ablation: bool) -> str:
    """Two networks by their titles, the second subtracted."""
    titles = (networks.find(name).title for name in (first, second))
    return " \N{MINUS SIGN} ".join(titles) + (" (SE ablation)" if ablation else "")


def _figure(rows: list[Paired]) -> str:
    """The differences of one pair about 0."""
    first = rows[0]
    who = pair(first.first, first.second, ablation=first.ablation)
    figure = plot_forest(
        {f"{html.metric(row.comparison.metric)}, by {row.level}": _estimate(row) for row in rows},
        metric=f"difference: {who}",
        reference=0.0,
    )
    caption = f"{who}: differences on the same test cases; to the right of 0 the first is better."
    return html.figure(png(figure), caption)


def _estimate(row: Paired) -> Estimate:
    c = row.comparison
    method = c.method and c.method.split("; ")[0]  # the rest is the test
    return Estimate(c.difference, c.low, c.high, c.level, method, c.n, c.n_patients, c.reason)


def _table(findings: Findings) -> str:
    rows = [
        (
            f"{html.metric(each.comparison.metric)}, by {each.level}",
            pair(each.first, each.second, ablation=each.ablation),
            html.interval(each.comparison.difference, each.comparison.low, each.comparison.high),
            html.p_value(each.comparison.p_value),
            html.p_value(each.p_holm),
            each.comparison.method or str(each.comparison.reason),
        )
        for each in findings.comparisons
    ]
    head = ("metric", "networks", "difference, 95 %", "p", "p (Holm)", "interval and test")
    caption = f"Seed {findings.first.seed}, {len(rows)} comparisons adjusted together."
    return html.table(head, rows, caption=caption)
