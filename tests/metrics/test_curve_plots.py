"""The plots of curves show the numbers of the functions that they name."""

import subprocess
import sys

import numpy as np
import pytest

from seattn.metrics import (
    average_precision,
    bootstrap,
    decision_curve,
    net_benefit_band,
    plot_confusion,
    plot_decision,
    plot_forest,
    plot_pr,
    plot_reliability,
    plot_roc,
    pr_band,
    roc_auc_interval,
    roc_band,
    roc_curve,
    share_interval,
)
from tests.metrics.drawn import BLUE, ORANGE, corners, curve, fits, legend, strokes, xy
from tests.metrics.worked import PATIENTS, A, B, Y

FEW = {"resamples": 100}
CASES = {"y_true": Y, "patients": PATIENTS}
WORKED = {**CASES, "y_score": A}
BOTH = {**CASES, "y_score": {"first": A, "second": B}}
PLOTS = [plot_roc, plot_pr, plot_decision]


def test_the_roc_curve_is_that_of_roc_curve():
    (ax,) = plot_roc(**BOTH, **FEW).axes
    for colour, scores in ((BLUE, A), (ORANGE, B)):
        expected = roc_curve(y_true=Y, y_score=scores)
        assert xy(curve(ax, colour)) == (expected.fpr.tolist(), expected.tpr.tolist())


def test_the_steps_of_the_pr_curve_enclose_the_average_precision():
    (ax,) = plot_pr(**BOTH, **FEW).axes
    for colour, scores in ((BLUE, A), (ORANGE, B)):
        line = curve(ax, colour)
        recall, precision = xy(line)
        assert line.get_drawstyle() == "steps-pre"
        assert np.all(np.diff(recall) > 0)
        assert (recall[0], recall[-1]) == (0, 1)
        assert precision[0] == precision[1]
        area = np.diff(recall) @ np.array(precision[1:])
        assert area == pytest.approx(average_precision(y_true=Y, y_score=scores), abs=1e-15)


def test_the_first_step_begins_where_it_is_and_not_at_precision_1():
    (ax,) = plot_pr(y_true=[0, 1, 1, 0], y_score=[0.9, 0.8, 0.5, 0.1], **FEW).axes
    assert xy(curve(ax, BLUE)) == ([0, 0.5, 1], [0.5, 0.5, 2 / 3])


def test_the_decision_curves_are_those_of_decision_curve():
    thresholds = [0.1, 0.2, 0.3]
    (ax,) = plot_decision(**BOTH, thresholds=thresholds, **FEW).axes
    for colour, scores in ((BLUE, A), (ORANGE, B)):
        expected = decision_curve(y_true=Y, y_score=scores, thresholds=thresholds)
        assert xy(curve(ax, colour)) == (thresholds, expected.model.tolist())
    assert xy(curve(ax, "black")) == (thresholds, expected.treat_all.tolist())
    assert legend(plot_decision(**BOTH, **FEW))[2:4] == ["treat all", "treat none"]
    assert ax.get_xlim() == (0.1, 0.3)


@pytest.mark.parametrize(
    ("plot", "band_of"),
    [(plot_roc, roc_band), (plot_pr, pr_band), (plot_decision, net_benefit_band)],
)
def test_the_band_of_each_model_is_drawn_in_its_colour(plot, band_of):
    settings = {"level": 0.8, "resamples": 100, "seed": 3}
    (ax,) = plot(**BOTH, **settings).axes
    for drawn, scores, colour in zip(
        ax.collections, (A, B), ((0, 0x72), (0xD5, 0x5E)), strict=False
    ):
        band = band_of(**CASES, y_score=scores, **settings)
        ends = zip(np.tile(band.at, 2), np.concatenate([band.low, band.high]), strict=True)
        assert {(float(x), float(y)) for x, y in ends} <= corners(drawn)
        assert drawn.get_facecolor()[0, :2] == pytest.approx(np.array(colour) / 255)
        assert drawn.get_facecolor()[0, 3] == 0.2


def test_the_legend_has_the_areas_the_methods_and_the_kind_of_band():
    settings = {"level": 0.9, **FEW}
    area = roc_auc_interval(**WORKED, level=0.9)
    roc, precision = legend(plot_roc(**BOTH, **settings)), legend(plot_pr(**WORKED, **settings))
    assert roc[0] == f"first AUC {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
    assert roc[1].startswith("second AUC 0.868 [")
    assert roc[2] == (
        f"90% band: {roc_band(**WORKED, **settings).method} "
        "90% intervals: clustered DeLong, logit, t"
    )
    area = bootstrap("average_precision", **WORKED, **settings)
    assert precision == [
        f"average precision {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]",
        "prevalence 0.350",
        f"90% band: {pr_band(**WORKED, **settings).method} 90% intervals: {area.method}",
    ]
    decision = legend(plot_decision(y_true=Y, y_score=A, **FEW))
    assert decision[0] == "model"
    assert decision[-1] == (
        "95% band: stratified bootstrap of cases, 100 resamples, pointwise percentiles"
    )


