"""A part of the report: what a person reads of it, and the same numbers for a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """One section.

    Args:
        title: Its heading.
        body: Bricks of ``report.html``, in order.
        facts: What report.json gets of it, by key; dataclasses, numpy's numbers and nan may be in
            it. Keys of two parts must differ.
    """

    title: str
    body: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
