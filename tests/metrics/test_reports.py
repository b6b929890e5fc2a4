import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seattn import metrics
from seattn.metrics import (
    BinaryCounts,
    BootstrapEstimate,
    binary_report,
    bootstrap,
    choose_threshold,
    classification_report,
)
from tests.metrics.shown import check_shown
from tests.metrics.worked import PATIENTS, A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]

TABLE = """\
20 cases of 10 patients; 7 positive
score >= 0.5: TP 6, FP 2, TN 11, FN 1

metric                     value   95% interval    n   patients  how, or why not
roc_auc                    0.929   [0.444, 0.995]  20  10        clustered DeLong, logit, t
average_precision          0.881   [0.611, 1.000]  20  10        stratified patient bootstrap
sensitivity                0.857   [0.473, 0.976]  7   4         clustered Wilson
specificity                0.846   [0.555, 0.960]  13  8         clustered Wilson
ppv                        0.750   [0.388, 0.934]  8   5         clustered Wilson
npv                        0.917   [0.608, 0.987]  12  8         clustered Wilson
positive_likelihood_ratio  5.571   -               20  10        no interval: 202 of 2000 resamples undefined
negative_likelihood_ratio  0.169   [0.000, 0.464]  20  10        stratified patient bootstrap
accuracy                   0.850   [0.640, 0.948]  20  10        clustered Wilson
balanced_accuracy          0.852   [0.700, 0.972]  20  10        stratified patient bootstrap
youden_j                   0.703   [0.400, 0.944]  20  10        stratified patient bootstrap
f1                         0.800   [0.615, 0.941]  20  10        stratified patient bootstrap
mcc                        0.685   [0.386, 0.915]  20  10        stratified patient bootstrap
kappa                      0.681   [0.380, 0.911]  20  10        stratified patient bootstrap
net_benefit                0.200   [0.000, 0.375]  20  10        stratified patient bootstrap
brier                      0.120   [0.076, 0.171]  20  10        stratified patient bootstrap
brier_skill                0.472   [0.163, 0.679]  20  10        stratified patient bootstrap
log_loss                   0.391   [0.287, 0.505]  20  10        stratified patient bootstrap
ece                        0.210   -               20  10        10 bins of equal width; no interval: resampling raises it
calibration_intercept      -0.680  -               20  10        no interval: 85 of 2000 resamples undefined
calibration_slope          2.405   -               20  10        no interval: 85 of 2000 resamples undefined

stratified patient bootstrap: 2000 resamples, percentile, seed 0"""  # noqa: E501


def test_the_table_of_the_worked_set():
    assert str(binary_report(y_true=Y, y_score=A, patients=PATIENTS)) == TABLE


def test_the_report_counts_what_it_rests_on():
    report = binary_report(y_true=Y, y_score=A, patients=PATIENTS)
    assert (report.n, report.n_patients, report.n_positive) == (20, 10, 7)
    assert report.counts == BinaryCounts(tp=6, fp=2, tn=11, fn=1)


def test_a_score_at_the_threshold_is_positive():
    assert binary_report(y_true=[1, 0], y_score=[0.3, 0.2], threshold=0.3).counts.tp == 1
    assert binary_report(y_true=[1, 0], y_score=[0.3, 0.2], threshold=0.31).counts.tp == 0


OF_SCORES = ("roc_auc", "average_precision", "brier", "brier_skill", "log_loss", "ece")


def expected_value(name: str, labels, scores, threshold: float, prevalence: float) -> float:
    """What the function of that name says."""
    predicted = [s >= threshold for s in scores]
    if name.startswith("calibration_"):
        line = metrics.recalibration(y_true=labels, y_score=scores)
        return getattr(line, name.removeprefix("calibration_"))
    metric = getattr(metrics, name)
    if name == "net_benefit":
        return metric(y_true=labels, y_score=scores, threshold=threshold)
    if name.endswith("_at_prevalence"):
        return metric(y_true=labels, y_pred=predicted, prevalence=prevalence)
    given_to = {"y_score": scores} if name in OF_SCORES else {"y_pred": predicted}
    return metric(y_true=labels, **given_to)


