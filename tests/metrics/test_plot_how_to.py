"""The cells of the how-to on plots run, and the figures at their ends fit the page."""

import re

from tests.metrics.drawn import fits
from tests.pages import DOCS


def test_the_cells_run_and_end_in_figures_that_fit():
    page = (DOCS / "how-to" / "plot_metrics.md").read_text(encoding="utf-8")
    names, drawn = {}, 0
    for cell in re.findall(r"^```\{code-cell\}\n([^:].*?)^```", page, re.S | re.M):
        code, plots = re.subn(r"^plot_", "figure = plot_", cell, flags=re.M)
        exec(compile(code, "plot_metrics.md", "exec"), names)
        assert not plots or fits(names.pop("figure"))
        drawn += plots
    assert drawn == 7
