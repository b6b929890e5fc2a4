import math
from fractions import Fraction

import pytest
from hypothesis import given

from seattn.metrics import kappa
from tests.metrics.worked import PREDICTED3, Y3, A, B, Y
from tests.strategies import class_labels

COST = {None: lambda d: d != 0, "linear": abs, "quadratic": lambda d: d * d}


@pytest.mark.parametrize(("scores", "value"), [(A, 0.680851064), (B, 0.468085106)])
def test_worked_values(scores, value: float):
    assert kappa(y_true=Y, y_pred=[s >= 0.5 for s in scores]) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("weights", "value"), [(None, 0.632653), ("quadratic", 0.425532)])
def test_worked_values_of_three_classes(weights, value: float):
    assert kappa(y_true=Y3, y_pred=PREDICTED3, weights=weights) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_is_the_cost_saved_over_a_random_pairing(weights):
    @given(class_labels())
    def check(case: tuple[list[int], list[int], int]) -> None:
        true, predicted, _ = case
        cost = COST[weights]
        paired = Fraction(sum(cost(i - j) for i, j in zip(true, predicted, strict=True)), len(true))
        random = Fraction(sum(cost(i - j) for i in true for j in predicted), len(true) ** 2)
        value = kappa(y_true=true, y_pred=predicted, weights=weights)
        if random:
            assert value == pytest.approx(float(1 - paired / random), abs=1e-14)
        else:
            assert math.isnan(value)

    check()


def test_of_two_classes_the_weights_do_not_matter():
    values = {
        kappa(y_true=Y, y_pred=[s >= 0.5 for s in A], weights=weights)
        for weights in (None, "linear", "quadratic")
    }
    assert len(values) == 1


def test_two_readers_who_only_know_one_class_have_none():
    assert math.isnan(kappa(y_true=[1, 1], y_pred=[1, 1]))
    assert kappa(y_true=[1, 1], y_pred=[0, 1]) == 0


def test_wrong_weights_are_errors():
    with pytest.raises(ValueError, match=r"`weights` \(='cubic'\) must be 'linear'"):
        kappa(y_true=[0, 1], y_pred=[0, 1], weights="cubic")
