import itertools
import math
import operator

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from seattn.metrics import average_precision, roc_auc, roc_auc_ovo
from tests import references
from tests.metrics.worked import P3, Y3, A, B, Y
from tests.strategies import class_probabilities, findings, labels_and_scores

Cases = tuple[list[int], list[float], list[int]]


def test_the_worked_area_is_the_float_nearest_to_the_fraction():
    assert roc_auc(y_true=Y, y_score=A) == 84.5 / 91
    assert roc_auc(y_true=Y, y_score=B) == 79 / 91


def test_worked_average_precision():
    assert average_precision(y_true=Y, y_score=A) == pytest.approx(0.880612245, abs=1e-9)
    assert average_precision(y_true=Y, y_score=B) == pytest.approx(0.787755102, abs=1e-9)


@pytest.mark.parametrize(("average", "value"), [("macro", 0.966666667), ("weighted", 0.983333333)])
def test_worked_areas_of_three_classes(average, value: float):
    assert roc_auc(y_true=Y3, y_score=P3, average=average) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_one_against_one_is_the_mean_over_pairs_of_classes(average):
    assert roc_auc_ovo(y_true=Y3, y_score=P3) == pytest.approx(0.972222222, abs=1e-9)

    @given(class_probabilities())
    def check(cases: tuple[list[int], list[list[float]]]) -> None:
        labels, rows = cases
        areas, weights = [], []
        for i, j in itertools.combinations(sorted(set(labels)), 2):
            pair = [(k, row) for k, row in zip(labels, rows, strict=True) if k in (i, j)]
            for one in (i, j):
                of_one = [k == one for k, _ in pair]
                areas.append(references.roc_auc(of_one, [row[one] for _, row in pair]))
                weights.append(len(pair) if average == "weighted" else 1)
        expected = sum(map(operator.mul, areas, weights)) / sum(weights)
        value = roc_auc_ovo(y_true=labels, y_score=rows, average=average)
        assert value == pytest.approx(expected, abs=1e-14)

    check()


def test_pairs_with_an_absent_class_are_left_out():
    of_two = roc_auc(y_true=[0, 1, 0], y_score=[0.1, 0.7, 0.4])
    rows = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]
    assert roc_auc_ovo(y_true=[0, 1, 0], y_score=rows) == of_two
    assert math.isnan(roc_auc_ovo(y_true=[1, 1, 1], y_score=rows))


def test_wrong_averages_of_pairs_are_errors():
    with pytest.raises(ValueError, match=r"`average` \(=None\) must be 'macro' or 'weighted'"):
        roc_auc_ovo(y_true=Y3, y_score=P3, average=None)


@pytest.mark.parametrize("metric", [roc_auc, average_precision])
def test_a_column_of_findings_is_a_binary_problem(metric):
    @given(findings())
    def check(cases: tuple[list[list[int]], list[list[float]]]) -> None:
        true, rows = cases
        columns = list(zip(zip(*true, strict=True), zip(*rows, strict=True), strict=True))
        each = [metric(y_true=y, y_score=s) for y, s in columns]
        values = metric(y_true=true, y_score=rows, average=None)
        assert values == pytest.approx(each, abs=0, nan_ok=True)
        pooled = metric(
            y_true=[y for ys, _ in columns for y in ys],
            y_score=[s for _, ss in columns for s in ss],
        )
        micro = metric(y_true=true, y_score=rows, average="micro")
        assert micro == pytest.approx(pooled, abs=0, nan_ok=True)

    check()


def test_findings_and_scores_of_other_shapes_are_errors():
    with pytest.raises(ValueError, match=r"shape \(1, 2\) and `y_score` \(1, 3\)"):
        roc_auc(y_true=[[0, 1]], y_score=[[0.1, 0.2, 0.3]], average="macro")
    with pytest.raises(ValueError, match="`y_true` holds 2 at index 0, 1, but labels must be 0 or"):
        roc_auc(y_true=[[0, 2]], y_score=[[0.1, 0.2]], average="macro")
    with pytest.raises(ValueError, match=r"`y_true` holds 0\.4 at index 1, 0.*arguments swapped"):
        roc_auc(y_true=[[1, 0], [0.4, 1]], y_score=[[1, 0], [1, 0]], average="macro")


