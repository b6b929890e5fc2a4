import math

import pytest
from hypothesis import given

from seattn.metrics import average_precision, by_class, f1, recall, roc_auc, specificity
from tests.metrics.worked import P3, PREDICTED3, Y3
from tests.strategies import class_labels


def test_worked_values():
    areas = by_class(roc_auc, y_true=Y3, y_score=P3)
    assert areas.support == (6, 4, 2)
    assert areas.macro == pytest.approx(0.966666667, abs=1e-9)
    assert areas.weighted == pytest.approx(0.983333333, abs=1e-9)
    assert areas.n_undefined == 0
    of_labels = by_class(f1, y_true=Y3, y_pred=PREDICTED3)
    assert of_labels.values == pytest.approx((2 / 3, 8 / 9, 2 / 3), abs=1e-12)
    assert of_labels.macro == pytest.approx(0.740740741, abs=1e-9)


@given(class_labels())
def test_means_are_those_of_the_metric_and_nan_is_counted(case: tuple[list[int], list[int], int]):
    true, predicted, classes = case
    given_to = {"y_true": true, "y_pred": predicted, "num_classes": classes}
    for metric in (recall, specificity):
        found = by_class(metric, **given_to)
        each = metric(**given_to, average=None)
        assert found.values == pytest.approx(each, nan_ok=True)
        assert found.n_undefined == sum(map(math.isnan, each))
        assert found.support == tuple(true.count(k) for k in range(classes))
        for mean in ("macro", "weighted"):
            expected = metric(**given_to, average=mean)
            assert getattr(found, mean) == pytest.approx(expected, nan_ok=True)


def test_an_absent_class_is_counted_and_has_no_part():
    rows = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]
    for metric in (roc_auc, average_precision):
        areas = by_class(metric, y_true=[0, 1, 0], y_score=rows)
        assert math.isnan(areas.values[2])
        assert (areas.macro, areas.weighted, areas.n_undefined) == (1.0, 1.0, 1)


def test_columns_of_findings():
    true, predicted = [[1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 1]]
    found = by_class(recall, y_true=true, y_pred=predicted)
    assert found.values == pytest.approx((1, 0.5, math.nan), nan_ok=True)
    assert (found.support, found.macro, found.n_undefined) == ((1, 2, 0), 0.75, 1)
    areas = by_class(roc_auc, y_true=true, y_score=predicted)
    assert areas.values == pytest.approx((1, math.nan, math.nan), nan_ok=True)
    assert (areas.support, areas.n_undefined) == ((1, 2, 0), 2)


@pytest.mark.parametrize("given_to", [{}, {"y_score": P3, "y_pred": PREDICTED3}])
def test_scores_and_labels_are_one_or_the_other(given_to: dict):
    with pytest.raises(TypeError, match="`y_score` or `y_pred`, and not both"):
        by_class(roc_auc, y_true=Y3, **given_to)
