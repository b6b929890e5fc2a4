"""Results as tables, in text and in HTML, and in the types that JSON has."""

import html
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = [
    "Table",
    "Tabled",
    "estimate_cells",
    "estimate_columns",
    "how_cell",
    "interval_cell",
    "method_notes",
    "number_cell",
]


@dataclass(frozen=True)
class Table:
    """Cells of text under their heads.

    Args:
        caption: Lines above the table.
        head: One per column.
        rows: Each as long as ``head``; the first cell names the row.
        notes: Lines below the table.

    Examples:
        >>> from seattn.metrics import Table
        >>> table = Table(
        ...     caption=("8 cases",),
        ...     head=("metric", "value"),
        ...     rows=(("auc", "0.94"), ("f1", "0.75")),
        ... )
        >>> print(table)
        8 cases
        <BLANKLINE>
        metric  value
        auc     0.94
        f1      0.75
        >>> table.to_html().splitlines()[1]
        '<caption>8 cases</caption>'
    """

    caption: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Columns as wide as their longest cell."""
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        parts = (self.caption, table, self.notes)
        return "\n\n".join("\n".join(part) for part in parts if part)

    def to_html(self) -> str:
        """One ``<table>``, escaped."""
        caption = "<br>".join(map(html.escape, self.caption))
        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in self.head)
        rows = "\n".join(
            f'<tr><th scope="row">{html.escape(name)}</th>'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            + "</tr>"
            for name, *cells in self.rows
        )
        notes = "<br>".join(map(html.escape, self.notes))
        foot = f'<tfoot><tr><td colspan="{len(self.head)}">{notes}</td></tr></tfoot>\n'
        return (
            "<table>\n"
            + (f"<caption>{caption}</caption>\n" if caption else "")
            + f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n"
            + (foot if notes else "")
            + "</table>"
        )


class Tabled(ABC):
    """A frozen dataclass that can be read as a table; ``print`` shows it, and so do notebooks."""

    @abstractmethod
    def table(self) -> Table:
        """What is shown."""

    def __str__(self) -> str:
        """The table as text."""
        return str(self.table())

    def to_html(self) -> str:
        """The table as a fragment of HTML, without styles and scripts."""
        return self.table().to_html()

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_dict(self) -> dict[str, Any]:
        """The fields in types that JSON has; nan and infinity become ``None``.

        Beside each stands its ``reason``.
        """
        return {name: _plain(value) for name, value in asdict(self).items()}  # type: ignore[call-overload]

    def to_json(self, *, indent: int | None = None) -> str:
        """``to_dict`` as JSON, on one line or indented."""
        return json.dumps(self.to_dict(), allow_nan=False, indent=indent)


def estimate_columns(level: float) -> tuple[str, ...]:
    """The heads of ``estimate_cells``."""
    return "value", f"{100 * level:g}% interval", "n", "patients", "how, or why not"


def estimate_cells(estimate: Any) -> tuple[str, ...]:
    """Value, interval, cases, patients and method of an ``Estimate``."""
    patients = "-" if estimate.n_patients is None else str(estimate.n_patients)
    interval = interval_cell(estimate.low, estimate.high)
    how = how_cell(estimate.method, estimate.reason)
    return number_cell(estimate.value), interval, str(estimate.n), patients, how


def number_cell(value: float) -> str:
    """Three decimals; no minus before a zero."""
    return "-" if math.isnan(value) else f"{value:z.3f}"


def interval_cell(low: float, high: float) -> str:
    """Both ends, or a dash."""
    return "-" if math.isnan(low) else f"[{number_cell(low)}, {number_cell(high)}]"


def how_cell(method: str | None, reason: str | None) -> str:
    """Method and reason; of a bootstrap the name only, for ``method_notes`` has the rest."""
    parts = (method or "").split("; ")
    named = [part.split(", ")[0] if "resamples" in part else part for part in parts]
    return "; ".join(filter(None, [*named, reason]))


def method_notes(methods: Iterable[str | None], seed: int) -> tuple[str, ...]:
    """A line for every bootstrap among the methods, with what ``how_cell`` leaves out."""
    parts = {part: None for method in methods if method for part in method.split("; ")}
    named = [part.split(", ", 1) for part in parts if "resamples" in part]
    return tuple(f"{name}: {rest}, seed {seed}" for name, rest in named)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
