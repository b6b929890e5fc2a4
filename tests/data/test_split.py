"""Splits by patient: disjoint, balanced, reproducible, or an error."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from seattn.data.errors import SplitError
from seattn.data.index import DicomIndex, IndexRow
from seattn.data.split import split_by_patient, split_hash
from tests.references import split_imbalance
from tests.strategies import studies

FRACTIONS = (0.6, 0.2, 0.2)


def make_index(study: Sequence[Sequence[int | None]], classes: Sequence[str] = "abc") -> DicomIndex:
    rows = [
        IndexRow(f"{k}/{i}.dcm", 0, f"patient {k}", "", "", "axial", 8, 8, 128, 0, label)
        for k, labels in enumerate(study)
        for i, label in enumerate(labels)
    ]
    return DicomIndex(Path("scans"), tuple(rows), (), tuple(classes))


def patients(index: DicomIndex) -> set[str]:
    return {row.patient for row in index.rows}


def labels_by_patient(index: DicomIndex) -> list[list[int]]:
    return [[r.label for r in index.rows if r.patient == p] for p in sorted(patients(index))]


@pytest.mark.parametrize("seed", range(4))
def test_the_cohort_of_the_paper_splits_exactly(seed):
    index = make_index([[1] * 3] * 85 + [[0] * 3] * 244, ("normal", "fracture"))
    parts = split_by_patient(index, 0.6, 0.2, 0.2, seed=seed)
    assert [len(patients(part)) for part in parts] == [197, 66, 66]
    assert [len(part) for part in parts] == [591, 198, 198]
    fractures = [{row.patient for row in part.rows if row.label == 1} for part in parts]
    assert [len(part) for part in fractures] == [51, 17, 17]


@given(studies(), st.integers(0, 5))
def test_every_row_is_in_one_part_and_every_patient_too(study, seed):
    index = make_index(study)
    parts = split_by_patient(index, seed=seed)
    rows = [row for part in parts for row in part.rows]
    assert sorted(rows, key=lambda row: row.path) == sorted(index.rows, key=lambda row: row.path)
    assert sum(len(patients(part)) for part in parts) == len(study)


@given(studies(), st.integers(0, 5))
def test_every_part_has_every_class_and_its_number_of_patients(study, seed):
    for part, fraction in zip(
        split_by_patient(make_index(study), *FRACTIONS, seed=seed), FRACTIONS, strict=True
    ):
        assert {row.label for row in part.rows} == {0, 1, 2}
        assert abs(len(patients(part)) - fraction * len(study)) < 1


@given(studies(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(study, seed, chance):
    index = make_index(study)
    order = list(range(len(index)))
    chance.shuffle(order)
    parts = split_by_patient(index, seed=seed)
    others = split_by_patient(index.subset(order), seed=seed)
    assert [patients(part) for part in parts] == [patients(part) for part in others]
    assert split_hash(parts) == split_hash(others)


@given(studies(), st.integers(0, 5))
def test_no_exchange_of_two_patients_would_improve_the_balance(study, seed):
    parts = [labels_by_patient(part) for part in split_by_patient(make_index(study), seed=seed)]
    reached = split_imbalance(parts, FRACTIONS)
    for p, q in ((0, 1), (0, 2), (1, 2)):
        for i in range(len(parts[p])):
            for j in range(len(parts[q])):
                parts[p][i], parts[q][j] = parts[q][j], parts[p][i]
                complete = all(
                    {k for labels in part for k in labels} == {0, 1, 2} for part in parts
                )
                assert not complete or split_imbalance(parts, FRACTIONS) > reached - 1e-9
                parts[p][i], parts[q][j] = parts[q][j], parts[p][i]


def test_rows_keep_their_order_within_a_part():
    index = make_index([[0, 1, 2]] * 10)
    position = {row.path: i for i, row in enumerate(index.rows)}
    for part in split_by_patient(index):
        places = [position[row.path] for row in part.rows]
        assert places == sorted(places)


def test_a_class_of_three_patients_reaches_all_three_parts():
    # By shares alone 2, 1 and 0 patients would be closer to 60, 20 and 20 % than 1, 1 and 1.
    for seed in range(10):
        parts = split_by_patient(make_index([[0]] * 17 + [[1]] * 3, "ab"), seed=seed)
        assert [sum(row.label == 1 for row in part.rows) for part in parts] == [1, 1, 1]


def test_every_patient_has_the_same_chance_of_each_part():
    # All numbers of images differ, so that the place of no patient is left to a tie.
    index = make_index([[0] * k for k in range(1, 41)], "a")
    tests = [split_by_patient(index, seed=seed)[2] for seed in range(80)]
    counts = Counter(patient for part in tests for patient in patients(part))
    assert sum(counts.values()) == 80 * 8
    assert len(counts) == 40
    assert max(counts.values()) <= 80 * 0.4  # 20 % expected, standard deviation 4.5 %


def test_another_seed_gives_another_split():
    index = make_index([[0], [1], [2]] * 20)
    assert len({split_hash(split_by_patient(index, seed=seed)) for seed in range(8)}) == 8


def test_an_index_without_labels_is_balanced_by_its_images():
    index = make_index([[None] * k for k in (1, 1, 1, 1, 1, 5, 5, 5, 5, 5)], ())
    parts = split_by_patient(index)
    assert [len(patients(part)) for part in parts] == [6, 2, 2]
    assert [len(part) for part in parts] == [18, 6, 6]


def test_the_hash_tells_which_part_a_patient_is_in():
    a, b = make_index([[0], [1]]).subset([0]), make_index([[0], [1]]).subset([1])
    assert split_hash([a, b]) != split_hash([b, a])
    assert split_hash([a, b]) == split_hash([replace(a, root=Path("moved")), b])
    assert len(split_hash([a, b])) == 16


def test_five_parts_for_cross_validation():
    parts = split_by_patient(make_index([[0], [1], [2]] * 10), *[0.2] * 5)
    assert [len(part) for part in parts] == [6] * 5


def test_large_parts_stay_balanced():
    chance = random.Random(0)
    study = [[chance.choice([0, 0, 0, 1])] * chance.randint(1, 9) for _ in range(2000)]
    index = make_index(study, "ab")
    for part, fraction in zip(split_by_patient(index), FRACTIONS, strict=True):
        for label in (0, 1):
            share = sum(r.label == label for r in part.rows) / sum(label in s for s in study)
            mean = sum(s.count(label) for s in study) / sum(label in s for s in study)
            assert share / mean == pytest.approx(fraction, abs=0.002)


@pytest.mark.parametrize(
    ("study", "match"),
    [
        ([[0]] * 20, "class 'b' would be absent from part 1 of 3: of its patients there are 0"),
        (
            [[0]] * 20 + [[1]] * 2,
            "class 'b' would be absent from part 3 of 3: of its patients there are 2",
        ),
        ([[0], [0], [1], [1]], "class 'b' would be absent from part 2"),
        ([], "0 patients are too few"),
    ],
)
def test_a_split_without_a_class_in_every_part_is_an_error(study, match):
    with pytest.raises(SplitError, match=match):
        split_by_patient(make_index(study, "ab"))


def test_a_part_without_a_patient_is_an_error():
    with pytest.raises(SplitError, match=r"2 patients are too few, part 2 of 0\.\.2 would"):
        split_by_patient(make_index([[None], [None]], ()))


@pytest.mark.parametrize(
    "fractions", [(0.6, 0.2), (0.6, 0.3, 0.2), (1.0, 0.0), (1.5, -0.5), (0.5, float("nan"))]
)
def test_fractions_must_be_positive_and_sum_to_one(fractions):
    with pytest.raises(ValueError, match="`fractions`"):
        split_by_patient(make_index([[0]] * 9), *fractions)