def test_the_operating_point_is_a_cross_of_both_intervals():
    figure = plot_roc(**BOTH, threshold={"second": 0.47}, level=0.9, **FEW)
    (ax,) = figure.axes
    called, patients = np.array(B) >= 0.47, np.array(PATIENTS)
    among = np.array(Y) == 1
    found = share_interval(called[among], patients=patients[among], level=0.9)
    spared = share_interval(~called[~among], patients=patients[~among], level=0.9)
    x, y = 1 - spared.value, found.value
    assert strokes(ax, ORANGE) == [
        ([x, x], [found.low, found.high]),
        ([1 - spared.low, 1 - spared.high], [y, y]),
    ]
    assert ([x], [y]) in [xy(line) for line in ax.get_lines() if line.get_marker() == "o"]
    assert strokes(ax, BLUE) == []
    assert legend(figure)[2] == (
        f"score \N{GREATER-THAN OR EQUAL TO} 0.47: "
        f"sensitivity {y:.3f} [{found.low:.3f}, {found.high:.3f}] "
        f"specificity {spared.value:.3f} [{spared.low:.3f}, {spared.high:.3f}]"
    )
    assert len(strokes(plot_roc(**BOTH, threshold=0.5, **FEW).axes[0], BLUE)) == 2


@pytest.mark.parametrize("plot", PLOTS)
def test_the_title_says_what_the_plot_rests_on(plot):
    assert plot(**WORKED, **FEW).axes[0].get_title(loc="left") == "20 cases of 10 patients"
    independent = plot(y_true=Y, y_score=A, **FEW).axes[0].get_title(loc="left")
    assert independent == "20 cases taken for independent"


@pytest.mark.parametrize("plot", PLOTS)
def test_a_missing_band_is_left_out_with_its_reason(plot):
    figure = plot(y_true=[1, 1, 0, 0], y_score=[0.9, 0.2, 0.4, 0.1], patients=list("aabc"))
    assert "no band: positives of one patient only" in legend(figure)[0]
    assert not any("pointwise" in entry for entry in legend(figure))
    assert all(np.isnan(list(corners(drawn))).all() for drawn in figure.axes[0].collections)
    assert fits(figure)


def test_undefined_resamples_are_told():
    cases = {"y_true": [1, 0, 1, 0, 1, 1], "y_score": [0.9, 0.3, 0.6, 0.7, 0.8, 0.2]}
    band = roc_band(**cases, patients=list("aabbcd"))
    assert band.undefined > 0
    figure = plot_roc(**cases, patients=list("aabbcd"))
    assert legend(figure)[0].endswith(f"band without {band.undefined} undefined resamples")


@pytest.mark.parametrize("label", [0, 1])
def test_cases_of_one_class_are_drawn_as_far_as_they_go(label):
    cases = {"y_true": [label] * 4, "y_score": [0.9, 0.2, 0.4, 0.1], "patients": list("aabc")}
    missing = "negatives" if label else "positives"
    roc = plot_roc(**cases, threshold=0.5)
    assert legend(roc)[0] == f"AUC undefined: no {missing} no band: no {missing}"
    assert f"undefined: no {missing}" in legend(roc)[1]
    for figure in (roc, plot_pr(**cases), plot_decision(**cases)):
        assert fits(figure)


@pytest.mark.parametrize("plot", PLOTS)
def test_long_legends_make_room_for_themselves(plot):
    rng = np.random.default_rng(0)
    models = {f"a model with a name that is long, number {k}": rng.random(20) for k in range(6)}
    more = {"threshold": 0.5} if plot is plot_roc else {}
    figure = plot(**CASES, y_score=models, **more, **FEW)
    assert fits(figure)
    assert fits(plot(**WORKED, **more, **FEW))
    lines = {line.get_color() for line in figure.axes[0].get_lines()}
    assert len(lines) >= 6


def test_models_and_thresholds_that_cannot_be_drawn_are_errors():
    for plot in PLOTS:
        with pytest.raises(ValueError, match="`y_score` has 7 models; 1 to 6"):
            plot(y_true=Y, y_score={str(k): A for k in range(7)})
        with pytest.raises(ValueError, match="`y_score` has 0 models; 1 to 6"):
            plot(y_true=Y, y_score={})
    with pytest.raises(ValueError, match=r"`threshold` names 'third'.*\['first', 'second'\]"):
        plot_roc(**BOTH, threshold={"third": 0.5})


@pytest.mark.parametrize(
    ("plot", "arguments"),
    [
        *((plot, {**WORKED, **FEW}) for plot in PLOTS),
        (plot_reliability, WORKED),
        (plot_confusion, {"y_true": Y, "y_pred": Y}),
        (plot_forest, {"estimates": {"A": share_interval(Y)}, "metric": "share"}),
    ],
)
def test_without_matplotlib_the_error_has_the_pip_line(plot, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "seattn\[plot\]"'):
        plot(**arguments)


def test_pyplot_and_its_global_state_are_not_touched():
    program = (
        "import sys; from seattn import metrics; assert 'matplotlib' not in sys.modules;"
        "c = {'y_true': [1, 0, 1, 0], 'y_score': [.9, .2, .4, .6]};"
        "metrics.plot_roc(**c); metrics.plot_pr(**c); metrics.plot_decision(**c);"
        "metrics.plot_reliability(**c); metrics.plot_confusion(y_true=[1, 0], y_pred=[1, 0]);"
        "metrics.plot_forest({'A': metrics.roc_auc_interval(**c)}, metric='ROC AUC');"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["True", "False"]