@given(labels_and_scores(), st.sampled_from([0.0, 0.3, 0.5, 0.95]))
def test_the_values_are_those_of_the_functions(cases: Cases, threshold: float):
    labels, scores, patients = cases
    report = binary_report(
        y_true=labels,
        y_score=scores,
        patients=patients,
        threshold=threshold,
        prevalence=0.15,
        resamples=None,
    )
    assert len(report.estimates) == 23
    for name, estimate in report.estimates.items():
        expected = expected_value(name, labels, scores, threshold, 0.15)
        assert estimate.value == expected or (math.isnan(expected) and math.isnan(estimate.value))


@pytest.mark.parametrize("patients", [PATIENTS, None])
def test_the_intervals_are_those_of_the_functions(patients):
    cases = {"y_true": Y, "y_score": A, "patients": patients}
    asked = {"level": 0.9, "seed": 3}
    report = binary_report(**cases, **asked, threshold=0.42, prevalence=0.05, resamples=500)
    assert report["roc_auc"] == metrics.roc_auc_interval(**cases, level=0.9)
    found = np.array(Y) == (np.array(A) >= 0.42)
    assert report["accuracy"] == metrics.share_interval(found, patients=patients, level=0.9)

    def at_prevalence(name: str):
        return lambda y_true, y_score: getattr(metrics, name)(
            y_true=y_true, y_pred=y_score >= 0.42, prevalence=0.05
        )

    by_bootstrap = 0
    for name, estimate in report.estimates.items():
        if isinstance(estimate, BootstrapEstimate):
            metric = at_prevalence(name) if name.endswith("prevalence") else name
            alone = bootstrap(metric, **cases, **asked, threshold=0.42, resamples=500)
            for field in ("value", "low", "high"):
                expected = getattr(alone, field)
                assert getattr(estimate, field) == pytest.approx(expected, abs=1e-14, nan_ok=True)
            assert estimate.method == alone.method
            assert estimate.reason == alone.reason
            assert estimate.undefined == alone.undefined
            by_bootstrap += 1
    assert by_bootstrap == 16


@settings(max_examples=60)
@given(labels_and_scores(), st.sampled_from([0.0, 0.5, 0.7, 1.0]))
def test_what_is_missing_has_a_reason(cases: Cases, threshold: float):
    labels, scores, patients = cases
    for given_patients in (None, patients):
        report = binary_report(
            y_true=labels,
            y_score=scores,
            patients=given_patients,
            threshold=threshold,
            prevalence=0.2,
            resamples=100,
        )
        for estimate in report.estimates.values():
            missing = not math.isfinite(estimate.value) or math.isnan(estimate.low)
            assert estimate.reason or not missing
            assert (estimate.method is None) == missing
        check_shown(report)


@pytest.mark.parametrize(
    ("labels", "scores", "reasons"),
    [
        (
            [1, 1],
            [0.9, 0.8],
            {
                "roc_auc": "no negatives",
                "specificity": "no negatives",
                "npv": "none predicted negative",
                "balanced_accuracy": "cases of one class only",
                "mcc": "cases or predictions of one class only",
            },
        ),
        (
            [0, 0],
            [0.1, 0.2],
            {
                "average_precision": "no positives",
                "sensitivity": "no positives",
                "ppv": "none predicted positive",
                "f1": "no positives, none predicted",
            },
        ),
    ],
)
def test_undefined_values_say_why(labels, scores, reasons: dict[str, str]):
    report = binary_report(y_true=labels, y_score=scores)
    for name, reason in reasons.items():
        assert math.isnan(report[name].value)
        assert report[name].reason == reason


def test_a_report_without_patients_says_what_it_assumes():
    assert "20 cases, taken for independent" in str(binary_report(y_true=Y, y_score=A))


def test_an_undefined_value_is_none_beside_its_reason_in_json():
    facts = json.loads(json.dumps(binary_report(y_true=[1, 1], y_score=[0.9, 0.8]).to_dict()))
    assert facts["counts"] == {"tp": 2, "fp": 0, "tn": 0, "fn": 0}
    assert facts["estimates"]["roc_auc"] == {
        "value": None,
        "low": None,
        "high": None,
        "level": 0.95,
        "method": None,
        "n": 2,
        "n_patients": None,
        "reason": "no negatives",
    }


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_thresholds_outside_the_scores_are_errors(threshold: float):
    with pytest.raises(ValueError, match="`threshold`"):
        binary_report(y_true=[0, 1], y_score=[0.1, 0.2], threshold=threshold)


