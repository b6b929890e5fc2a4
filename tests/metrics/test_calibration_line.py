import math

import numpy as np
import pytest
from hypothesis import assume, given
from scipy.optimize import minimize
from scipy.special import expit, logit

from seattn.metrics import recalibration
from tests.metrics.worked import A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]


@pytest.mark.parametrize(
    ("scores", "intercept", "slope", "in_the_large"),
    [
        (A, -0.67997129, 2.40458775, -0.540290598),
        (B, -0.51918209, 2.01881234, -0.502430300),
    ],
)
def test_worked_values(scores, intercept: float, slope: float, in_the_large: float):
    fit = recalibration(y_true=Y, y_score=scores)
    assert fit.intercept == pytest.approx(intercept, abs=1e-8)
    assert fit.slope == pytest.approx(slope, abs=1e-8)
    assert fit.in_the_large == pytest.approx(in_the_large, abs=1e-9)
    assert fit.reason is None


def residuals(labels, x, intercept: float, slope: float) -> tuple[float, float]:
    """The score equations, which vanish at the maximum of the likelihood and nowhere else."""
    wrong = np.array(labels) - expit(intercept + slope * x)
    return float(wrong.sum()), float(wrong @ (x - x.mean()))


@given(labels_and_scores(min_each=2))
def test_the_fit_solves_the_score_equations(cases: Cases):
    labels, scores, _ = cases
    scores = [min(max(s, 0.01), 0.99) for s in scores]
    x = logit(scores)
    fit = recalibration(y_true=labels, y_score=scores)
    assert residuals(labels, x, fit.in_the_large, 1)[0] == pytest.approx(0, abs=1e-10)
    if fit.reason is None:
        assert residuals(labels, x, fit.intercept, fit.slope) == pytest.approx((0, 0), abs=1e-9)


@given(labels_and_scores(min_each=2))
def test_no_fit_exactly_where_a_threshold_separates(cases: Cases):
    labels, scores, _ = cases
    scores = [min(max(s, 0.01), 0.99) for s in scores]
    found = [s for s, y in zip(scores, labels, strict=True) if y]
    others = [s for s, y in zip(scores, labels, strict=True) if not y]
    separated = min(found) >= max(others) or max(found) <= min(others)
    fit = recalibration(y_true=labels, y_score=scores)
    assert math.isnan(fit.slope) == math.isnan(fit.intercept) == separated
    assert not math.isnan(fit.in_the_large)


@given(labels_and_scores(min_each=2))
def test_an_optimiser_finds_the_same(cases: Cases):
    labels, scores, _ = cases
    x = logit([min(max(s, 0.01), 0.99) for s in scores])
    fit = recalibration(y_true=labels, y_score=expit(x))
    assume(fit.reason is None)
    sign = 2 * np.array(labels) - 1
    least = minimize(
        lambda ab: np.logaddexp(0, -sign * (ab[0] + ab[1] * x)).sum(), [0, 1], tol=1e-12
    )
    ours = np.logaddexp(0, -sign * (fit.intercept + fit.slope * x)).sum()
    assert ours <= least.fun + 1e-12


def test_known_distortions_are_found():
    x = np.random.default_rng(0).normal(size=200_000)
    labels = np.random.default_rng(1).random(len(x)) < expit(x)
    fit = recalibration(y_true=labels, y_score=expit((x - 0.5) / 0.4))
    assert fit.slope == pytest.approx(0.4, abs=0.01)
    assert fit.intercept == pytest.approx(0.5, abs=0.02)
    assert recalibration(y_true=labels, y_score=expit(x)).in_the_large == pytest.approx(0, abs=0.02)


def test_an_overlap_of_one_bit_has_a_finite_slope():
    just_above = math.nextafter(0.5, 1)
    scores = [0.1] * 500 + [0.5, just_above] + [0.9] * 500
    labels = [0] * 500 + [1, 0] + [1] * 500
    fit = recalibration(y_true=labels, y_score=scores)
    assert fit.reason is None
    assert 10 < fit.slope < 100
    x = logit(scores)
    assert residuals(labels, x, fit.intercept, fit.slope) == pytest.approx((0, 0), abs=1e-12)


def test_newton_steps_that_overshoot_are_halved():
    # Two positives among 71, and negatives that are far surer: full steps run off to infinity here.
    x = np.array([-125.0] * 20 + [-1.0] * 45 + [0.2, 0.6, 0.8, 0.9, 0.95, 0.95])
    labels = [0] * 66 + [1, 0, 0, 0, 1]
    fit = recalibration(y_true=labels, y_score=expit(x))
    assert residuals(labels, x, fit.intercept, fit.slope) == pytest.approx((0, 0), abs=1e-9)
    assert residuals(labels, x, fit.in_the_large, 1)[0] == pytest.approx(0, abs=1e-9)


def test_the_smallest_probabilities_have_a_shift():
    tiny = math.ulp(0.0)
    fit = recalibration(y_true=[0, 1], y_score=[tiny, 2 * tiny])
    odds = math.exp(fit.in_the_large / 2 + math.log(tiny) / 2) ** 2  # exp(744) overflows
    assert odds / (1 + odds) + 2 * odds / (1 + 2 * odds) == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([1, 1], [0.2, 0.8], "no negatives"),
        ([0, 0], [0.2, 0.8], "no positives"),
        ([0, 1, 0], [0.2, 0.8, 0.0], "a probability of exactly 0 or 1"),
        ([0, 1, 0], [0.2, 0.8, 1.0], "a probability of exactly 0 or 1"),
    ],
)
def test_nothing_is_defined_without_both_classes_or_logits(labels, scores, reason: str):
    fit = recalibration(y_true=labels, y_score=scores)
    assert fit.reason == reason
    assert all(map(math.isnan, (fit.intercept, fit.slope, fit.in_the_large)))


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], "a threshold separates the classes"),
        ([1, 1, 0, 0], [0.1, 0.2, 0.7, 0.8], "a threshold separates the classes"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.2, 0.8], "a threshold separates the classes"),
        ([0, 1, 1], [0.3, 0.3, 0.3], "all probabilities are equal"),
    ],
)
def test_a_slope_that_would_be_infinite_or_free_is_nan(labels, scores, reason: str):
    fit = recalibration(y_true=labels, y_score=scores)
    assert fit.reason == reason
    assert math.isnan(fit.intercept)
    assert math.isnan(fit.slope)
    assert residuals(labels, logit(scores), fit.in_the_large, 1)[0] == pytest.approx(0, abs=1e-12)


def test_logits_are_refused():
    with pytest.raises(ValueError, match="must be probabilities"):
        recalibration(y_true=[0, 1], y_score=[-1.0, 2.0])
