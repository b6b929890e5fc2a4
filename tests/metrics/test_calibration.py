import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from scipy.special import log_softmax

from seattn.metrics import Calibrator, fit_calibrator
from tests.metrics.worked import P3, PATIENTS, Y3, A, Y

LOGITS = [math.log(p / (1 - p)) for p in A]
LOGITS3 = np.log(P3)


def fit(labels, logits, method="temperature", **more) -> Calibrator:
    return fit_calibrator(y_true=labels, y_score=logits, method=method, **more)


@st.composite
def labelled_logits(draw, classes=None):
    """Logits of many scales, with ties, where a best temperature exists: one case wrong, most not.

    (N,) of two classes, or (N, K).
    """
    k = classes or 2
    n = draw(st.integers(4, 20))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0]))
    value = st.floats(-4, 4).map(lambda x: round(x, 1) * scale)
    rows = np.array(draw(st.lists(st.lists(value, min_size=k, max_size=k), min_size=n, max_size=n)))
    rows[:, 0] += np.arange(n) % 2 * scale  # so that not all are of one class
    rows[:, 1] += (np.arange(n) + 1) % 2 * scale
    labels = rows.argmax(axis=1)
    labels[-1] = rows[-1].argmin()
    rows[-1, labels[-1]] -= scale / 8
    above = rows - rows[np.arange(n), labels][:, None]
    assume(len(set(labels.tolist())) > 1 and above.mean() < -1e-6 * scale and above.max() > 0)
    return labels, rows if classes else rows[:, 1] - rows[:, 0]


def binary_or_not(test):
    return given(st.one_of(labelled_logits(), labelled_logits(3), labelled_logits(5)))(test)


def log_loss(labels, logits, slope=1.0):
    """By scipy, in which a logit of class 1 is one of two."""
    logits = np.asarray(logits, dtype=np.float64)
    rows = np.stack([0 * logits, logits], axis=1) if logits.ndim == 1 else logits
    return -log_softmax(slope * rows, axis=1)[np.arange(len(rows)), labels].mean()


@binary_or_not
def test_the_derivative_is_0_at_the_best_temperature(cases):
    labels, logits = cases
    calibrator = fit(labels, logits)
    rows = np.stack([0 * logits, logits], axis=1) if logits.ndim == 1 else logits
    p = np.exp(log_softmax(calibrator.slope * rows, axis=1))
    p[np.arange(len(p)), labels] -= 1
    assert abs(np.sum(p * rows) / len(p)) < 1e-12 * np.abs(rows).max()


@binary_or_not
def test_no_other_temperature_has_a_smaller_log_loss(cases):
    labels, logits = cases
    calibrator = fit(labels, logits)
    least = log_loss(labels, logits, calibrator.slope)
    assert least <= log_loss(labels, logits) + 1e-14  # as they came
    for factor in (1e-3, 0.5, 0.9, 0.999, 1.001, 1.1, 2, 1e3):
        assert least <= log_loss(labels, logits, factor * calibrator.slope) + 1e-14


@binary_or_not
def test_temperature_keeps_the_order_and_the_highest_class(cases):
    labels, logits = cases
    calibrator = fit(labels, logits)
    p = calibrator.apply(logits)
    assert p.shape == logits.shape
    if logits.ndim == 1:
        assert (np.diff(p[np.argsort(logits)]) >= 0).all()
    else:
        assert (p.max(axis=1) == p[np.arange(len(p)), logits.argmax(axis=1)]).all()
        assert np.abs(p.sum(axis=1) - 1).max() < 1e-15 * p.shape[1]


@binary_or_not
def test_logits_of_another_scale_have_another_temperature_and_the_same_probabilities(cases):
    labels, logits = cases
    calibrator = fit(labels, logits)
    other = fit(labels, 128 * logits)  # a power of two, so that nothing is rounded
    assert other.temperature == 128 * calibrator.temperature
    assert (other.apply(128 * logits) == calibrator.apply(logits)).all()


def test_one_logit_is_the_difference_of_two():
    rows = np.stack([np.full(20, 1.5), np.array(LOGITS) + 1.5], axis=1)
    one, two = fit(Y, LOGITS), fit(Y, rows)
    assert two.temperature == pytest.approx(one.temperature, rel=1e-12)
    assert two.apply(rows)[:, 1] == pytest.approx(one.apply(LOGITS), abs=1e-12)


@given(labelled_logits(), st.sampled_from([1.0, 1e4]))
def test_the_derivatives_are_0_at_platts_minimum(cases, shift):
    labels, logits = cases
    logits = logits + shift
    assume(logits[labels == 1].mean() > logits[labels == 0].mean())
    calibrator = fit(labels, logits, "platt")
    positives, negatives = sum(labels == 1), sum(labels == 0)
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    residual = calibrator.apply(logits) - targets
    spread = logits - logits.mean()
    assert abs(residual.sum()) < 1e-8 * len(labels)
    assert abs(residual @ spread) < 1e-8 * len(labels) * np.abs(spread).max()