def test_reports_refuse_logits():
    with pytest.raises(ValueError, match="probabilities"):
        binary_report(y_true=[0, 1], y_score=[-2.0, 3.0])
    with pytest.raises(ValueError, match="probabilities"):
        classification_report(y_true=[0, 1], y_score=[[2.0, -1.0], [0.0, 3.0]])


@pytest.mark.parametrize("report", [binary_report, classification_report])
def test_wrong_levels_are_errors(report):
    scores = A if report is binary_report else [[1 - s, s] for s in A]
    with pytest.raises(ValueError, match="`level`"):
        report(y_true=Y, y_score=scores, level=95)


def test_an_infinite_log_loss_says_so_and_goes_to_json():
    report = binary_report(y_true=[1, 0, 1, 0], y_score=[0.0, 0.2, 0.9, 0.4])
    assert report["log_loss"].value == math.inf
    assert report["log_loss"].reason == "infinite: a case got probability 0 for what it is"
    assert json.loads(report.to_json())["estimates"]["log_loss"]["value"] is None
    assert ("log_loss", "inf", "-") in [row[:3] for row in report.table().rows]
    check_shown(report)


def test_a_report_says_where_its_threshold_comes_from():
    point = choose_threshold(y_true=Y, y_score=B, patients=PATIENTS, fitted_on="<b>val</b>")
    report = binary_report(y_true=Y, y_score=A, threshold=point)
    assert (report.threshold, report.operating_point, report.chosen_here) == (0.47, point, False)
    assert report["f1"] == binary_report(y_true=Y, y_score=A, threshold=0.47)["f1"]
    assert str(report).splitlines()[2] == (
        "threshold: youden on <b>val</b> (20 cases of 10 patients)"
    )
    assert "&lt;b&gt;val&lt;/b&gt;" in report.to_html()
    assert "THESE VERY CASES" not in str(report)
    assert report.to_dict()["operating_point"]["rule"] == "youden"
    check_shown(report)


def test_a_threshold_chosen_on_these_cases_is_called_so():
    point = choose_threshold(y_true=Y, y_score=A)
    report = binary_report(y_true=Y[::-1], y_score=A[::-1], threshold=point)
    assert report.chosen_here
    assert str(report).splitlines()[2:4] == [
        "threshold: youden on validation (20 cases)",
        "the threshold was chosen on THESE VERY CASES: what holds at it here is optimistic",
    ]
    check_shown(report)


def test_an_operating_point_of_logits_is_no_threshold_of_probabilities():
    point = choose_threshold(y_true=Y, y_score=[10 * a for a in A])
    with pytest.raises(ValueError, match=r"`threshold` \(=4.2\) must be in \[0, 1\]"):
        binary_report(y_true=Y, y_score=A, threshold=point)


def test_reports_without_a_bootstrap_say_so():
    report = binary_report(y_true=Y, y_score=A, resamples=None)
    assert report["mcc"].reason == "point estimate only"
    assert math.isnan(report["mcc"].low)
    assert report["accuracy"].method == "Wilson"
    assert report.table().notes == ()


def test_the_predictive_values_are_those_of_the_worked_table():
    report = binary_report(y_true=Y, y_score=A, prevalence=0.05, resamples=None)
    assert report["ppv_at_prevalence"].value == pytest.approx(0.226744, abs=1e-6)
    assert report["npv_at_prevalence"].value == pytest.approx(0.991192, abs=1e-6)
    assert report.table().notes == ("at_prevalence: where 0.05 of the cases are positive",)
    for prevalence in (0, 1, 5, math.nan):
        with pytest.raises(ValueError, match="`prevalence`"):
            binary_report(y_true=Y, y_score=A, prevalence=prevalence)


def test_too_few_resamples_are_an_error():
    with pytest.raises(ValueError, match=r"`resamples` \(=50\)"):
        binary_report(y_true=Y, y_score=A, resamples=50)


def test_a_report_in_another_order_is_the_same():
    patients = [f"p{p}" for p in PATIENTS]
    order = np.random.default_rng(4).permutation(20)
    report = binary_report(y_true=Y, y_score=A, patients=patients)
    shuffled = binary_report(
        y_true=np.array(Y)[order], y_score=np.array(A)[order], patients=np.array(patients)[order]
    )
    for name, e in report.estimates.items():
        assert (e.low, e.high) == pytest.approx(
            (shuffled[name].low, shuffled[name].high), abs=1e-12, nan_ok=True
        )
