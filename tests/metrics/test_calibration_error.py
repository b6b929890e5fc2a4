import math

import numpy as np
import pytest
from hypothesis import given

from seattn.metrics import ece, reliability
from tests import references
from tests.metrics.worked import P3, PREDICTED3, Y3, A, B, Y
from tests.strategies import labels_and_scores

Cases = tuple[list[int], list[float], list[int]]


@pytest.mark.parametrize(
    ("scores", "options", "value"),
    [
        (A, {}, 0.21),
        (A, {"norm": "max"}, 0.45),
        (A, {"norm": "l2"}, 0.238956935),
        (B, {}, 0.126),
        (B, {"norm": "max"}, 0.245),
        (A, {"bins": 5}, 0.187),
        (B, {"bins": 5}, 0.115),
        (A, {"bins": 5, "binning": "mass"}, 0.155),
        (B, {"bins": 5, "binning": "mass"}, 0.133),
        (A, {"kind": "top"}, 0.116),
    ],
)
def test_worked_values(scores, options: dict, value: float):
    assert ece(y_true=Y, y_score=scores, **options) == pytest.approx(value, abs=1e-9)


@given(labels_and_scores())
def test_the_table_is_that_of_a_loop_over_the_bins(cases: Cases):
    labels, scores, _ = cases
    for bins in (1, 4, 10):
        table = reliability(y_true=labels, y_score=scores, bins=bins)
        rows = references.reliability(labels, scores, bins)
        assert table.counts.tolist() == [count for count, _, _ in rows]
        assert table.mean_score == pytest.approx([s for _, s, _ in rows], abs=1e-15, nan_ok=True)
        assert table.observed == pytest.approx([o for _, _, o in rows], abs=1e-15, nan_ok=True)
        gaps = [(n, abs(s - o)) for n, s, o in rows if n]
        mean = sum(n * gap for n, gap in gaps) / len(labels)
        assert ece(y_true=labels, y_score=scores, bins=bins) == pytest.approx(mean, abs=1e-15)


def test_a_probability_at_an_edge_is_in_the_bin_above_it_and_1_in_the_last():
    # 0.29 * 100 rounds to 28.999999999999996: the edges are divisions.
    for k in range(101):
        table = reliability(y_true=[1], y_score=[k / 100], bins=100)
        assert table.counts.tolist().index(1) == min(k, 99)


@given(labels_and_scores())
def test_bins_of_equal_mass_hold_every_case_and_keep_ties_together(cases: Cases):
    labels, scores, _ = cases
    table = reliability(y_true=labels, y_score=scores, bins=3, binning="mass")
    assert table.counts.sum() == len(labels)
    assert (np.diff(table.edges) > 0).all()
    assert (table.edges[0], table.edges[-1]) == (0, 1)
    for low, high, count in zip(table.edges, table.edges[1:], table.counts, strict=False):
        assert count == sum(low <= s < high or s == high == 1 for s in scores)


def test_bins_of_equal_mass_are_equal_without_ties():
    scores = np.random.default_rng(0).permutation(60) / 61
    table = reliability(y_true=[0] * 60, y_score=scores, bins=6, binning="mass")
    assert table.counts.tolist() == [10] * 6


def test_the_order_of_tied_cases_does_not_matter():
    scores = [0.2, 0.5, 0.5, 0.5, 0.5, 0.9]
    values = {
        ece(y_true=labels, y_score=scores, bins=2, binning="mass")
        for labels in ([0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 1, 1])
    }
    assert len(values) == 1


def test_the_top_class_of_two_columns_is_that_of_one():
    of_two = [[1 - s, s] for s in A]
    assert ece(y_true=Y, y_score=of_two, kind="top") == ece(y_true=Y, y_score=A, kind="top")


def test_the_top_class_of_three_columns():
    table = reliability(y_true=Y3, y_score=P3, kind="top", bins=1)
    assert table.observed[0] == sum(map(int.__eq__, Y3, PREDICTED3)) / 12
    assert table.mean_score[0] == pytest.approx(sum(map(max, P3)) / 12, abs=1e-15)


def test_a_half_counts_as_positive():
    assert reliability(y_true=[1], y_score=[0.5], kind="top", bins=1).observed[0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 0}, r"`bins` \(=0\) must be 1 or more"),
        ({"binning": "size"}, r"`binning` \(='size'\)"),
        ({"kind": "all"}, r"`kind` \(='all'\)"),
        ({"norm": "l3"}, r"`norm` \(='l3'\)"),
    ],
)
def test_wrong_options_are_errors(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        ece(y_true=[0, 1], y_score=[0.1, 0.9], **options)


def test_columns_need_the_top_kind_and_logits_are_refused():
    with pytest.raises(ValueError, match=r"shape \(12, 3\); columns.*kind='top'"):
        ece(y_true=Y3, y_score=P3)
    for rows in ([-1.0, 2.0], [[-1.0, 2.0], [0.0, 1.0]]):
        with pytest.raises(ValueError, match="must be probabilities"):
            ece(y_true=[0, 1], y_score=rows, kind="top")


def test_an_empty_bin_is_nan():
    table = reliability(y_true=[1], y_score=[0.7], bins=2)
    assert math.isnan(table.observed[0])
    assert math.isnan(table.mean_score[0])
