"""What a result shows, read back: its text, its HTML and its JSON hold the same."""

import json
from html.parser import HTMLParser

BREAK = "\n<br>\n"


def check_shown(report) -> None:
    """JSON goes there and back, and HTML has the cells of the text."""
    assert json.loads(report.to_json()) == report.to_dict()
    table, text, page = report.table(), str(report), Cells()
    page.feed(report.to_html())
    assert page.rows == [list(row) for row in (table.head, *table.rows)]
    assert page.caption == list(table.caption)
    assert page.notes == list(table.notes)
    assert page.tags <= {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "br"}
    assert page.open == []
    assert report._repr_html_() == report.to_html()
    lines = [line for line in text.splitlines() if line]
    assert lines[: len(table.caption)] == list(table.caption)
    assert lines[len(lines) - len(table.notes) :] == list(table.notes)
    for line, row in zip(lines[len(table.caption) :], (table.head, *table.rows), strict=False):
        assert line.split() == " ".join(row).split()


class Cells(HTMLParser):
    """The text of a table's cells, and the tags it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.caption: list[str] = []
        self.notes: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        if tag == "br":
            self.handle_data(BREAK)
        assert set(dict(attrs)) <= {"scope", "colspan"}
        if tag == "tr":
            self.rows.append([])
        if tag == "caption":
            self.caption.append("")
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag
        if tag == "tfoot":
            self.notes = [line for line in self.rows.pop()[0].split(BREAK) if line]
        elif tag == "caption":
            self.caption = "".join(self.caption).split(BREAK)

    def handle_data(self, data: str) -> None:
        if "caption" in self.open:
            self.caption.append(data)
        elif "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
