import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given

from seattn.metrics import OperatingPoint, choose_threshold, sensitivity, specificity
from tests.metrics.worked import PATIENTS, A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]


def choose(scores, rule="youden", at_least=None, labels=Y, **more) -> OperatingPoint:
    return choose_threshold(y_true=labels, y_score=scores, rule=rule, at_least=at_least, **more)


@pytest.mark.parametrize(
    ("scores", "rule", "at_least", "threshold", "se", "sp"),
    [
        (A, "youden", None, 0.42, 1.0, 10 / 13),
        (B, "youden", None, 0.47, 6 / 7, 10 / 13),
        (A, "sensitivity", 0.95, 0.42, 1.0, 10 / 13),
        (B, "sensitivity", 0.95, 0.38, 1.0, 8 / 13),
        (A, "specificity", 0.90, 0.64, 4 / 7, 12 / 13),
        (B, "specificity", 0.90, 0.62, 4 / 7, 12 / 13),
    ],
)
def test_worked_thresholds(scores, rule, at_least, threshold, se, sp):
    point = choose(scores, rule, at_least)
    assert (point.threshold, point.sensitivity, point.specificity) == (threshold, se, sp)


def by_trial(labels, scores, rule, at_least):
    """Tries every score, from the highest."""
    tried = []
    for threshold in sorted(set(scores), reverse=True):
        predicted = [s >= threshold for s in scores]
        se = sensitivity(y_true=labels, y_pred=predicted)
        sp = specificity(y_true=labels, y_pred=predicted)
        tried.append((threshold, se, sp))
    if rule == "youden":
        best = max(se + sp for _, se, sp in tried)
        return next(each for each in tried if each[1] + each[2] > best - 1e-9)
    if rule == "sensitivity":
        return next(each for each in tried if each[1] >= at_least)
    return next((each for each in reversed(tried) if each[2] >= at_least), None)


@given(labels_and_scores(min_each=1))
@pytest.mark.parametrize(
    ("rule", "at_least"),
    [
        ("youden", None),
        *[(rule, at) for rule in ("sensitivity", "specificity") for at in (0.2, 0.5, 0.75, 1)],
    ],
)
def test_the_rule_holds_among_all_scores(rule, at_least, cases: Cases):
    labels, scores, _ = cases
    expected = by_trial(labels, scores, rule, at_least)
    if expected is None:
        with pytest.raises(ValueError, match=rf"`at_least` \(={float(at_least)}\).*no score has"):
            choose(scores, rule, at_least, labels)
    else:
        point = choose(scores, rule, at_least, labels)
        assert (point.threshold, point.sensitivity, point.specificity) == expected


def test_a_target_that_is_met_exactly_is_met():
    # 1 - 1/20 is below 0.95 in float64, and 19/20 is not.
    labels, scores = [0] * 20 + [1], [*range(20), 30]
    assert choose(scores, "specificity", 0.95, labels).threshold == 19
    assert choose([-s for s in scores], "sensitivity", 0.95, [1] * 20 + [0]).threshold == -18


def test_equal_indices_take_the_highest_threshold():
    assert choose([4, 3, 2, 1], labels=[1, 0, 1, 0]).threshold == 4
    # 1/3 - 0 at 6 and 1 - 2/3 at 2, where float64 takes the second for larger.
    assert choose([6, 5, 4, 3, 2, 1], labels=[1, 0, 0, 1, 1, 0]).threshold == 6


def test_useless_scores_call_all_positive_and_show_it():
    point = choose([0.5, 0.5, 0.5], labels=[1, 0, 0])
    assert (point.threshold, point.sensitivity, point.specificity) == (0.5, 1.0, 0.0)


def test_applied_to_its_own_cases_it_has_its_own_rates():
    point = choose(A)
    predicted = point.apply(A)
    assert predicted.dtype == np.int64
    assert sensitivity(y_true=Y, y_pred=predicted) == point.sensitivity
    assert specificity(y_true=Y, y_pred=predicted) == point.specificity


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_threshold_of_a_tensor_is_that_of_its_values(dtype):
    scores = torch.tensor(A, dtype=dtype, requires_grad=True)
    point = choose(scores)
    assert point == choose(scores.tolist())
    assert point.apply(scores).tolist() == [int(s >= point.threshold) for s in scores.tolist()]


@pytest.mark.parametrize(("threshold", "predicted"), [(math.inf, [0, 0]), (-math.inf, [1, 1])])
def test_an_infinite_threshold_of_ones_own_calls_all_alike(threshold, predicted):
    point = replace(choose(A), threshold=threshold)
    assert point.apply([-1e300, 1e300]).tolist() == predicted


def test_it_remembers_its_cases_in_any_order():
    point = choose(A, patients=PATIENTS, fitted_on="fold 3")
    assert (point.fitted_on, point.n, point.n_patients, point.rule) == ("fold 3", 20, 10, "youden")
    assert choose(A, "sensitivity", 0.95).rule == "sensitivity >= 0.95"
    assert point.saw(y_true=Y, y_score=A)
    assert point.saw(y_true=torch.tensor(Y[::-1]), y_score=np.array(A[::-1]))
    assert not point.saw(y_true=Y, y_score=B)
    assert not point.saw(y_true=Y[:-1], y_score=A[:-1])
    assert not point.saw(y_true=Y[1:] + Y[:1], y_score=A)  # the same, but otherwise paired
    assert choose([0.0, 1], labels=[0, 1]).saw(y_true=[0, 1], y_score=[-0.0, 1])


def test_the_fingerprint_stays_what_it_was():
    # It is kept in files, beside results.
    assert choose(A).fingerprint == "9469784aca331f81"


def test_it_goes_to_json_and_back():
    point = choose(A, "specificity", 0.9, patients=PATIENTS)
    assert OperatingPoint.from_dict(json.loads(json.dumps(point.to_dict()))) == point


@pytest.mark.parametrize(
    ("rule", "at_least", "message"),
    [
        ("roc", None, r"`rule` \(='roc'\) must be"),
        ("youden", 0.9, r"`at_least` \(=0.9\) goes with"),
        ("sensitivity", None, r"`at_least` \(=None\) must be above 0"),
        ("specificity", 95, r"`at_least` \(=95\) must be above 0"),
        ("sensitivity", 0, r"`at_least` \(=0\) must be above 0"),
        ("sensitivity", math.nan, r"`at_least` \(=nan\) must be above 0"),
    ],
)
def test_rules_that_are_none_are_errors(rule, at_least, message):
    with pytest.raises(ValueError, match=message):
        choose(A, rule, at_least)


@pytest.mark.parametrize("rule", ["youden", "sensitivity", "specificity"])
def test_one_class_is_an_error(rule):
    at_least = None if rule == "youden" else 0.5
    with pytest.raises(ValueError, match="`y_true` has no negatives among 2 cases"):
        choose([0.1, 0.2], rule, at_least, [1, 1])
    with pytest.raises(ValueError, match="`y_true` has no positives"):
        choose([0.1, 0.2], rule, at_least, [0, 0])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1, math.nan], "must be finite"),
        ([[0.1], [0.2]], r"must have shape \(N,\)"),
        (0.3, r"\(N,\)"),
    ],
)
def test_scores_that_are_none_are_not_called_negative(scores, message):
    with pytest.raises(ValueError, match=f"`y_score`.*{message}"):
        choose(A).apply(scores)
