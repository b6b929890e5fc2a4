import pytest

from seattn.metrics import brier
from tests.metrics.worked import P3, Y3, A, B, Y


def test_worked_values():
    assert brier(y_true=Y, y_score=A) == pytest.approx(0.12020, abs=1e-12)
    assert brier(y_true=Y, y_score=B) == pytest.approx(0.15947, abs=1e-12)
    assert brier(y_true=Y3, y_score=P3) == pytest.approx(0.341764208, abs=1e-9)


def test_two_columns_score_twice_what_one_does():
    two = brier(y_true=Y, y_score=[[1 - s, s] for s in A])
    assert two == pytest.approx(2 * brier(y_true=Y, y_score=A), abs=1e-15)


def test_logits_are_refused():
    with pytest.raises(ValueError, match=r"2 are not, the first is 1.5.*none is applied"):
        brier(y_true=[0, 1, 1], y_score=[0.5, 1.5, -2.0])


def test_rows_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match=r"1 rows do not, the first is row 1 with sum 1\.1"):
        brier(y_true=[0, 1], y_score=[[0.5, 0.5], [0.4, 0.7]])
