import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seattn.metrics import Predictions, binary_report, brier, classification_report, roc_auc
from tests.metrics.worked import P3, PATIENTS, Y3, A, Y

NAMES = [f"patient {p:02}" for p in PATIENTS]


def collect(sizes, *, y_true=Y, y_score=A, patients=PATIENTS, ids=None) -> Predictions:
    """Updates of these sizes, in order."""
    predictions, start = Predictions(), 0
    for size in sizes:
        part = slice(start, start + size)
        predictions.update(
            y_true=y_true[part],
            y_score=y_score[part],
            patients=None if patients is None else patients[part],
            ids=None if ids is None else ids[part],
        )
        start += size
    return predictions


def equal(a: Predictions, b: Predictions) -> bool:
    def columns(p):
        return [(c.dtype.kind, c.tolist()) for c in (*p.cases().values(), p.ids) if c is not None]

    return columns(a) == columns(b)


@given(st.lists(st.integers(1, 5), min_size=20), st.booleans())
def test_batches_of_any_size_equal_one_call(sizes, with_ids):
    ids = list(range(20)) if with_ids else None
    whole, total, cut = collect([20], ids=ids), 0, []
    for size in sizes:
        cut.append(min(size, 20 - total))
        total += cut[-1]
        if total == 20:
            break
    for parts in (cut, [1] * 20):
        assert equal(collect(parts, ids=ids), whole)
        assert binary_report(**collect(parts, ids=ids).cases()) == binary_report(
            y_true=Y, y_score=A, patients=PATIENTS
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_of_a_loop_equal_their_values(dtype):
    scores = torch.tensor(A, dtype=dtype, requires_grad=True)
    found = collect([7, 13], y_true=torch.tensor(Y), y_score=scores, patients=NAMES)
    assert found.y_score.dtype == np.float64
    assert found.y_score.tolist() == scores.tolist()
    assert found.y_true.tolist() == Y
    assert found.patients.tolist() == NAMES


def test_logits_that_float32_probabilities_would_tie_stay_apart():
    found = Predictions()
    for label, logit in zip([0, 1, 1, 0], [20.0, 25.0, 30.0, -3.0], strict=True):
        found.update(y_true=[label], y_score=torch.tensor([logit]))
    assert roc_auc(y_true=found.y_true, y_score=found.y_score) == 1.0


def test_columns_go_into_a_report_of_classes():
    found = collect([5, 7], y_true=Y3, y_score=P3, patients=None)
    assert found.cases().keys() == {"y_true", "y_score"}
    assert classification_report(**found.cases()) == classification_report(y_true=Y3, y_score=P3)


def test_the_caller_may_fill_its_arrays_anew():
    labels, scores, ids = np.array([0, 1]), np.array([0.1, 0.2]), np.array([3, 4])
    found = Predictions()
    found.update(y_true=labels, y_score=scores, patients=ids, ids=ids)
    labels[:], scores[:], ids[:] = 0, 0, 0
    assert found.y_true.tolist() == [0, 1]
    assert found.y_score.tolist() == [0.1, 0.2]
    assert found.ids.tolist() == found.patients.tolist() == [3, 4]


@given(st.permutations(range(20)), st.lists(st.integers(0, 19), max_size=5))
def test_with_ids_neither_order_nor_repeats_matter(order, repeated):
    rows = [*order, *repeated]
    found = collect(
        [1] * len(rows),
        y_true=[Y[i] for i in rows],
        y_score=[A[i] for i in rows],
        patients=[PATIENTS[i] for i in rows],
        ids=rows,
    )
    assert len(found) == 20
    assert equal(found, collect([20], ids=list(range(20))))


@pytest.mark.parametrize("look_between", [False, True])
def test_of_a_repeated_case_the_lowest_scores_stay_in_any_order(look_between):
    rows = [(0.500, 9), (0.501, 9), (0.499, 9), (0.7, 1)]
    for order in (rows, rows[::-1], rows[1:] + rows[:1]):
        found = Predictions()
        for score, case in order:
            found.update(y_true=[1], y_score=[[score, 1 - score]], ids=[case])
            if look_between:
                found.cases()
        assert found.y_score.tolist() == [[0.7, 1 - 0.7], [0.499, 1 - 0.499]]


def test_without_ids_repeats_are_cases():
    assert len(collect([3, 3], y_true=[1, 0, 0] * 2, y_score=[0.5, 0.1, 0.2] * 2)) == 6


def test_reset_forgets():
    found = collect([20], ids=list(range(20)))
    found.reset()
    assert len(found) == 0
    found.update(y_true=Y3, y_score=P3)  # and may be of another kind
    assert len(found) == 12


def test_an_epoch_upon_another_is_an_error():
    found = collect([20], ids=NUMBERS)
    found.update(y_true=Y, y_score=[1 - a for a in A], patients=PATIENTS, ids=NUMBERS)
    with pytest.raises(ValueError, match=r"other scores in 20 of 20 cases; was `reset\(\)`"):
        found.cases()


NUMBERS = list(range(100, 120))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"y_true": [0], "patients": ["ann"]}, "another value of `y_true` in 1 cases"),
        ({"y_true": [1], "patients": ["bob"]}, "another value of `patients` in 1 cases"),
    ],
)
def test_an_id_of_two_cases_is_an_error_that_names_nobody(second, message):
    found = Predictions()
    found.update(y_true=[1], y_score=[0.5], patients=["ann"], ids=["case 7"])
    found.update(y_score=[0.5], ids=["case 7"], **second)
    with pytest.raises(ValueError, match=message) as error:
        len(found)
    assert not any(name in str(error.value) for name in ("ann", "bob", "case 7"))


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        ({"y_score": [[0.5, 0.5]]}, ValueError, r"`y_score` has shape \(1, 2\)"),
        ({"patients": None}, ValueError, "`patients` came with some batches"),
        ({"ids": None}, ValueError, "`ids` came with some batches"),
        ({"patients": ["x"]}, TypeError, "`patients` has dtype <U1, but cases before"),
        ({"ids": [1.5]}, TypeError, "`ids` has dtype float64"),
        ({"y_score": [math.nan]}, ValueError, "`y_score` must be finite"),
        ({"y_true": [2]}, ValueError, "labels must be 0 or 1"),
        ({"y_true": 1, "y_score": 0.5}, ValueError, r"shape \(\)"),  # a squeezed batch of one
        ({"ids": [None]}, ValueError, "`ids` is missing for 1 cases"),
        ({"ids": [1, 2]}, ValueError, r"`ids` has shape \(2,\)"),
    ],
)
def test_batches_that_are_unlike_are_errors_and_leave_the_others(second, error, message):
    found = collect([20], ids=NUMBERS)
    good = {"y_true": [1], "y_score": [0.5], "patients": [1], "ids": [7]}
    with pytest.raises(error, match=message):
        found.update(**(good | second))
    assert len(found) == 20