def test_platts_loss_is_not_above_that_of_the_logits_as_they_came():
    targets = np.where(np.array(Y) == 1, 8 / 9, 1 / 15)
    fitted = fit(Y, LOGITS, "platt")

    def loss(z):
        return np.mean(np.logaddexp(0, z) - targets * z)

    assert loss(fitted.slope * np.array(LOGITS) + fitted.intercept) < loss(np.array(LOGITS))


def test_platt_ends_where_the_classes_are_apart():
    fitted = fit([0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0], "platt")
    assert fitted.intercept == pytest.approx(0, abs=1e-12)
    assert (
        fitted.apply([1.0])[0] < 3 / 4 < fitted.apply([2.0])[0]
    )  # the target of the two positives


def test_platt_ends_where_newtons_own_steps_do_not():
    labels, logits = np.arange(50) == 49, np.append(np.linspace(0, 1, 49), 5)
    fitted = fit(labels, logits, "platt")
    residual = fitted.apply(logits) - np.where(labels, 2 / 3, 1 / 51)
    assert abs(residual.sum()) < 1e-12
    assert abs(residual @ logits) < 1e-12


def test_probabilities_keep_their_digits_and_stay_within_0_and_1():
    fitted = fit(Y, LOGITS)
    p = fitted.apply(np.array([-700.0, -40.0, 0.0, 40.0, 1e300, -1e300]) / fitted.slope)
    assert p[0] == pytest.approx(math.exp(-700), rel=1e-12, abs=0)
    assert p[1] == pytest.approx(math.exp(-40), rel=1e-12, abs=0)
    assert p[2:].tolist() == [0.5, 1.0, 1.0, 0.0]
    assert fit(Y3, LOGITS3).apply([[1e6, -1e6, 0.0], [9e6, 9e6, 0]]).tolist() == [
        [1, 0, 0],
        [0.5, 0.5, 0],
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("labels", "logits"), [(Y, LOGITS), (Y3, LOGITS3)])
def test_tensors_of_any_dtype_give_what_their_values_give(labels, logits, dtype):
    tensor = torch.tensor(np.asarray(logits), dtype=dtype, requires_grad=True)
    fitted = fit(torch.tensor(labels), tensor)
    assert fitted == fit(labels, tensor.tolist())
    assert (fitted.apply(tensor) == fitted.apply(tensor.tolist())).all()


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_it_remembers_its_cases_and_goes_to_json_and_back(method):
    fitted = fit(Y, LOGITS, method, patients=PATIENTS, fitted_on="fold 3")
    assert (fitted.fitted_on, fitted.n, fitted.n_patients) == ("fold 3", 20, 10)
    assert fitted.saw(y_true=Y[::-1], y_score=LOGITS[::-1])
    assert not fitted.saw(y_true=Y, y_score=A)
    again = Calibrator.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    assert (again.apply(LOGITS) == fitted.apply(LOGITS)).all()


def test_columns_are_remembered():
    fitted = fit(Y3, LOGITS3)
    assert fitted.saw(y_true=Y3, y_score=LOGITS3)
    with pytest.raises(ValueError, match=r"`y_score` has shape \(2,\).*shape \(N, 3\)"):
        fitted.apply([1.0, 2.0])
    with pytest.raises(ValueError, match=r"`y_score` has shape \(1, 2\).*shape \(N,\)"):
        fit(Y, LOGITS).apply([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("labels", "logits", "method", "message"),
    [
        ([0, 1], [2.0, 1.0], "temperature", "no better than chance"),
        ([0, 1], [3.0, 3.0], "temperature", "no better than chance"),
        ([0, 1], [-2.0, 1.0], "temperature", "highest logit at the label for all 2"),
        ([0, 1, 2], [[2, 1, 1], [0, 1, 0.5], [1, 0, 1]], "temperature", "highest logit"),
        ([0, 1], [2.0, 1.0], "platt", "falls where `y_true` is 1: the slope is -"),
        ([0, 1], [3.0, 3.0], "platt", "same for all 2 cases"),
        ([0, 1], [[1.0, 2.0], [2.0, 1.0]], "platt", r"one logit per case, not shape \(2, 2\)"),
        ([1, 1], [3.0, 2.0], "temperature", "`y_true` is 1 for all 2 cases"),
        ([0, 0], [3.0, 2.0], "platt", "`y_true` is 0 for all 2 cases"),
        ([0, 1], [3.0, 2.0], "isotonic", r"`method` \(='isotonic'\)"),
        ([0, 1], [3.0, math.nan], "platt", "`y_score` must be finite"),
    ],
)
def test_what_cannot_be_fitted_is_an_error(labels, logits, method, message):
    with pytest.raises(ValueError, match=message):
        fit(labels, logits, method)


@pytest.mark.parametrize(("labels", "scores"), [(Y, A), (Y3, P3)])
def test_probabilities_are_no_logits(labels, scores):
    with pytest.warns(UserWarning, match="`y_score` looks like probabilities"):
        fit(labels, scores)


def test_small_logits_of_classes_are_logits():
    fit([0, 1, 0], [[0.9, 0.4], [0.2, 0.5], [0.1, 0.3]])  # warnings are errors here
