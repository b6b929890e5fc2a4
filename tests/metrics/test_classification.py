import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seattn import metrics
from seattn.metrics import (
    BootstrapEstimate,
    binary_report,
    bootstrap,
    choose_threshold,
    classification_report,
)
from tests.metrics.shown import check_shown
from tests.metrics.worked import P3, PREDICTED3, Y3
from tests.strategies import class_probabilities, findings

NAMES = ("normal", "lateral", "medial")
PATIENTS3 = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6]


def test_the_report_of_three_classes():
    report = classification_report(y_true=Y3, y_score=P3, class_names=NAMES)
    assert report.support == (6, 4, 2)
    assert report.overall["accuracy"].value == 0.75
    assert report.overall["mcc"].value == pytest.approx(0.681689221, abs=1e-9)
    assert report.overall["brier"].value == pytest.approx(0.341764208, abs=1e-9)
    assert report.macro["roc_auc"].value == pytest.approx(0.966666667, abs=1e-9)
    assert report.macro["f1"].value == pytest.approx(0.740740741, abs=1e-9)
    assert report.per_class["lateral"]["ppv"].value == 0.8


def test_the_table_of_three_classes_has_every_row():
    lines = str(classification_report(y_true=Y3, y_score=P3, class_names=NAMES)).splitlines()
    assert lines[0].endswith("class normal: 6, class lateral: 4, class medial: 2")
    assert lines[2].split()[:3] == ["class", "metric", "value"]
    assert len(lines) == 3 + 7 + 7 + 3 * 7 + 2
    assert {line.index("[") for line in lines[3:] if "[" in line} == {lines[2].index("95%")}
    assert lines[-1] == "stratified bootstrap of cases: 2000 resamples, percentile, seed 0"


@settings(max_examples=60)
@given(class_probabilities(), st.data())
def test_the_values_are_those_of_the_functions(cases: tuple[list[int], list[list[float]]], data):
    labels, rows = cases
    some = st.lists(st.integers(0, 4), min_size=len(labels), max_size=len(labels))
    patients = data.draw(st.none() | some)
    report = classification_report(y_true=labels, y_score=rows, patients=patients, resamples=100)
    predicted = [row.index(max(row)) for row in rows]
    for name, estimate in report.macro.items():
        metric = getattr(metrics, name)
        of_scores = name in ("roc_auc", "average_precision")
        given_to = {"y_score": rows} if of_scores else {"y_pred": predicted}
        classes = {} if of_scores else {"num_classes": len(rows[0])}
        expected = metric(y_true=labels, **given_to, **classes, average="macro")
        assert estimate.value == pytest.approx(expected, nan_ok=True, abs=1e-15)
        each = metric(y_true=labels, **given_to, **classes, average=None)
        values = [of[name].value for of in report.per_class.values()]
        assert values == pytest.approx(each, nan_ok=True, abs=1e-15)
    for name, estimate in report.overall.items():
        metric = getattr(metrics, name)
        of_scores = name in ("brier", "brier_skill", "log_loss")
        given_to = {"y_score": rows} if of_scores else {"y_pred": predicted}
        expected = metric(y_true=labels, **given_to)
        assert estimate.value == pytest.approx(expected, nan_ok=True, abs=1e-14)
    check_reasons(report)
    check_shown(report)


def check_reasons(report) -> None:
    for block in (report.overall, report.macro, *report.per_class.values()):
        for estimate in block.values():
            missing = not math.isfinite(estimate.value) or math.isnan(estimate.low)
            assert estimate.reason or not missing
            assert (estimate.method is None) == missing


def test_the_intervals_of_all_classes_are_those_of_a_loop():
    """Whose strata are the same: whether a patient has a case of another class than the first."""
    cases = {"y_true": Y3, "y_score": P3, "patients": PATIENTS3}
    report = classification_report(**cases, resamples=300, level=0.8, seed=2)

    def of_labels(name: str):
        metric = getattr(metrics, name)
        return lambda y_true, y_score: metric(y_true=y_true, y_pred=y_score.argmax(axis=1))

    for name in ("mcc", "kappa", "brier", "brier_skill", "log_loss"):
        metric = of_labels(name) if name in ("mcc", "kappa") else getattr(metrics, name)
        alone = bootstrap(metric, **cases, resamples=300, level=0.8, seed=2)
        found = report.overall[name]
        assert (found.value, found.low, found.high) == pytest.approx(
            (alone.value, alone.low, alone.high), abs=1e-12
        )
        assert (found.undefined, found.method) == (alone.undefined, alone.method)


def test_the_intervals_of_means_leave_out_resamples_without_a_class():
    cases = {"y_true": Y3, "y_score": P3, "patients": PATIENTS3}
    report = classification_report(**cases, resamples=300, level=0.6)

    def mean(name: str):
        metric = getattr(metrics, name)

        def value(y_true, y_score) -> float:
            if len(set(y_true)) < 3:
                return math.nan
            if name in ("roc_auc", "average_precision"):
                return metric(y_true=y_true, y_score=y_score, average="macro")
            predicted = y_score.argmax(axis=1)
            if name == "balanced_accuracy":
                return metric(y_true=y_true, y_pred=predicted)
            of_each = metric(y_true=y_true, y_pred=predicted, num_classes=3, average=None)
            return float(np.mean(of_each))

        return value

    found = report.macro | {"balanced_accuracy": report.overall["balanced_accuracy"]}
    for name in ("roc_auc", "average_precision", "sensitivity", "balanced_accuracy"):
        alone = bootstrap(mean(name), **cases, resamples=300, level=0.6)
        assert isinstance(found[name], BootstrapEstimate)
        assert found[name].undefined == alone.undefined > 10
        assert (found[name].low, found[name].high) == pytest.approx(
            (alone.low, alone.high), abs=1e-12
        )