def test_nothing_collected_is_an_error():
    for ask in (Predictions().cases, lambda: Predictions().y_true):
        with pytest.raises(ValueError, match="predictions are empty"):
            ask()
    assert len(Predictions()) == 0


def test_gathering_in_one_process_leaves_both_alone():
    found = collect([20], ids=NUMBERS)
    gathered = found.gather()
    found.reset()
    assert len(gathered) == 20
    gathered.update(y_true=[1], y_score=[0.5], patients=[1], ids=[7])
    assert (len(gathered), len(found)) == (21, 0)


def test_it_can_be_copied_and_pickled():
    found = collect([20], patients=NAMES, ids=NUMBERS)
    assert equal(copy.deepcopy(found), found)
    assert equal(pickle.loads(pickle.dumps(found)), found)


@pytest.mark.parametrize(
    "patients", [None, PATIENTS, NAMES, [f"{p:03}" for p in PATIENTS], [*"1" * 20]]
)
@pytest.mark.parametrize("ids", [None, NUMBERS, [f'{n}, "é"\r\n' for n in NUMBERS]])
def test_a_file_brings_back_every_digit(tmp_path, patients, ids):
    scores = [a / 3 for a in A]
    found = collect([20], y_score=scores, patients=patients, ids=ids)
    found.to_csv(tmp_path / "cases.csv")
    again = Predictions.from_csv(tmp_path / "cases.csv")
    if patients and patients[0] == "1":
        patients = [1] * 20  # whole numbers, whoever wrote them
    assert equal(again, collect([20], y_score=scores, patients=patients, ids=ids))


def test_a_file_of_classes(tmp_path):
    found = collect([12], y_true=Y3, y_score=P3, patients=None)
    found.to_csv(tmp_path / "cases.csv")
    first, second = (tmp_path / "cases.csv").read_text().splitlines()[:2]
    assert first == "y_true,y_score_0,y_score_1,y_score_2"
    assert second == ",".join(map(repr, [Y3[0], *P3[0]]))
    assert equal(Predictions.from_csv(tmp_path / "cases.csv"), found)


def test_identifiers_too_large_for_an_integer_stay_apart(tmp_path):
    ids = [str(2**70), str(2**70 + 1)]
    found = Predictions()
    found.update(y_true=[0, 1], y_score=[0.1, 0.9], ids=ids)
    found.to_csv(tmp_path / "cases.csv")
    assert Predictions.from_csv(tmp_path / "cases.csv").ids.tolist() == ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y_true,score\n1,0.5\n", "no column 'y_score'"),
        ("y_score\n0.5\n", "no column 'y_true'"),
        ("y_true,y_score_0,y_score_2\n1,0.5,0.5\n", "no column 'y_score_1'"),
        ("y_true,y_score\n0,0.5\n1,Smith\n", "no number in column 'y_score' of case 2"),
        ("y_true,y_score\n0,0.5\n1\n", "no number in column 'y_score' of case 2"),
        ("y_true,y_score\n1,nan\n", "`y_score` must be finite"),
        ("y_true,y_score,patient\n1,0.5,\n", "`patients` is missing for 1 cases"),
        ("y_true,y_score\n", "`y_true` is empty"),
        ("", "no column 'y_true'"),
    ],
)
def test_files_that_are_none_are_errors_without_their_content(tmp_path, text, message):
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        Predictions.from_csv(tmp_path / "cases.csv")
    assert "Smith" not in str(error.value)
    assert error.value.__context__ is None or error.value.__suppress_context__


def test_numbers_that_depend_on_the_order_do_not_here():
    order = list(np.random.default_rng(0).permutation(20))
    found = collect(
        [20], y_true=[Y[i] for i in order], y_score=[A[i] for i in order], patients=None, ids=order
    )
    assert brier(y_true=found.y_true, y_score=found.y_score) == brier(y_true=Y, y_score=A)
