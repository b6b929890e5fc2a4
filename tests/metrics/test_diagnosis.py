import math

import pytest
from hypothesis import assume, given

from seattn.metrics import (
    negative_likelihood_ratio,
    npv,
    npv_at_prevalence,
    positive_likelihood_ratio,
    ppv,
    ppv_at_prevalence,
    sensitivity,
    specificity,
    youden_j,
)
from tests.metrics.worked import A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]
PREDICTED = {"A": [s >= 0.5 for s in A], "B": [s >= 0.5 for s in B]}


@pytest.mark.parametrize(
    ("metric", "of_a", "of_b"),
    [
        (youden_j, 0.703296703, 0.483516484),
        (positive_likelihood_ratio, 5.571428571, 3.095238095),
        (negative_likelihood_ratio, 0.168831169, 0.371428571),
    ],
)
def test_worked_values(metric, of_a: float, of_b: float):
    assert metric(y_true=Y, y_pred=PREDICTED["A"]) == pytest.approx(of_a, abs=1e-9)
    assert metric(y_true=Y, y_pred=PREDICTED["B"]) == pytest.approx(of_b, abs=1e-9)


@pytest.mark.parametrize(
    ("prevalence", "positive", "negative"), [(0.05, 0.226744, 0.991192), (0.15, 0.495763, 0.971068)]
)
def test_worked_values_at_another_prevalence(prevalence: float, positive: float, negative: float):
    given_to = {"y_true": Y, "y_pred": PREDICTED["A"], "prevalence": prevalence}
    assert ppv_at_prevalence(**given_to) == pytest.approx(positive, abs=1e-6)
    assert npv_at_prevalence(**given_to) == pytest.approx(negative, abs=1e-6)


@given(labels_and_scores(min_each=1))
def test_at_their_own_prevalence_they_are_ppv_and_npv(cases: Cases):
    labels, scores, _ = cases
    both = {"y_true": labels, "y_pred": [s >= 0.5 for s in scores]}
    own = sum(labels) / len(labels)
    for at, plain in ((ppv_at_prevalence, ppv), (npv_at_prevalence, npv)):
        expected = pytest.approx(plain(**both), abs=1e-14, nan_ok=True)
        assert at(**both, prevalence=own) == expected


@given(labels_and_scores(min_each=1))
def test_a_result_multiplies_the_odds_by_its_ratio(cases: Cases):
    labels, scores, _ = cases
    both = {"y_true": labels, "y_pred": [s >= 0.5 for s in scores]}
    hits, alarms = sensitivity(**both), 1 - specificity(**both)
    assume(0 < alarms < 1)
    odds = 0.2 / 0.8
    after = ppv_at_prevalence(**both, prevalence=0.2)
    assert after == pytest.approx(
        odds * positive_likelihood_ratio(**both) / (1 + odds * positive_likelihood_ratio(**both))
    )
    missed = 1 - npv_at_prevalence(**both, prevalence=0.2)
    assert missed == pytest.approx(
        odds * negative_likelihood_ratio(**both) / (1 + odds * negative_likelihood_ratio(**both)),
        abs=1e-15,
    )
    assert youden_j(**both) == pytest.approx(hits - alarms, abs=1e-15)


@pytest.mark.parametrize("label", [0, 1])
def test_of_one_class_all_are_nan(label: int):
    both = {"y_true": [label, label], "y_pred": [0, 1]}
    for metric in (youden_j, positive_likelihood_ratio, negative_likelihood_ratio):
        assert math.isnan(metric(**both))
    for metric in (ppv_at_prevalence, npv_at_prevalence):
        assert math.isnan(metric(**both, prevalence=0.1))


def test_a_ratio_without_a_case_below_it_is_nan():
    assert math.isnan(positive_likelihood_ratio(y_true=[1, 0], y_pred=[1, 0]))
    assert math.isnan(negative_likelihood_ratio(y_true=[1, 0], y_pred=[1, 1]))
    assert math.isnan(ppv_at_prevalence(y_true=[1, 0], y_pred=[0, 0], prevalence=0.1))
    assert math.isnan(npv_at_prevalence(y_true=[1, 0], y_pred=[1, 1], prevalence=0.1))


@pytest.mark.parametrize("prevalence", [0, 1, 5, math.nan])
@pytest.mark.parametrize("metric", [ppv_at_prevalence, npv_at_prevalence])
def test_prevalences_that_are_no_shares_are_errors(metric, prevalence: float):
    with pytest.raises(ValueError, match=r"`prevalence` \(=.*\) must be between 0 and 1"):
        metric(y_true=[0, 1], y_pred=[0, 1], prevalence=prevalence)