@settings(max_examples=60)
@given(findings(), st.data())
def test_findings_have_the_reports_of_their_columns(cases, data):
    present, rows = np.array(cases[0]), np.array(cases[1])
    patients = data.draw(
        st.none() | st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows))
    )
    at = data.draw(st.lists(st.sampled_from([0.3, 0.5, 0.9]), min_size=4, max_size=4))
    at = at[: rows.shape[1]]
    report = classification_report(
        y_true=present, y_score=rows, patients=patients, threshold=at, resamples=100, seed=1
    )
    assert report.support == tuple(present.sum(axis=0))
    assert list(report.thresholds.values()) == at
    for k, (name, estimates) in enumerate(report.per_class.items()):
        alone = binary_report(
            y_true=present[:, k],
            y_score=rows[:, k],
            patients=patients,
            threshold=at[k],
            resamples=100,
            seed=1,
        )
        for metric, found in estimates.items():
            expected = alone[metric]
            assert (found.value, found.low, found.high) == pytest.approx(
                (expected.value, expected.low, expected.high), abs=1e-12, nan_ok=True
            )
            assert (found.method, found.reason) == (expected.method, expected.reason), name
            assert (found.n, found.n_patients) == (expected.n, expected.n_patients)
    for name, mean in report.macro.items():
        values = [estimates[name].value for estimates in report.per_class.values()]
        assert mean.value == pytest.approx(
            metrics.averaging.class_mean(values), nan_ok=True, abs=1e-15
        )
    exact = report.overall["exact_match"].value
    assert exact == np.mean(((rows >= at) == present).all(axis=1))
    check_reasons(report)
    check_shown(report)


def test_a_finding_says_where_its_threshold_comes_from():
    present = np.eye(3, dtype=int)[Y3]
    points = [
        choose_threshold(y_true=present[:, 0], y_score=np.array(P3)[:, 0]),
        0.4,
        choose_threshold(y_true=[0, 1], y_score=[0.1, 0.3], fitted_on="site B"),
    ]
    report = classification_report(
        y_true=present, y_score=P3, class_names=NAMES, threshold=points, resamples=None
    )
    assert report.chosen_here == ("normal",)
    assert set(report.operating_points) == {"normal", "medial"}
    caption = report.table().caption
    assert "finding normal: 6" in caption[0]
    assert caption[1].startswith("normal: score >= 0.39")
    assert caption[2].startswith("the threshold was chosen on THESE VERY CASES")
    assert caption[3:] == (
        "lateral: score >= 0.4",
        "medial: score >= 0.3, youden on site B (2 cases)",
    )
    check_shown(report)


def test_thresholds_must_fit_the_findings():
    present = np.eye(3, dtype=int)[Y3]
    with pytest.raises(ValueError, match=r"`threshold` has 2 elements; give one for all 3"):
        classification_report(y_true=present, y_score=P3, threshold=[0.5, 0.5])
    with pytest.raises(ValueError, match=r"`threshold` \(=1.5\)"):
        classification_report(y_true=present, y_score=P3, threshold=1.5)
    with pytest.raises(ValueError, match=r"`threshold` goes with labels of findings"):
        classification_report(y_true=Y3, y_score=P3, threshold=0.5)
    with pytest.raises(ValueError, match=r"`y_score` must be probabilities"):
        classification_report(y_true=present, y_score=5 * np.array(P3))


def test_a_macro_mean_names_the_class_it_leaves_out():
    report = classification_report(
        y_true=[0, 1, 0], y_score=P3[5:8], class_names=NAMES, resamples=None
    )
    assert report.macro["roc_auc"].reason == (
        "mean without medial, where it is undefined; point estimate only"
    )
    assert report.per_class["medial"]["roc_auc"].reason == "no positives"


def test_a_macro_mean_without_an_absent_class_has_an_interval():
    rows = [[0.9 * p for p in row] + [0.1] for row in P3]
    patients = list(range(12))
    report = classification_report(y_true=Y3, y_score=rows, patients=patients, level=0.5)
    without = classification_report(y_true=Y3, y_score=P3, patients=patients, level=0.5)
    for metric in ("roc_auc", "average_precision", "sensitivity"):
        found, expected = report.macro[metric], without.macro[metric]
        # Other columns make another order, and so other draws of the same cases.
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.03)
        assert found.method == expected.method is not None
        assert found.reason.startswith("mean without 3, where it is undefined")


def test_a_macro_mean_of_one_class_is_nan():
    report = classification_report(y_true=[0, 0, 0], y_score=P3[:3], class_names=NAMES)
    assert math.isnan(report.macro["sensitivity"].value)
    assert report.macro["sensitivity"].reason == "defined for fewer than two classes"


def test_patients_widen_the_intervals_of_classes():
    patients = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6]
    report = classification_report(y_true=Y3, y_score=P3, patients=patients)
    assert report.n_patients == 7
    assert report.overall["accuracy"].method == "clustered Wilson"
    assert report.per_class["2"]["sensitivity"].n_patients == 2


def test_the_predicted_class_is_the_most_probable_and_of_equals_the_first():
    assert [row.index(max(row)) for row in P3] == PREDICTED3
    tied = classification_report(y_true=[0, 1], y_score=[[0.5, 0.5], [0.5, 0.5]])
    assert tied.per_class["0"]["sensitivity"].value == 1.0


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "a")])
def test_names_must_fit_the_classes(names):
    with pytest.raises(ValueError, match=r"`class_names`.*3 different names"):
        classification_report(y_true=Y3, y_score=P3, class_names=names)
