"""The report a person opens: one HTML file that needs nothing beside it, and the same facts as JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape

from examples.ankle_fracture.explanation import Agreement

__all__ = ["agreement_table", "figure", "items", "number", "page", "paragraph", "section", "table"]

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--soft); } caption { text-align: left; color: #777; padding: .3rem 0; }
.wide { overflow-x: auto; } figure { margin: 1rem 0; } figcaption { color: #777; font-size: .9rem; }
img { max-width: 100%; background: white; border-radius: 4px; }
.notice { border-left: 4px solid #c2410c; padding: .4rem 1rem; background: var(--soft); }
code, pre { font-size: .85rem; } pre { overflow-x: auto; background: var(--soft); padding: .8rem; }
@media print { body { max-width: none; margin: 0; } h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole HTML document."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def section(title: str, *body: str) -> str:
    """A heading with what belongs to it."""
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(body)


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
    rest = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table>{above}<tr>{first}</tr>{rest}</table></div>'


def figure(png: bytes, caption: str) -> str:
    """A picture inside the page."""
    data = base64.b64encode(png).decode()
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def number(value: float | None) -> str:
    """Three decimals; what is not defined is a dash."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def agreement_table(title: str, found: Agreement) -> str:
    """The measures of one network beside their controls, with the verdict in words."""
    if found.reason:
        return paragraph(f"{title}: not scored: {found.reason}.")
    rows = []
    for measure in found.measures:
        rows.append((measure.name, "network", number(measure.model), ""))
        for control, value in measure.controls.items():
            low, high = measure.differences[control]
            rows.append(("", control, number(value), f"{low:+.3f} to {high:+.3f}"))
        rows.append(("", "chance: share of pixels in the mask", number(measure.chance), ""))
        verdict = "beats all three controls" if measure.beats_all_controls else "not better than chance of place"
        rows.append(("", "verdict", verdict, ""))
    grid = "x".join(map(str, found.grid))
    caption = f"{title}: {found.images} annotated test images of {found.patients} patients, maps of {grid} cells"
    head = ("measure", "map", "mean", "network minus control, 95 % interval over patients")
    return table(head, rows, caption=caption)
