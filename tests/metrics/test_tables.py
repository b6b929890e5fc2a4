import math

from seattn.metrics import Table
from seattn.metrics.tables import how_cell, interval_cell, method_notes, number_cell

SMALL = Table(
    caption=("a & b",),
    head=("<name>", "value"),
    rows=(('<script src="x">', "< 1"), ("long name", "2")),
    notes=("n & m",),
)


def test_columns_are_as_wide_as_their_longest_cell():
    assert str(SMALL) == (
        'a & b\n\n<name>            value\n<script src="x">  < 1\nlong name         2\n\nn & m'
    )


def test_nothing_in_a_cell_becomes_html():
    assert SMALL.to_html() == (
        "<table>\n"
        "<caption>a &amp; b</caption>\n"
        '<thead><tr><th scope="col">&lt;name&gt;</th><th scope="col">value</th></tr></thead>\n'
        "<tbody>\n"
        '<tr><th scope="row">&lt;script src=&quot;x&quot;&gt;</th><td>&lt; 1</td></tr>\n'
        '<tr><th scope="row">long name</th><td>2</td></tr>\n'
        "</tbody>\n"
        '<tfoot><tr><td colspan="2">n &amp; m</td></tr></tfoot>\n'
        "</table>"
    )


def test_a_table_without_caption_and_notes_has_neither():
    bare = Table(caption=(), head=("a",), rows=(("1",),))
    assert str(bare) == "a\n1"
    assert "caption" not in bare.to_html()
    assert "tfoot" not in bare.to_html()


def test_numbers_have_three_decimals_and_zero_no_sign():
    assert [number_cell(v) for v in (0.12345, -0.0004, -1.5, math.inf, math.nan)] == [
        "0.123",
        "0.000",
        "-1.500",
        "inf",
        "-",
    ]
    assert interval_cell(-0.0001, 1) == "[0.000, 1.000]"
    assert interval_cell(math.nan, math.nan) == "-"


def test_a_bootstrap_is_named_in_the_cell_and_described_below():
    method = "paired patient bootstrap, 200 resamples, percentile; exact swaps of 9 patients"
    assert how_cell(method, "3 undefined") == (
        "paired patient bootstrap; exact swaps of 9 patients; 3 undefined"
    )
    assert how_cell("clustered DeLong, logit, t", None) == "clustered DeLong, logit, t"
    assert how_cell(None, None) == ""
    assert method_notes([method, None, "Wilson", method], seed=7) == (
        "paired patient bootstrap: 200 resamples, percentile, seed 7",
    )
