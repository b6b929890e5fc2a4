"""The page as a browser takes it: nothing from elsewhere, no dead link, every figure told twice."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from examples.ankle_fracture.config import shareable
from examples.ankle_fracture.report import html, making, write_report

VOID = {"meta", "img", "br", "link", "hr", "input"}
LOADS = {"script", "link", "iframe", "object", "embed", "base"}


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded, self.figures, self.headings = [], [], [], [], []
        self.open, self.text, self.unboxed = [], "", 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, pairs):
        found = dict(pairs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.loaded += [tag] if tag in LOADS else []
        if "src" in found and not found["src"].startswith("data:image/png;base64,"):
            self.loaded.append(found["src"])
        if tag == "figure":
            self.figures.append({"alt": None, "caption": ""})
        if tag == "img":
            self.figures[-1]["alt"] = found.get("alt")
        if tag in {"table", "img"} and ("div", "wide") not in self.open:
            self.unboxed += 1
        if tag == "h2":
            self.headings.append("")
        if tag not in VOID:
            self.open.append((tag, found.get("class")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "figcaption" in tags:
            self.figures[-1]["caption"] += data
        if "h2" in tags:
            self.headings[-1] += data
        if "style" not in tags:
            self.text += data


def check(text):
    """What holds for every page; the page, for more."""
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.loaded == []
    assert not re.search(r"@import|url\(", text)
    for link in page.links:
        assert link.startswith("#")
        assert link[1:] in page.ids
    for figure in page.figures:
        assert len(figure["caption"]) > 20
        assert 0 < len(figure["alt"]) <= 160
        assert len(figure["caption"]) < 160 or figure["alt"] != figure["caption"]
    assert page.unboxed == 0  # what is too wide scrolls in a box
    return page


@pytest.fixture(scope="module")
def page(findings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_report(findings, folder)
    return check((folder / "report.html").read_text(encoding="utf-8"))


def test_sections_are_numbered_as_in_the_contents(page):
    first, *others = page.headings
    assert first == "In brief"
    assert [int(title.split(". ")[0]) for title in others] == list(range(1, len(others) + 1))
    assert others[-2].endswith("Reporting checklist")
    assert others[-1].endswith("How it was made")
    contents = page.links[: len(others)]
    assert contents == [f"#{name}" for name in page.ids[1 : len(others) + 1]]


def test_it_says_what_it_is_not_for(page):
    assert page.text.count("not for diagnosis") >= 1
    assert "Not for diagnosis, triage or treatment" in page.text


def test_a_run_of_one_network_on_few_images_makes_a_whole_page(finished):
    assert len(check((finished / "report.html").read_text(encoding="utf-8")).figures) >= 3


def test_your_own_images_are_not_told_by_the_phantoms_choices_nor_by_where_they_lie(findings):
    config = dataclasses.replace(
        findings.config,
        images="/home/Smith^Anna/images",
        labels="/home/Smith^Anna/labels.csv",
        weights=("resnet_small=/home/Smith^Anna/weights.pth",),
    )
    own = making.part(dataclasses.replace(findings, config=config)).body[0]
    assert "Smith" not in own
    assert "<td>images</td><td>images</td>" in own
    assert "labels.csv" in own
    assert "resnet_small=weights.pth" in own
    assert "Smith" not in str(shareable(config))
    synthetic = making.part(findings).body[0]
    for choice in ("phantom", "patients", "prevalence"):
        assert f"<td>{choice}</td>" in synthetic
        assert f"<td>{choice}</td>" not in own
    assert "<td>images</td>" not in synthetic


def test_text_is_escaped_and_markup_is_not():
    row = ["a < b", html.link("One & two"), html.filled("x < y", ["age & sex"])]
    table = html.table(["<h>"], [row], caption="<c>")
    assert "<td>a &lt; b</td>" in table
    assert '<td><a href="#one-two">One &amp; two</a></td>' in table
    assert '<td>x &lt; y<span class="blank">age &amp; sex: </span></td>' in table
    assert "&lt;h&gt;" in table
    assert "<caption>&lt;c&gt;</caption>" in table
    assert 'id="one-two"' in html.section("One & two")


@pytest.mark.parametrize(
    ("caption", "alt", "expected"),
    [
        ("Curves. Seed 0.", None, "Curves"),
        ("Accuracy of 0.93 by image; more", None, "Accuracy of 0.93 by image"),
        ("No stop at all", None, "No stop at all"),
        ("Curves. Seed 0.", 'drawn "so"', "drawn &quot;so&quot;"),
    ],
)
def test_the_alternative_of_a_picture_is_short(caption, alt, expected):
    figure = html.figure(b"", caption, alt=alt)
    assert f'alt="{expected}"' in figure
    assert f"<figcaption>{caption}</figcaption>" in figure


@pytest.mark.parametrize(
    ("name", "words"), [("roc_auc", "ROC area"), ("balanced_accuracy", "balanced accuracy")]
)
def test_metrics_are_called_by_name(name, words):
    assert html.metric(name) == words


def test_an_interval_of_nothing_is_left_out():
    assert html.interval(0.5, np.nan, np.nan) == "0.500"
