"""Part of the report: what this run does not do of its protocol."""

from __future__ import annotations

from examples.ankle_fracture.config import leaves_out
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """Every departure of the run from its protocol."""
    lines = leaves_out(findings.config)
    return Part("What this run leaves out", [html.items(lines)], {"leaves_out": lines})
