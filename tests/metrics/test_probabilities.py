import math

import pytest
from hypothesis import given

from seattn.metrics import brier, brier_skill, log_loss
from tests.metrics.worked import P3, Y3, A, B, Y
from tests.strategies import class_probabilities, labels_and_scores


def test_worked_values():
    assert brier(y_true=Y, y_score=A) == pytest.approx(0.12020, abs=1e-12)
    assert brier(y_true=Y, y_score=B) == pytest.approx(0.15947, abs=1e-12)
    assert brier(y_true=Y3, y_score=P3) == pytest.approx(0.341764208, abs=1e-9)


@pytest.mark.parametrize(
    ("metric", "of_a", "of_b"),
    [(brier_skill, 0.471648352, 0.299032967), (log_loss, 0.390948356, 0.492072632)],
)
def test_worked_values_of_skill_and_log_loss(metric, of_a: float, of_b: float):
    assert metric(y_true=Y, y_score=A) == pytest.approx(of_a, abs=1e-9)
    assert metric(y_true=Y, y_score=B) == pytest.approx(of_b, abs=1e-9)


def test_the_prevalence_has_no_skill():
    shares = [6 / 12, 4 / 12, 2 / 12]
    assert brier_skill(y_true=Y3, y_score=[shares] * 12) == pytest.approx(0, abs=1e-15)
    assert brier_skill(y_true=Y, y_score=[7 / 20] * 20) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("label", [0, 1])
def test_skill_of_one_class_is_nan(label: int):
    assert math.isnan(brier_skill(y_true=[label] * 2, y_score=[0.2, 0.7]))
    assert math.isnan(brier_skill(y_true=[label] * 2, y_score=[[0.8, 0.2], [0.3, 0.7]]))


@given(labels_and_scores())
def test_columns_of_two_classes_say_what_one_does(cases: tuple[list[int], list[float], list[int]]):
    labels, scores, _ = cases
    two = [[1 - s, s] for s in scores]
    for metric in (brier_skill, log_loss):
        of_one = metric(y_true=labels, y_score=scores)
        assert metric(y_true=labels, y_score=two) == pytest.approx(of_one, abs=1e-12, nan_ok=True)


@given(class_probabilities())
def test_log_loss_is_the_mean_surprise(cases: tuple[list[int], list[list[float]]]):
    labels, rows = cases
    of_cases = [row[k] for k, row in zip(labels, rows, strict=True)]
    expected = -math.fsum(map(math.log, of_cases)) / len(labels) if all(of_cases) else math.inf
    assert log_loss(y_true=labels, y_score=rows) == pytest.approx(expected, abs=1e-14)


def test_a_sure_error_is_infinitely_bad_and_a_sure_hit_is_free():
    assert log_loss(y_true=[1, 0], y_score=[0.9, 1.0]) == math.inf
    assert str(log_loss(y_true=[1, 0], y_score=[1.0, 0.0])) == "0.0"


def test_two_columns_score_twice_what_one_does():
    two = brier(y_true=Y, y_score=[[1 - s, s] for s in A])
    assert two == pytest.approx(2 * brier(y_true=Y, y_score=A), abs=1e-15)


@pytest.mark.parametrize("metric", [brier, brier_skill, log_loss])
def test_logits_are_refused(metric):
    with pytest.raises(ValueError, match=r"2 are not, the first is 1.5.*none is applied"):
        metric(y_true=[0, 1, 1], y_score=[0.5, 1.5, -2.0])


def test_rows_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match=r"1 rows do not, the first is row 1 with sum 1\.1"):
        brier(y_true=[0, 1], y_score=[[0.5, 0.5], [0.4, 0.7]])
