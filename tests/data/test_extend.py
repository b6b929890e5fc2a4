"""Extended splits: nobody moves, newcomers go where they belong or where room is."""

import random
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from seattn.data.errors import SplitError
from seattn.data.extend import extend_split
from seattn.data.groups import group_rows
from seattn.data.index import DicomIndex
from seattn.data.split import split_by_patient, split_hash
from tests.strategies import archive_row, archives

FRACTIONS = (0.6, 0.2, 0.2)


def make_index(rows, classes="abc"):
    return DicomIndex(Path("scans"), tuple(rows), (), tuple(classes))


def homes(parts):
    return {row.patient: p for p, part in enumerate(parts) for row in part.rows}


def lone(numbers, classes=3):
    return [archive_row(k, f"p{k}", label=k % classes) for k in numbers]


@given(archives(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_nobody_moves_and_no_group_is_torn(rows, chance, seed):
    # Old rows are whole groups, for else two of them may be in different parts, an error.
    names = group_rows(rows)
    late = set(chance.sample(sorted(set(names[15:])), k=len(set(names[15:])) // 2))
    older = make_index(row for name, row in zip(names, rows, strict=True) if name not in late)
    before = split_by_patient(older, seed=seed)
    after = extend_split(before, make_index(rows), *FRACTIONS, seed=seed)
    assert homes(before).items() <= homes(after).items()
    assert sum(map(len, after)) == len(rows)
    home = homes(after)
    assert len({(n, home[row.patient]) for n, row in zip(names, rows, strict=True)}) == len(
        set(names)
    )


@given(archives(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, chance):
    before = split_by_patient(make_index(rows[:15]))
    shuffled = rows.copy()
    chance.shuffle(shuffled)
    after = extend_split(before, make_index(rows))
    other = extend_split(
        [part.subset(range(len(part))[::-1]) for part in before], make_index(shuffled)
    )
    assert split_hash(after) == split_hash(other)


@given(st.integers(15, 60), st.integers(0, 60), st.integers(0, 3))
def test_the_parts_have_their_number_of_patients(old, new, seed):
    before = split_by_patient(make_index(lone(range(old))), seed=seed)
    after = extend_split(before, make_index(lone(range(old + new))), *FRACTIONS, seed=seed)
    for part, fraction in zip(after, FRACTIONS, strict=True):
        # Within one of its share, or as it was if it had too many.
        assert abs(len(part) - fraction * (old + new)) < 1.5


def test_extended_splits_are_balanced_like_first_ones():
    chance = random.Random(0)
    rows = []
    for k in range(180):
        label = chance.choice([0, 0, 0, 1, 1, 2])
        rows += [archive_row(10 * k + i, f"p{k}", label=label) for i in range(chance.randint(1, 9))]
    older = make_index(row for row in rows if int(row.patient[1:]) < 150)
    after = extend_split(split_by_patient(older), make_index(rows), *FRACTIONS)
    for part, fraction in zip(after, FRACTIONS, strict=True):
        assert len({row.patient for row in part.rows}) == fraction * 180
        for label in range(3):
            of_class = [sum(row.label == label for row in some) for some in (part.rows, rows)]
            assert of_class[0] / of_class[1] == pytest.approx(fraction, abs=0.02)


def test_without_fractions_the_shares_stay():
    before = split_by_patient(make_index(lone(range(20))), 0.3, 0.7)
    after = extend_split(before, make_index(lone(range(200))))
    assert [len(part) for part in after] == [60, 140]


def test_a_part_with_too_many_takes_nobody():
    index = make_index(lone(range(40), classes=1), "a")
    before = [index.subset(range(10)), index.subset(range(10, 20))]
    after = extend_split(before, index.subset(range(24)), 0.25, 0.75)
    assert [len(part) for part in after] == [10, 14]


@pytest.mark.parametrize("field", ["patient", "study", "frame_of_reference", "pixels", "join"])
def test_who_shares_something_with_an_old_patient_goes_along(field):
    rows = lone(range(30))
    rows = [
        replace(row, study=f"s{k}", frame_of_reference=f"f{k}", pixels=f"x{k}")
        for k, row in enumerate(rows)
    ]
    before = split_by_patient(make_index(rows))
    for k in range(30):
        new = replace(lone([77])[0], path="new.dcm")
        keys = [None] * 31
        if field == "join":
            keys[k] = keys[30] = "family"
        else:
            new = replace(new, **{field: getattr(rows[k], field)})
        after = extend_split(before, make_index([*rows, new]), join=keys)
        assert homes(after)[new.patient] == homes(before)[f"p{k}"]


def test_a_join_through_a_row_that_is_gone_holds():
    rows = lone(range(30))
    gone = replace(archive_row(99, "p3"), study="s", label=0)
    before = split_by_patient(make_index([*rows, gone]))
    new = replace(archive_row(100, "new", label=0), study="s")
    assert homes(extend_split(before, make_index([*rows, new])))["new"] == homes(before)["p3"]


def test_changed_files_and_labels_move_nobody():
    rows = lone(range(30))
    before = split_by_patient(make_index(rows))
    changed = [replace(row, path=f"moved/{row.path}", size=9, label=2 - row.label) for row in rows]
    after = extend_split(before, make_index(changed), *FRACTIONS)
    assert homes(after) == homes(before)


@pytest.mark.parametrize(
    ("field", "name"),
    [("study", "study"), ("frame_of_reference", "frame of reference"), ("pixels", "pixels")],
)
def test_a_row_that_joins_patients_of_different_parts_is_an_error(field, name):
    rows = lone(range(30))
    rows[4], rows[5] = (replace(row, **{field: f"x{k}"}) for k, row in enumerate(rows[4:6]))
    index = make_index(rows)
    before = [index.subset(range(5)), index.subset(range(5, 30))]
    bridge = [replace(archive_row(90 + k, "new", label=0), **{field: f"x{k}"}) for k in range(2)]
    with pytest.raises(SplitError) as caught:
        extend_split(before, make_index([*rows, *bridge]))
    assert caught.value.reason == (
        "who belongs together is in different parts, p4 in part 1 and p5 in part 2: they share "
        f"{name}; leave the rows that join them out of the newer index, or split it anew"
    )


def test_a_patient_in_two_parts_is_an_error():
    index = make_index(lone(range(6)))
    with pytest.raises(SplitError, match="p2 in part 1 and p2 in part 2: one patient;"):
        extend_split([index.subset([0, 1, 2]), index.subset([2, 3, 4, 5])], index)


def test_an_index_of_another_key_is_an_error():
    other = make_index(archive_row(k, f"q{k}", label=k % 3) for k in range(30))
    with pytest.raises(SplitError, match="made with the same key"):
        extend_split(split_by_patient(make_index(lone(range(30)))), other)


def test_parts_fractions_and_keys_must_fit():
    index = make_index(lone(range(30)))
    before = split_by_patient(index)
    with pytest.raises(ValueError, match="one for each of 3 parts"):
        extend_split(before, index, 0.5, 0.5)
    with pytest.raises(ValueError, match="above 0 and sum to 1"):
        extend_split(before, index, 0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="`join` has 1 keys for 30 rows"):
        extend_split(before, index, join=["x"])
    with pytest.raises(ValueError, match="`parts` is empty"):
        extend_split([], index)


def test_newcomers_have_the_same_chances():
    index = make_index([archive_row(k, f"p{k}", label=0) for k in range(60)], "a")
    before = split_by_patient(index.subset(range(30)))
    placed = [homes(extend_split(before, index, seed=seed)) for seed in range(100)]
    shares = [np.mean([home[f"p{k}"] == 2 for home in placed]) for k in range(30, 60)]
    assert np.mean(shares) == pytest.approx(0.2)
    assert max(shares) <= 0.4  # standard deviation 4 %
