import math

import pytest
from hypothesis import given

from seattn.metrics import confusion, decision_curve, net_benefit
from tests.metrics.worked import A, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]


@pytest.mark.parametrize(
    ("threshold", "value"), [(0.1, 0.283333333), (0.25, 0.233333333), (0.5, 0.2)]
)
def test_worked_values(threshold: float, value: float):
    assert net_benefit(y_true=Y, y_score=A, threshold=threshold) == pytest.approx(value, abs=1e-9)


@given(labels_and_scores())
def test_the_curve_is_the_formula_at_every_threshold(cases: Cases):
    labels, scores, _ = cases
    curve = decision_curve(y_true=labels, y_score=scores, thresholds=[0.0, 0.25, 0.5, 0.9])
    n, positives = len(labels), sum(labels)
    for t, model, treat_all in zip(curve.thresholds, curve.model, curve.treat_all, strict=True):
        counts = confusion(y_true=labels, y_pred=[s >= t for s in scores])
        odds = t / (1 - t)
        assert model == pytest.approx(counts.tp / n - counts.fp / n * odds, abs=1e-15)
        assert treat_all == pytest.approx(positives / n - (n - positives) / n * odds, abs=1e-15)


def test_the_default_thresholds_are_whole_percents():
    curve = decision_curve(y_true=Y, y_score=A)
    assert curve.thresholds.tolist() == [k / 100 for k in range(1, 100)]


@pytest.mark.parametrize("threshold", [-0.1, 1, 1.5, math.nan])
def test_thresholds_that_are_none_are_errors(threshold: float):
    with pytest.raises(ValueError, match=r"`threshold` \(=.*from 0 up to but not 1"):
        net_benefit(y_true=[0, 1], y_score=[0.1, 0.9], threshold=threshold)
    with pytest.raises(ValueError, match=r"`thresholds` \(="):
        decision_curve(y_true=[0, 1], y_score=[0.1, 0.9], thresholds=[0.5, threshold])


def test_logits_are_refused():
    with pytest.raises(ValueError, match="must be probabilities"):
        decision_curve(y_true=[0, 1], y_score=[-1.0, 2.0])
