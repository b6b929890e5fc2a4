import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seattn.metrics import (
    binary_report,
    by_patient,
    classification_report,
    confusion,
    roc_auc,
)
from tests.metrics.worked import P3, PATIENTS, Y3, A, Y
from tests.strategies import labels_and_scores


@pytest.mark.parametrize(
    ("how", "area", "counts"),
    [
        ("mean", 1.0, (4, 0, 6, 0)),
        ("max", 23 / 24, (4, 1, 5, 0)),
        ("median", 1.0, (4, 0, 6, 0)),
        ("noisy-or", 1.0, (4, 3, 3, 0)),
    ],
)
def test_worked_patients(how, area, counts):
    labels, scores, patients = by_patient(y_true=Y, y_score=A, patients=PATIENTS, how=how)
    assert labels.tolist() == [1, 1, 0, 0, 1, 0, 1, 0, 0, 0]
    assert patients.tolist() == list(range(1, 11))
    assert roc_auc(y_true=labels, y_score=scores) == area
    c = confusion(y_true=labels, y_pred=scores >= 0.5)
    assert (c.tp, c.fp, c.tn, c.fn) == counts


def test_the_mean_is_the_default():
    joined = by_patient(y_true=[0, 0, 1], y_score=[0.0, 0.25, 0.5], patients=[7, 7, 7])
    assert joined.y_score.tolist() == [0.25]


JOIN = {
    "mean": statistics.fmean,
    "max": max,
    "median": statistics.median,
    "noisy-or": lambda scores: 1 - np.prod([1 - s for s in scores]),
}


@given(labels_and_scores(), st.sampled_from(sorted(JOIN)), st.randoms(use_true_random=False))
def test_each_patient_has_what_its_own_cases_give_in_any_order(cases, how, random):
    rows = list(zip(*cases, strict=True))
    joined = by_patient(y_true=cases[0], y_score=cases[1], patients=cases[2], how=how)
    for label, score, patient in zip(*joined, strict=True):
        own = [row for row in rows if row[2] == patient]
        assert label == max(row[0] for row in own)
        assert score == pytest.approx(JOIN[how]([row[1] for row in own]), abs=1e-15)
    random.shuffle(rows)
    y, s, p = (list(column) for column in zip(*rows, strict=True))
    again = by_patient(y_true=y, y_score=s, patients=p, how=how)
    assert all((a == b).all() for a, b in zip(joined, again, strict=True))


def test_sums_do_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    scores = rng.random(20)
    found = {
        by_patient(y_true=Y, y_score=rng.permutation(scores), patients=[1] * 20).y_score[0]
        for _ in range(20)
    }
    assert len(found) == 1


def test_it_goes_into_a_report_as_it_is():
    report = binary_report(**by_patient(y_true=Y, y_score=A, patients=PATIENTS)._asdict())
    assert (report.n, report.n_patients) == (10, 10)
    assert report["sensitivity"].method == "Wilson"


def test_classes_keep_rows_that_sum_to_1():
    patients = ["a", "a", "b", "c", "c", "c", "d", "d", "e", "e", "f", "f"]
    joined = by_patient(y_true=Y3, y_score=P3, patients=patients)
    assert joined.y_score.shape == (6, 3)
    assert joined.y_score[0] == pytest.approx(np.mean(P3[:2], axis=0), abs=1e-15)
    assert joined.y_true.tolist() == [0, 0, 0, 1, 1, 2]
    assert classification_report(**joined._asdict()).n == 6


def test_a_finding_beside_none_is_the_patients_finding():
    rows = [[0.2, 0.3, 0.5]] * 3
    assert by_patient(y_true=[0, 2, 0], y_score=rows, patients=[5, 5, 5]).y_true.tolist() == [2]
    with pytest.raises(ValueError, match="two labels beside 0 in 1 patients"):
        by_patient(y_true=[0, 2, 1], y_score=rows, patients=[5, 5, 5])


def test_tensors_and_strings():
    strings = [f"p{p:02}" for p in PATIENTS]
    scores = torch.tensor(A, dtype=torch.float64, requires_grad=True)
    joined = by_patient(y_true=torch.tensor(Y), y_score=scores, patients=strings)
    numbers = by_patient(y_true=Y, y_score=A, patients=torch.tensor(PATIENTS))
    assert joined.patients[0] == "p01"
    assert (joined.y_score == numbers.y_score).all()


@pytest.mark.parametrize(
    ("scores", "how", "message"),
    [
        ([0.1, 0.2], "sum", r"`how` \(='sum'\) must be one of 'mean'"),
        ([0.1, 1.2], "noisy-or", r"`y_score` must be probabilities in \[0, 1\]"),
        ([[0.1, 0.9], [0.5, 0.5]], "max", "rows that do not sum to 1"),
        ([0.1, 0.2, 0.3], "mean", "`y_true` has 2 cases and `y_score` 3"),
    ],
)
def test_what_cannot_be_joined_is_an_error(scores, how, message):
    with pytest.raises(ValueError, match=message):
        by_patient(y_true=[0, 1], y_score=scores, patients=[1, 1], how=how)


def test_logits_may_be_joined_but_for_noisy_or():
    joined = by_patient(y_true=[0, 1], y_score=[-3.0, 5.0], patients=[1, 1], how="max")
    assert joined.y_score.tolist() == [5.0]


def test_patients_are_needed_for_each_case():
    with pytest.raises(ValueError, match="`patients` is missing for 1 cases"):
        by_patient(y_true=[0, 1], y_score=[0.1, 0.2], patients=["a", None])
