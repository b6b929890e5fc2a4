"""Another finished run of the study, to be put beside this one in the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["OtherRun", "read_run"]

NEEDED = ("config", "class_names", "replicates")


@dataclass(frozen=True)
class OtherRun:
    """What the report of that run says.

    Args:
        name: Of its folder.
        facts: Its report.json.
    """

    name: str
    facts: dict[str, Any]


def read_run(beside: Path, folder: Path) -> OtherRun:
    """Reads the report of a finished run.

    Args:
        beside: Its folder.
        folder: That of the run which asks.

    Raises:
        ValueError: The folder has no report, or that of another version, or is the run's own.
    """
    path = beside / "report.json"
    if beside.resolve() == folder.resolve():
        raise ValueError(f"`beside` (='{beside}') is this run's own folder: give another run's.")
    if not path.is_file():
        raise ValueError(
            f"`beside` (='{beside}') holds no report.json: give the folder of a finished run."
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is damaged: run that study again.") from error
    if not isinstance(facts, dict) or (missing := [name for name in NEEDED if name not in facts]):
        lacking = "" if not isinstance(facts, dict) else f": it has no {', '.join(missing)}"
        raise ValueError(f"'{path}' is no report of this version of the study{lacking}.")
    return OtherRun(beside.resolve().name, facts)
