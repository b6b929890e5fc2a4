"""Groups of patients: exactly those that a slow search joins, whatever the order."""

import math
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from seattn.data.groups import group_rows
from tests.references import joined_rows
from tests.strategies import archive_row, archives

KEYS = st.sampled_from([None, None, "", math.nan, 0, "a", "b"])


def pair(**fields):
    """Two patients that share what is given."""
    return [replace(archive_row(k, f"p{k}"), **fields) for k in range(2)]


@given(archives(), st.data())
def test_groups_are_those_of_a_slow_search(rows, data):
    join = data.draw(st.lists(KEYS, min_size=len(rows), max_size=len(rows)))
    names = group_rows(rows, join)
    plain = [None if isinstance(key, float) else key for key in join]
    expected = joined_rows(rows, plain)
    assert len(set(names)) == len(expected)
    for group in expected:
        (name,) = {names[i] for i in group}
        assert name == min(rows[i].patient for i in group)


@given(archives(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, chance):
    order = list(range(len(rows)))
    chance.shuffle(order)
    names = group_rows(rows)
    assert group_rows([rows[i] for i in order]) == [names[i] for i in order]


@pytest.mark.parametrize("field", ["study", "frame_of_reference", "pixels"])
def test_one_thing_in_common_joins_two_patients_and_emptiness_does_not(field):
    assert group_rows(pair(**{field: "x"})) == ["p0", "p0"]
    assert group_rows(pair(**{field: ""})) == ["p0", "p1"]


@pytest.mark.parametrize("field", ["series", "view", "mask", "path"])
def test_other_fields_in_common_join_nobody(field):
    assert group_rows(pair(**{field: "x"})) == ["p0", "p1"]


def test_a_study_is_no_frame_of_reference():
    a, b = pair()
    rows = [replace(a, study="x"), replace(b, frame_of_reference="x", pixels="x")]
    assert group_rows(rows) == ["p0", "p1"]


def test_a_file_without_a_patient_joins_those_of_its_study():
    # Such a file has its study for a patient.
    a, b = pair()
    assert group_rows([replace(a, patient="s", study="s"), replace(b, study="s")]) == ["p1", "p1"]


@pytest.mark.parametrize(("key", "joined"), [("x", True), (0, True), (None, False), ("", False)])
def test_keys_of_the_user_join_unless_they_are_empty(key, joined):
    assert len(set(group_rows(pair(), [key, key]))) == (1 if joined else 2)


def test_nan_of_a_table_joins_nobody():
    assert group_rows(pair(), [math.nan, math.nan]) == ["p0", "p1"]


def test_join_needs_a_key_for_each_row():
    with pytest.raises(ValueError, match="`join` has 1 keys for 2 rows"):
        group_rows(pair(), ["x"])
