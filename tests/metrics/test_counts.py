import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from seattn.metrics import (
    BinaryCounts,
    accuracy,
    balanced_accuracy,
    confusion,
    confusion_matrix,
    mcc,
)
from tests.metrics.worked import PREDICTED3, Y3, A, B, Y
from tests.strategies import class_labels


def at_half(scores: list[float]) -> list[bool]:
    return [score >= 0.5 for score in scores]


def test_the_counts_of_the_worked_set_are_right():
    assert confusion(y_true=Y, y_pred=at_half(A)) == BinaryCounts(tp=6, fp=2, tn=11, fn=1)
    assert confusion(y_true=Y, y_pred=at_half(B)) == BinaryCounts(tp=5, fp=3, tn=10, fn=2)


def test_counts_are_python_integers():
    counts = confusion(y_true=np.array([1, 0]), y_pred=np.array([1, 1]))
    assert [type(n) for n in (counts.tp, counts.fp, counts.tn, counts.fn)] == [int] * 4


def test_rows_of_the_matrix_are_true_classes():
    table = confusion_matrix(y_true=Y3, y_pred=PREDICTED3)
    assert table.tolist() == [[3, 1, 2], [0, 4, 0], [0, 0, 2]]


@given(class_labels())
def test_the_matrix_counts_every_pair(case: tuple[list[int], list[int], int]):
    true, predicted, classes = case
    table = confusion_matrix(y_true=true, y_pred=predicted, num_classes=classes)
    pairs = list(zip(true, predicted, strict=True))
    assert table.tolist() == [[pairs.count((i, j)) for j in range(classes)] for i in range(classes)]


@pytest.mark.parametrize(
    ("metric", "of_a", "of_b", "of_three"),
    [
        (accuracy, 0.85, 0.75, 0.75),
        (balanced_accuracy, 0.851648352, 0.741758242, 0.833333333),
        (mcc, 0.684736788, 0.470756542, 0.681689221),
    ],
)
def test_worked_values(metric, of_a: float, of_b: float, of_three: float):
    assert metric(y_true=Y, y_pred=at_half(A)) == pytest.approx(of_a, abs=1e-9)
    assert metric(y_true=Y, y_pred=at_half(B)) == pytest.approx(of_b, abs=1e-9)
    assert metric(y_true=Y3, y_pred=PREDICTED3) == pytest.approx(of_three, abs=1e-9)


def test_balanced_accuracy_of_one_class_is_nan():
    assert math.isnan(balanced_accuracy(y_true=[1, 1], y_pred=[1, 0]))


@pytest.mark.parametrize(("true", "predicted"), [([1, 1, 1, 1], [1, 0, 0, 0]), ([1, 0], [1, 1])])
def test_mcc_of_one_class_is_nan(true: list[int], predicted: list[int]):
    assert math.isnan(mcc(y_true=true, y_pred=predicted))


def test_mcc_does_not_overflow():
    # The product of the marginals is 1e26, past the 9e18 of int64.
    y = np.repeat([0, 1], 5_000_000)
    assert mcc(y_true=y, y_pred=y) == 1.0


@given(class_labels(), st.randoms(use_true_random=False))
def test_the_order_of_the_cases_does_not_matter(case: tuple[list[int], list[int], int], random):
    true, predicted, _ = case
    order = list(range(len(true)))
    random.shuffle(order)
    for metric in (accuracy, balanced_accuracy, mcc):
        before = metric(y_true=true, y_pred=predicted)
        after = metric(y_true=[true[i] for i in order], y_pred=[predicted[i] for i in order])
        assert after == before or (math.isnan(after) and math.isnan(before))
