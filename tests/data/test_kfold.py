"""Cross-validation by patient: every patient is tested once, and never trained on meanwhile."""

from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from seattn.data.errors import SplitError
from seattn.data.groups import group_rows
from seattn.data.index import DicomIndex
from seattn.data.kfold import kfold_by_patient
from seattn.data.split import split_hash
from tests.strategies import archive_row, archives


def make_index(rows, classes="abc"):
    return DicomIndex(Path("scans"), tuple(rows), (), tuple(classes))


@given(archives(), st.integers(2, 5), st.integers(0, 3))
def test_every_row_is_tested_once_and_no_group_is_torn(rows, k, seed):
    folds = kfold_by_patient(make_index(rows), k, seed=seed)
    assert len(folds) == k
    tested = [row.path for _, test in folds for row in test.rows]
    assert sorted(tested) == sorted(row.path for row in rows)
    group = dict(zip((row.path for row in rows), group_rows(rows), strict=True))
    sizes = []
    for train, test in folds:
        assert sorted([*train.rows, *test.rows], key=rows.index) == rows
        assert list(train.rows) == sorted(train.rows, key=rows.index)
        of_train, of_test = ({group[row.path] for row in part.rows} for part in (train, test))
        assert not of_train & of_test
        assert {row.label for row in test.rows} == {0, 1, 2}
        sizes.append(len(of_test))
    assert max(sizes) - min(sizes) <= 1


def test_another_seed_gives_other_folds():
    index = make_index([archive_row(k, f"p{k // 2}", label=k % 3) for k in range(60)])
    folds = [
        split_hash([test for _, test in kfold_by_patient(index, 3, seed=k)]) for k in (0, 0, 1)
    ]
    assert folds[0] == folds[1] != folds[2]


@given(archives(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, chance):
    shuffled = rows.copy()
    chance.shuffle(shuffled)
    hashes = [
        split_hash([test for _, test in kfold_by_patient(make_index(some))])
        for some in (rows, shuffled)
    ]
    assert hashes[0] == hashes[1]


def test_keys_keep_rows_together():
    rows = [archive_row(k, f"p{k}", label=0) for k in range(30)]
    family = [k % 10 for k in range(30)]
    for _, test in kfold_by_patient(make_index(rows, "a"), 5, join=family):
        assert len(test) == 6
        assert len({family[rows.index(row)] for row in test.rows}) == 2


def test_too_few_patients_of_a_class_are_an_error():
    rows = [archive_row(k, f"p{k}", label=int(k < 4)) for k in range(30)]
    with pytest.raises(SplitError, match="class 'b' would be absent from part 5 of 5"):
        kfold_by_patient(make_index(rows, "ab"), 5)
    joined = [replace(row, study="s", label=None) for row in rows]
    with pytest.raises(SplitError, match=r"1 patients are too few.*30 patients count as 1, for"):
        kfold_by_patient(make_index(joined, ""), 2)


@pytest.mark.parametrize("k", [1, 0, -3])
def test_one_fold_is_an_error(k):
    with pytest.raises(ValueError, match="`k`"):
        kfold_by_patient(make_index([]), k)
