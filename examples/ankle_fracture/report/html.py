"""The bricks of a self-contained HTML page: text, tables, pictures inside the file.

A brick takes plain text and escapes it; ``link`` and ``filled`` give ``Markup``, which cells and
lines of a list take as it is.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from seattn.metrics import Estimate

__all__ = [
    "Markup",
    "contents",
    "estimate",
    "figure",
    "filled",
    "interval",
    "items",
    "link",
    "methods",
    "metric",
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


class Markup(str):
    """Text that is HTML already."""


def section(title: str, *body: str, number: int | None = None) -> str:
    """A heading, perhaps with its number, and what belongs to it."""
    head = escape(title if number is None else f"{number}. {title}")
    return f'<section><h2 id="{_anchor(title)}">{head}</h2>\n' + "\n".join(body) + "\n</section>"


def contents(titles: Iterable[str]) -> str:
    """Links to the sections of these titles, which are numbered in this order."""
    links = (f"<li>{link(title)}</li>" for title in titles)
    return '<nav aria-label="Contents"><ol>' + "".join(links) + "</ol></nav>"


def link(title: str) -> Markup:
    """A link to the section of that title."""
    return Markup(f'<a href="#{_anchor(title)}">{escape(title)}</a>')


def filled(text: str, blanks: Iterable[str]) -> Markup:
    """A text and after it places to fill in by hand, on screen or on paper."""
    places = (f'<span class="blank">{escape(what)}: </span>' for what in blanks)
    return Markup(escape(text) + "".join(places))


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def paragraph(text: str, *, notice: bool = False) -> str:
    """A paragraph; a notice stands out."""
    return f"<p{' class=notice' if notice else ''}>{escape(text)}</p>"


def items(lines: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """A table of texts, which scrolls in a box of its own where it is too wide."""
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    first = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    rest = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table>{above}<thead><tr>{first}</tr></thead>'
        f"<tbody>{rest}</tbody></table></div>"
    )


def _text(cell: str) -> str:
    return cell if isinstance(cell, Markup) else escape(cell)


def figure(png: bytes, caption: str, *, alt: str | None = None) -> str:
    """A picture inside the page.

    Args:
        png: The picture.
        caption: What it shows, in whole sentences.
        alt: The same in a few words, for who cannot see it; by default the caption's first clause.
    """
    data = base64.b64encode(png).decode()
    short = escape(re.split(r"[.;:](?:\s|$)", caption, maxsplit=1)[0] if alt is None else alt)
    return (
        f'<figure><div class="wide"><img alt="{short}" src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
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


def metric(name: str) -> str:
    """A metric as a person calls it."""
    return "ROC area" if name == "roc_auc" else name.replace("_", " ")


def p_value(value: float) -> str:
    """A p value; nothing where there is none."""
    if value < 0.0005:
        return "< 0.001"
    return "" if math.isnan(value) else number(value)
