"""The reliability diagram shows the numbers of the functions that it names."""

import numpy as np
import pytest

from seattn.metrics import ece, plot_reliability, recalibration, reliability, share_interval
from tests.metrics.drawn import BLUE, ORANGE, curve, fits, legend, strokes, xy
from tests.metrics.worked import PATIENTS, A, Y

WORKED = {"y_true": Y, "y_score": A}


@pytest.mark.parametrize("options", [{"bins": 5}, {"bins": 4, "binning": "mass"}])
def test_points_and_intervals_are_those_of_the_bins(options):
    figure = plot_reliability(**WORKED, patients=PATIENTS, **options, level=0.9)
    table = reliability(**WORKED, **options)
    ax = figure.axes[0]
    points = next(line for line in ax.get_lines() if line.get_marker() == "o")
    assert xy(points) == (table.mean_score.tolist(), table.observed.tolist())
    for b, drawn in enumerate(strokes(ax, BLUE)):
        low, high = table.edges[b : b + 2]
        members = [k for k, s in enumerate(A) if low <= s < high or s == high == 1]
        assert len(members) == table.counts[b]
        share = share_interval(
            [Y[k] for k in members], patients=[PATIENTS[k] for k in members], level=0.9
        )
        assert drawn == ([table.mean_score[b]] * 2, [share.low, share.high])
    assert len(strokes(ax, BLUE)) == len(table.counts)
    kind = "equally many cases" if "binning" in options else "equal width"
    assert legend(figure)[0].startswith(
        f"{len(table.counts)} bins of {kind}: ECE {ece(**WORKED, **options):.3f} 90% intervals: "
    )


def test_the_line_is_the_recalibration():
    figure = plot_reliability(**WORKED)
    fit = recalibration(**WORKED)
    x, y = map(np.array, xy(curve(figure.axes[0], ORANGE)))
    odds = np.exp(fit.intercept) * (x / (1 - x)) ** fit.slope
    assert y == pytest.approx(odds / (1 + odds), abs=1e-12)
    assert legend(figure)[1] == "recalibration: slope 2.40, intercept -0.68"


def test_the_histogram_stacks_the_cases_of_both_classes():
    below = plot_reliability(**WORKED).axes[1]
    negatives, positives = below.containers
    for k, (bar, on_top) in enumerate(zip(negatives, positives, strict=True)):
        members = [y for y, s in zip(Y, A, strict=True) if k / 20 <= s < (k + 1) / 20]
        assert bar.get_x() == on_top.get_x() == k / 20
        assert bar.get_y() == 0
        assert bar.get_height() == on_top.get_y() == members.count(0)
        assert on_top.get_height() == members.count(1)
    assert legend(plot_reliability(**WORKED))[2:] == ["negative", "positive"]


def test_empty_bins_are_left_out():
    figure = plot_reliability(y_true=[0, 1, 0, 1], y_score=[0.1, 0.15, 0.9, 1.0], bins=10)
    drawn = [x for x, (low, _) in strokes(figure.axes[0], BLUE) if not np.isnan(low)]
    assert [x[0] for x in drawn] == pytest.approx([0.125, 0.95])
    assert fits(figure)


def test_without_a_line_the_legend_says_why():
    figure = plot_reliability(y_true=[0, 0, 1, 1], y_score=[0.1, 0.2, 0.8, 0.9])
    assert legend(figure)[1] == "no recalibration line: a threshold separates the classes"
    assert curve(figure.axes[0], ORANGE).get_linestyle() == "None"
    assert fits(figure)


def test_the_title_says_what_the_plot_rests_on():
    titled = plot_reliability(**WORKED, patients=PATIENTS).axes[0].get_title(loc="left")
    assert titled == "20 cases of 10 patients"
    assert fits(plot_reliability(**WORKED))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_score": [-1.0] * 20}, "must be probabilities"),
        ({"level": 0}, r"`level` \(=0\)"),
        ({"bins": 0}, r"`bins` \(=0\)"),
        ({"patients": [1]}, "`patients` has shape"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_reliability(**{**WORKED, **arguments})
