import json
import math

import pytest
from hypothesis import given

from seattn import metrics
from seattn.metrics import BinaryCounts, binary_report, classification_report
from tests.metrics.worked import P3, PATIENTS, PREDICTED3, Y3, A, Y
from tests.strategies import class_probabilities, labels_and_scores

NAMES = ("normal", "lateral", "medial")
TABLE = """\
20 cases of 10 patients; 7 positive
score >= 0.5: TP 6, FP 2, TN 11, FN 1

metric             value  95% interval    n   patients  how, or why not
roc_auc            0.929  [0.444, 0.995]  20  10        clustered DeLong, logit, t
average_precision  0.881  -               20  10        point estimate only
sensitivity        0.857  [0.473, 0.976]  7   4         clustered Wilson
specificity        0.846  [0.555, 0.960]  13  8         clustered Wilson
ppv                0.750  [0.388, 0.934]  8   5         clustered Wilson
npv                0.917  [0.608, 0.987]  12  8         clustered Wilson
f1                 0.800  -               20  10        point estimate only
accuracy           0.850  [0.640, 0.948]  20  10        clustered Wilson
balanced_accuracy  0.852  -               20  10        point estimate only
mcc                0.685  -               20  10        point estimate only
brier              0.120  -               20  10        point estimate only"""


def test_the_table_of_the_worked_set():
    assert str(binary_report(y_true=Y, y_score=A, patients=PATIENTS)) == TABLE


def test_the_report_counts_what_it_rests_on():
    report = binary_report(y_true=Y, y_score=A, patients=PATIENTS)
    assert (report.n, report.n_patients, report.n_positive) == (20, 10, 7)
    assert report.counts == BinaryCounts(tp=6, fp=2, tn=11, fn=1)


def test_a_score_at_the_threshold_is_positive():
    assert binary_report(y_true=[1, 0], y_score=[0.3, 0.2], threshold=0.3).counts.tp == 1
    assert binary_report(y_true=[1, 0], y_score=[0.3, 0.2], threshold=0.31).counts.tp == 0


@given(labels_and_scores())
def test_the_values_are_those_of_the_functions(cases: tuple[list[int], list[float], list[int]]):
    labels, scores, patients = cases
    report = binary_report(y_true=labels, y_score=scores, patients=patients)
    predicted = [s >= 0.5 for s in scores]
    for name, estimate in report.estimates.items():
        metric = getattr(metrics, name)
        of_scores = name in ("roc_auc", "average_precision", "brier")
        given_to = {"y_score": scores} if of_scores else {"y_pred": predicted}
        expected = metric(y_true=labels, **given_to)
        assert estimate.value == expected or (math.isnan(expected) and math.isnan(estimate.value))


@given(labels_and_scores())
def test_what_is_missing_has_a_reason(cases: tuple[list[int], list[float], list[int]]):
    labels, scores, patients = cases
    for given_patients in (None, patients):
        report = binary_report(y_true=labels, y_score=scores, patients=given_patients)
        for estimate in report.estimates.values():
            missing = math.isnan(estimate.value) or math.isnan(estimate.low)
            assert estimate.reason or not missing
            assert (estimate.method is None) == missing
        json.dumps(report.to_dict(), allow_nan=False)


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
    assert len(lines) == 3 + 4 + 7 + 3 * 7
    assert {line.index("[") for line in lines[3:] if "[" in line} == {lines[2].index("95%")}


@given(class_probabilities())
def test_macro_means_are_those_of_the_functions(cases: tuple[list[int], list[list[float]]]):
    labels, rows = cases
    report = classification_report(y_true=labels, y_score=rows)
    predicted = [row.index(max(row)) for row in rows]
    for name, estimate in report.macro.items():
        metric = getattr(metrics, name)
        of_scores = name in ("roc_auc", "average_precision")
        given_to = {"y_score": rows} if of_scores else {"y_pred": predicted}
        classes = {} if of_scores else {"num_classes": len(rows[0])}
        expected = metric(y_true=labels, **given_to, **classes, average="macro")
        assert estimate.value == pytest.approx(expected, nan_ok=True, abs=1e-15)
        assert estimate.reason
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_macro_mean_names_the_class_it_leaves_out():
    report = classification_report(y_true=[0, 1, 0], y_score=P3[5:8], class_names=NAMES)
    assert report.macro["roc_auc"].reason == "mean without medial, where it is undefined"
    assert report.per_class["medial"]["roc_auc"].reason == "no positives"


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
