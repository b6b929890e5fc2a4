"""Part of the report: every choice of the run beside both protocols', with what is assumed."""

from __future__ import annotations

from typing import Any

from examples.ankle_fracture.config import Config
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.protocol import PROTOCOLS, assumed, choices
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """The protocol as a table; choices in which the protocols differ come first."""
    rows = _choices(findings.config)
    ordered = sorted(rows, key=lambda row: bool(row["paper"] == row["sound"]))
    cells = [
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
    caption = (
        f"Protocol '{findings.config.protocol}'. "
        "Where the two protocols differ, above; then the rest."
    )
    return Part("Protocol", [html.table(head, cells, caption=caption)], {"protocol": rows})


def _choices(config: Config) -> list[dict[str, Any]]:
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
