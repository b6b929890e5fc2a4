"""The bricks of a self-contained HTML page: text, tables, pictures inside the file."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from seattn.metrics import Estimate

__all__ = [
    "contents",
    "estimate",
    "figure",
    "interval",
    "items",
    "methods",
    "number",
    "p_value",
    "page",
    "paragraph",
    "section",
    "table",
]

STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def page(title: str, body: Iterable[str]) -> str:
    """A whole HTML document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def section(title: str, *body: str) -> str:
    """A heading with what belongs to it."""
    return f'<h2 id="{_anchor(title)}">{escape(title)}</h2>\n' + "\n".join(body)


def contents(titles: Iterable[str]) -> str:
    """Links to the sections of these titles."""
    links = (f'<li><a href="#{_anchor(title)}">{escape(title)}</a></li>' for title in titles)
    return "<nav><ol>" + "".join(links) + "</ol></nav>"


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def paragraph(text: str, *, notice: bool = False) -> str:
    """A paragraph; a notice stands out."""
    return f"<p{' class=notice' if notice else ''}>{escape(text)}</p>"


def items(lines: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """A table of texts."""
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rest = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table>{above}<tr>{first}</tr>{rest}</table></div>'


def figure(png: bytes, caption: str) -> str:
    """A picture inside the page."""
    data = base64.b64encode(png).decode()
    text = escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def number(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}"


def interval(value: float, low: float, high: float) -> str:
    """A value with its interval, if it has one."""
    if math.isnan(low):
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def estimate(found: Estimate) -> str:
    """A value with its interval, or why there is no value."""
    if math.isnan(found.value):
        return f"- ({found.reason})"
    return interval(found.value, found.low, found.high)


def methods(estimates: Iterable[Estimate]) -> str:
    """How the intervals of these were made, in a sentence."""
    named = dict.fromkeys(found.method for found in estimates if found.method)
    return f"95 % intervals: {'; '.join(named)}." if named else "No intervals."


def p_value(value: float) -> str:
    """A p value; nothing where there is none."""
    if value < 0.0005:
        return "< 0.001"
    return "" if math.isnan(value) else number(value)
