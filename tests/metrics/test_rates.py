import math

import pytest
from hypothesis import given

from seattn.metrics import f1, npv, ppv, precision, recall, sensitivity, specificity
from tests.metrics.worked import PREDICTED3, Y3, A, B, Y
from tests.strategies import class_labels, findings

RATES = (precision, npv, recall, specificity, f1)


@pytest.mark.parametrize(
    ("rate", "of_a", "of_b"),
    [
        (sensitivity, 0.857142857, 0.714285714),
        (specificity, 0.846153846, 0.769230769),
        (ppv, 0.75, 0.625),
        (npv, 0.916666667, 0.833333333),
        (f1, 0.8, 0.666666667),
    ],
)
def test_worked_values(rate, of_a: float, of_b: float):
    for scores, value in ((A, of_a), (B, of_b)):
        assert rate(y_true=Y, y_pred=[s >= 0.5 for s in scores]) == pytest.approx(value, abs=1e-9)


def test_the_clinical_names_are_the_same_functions():
    assert ppv is precision
    assert sensitivity is recall


@pytest.mark.parametrize(
    ("average", "of_a", "of_three"),
    [("macro", 0.84, 0.740740741), ("weighted", 0.852, 0.740740741), ("micro", 0.85, 0.75)],
)
def test_worked_averages_of_f1(average, of_a: float, of_three: float):
    predicted = [s >= 0.5 for s in A]
    assert f1(y_true=Y, y_pred=predicted, average=average) == pytest.approx(of_a, abs=1e-9)
    assert f1(y_true=Y3, y_pred=PREDICTED3, average=average) == pytest.approx(of_three, abs=1e-9)


def test_worked_f1_per_class():
    values = f1(y_true=Y3, y_pred=PREDICTED3, average=None)
    assert values == pytest.approx([2 / 3, 8 / 9, 2 / 3], abs=1e-12)


@pytest.mark.parametrize("rate", RATES)
def test_a_class_against_the_rest_is_a_binary_rate(rate):
    @given(class_labels())
    def check(case: tuple[list[int], list[int], int]) -> None:
        true, predicted, classes = case
        of_all = rate(y_true=true, y_pred=predicted, average=None, num_classes=classes)
        assert len(of_all) == classes
        for k, value in enumerate(of_all):
            alone = rate(y_true=[i == k for i in true], y_pred=[i == k for i in predicted])
            assert value == alone or (math.isnan(value) and math.isnan(alone))

    check()


@pytest.mark.parametrize("rate", RATES)
def test_a_column_of_findings_is_a_binary_rate(rate):
    @given(findings())
    def check(cases: tuple[list[list[int]], list[list[float]]]) -> None:
        true, rows = cases
        predicted = [[int(s >= 0.5) for s in row] for row in rows]
        columns = list(zip(zip(*true, strict=True), zip(*predicted, strict=True), strict=True))
        each = [rate(y_true=y, y_pred=p) for y, p in columns]
        values = rate(y_true=true, y_pred=predicted, average=None)
        assert values == pytest.approx(each, abs=0, nan_ok=True)
        pooled = rate(
            y_true=[y for ys, _ in columns for y in ys], y_pred=[p for _, ps in columns for p in ps]
        )
        micro = rate(y_true=true, y_pred=predicted, average="micro")
        assert micro == pytest.approx(pooled, abs=0, nan_ok=True)

    check()


@pytest.mark.parametrize("rate", RATES)
def test_findings_that_do_not_fit_are_errors(rate):
    two, three = [[0, 1], [1, 0]], [[0, 1, 0], [1, 0, 0]]
    with pytest.raises(ValueError, match=r"shape \(2, 2\) and `y_pred` \(2, 3\)"):
        rate(y_true=two, y_pred=three, average="macro")
    with pytest.raises(ValueError, match=r"`y_pred` has shape \(2,\); labels need shape \(N, K\)"):
        rate(y_true=two, y_pred=[0, 1], average="macro")
    with pytest.raises(ValueError, match=r"`num_classes` \(=3\) must be the number of columns"):
        rate(y_true=two, y_pred=two, average="macro", num_classes=3)
    with pytest.raises(ValueError, match=r"`y_true` has shape \(2, 2\); labels need shape \(N,\)"):
        rate(y_true=two, y_pred=two)


@pytest.mark.parametrize(
    ("rate", "true", "predicted"),
    [
        (precision, [1, 0], [0, 0]),
        (npv, [1, 0], [1, 1]),
        (recall, [0, 0], [1, 0]),
        (specificity, [1, 1], [1, 0]),
        (f1, [0, 0], [0, 0]),
    ],
)
def test_a_rate_of_nothing_is_nan(rate, true: list[int], predicted: list[int]):
    assert math.isnan(rate(y_true=true, y_pred=predicted))


def test_macro_leaves_out_undefined_classes():
    # Class 2 is never predicted: its precision is nan, and the mean is that of the other two.
    labels = {"y_true": [0, 1, 2, 2], "y_pred": [0, 1, 1, 0]}
    assert precision(**labels, average=None) == pytest.approx([0.5, 0.5, math.nan], nan_ok=True)
    assert precision(**labels, average="macro") == 0.5


def test_macro_of_a_single_class_is_nan():
    assert math.isnan(recall(y_true=[1, 1], y_pred=[1, 0], average="macro"))


def test_weighted_by_classes_without_cases_is_nan():
    # Both predictions are of class 1, which has no case, and class 0 has no precision.
    assert math.isnan(precision(y_true=[0, 0], y_pred=[1, 1], average="weighted"))


def test_num_classes_sets_the_length():
    assert len(recall(y_true=[0, 1], y_pred=[0, 1], average=None, num_classes=4)) == 4


@pytest.mark.parametrize("rate", RATES)
def test_wrong_averages_are_errors(rate):
    with pytest.raises(ValueError, match=r"`average` \(='samples'\) must be 'binary'"):
        rate(y_true=[0, 1], y_pred=[0, 1], average="samples")
    with pytest.raises(ValueError, match=r"`num_classes` \(=3\) must be 2 with"):
        rate(y_true=[0, 1], y_pred=[0, 1], num_classes=3)