@given(labels_and_scores(min_each=1))
def test_the_area_counts_pairs(cases: Cases):
    labels, scores, _ = cases
    area = roc_auc(y_true=labels, y_score=scores)
    assert area == pytest.approx(references.roc_auc(labels, scores), abs=1e-14)


@given(labels_and_scores(min_each=1), st.randoms(use_true_random=False))
def test_the_order_of_the_cases_does_not_matter(cases: Cases, random):
    labels, scores, _ = cases
    order = list(range(len(labels)))
    random.shuffle(order)
    for metric in (roc_auc, average_precision):
        shuffled = metric(y_true=[labels[i] for i in order], y_score=[scores[i] for i in order])
        assert shuffled == metric(y_true=labels, y_score=scores)


@given(labels_and_scores(min_each=1))
def test_only_the_order_of_the_scores_matters(cases: Cases):
    labels, scores, _ = cases
    ranks = [sorted(set(scores)).index(s) * 1e6 - 3 for s in scores]
    for metric in (roc_auc, average_precision):
        assert metric(y_true=labels, y_score=ranks) == metric(y_true=labels, y_score=scores)


@given(labels_and_scores(min_each=1))
def test_the_area_of_the_opposite_score_is_the_complement(cases: Cases):
    labels, scores, _ = cases
    opposite = roc_auc(y_true=labels, y_score=[-s for s in scores])
    assert opposite == pytest.approx(1 - roc_auc(y_true=labels, y_score=scores), abs=1e-15)


def test_large_logits_do_not_tie():
    # A sigmoid in float32 maps 20, 25 and 30 to the same 1.
    logits = np.array([20, 25, 30, -3], dtype=np.float32)
    assert roc_auc(y_true=[0, 1, 1, 0], y_score=logits) == 1.0


def test_a_constant_score_has_half_the_area_and_the_prevalence():
    assert roc_auc(y_true=[0, 0, 0, 1], y_score=[0.3] * 4) == 0.5
    assert average_precision(y_true=[0, 0, 0, 1], y_score=[0.3] * 4) == 0.25


def test_the_pairs_of_a_million_cases_are_counted_exactly():
    n = 1_000_000
    y = np.arange(n) % 2
    # Every even case is a negative just below a positive: k + 1 of them lie below positive k.
    assert roc_auc(y_true=y, y_score=np.arange(n)) == (n // 2 + 1) / n


@pytest.mark.parametrize("label", [0, 1])
def test_the_area_of_one_class_is_nan(label: int):
    assert math.isnan(roc_auc(y_true=[label] * 3, y_score=[0.1, 0.5, 0.9]))


def test_average_precision_without_positives_is_nan():
    assert math.isnan(average_precision(y_true=[0, 0], y_score=[0.1, 0.5]))
    assert average_precision(y_true=[1, 1], y_score=[0.1, 0.5]) == 1.0


@given(class_probabilities())
def test_a_class_against_the_rest_is_a_binary_metric(cases: tuple[list[int], list[list[float]]]):
    labels, rows = cases
    for metric in (roc_auc, average_precision):
        assert metric(y_true=labels, y_score=rows, average=None) == [
            metric(y_true=[i == k for i in labels], y_score=column)
            for k, column in enumerate(zip(*rows, strict=True))
        ]


def test_macro_leaves_out_a_class_without_cases():
    rows = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]
    areas = roc_auc(y_true=[0, 1, 0], y_score=rows, average=None)
    assert areas == pytest.approx([1.0, 1.0, math.nan], nan_ok=True)
    assert roc_auc(y_true=[0, 1, 0], y_score=rows, average="macro") == 1.0


def test_columns_of_scores_need_an_average():
    with pytest.raises(ValueError, match=r"shape \(2, 2\).*`average=`"):
        roc_auc(y_true=[0, 1], y_score=[[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(ValueError, match=r"shape \(2,\); one score per case and class"):
        roc_auc(y_true=[0, 1], y_score=[0.1, 0.8], average="macro")
