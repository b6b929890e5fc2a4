import math

import numpy as np
import pytest
from hypothesis import given

from seattn.metrics import (
    average_precision,
    partial_roc_auc,
    pr_curve,
    precision,
    recall,
    roc_auc,
    roc_curve,
    specificity,
)
from tests.metrics.worked import A, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]


@given(labels_and_scores(min_each=1))
def test_a_point_of_either_curve_is_the_rates_at_its_threshold(cases: Cases):
    labels, scores, _ = cases
    roc, pr = (f(y_true=labels, y_score=scores) for f in (roc_curve, pr_curve))
    assert roc.thresholds.tolist() == [math.inf, *sorted(set(scores), reverse=True)]
    assert pr.thresholds.tolist() == sorted(set(scores))
    for threshold, fpr, tpr in zip(roc.thresholds, roc.fpr, roc.tpr, strict=True):
        both = {"y_true": labels, "y_pred": scores >= threshold}
        assert tpr == recall(**both)
        assert fpr == pytest.approx(1 - specificity(**both), abs=1e-15)
    for threshold, p, r in zip(pr.thresholds, pr.precision[:-1], pr.recall[:-1], strict=True):
        both = {"y_true": labels, "y_pred": scores >= threshold}
        assert (p, r) == (precision(**both), recall(**both))
    assert (pr.precision[-1], pr.recall[-1]) == (1, 0)


@given(labels_and_scores(min_each=1))
def test_the_areas_are_those_under_the_curves(cases: Cases):
    labels, scores, _ = cases
    roc, pr = (f(y_true=labels, y_score=scores) for f in (roc_curve, pr_curve))
    area = np.sum(np.diff(roc.fpr) * (roc.tpr[1:] + roc.tpr[:-1])) / 2
    assert area == pytest.approx(roc_auc(y_true=labels, y_score=scores), abs=1e-14)
    steps = -np.sum(np.diff(pr.recall) * pr.precision[:-1])
    assert steps == pytest.approx(average_precision(y_true=labels, y_score=scores), abs=1e-14)


def test_rates_of_a_missing_class_are_nan():
    roc, pr = (f(y_true=[0, 0], y_score=[0.1, 0.2]) for f in (roc_curve, pr_curve))
    assert np.isnan(roc.tpr).all()
    assert np.isnan(pr.recall[:-1]).all()
    assert pr.precision.tolist() == [0, 0, 1]
    roc = roc_curve(y_true=[1, 1], y_score=[0.1, 0.2])
    assert np.isnan(roc.fpr).all()
    assert roc.tpr.tolist() == [0, 0.5, 1]


def test_the_worked_partial_area():
    assert partial_roc_auc(y_true=Y, y_score=A, max_fpr=0.1) == pytest.approx(0.777038751, abs=1e-9)


@given(labels_and_scores(min_each=1))
def test_the_partial_area_up_to_1_is_the_area(cases: Cases):
    labels, scores, _ = cases
    whole = partial_roc_auc(y_true=labels, y_score=scores, max_fpr=1)
    assert whole == pytest.approx(roc_auc(y_true=labels, y_score=scores), abs=1e-14)


@pytest.mark.parametrize("max_fpr", [0.01, 0.3, 0.5, 1])
def test_chance_and_perfection_do_not_depend_on_the_range(max_fpr: float):
    labels = [0, 1] * 4
    assert partial_roc_auc(y_true=labels, y_score=[0.5] * 8, max_fpr=max_fpr) == pytest.approx(0.5)
    assert partial_roc_auc(y_true=labels, y_score=labels, max_fpr=max_fpr) == 1


@pytest.mark.parametrize("label", [0, 1])
def test_the_partial_area_of_one_class_is_nan(label: int):
    assert math.isnan(partial_roc_auc(y_true=[label] * 2, y_score=[0.1, 0.2], max_fpr=0.1))


@pytest.mark.parametrize("max_fpr", [0, -0.1, 1.1, math.nan])
def test_ranges_that_are_none_are_errors(max_fpr: float):
    with pytest.raises(ValueError, match=r"`max_fpr` \(=.*\) must be above 0 and up to 1"):
        partial_roc_auc(y_true=[0, 1], y_score=[0, 1], max_fpr=max_fpr)
