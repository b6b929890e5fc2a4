"""The check of a split: it finds what is planted, and nothing in a split that is sound."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from pydicom import dcmread
from pydicom.data import get_testdata_file
from torch.utils.data import DataLoader

from seattn.data.dataset import DicomDataset
from seattn.data.errors import SplitError
from seattn.data.index import DicomIndex
from seattn.data.sample import Sample
from seattn.data.split import split_by_patient
from seattn.data.split_check import check_splits
from seattn.data.split_report import Leak, NearDuplicate
from tests.references import joined_rows
from tests.strategies import archive_row, archives

FRACTIONS = (0.6, 0.2, 0.2)


def make_index(rows, classes="abc"):
    return DicomIndex(Path("scans"), tuple(rows), (), tuple(classes))


def lone(count):
    return [archive_row(k, f"p{k}", label=k % 3) for k in range(count)]


def pictures(parts, seed=0):
    """One picture for each row, unlike every other."""
    chance = torch.Generator().manual_seed(seed)
    return [torch.rand(len(part), 1, 48, 48, generator=chance) for part in parts]


@given(archives())
def test_our_own_splits_are_sound(rows):
    parts = split_by_patient(make_index(rows))
    report = check_splits(parts, *FRACTIONS, images=pictures(parts))
    assert report.ok
    assert report.leaks == ()
    assert report.near_duplicates == ()
    assert report.patient_deviation < 1 / sum(report.patients)
    report.raise_if_bad()


@given(archives())
def test_a_split_by_image_leaks_exactly_what_is_on_both_sides(rows):
    index = make_index(rows)
    parts = [index.subset(range(0, len(rows), 2)), index.subset(range(1, len(rows), 2))]
    report = check_splits(parts)
    kinds = {
        "patient": "patient",
        "study": "study",
        "frame of reference": "frame_of_reference",
        "pixels": "pixels",
    }
    expected = {
        (kind, value)
        for kind, field in kinds.items()
        for value in {getattr(row, field) for row in parts[0].rows} - {""}
        if value in {getattr(row, field) for row in parts[1].rows}
    }
    assert {(leak.kind, leak.value) for leak in report.leaks} == expected
    assert {leak.parts for leak in report.leaks} <= {(0, 1)}
    groups = joined_rows(rows, [None] * len(rows))
    assert report.patients == tuple(
        sum(any(i % 2 == p for i in group) for group in groups) for p in (0, 1)
    )
    assert report.ok == (not expected)


def test_a_planted_duplicate_and_a_shared_study_are_joined_and_reported():
    rows = [replace(row, study=f"s{k}", pixels=f"x{k}") for k, row in enumerate(lone(60))]
    rows.append(replace(archive_row(90, "alias", label=0), study="other", pixels="x7"))
    rows.append(replace(archive_row(91, "again", label=0), study="s9", pixels="y"))
    index = make_index(rows)
    for seed in range(20):
        parts = split_by_patient(index, seed=seed)
        home = {row.patient: p for p, part in enumerate(parts) for row in part.rows}
        assert home["alias"] == home["p7"]
        assert home["again"] == home["p9"]
        assert check_splits(parts).ok
    report = check_splits([index.subset(range(60)), index.subset([60, 61])])
    assert not report.ok
    assert set(report.leaks) == {Leak("pixels", (0, 1), "x7"), Leak("study", (0, 1), "s9")}
    assert "1 shared pixels in parts 1 and 2" in str(report)
    assert "1 shared study in parts 1 and 2" in str(report)
    with pytest.raises(SplitError, match="1 shared study in parts 1 and 2"):
        report.raise_if_bad()


def test_real_files_under_a_second_patient_id_are_joined_and_reported(tmp_path):
    for k in range(12):
        dataset = dcmread(get_testdata_file("CT_small.dcm"))
        dataset.PatientID = f"patient {k}"
        dataset.PixelData = bytes([k]) * len(dataset.PixelData)
        for tag in ("SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, tag, f"1.2.3.{k}")
        dataset.save_as(tmp_path / f"{k:02}.dcm")
    dataset = dcmread(tmp_path / "03.dcm")
    dataset.PatientID, dataset.SOPInstanceUID = "alias", "1.2.3.90"
    dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = "1.2.3.91"
    dataset.save_as(tmp_path / "98.dcm")
    dataset.PatientID, dataset.SOPInstanceUID = "again", "1.2.3.92"
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.3.7", "1.2.3.93"
    dataset.PixelData = bytes(len(dataset.PixelData) - 2) + b"ab"
    dataset.save_as(tmp_path / "99.dcm")

    index = DicomIndex.scan(tmp_path, key="k", progress=False)
    for seed in range(10):
        parts = split_by_patient(index, seed=seed)
        home = {row.path: p for p, part in enumerate(parts) for row in part.rows}
        assert home["98.dcm"] == home["03.dcm"]
        assert home["99.dcm"] == home["07.dcm"]
    report = check_splits([index.subset(range(12)), index.subset([12, 13])])
    assert sorted(leak.kind for leak in report.leaks) == ["pixels", "study"]


def test_keys_of_the_user_leak_too():
    index = make_index(lone(6))
    parts = [index.subset([0, 1, 2]), index.subset([3, 4, 5])]
    report = check_splits(parts, join=[["a", None, "b"], ["b", None, "c"]])
    assert report.leaks == (Leak("key", (0, 1), "b"),)


def test_near_duplicates_of_other_patients_and_parts_are_reported():
    parts = split_by_patient(make_index(lone(30)))
    images = pictures(parts)
    images[2][1] = (0.9 * images[0][4]).clamp(max=0.8)
    report = check_splits(parts, images=images)
    (pair,) = report.near_duplicates
    assert pair == NearDuplicate((0, 2), (4, 1), pair.correlation)
    assert 0.98 <= pair.correlation < 1
    assert report.near_duplicate_count == 1
    assert not report.ok
    assert "1 near-duplicates in parts 1 and 3" in str(report)
    assert check_splits(parts, images=images, threshold=0.9999).ok


def test_near_duplicates_within_a_patient_or_a_part_are_none():
    index = make_index([archive_row(k, f"p{k // 2}") for k in range(8)], "")
    images = pictures([index])[0]
    images[1] = images[2] = images[0]  # p0, p0, p1
    parts = [index.subset(range(4)), index.subset(range(4, 8))]
    assert check_splits(parts, images=[images[:4], images[4:]]).ok
    torn = [index.subset([0, 4, 5]), index.subset([1, 6, 7])]
    report = check_splits(torn, images=[images[[0, 4, 5]], images[[1, 6, 7]]])
    assert [leak.kind for leak in report.leaks] == ["patient"]
    assert report.near_duplicates == ()


FORMS = {
    "tensor": lambda x: x,
    "float64 array (N, H, W)": lambda x: x[:, 0].numpy().astype(">f8"),
    "uint16 array": lambda x: (x * 65535).numpy().astype(np.uint16),
    "batches": lambda x: [x[:2], x[2:]],
    "loader": lambda x: DataLoader([Sample(i, *map(torch.tensor, (0, 0, 0))) for i in x], 3),
}


@pytest.mark.parametrize("form", FORMS)
def test_pixels_come_in_any_form(form, recwarn):
    index = make_index(lone(12))
    parts = [index.subset(range(6)), index.subset(range(6, 12))]
    images = pictures(parts)
    images[1][5] = images[0][3]
    report = check_splits(parts, images=[FORMS[form](each) for each in images])
    assert [(pair.parts, pair.rows) for pair in report.near_duplicates] == [((0, 1), (3, 5))]
    assert not recwarn.list


def test_pixels_come_from_datasets(real_images):
    index = DicomIndex.scan(real_images / "tcga_ct100", key="k", progress=False)
    parts = split_by_patient(index)
    report = check_splits(parts, *FRACTIONS, images=[DicomDataset(part) for part in parts])
    assert report.ok
    assert sum(report.patients) == 54
    rows = [
        replace(row, patient=f"{k}", pixels="", study="", frame_of_reference="")
        for k, row in enumerate(index.rows)
    ]
    copy = replace(index, rows=tuple(rows))
    parts = [copy, copy.subset([11])]
    parts[1] = replace(copy, rows=(replace(rows[11], patient="alias"),))
    report = check_splits(parts, images=[DicomDataset(part, size=96) for part in parts])
    assert report.leaks == ()
    assert [pair.rows for pair in report.near_duplicates] == [(11, 0)]


def test_deviations_are_the_largest_of_all_parts():
    rows = [archive_row(k, f"p{k}", label=int(k % 10 == 0)) for k in range(40)]
    index = make_index(rows, "abc")
    report = check_splits([index.subset(range(30)), index.subset(range(30, 40))], 0.5, 0.5)
    assert report.patients == (30, 10)
    assert report.images == (30, 10)
    assert report.patient_deviation == pytest.approx(0.25)
    assert report.class_deviations["a"] == pytest.approx(27 / 36 - 0.5)
    assert report.class_deviations["b"] == pytest.approx(3 / 4 - 0.5)
    assert np.isnan(report.class_deviations["c"])
    assert report.absent == ((0, "c"), (1, "c"))
    assert "class 'c' is absent from part 2" in str(report)
    own = check_splits([index.subset(range(30)), index.subset(range(30, 40))])
    assert own.patient_deviation == 0
    assert own.class_deviations["a"] == pytest.approx(27 / 36 - 30 / 40)


def test_an_empty_part_is_reported():
    index = make_index(lone(6))
    report = check_splits([index, index.subset([])], images=pictures([index, index.subset([])]))
    assert not report.ok
    assert "part 2 is empty" in str(report)


def test_neither_text_nor_repr_shows_a_pseudonym():
    rows = [replace(archive_row(k, "secret1"), study="secret2", pixels="secret3") for k in (0, 1)]
    index = make_index(rows, "")
    keys = [["secret4"], ["secret4"]]
    report = check_splits([index.subset([0]), index.subset([1])], join=keys)
    assert len(report.leaks) == 4
    with pytest.raises(SplitError) as caught:
        report.raise_if_bad()
    assert "secret" not in str(report) + repr(report) + str(caught.value)


def test_a_report_is_frozen():
    report = check_splits([make_index(lone(6))])
    with pytest.raises(FrozenInstanceError):
        report.patients = ()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"images": [torch.zeros(6, 1, 8, 8)]}, "`images` has 1 entries and must have 2"),
        ({"images": [torch.zeros(6, 8, 8)] * 2}, r"`images\[1\]` holds 6 images for 5 rows"),
        ({"images": [torch.zeros(6, 8)] * 2}, r"batch of shape \(6, 8\)"),
        ({"join": [None]}, "`join` has 1 entries"),
        ({"join": [None, ["a"]]}, "`join` has 1 keys for 5 rows"),
        ({"threshold": 0.0}, "`threshold`"),
        ({"threshold": 1.5}, "`threshold`"),
        ({"threshold": float("nan")}, "`threshold`"),
    ],
)
def test_what_does_not_fit_the_parts_is_an_error(change, match):
    index = make_index(lone(11))
    with pytest.raises(ValueError, match=match):
        check_splits([index.subset(range(6)), index.subset(range(6, 11))], **change)


def test_parts_and_fractions_must_fit():
    index = make_index(lone(6))
    with pytest.raises(ValueError, match="`parts`"):
        check_splits([])
    with pytest.raises(ValueError, match="`parts`"):
        check_splits([index, make_index([], "ab")])
    with pytest.raises(ValueError, match="`fractions` has 2 entries"):
        check_splits([index], 0.5, 0.5)
    with pytest.raises(ValueError, match="sum to 1"):
        check_splits([index], 0.5)
