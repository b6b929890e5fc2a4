"""Masks from NumPy files, pictures and DICOM segmentations: the right frame, or an error."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
import torch

from seattn.data import segmentation
from seattn.data.errors import DicomError
from seattn.data.index import DicomIndex
from seattn.data.mask_file import read_mask
from seattn.data.preprocess import Preprocessing
from tests.data.files import items, write_dicom

SHAPE = (10, 13)  # 130 bits: the frames of a segmentation do not begin at whole bytes
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture(autouse=True)
def _forget():
    segmentation._read_frames.cache_clear()


@pytest.fixture
def folder(tmp_path):
    """Three slices and an image of four frames, all of one series."""
    for i in range(3):
        pixels = np.full(SHAPE, i, dtype=np.int16)
        write_dicom(
            tmp_path / f"{i}.dcm",
            pixels,
            SOPInstanceUID=f"1.2.3.{i}",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 5 * i],
        )
    write_dicom(tmp_path / "frames.dcm", np.zeros((4, *SHAPE), np.int16), SOPInstanceUID="1.2.3.9")
    return tmp_path


def row_of(folder, name, *, frame=0, mask="seg.dcm"):
    index = DicomIndex.scan(folder, key="k", progress=False)
    row = next(row for row in index.rows if (row.path, row.frame) == (name, frame))
    return replace(row, mask=mask)


def frame_mask(i):
    """A pattern for frame i, and no other."""
    return np.random.default_rng(i).random(SHAPE) < 0.3


def write_seg(path, frames, *, shared=None, kind="BINARY", uid=SEGMENTATION):
    """A binary segmentation; a frame is (segment, source uid, source frames, position)."""
    groups = []
    for segment, source, numbers, position in frames:
        group = {}
        if segment is not None:
            group["SegmentIdentificationSequence"] = items({"ReferencedSegmentNumber": segment})
        if source is not None:
            image = {"ReferencedSOPInstanceUID": source, "ReferencedFrameNumber": numbers}
            group["DerivationImageSequence"] = items({"SourceImageSequence": items(image)})
        if position is not None:
            group["PlanePositionSequence"] = items({"ImagePositionPatient": position})
        groups.append(group)
    stored = np.stack([frame_mask(i) for i in range(len(frames))]).astype(np.uint8)
    write_dicom(
        path,
        stored,
        SOPClassUID=uid,
        Modality="SEG",
        SegmentationType=kind,
        PatientName="MARKER^Seg",
        SharedFunctionalGroupsSequence=items(shared or {}),
        PerFrameFunctionalGroupsSequence=items(*groups),
    )
    dataset = pydicom.dcmread(path)
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    bits = np.packbits(stored.ravel(), bitorder="little").tobytes()
    dataset.PixelData = bits + b"\0" * (len(bits) % 2)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)


def read(folder, row, segment=None):
    mask = read_mask(folder, row, shape=SHAPE, segment=segment)
    assert mask.dtype == torch.bool
    return mask.numpy()


def assert_refused(folder, row, match, segment=None):
    with pytest.raises(DicomError, match=match) as caught:
        read_mask(folder, row, shape=SHAPE, segment=segment)
    assert caught.value.stage == "mask"
    assert caught.value.path == row.mask
    assert "MARKER" not in str(caught.value)
    assert "1.2.3" not in str(caught.value)


def test_each_image_gets_the_frame_that_names_it(folder):
    write_seg(folder / "seg.dcm", [(1, f"1.2.3.{i}", None, None) for i in (2, 0, 1)])
    for name, i in (("2.dcm", 0), ("0.dcm", 1), ("1.dcm", 2)):
        np.testing.assert_array_equal(read(folder, row_of(folder, name)), frame_mask(i))


def test_each_frame_of_an_image_gets_its_own(folder):
    write_seg(
        folder / "seg.dcm",
        [(1, "1.2.3.9", 3, None), (1, "1.2.3.9", [1, 2], None), (1, "1.2.3.0", None, None)],
    )
    for frame, i in ((0, 1), (1, 1), (2, 0)):
        row = row_of(folder, "frames.dcm", frame=frame)
        np.testing.assert_array_equal(read(folder, row), frame_mask(i))
    assert_refused(folder, row_of(folder, "frames.dcm", frame=3), "no frame of the segment")


def test_the_segment_is_chosen_by_its_number(folder):
    frames = [(2, "1.2.3.0", None, None), (5, "1.2.3.0", None, None), (5, "1.2.3.1", None, None)]
    write_seg(folder / "seg.dcm", frames)
    row = row_of(folder, "0.dcm")
    np.testing.assert_array_equal(read(folder, row, segment=2), frame_mask(0))
    np.testing.assert_array_equal(read(folder, row, segment=5), frame_mask(1))
    assert_refused(folder, row, r"segments \[2, 5\]; choose one with `segment`")
    assert_refused(folder, row, r"segments \[2, 5\], and not 1", segment=1)
    assert_refused(folder, row_of(folder, "1.dcm"), "no frame of the segment", segment=2)


def test_what_holds_for_all_frames_may_be_said_once(folder):
    source = items({"SourceImageSequence": items({"ReferencedSOPInstanceUID": "1.2.3.1"})})
    shared = {
        "SegmentIdentificationSequence": items({"ReferencedSegmentNumber": 3}),
        "DerivationImageSequence": source,
    }
    write_seg(folder / "seg.dcm", [(None, None, None, None)], shared=shared)
    row = row_of(folder, "1.dcm")
    np.testing.assert_array_equal(read(folder, row, segment=3), frame_mask(0))
    assert_refused(folder, row_of(folder, "0.dcm"), "no frame of the segment")


def test_a_segmentation_that_names_no_image_has_to_have_one_frame(folder):
    write_seg(folder / "seg.dcm", [(1, None, None, None), (2, None, None, None)])
    row = row_of(folder, "0.dcm")
    np.testing.assert_array_equal(read(folder, row, segment=2), frame_mask(1))
    write_seg(folder / "two.dcm", [(1, None, None, None)] * 2)
    assert_refused(folder, replace(row, mask="two.dcm"), "2 frames of the segment may belong")


def test_two_frames_of_one_image_are_not_guessed_between(folder):
    write_seg(folder / "seg.dcm", [(1, "1.2.3.0", None, None)] * 2)
    assert_refused(folder, row_of(folder, "0.dcm"), "2 frames of the segment may belong")


def test_a_frame_in_another_place_than_its_image_is_refused(folder):
    frames = [(1, "1.2.3.1", None, [0, 0, 5.004]), (1, "1.2.3.2", None, [0, 0, 11])]
    plane = {"PlaneOrientationSequence": items({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]})}
    write_seg(folder / "seg.dcm", frames, shared=plane)
    np.testing.assert_array_equal(read(folder, row_of(folder, "1.dcm")), frame_mask(0))
    assert_refused(folder, row_of(folder, "2.dcm"), "another plane than its image")
    plane = {"PlaneOrientationSequence": items({"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]})}
    write_seg(folder / "flipped.dcm", frames, shared=plane)
    row = replace(row_of(folder, "1.dcm"), mask="flipped.dcm")
    assert_refused(folder, row, "another plane than its image")


def test_a_segmentation_that_is_changed_is_read_again(folder):
    row = row_of(folder, "0.dcm")
    write_seg(folder / "seg.dcm", [(1, "1.2.3.0", None, None)])
    np.testing.assert_array_equal(read(folder, row), frame_mask(0))
    write_seg(folder / "seg.dcm", [(1, "1.2.3.1", None, None), (1, "1.2.3.0", None, None)])
    np.testing.assert_array_equal(read(folder, row), frame_mask(1))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "FRACTIONAL"}, "not a binary segmentation"),
        ({"kind": None}, "not a binary segmentation"),
        ({"uid": "1.2.840.10008.5.1.4.1.1.2"}, "and not a segmentation"),
    ],
)
def test_other_objects_are_refused(folder, options, match):
    write_seg(folder / "seg.dcm", [(1, "1.2.3.0", None, None)], **options)
    assert_refused(folder, row_of(folder, "0.dcm"), match)


def test_a_damaged_segmentation_is_an_error_that_names_it(folder):
    write_seg(folder / "seg.dcm", [(1, "1.2.3.0", None, None)])
    row = row_of(folder, "0.dcm")
    whole = (folder / "seg.dcm").read_bytes()
    for length in (140, 400, len(whole) - 10):
        (folder / "seg.dcm").write_bytes(whole[:length])
        with pytest.raises(DicomError, match=r"^seg\.dcm: "):
            read_mask(folder, row, shape=SHAPE, segment=None)
    (folder / "seg.dcm").unlink()
    assert_refused(folder, row, "No such file")


def test_a_mask_in_which_nothing_is_marked_is_an_error(folder):
    from PIL import Image

    np.save(folder / "mask.npy", np.zeros(SHAPE, dtype=bool))
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(folder / "mask.png")
    for name in ("mask.npy", "mask.png"):
        assert_refused(folder, row_of(folder, "0.dcm", mask=name), "marks no pixel")


def test_a_segmentation_of_another_size_is_refused(folder):
    write_seg(folder / "seg.dcm", [(1, "1.2.3.0", None, None)])
    with pytest.raises(DicomError, match=r"the mask has shape \(10, 13\) and its image \(13, 10\)"):
        read_mask(folder, row_of(folder, "0.dcm"), shape=(13, 10), segment=None)


def test_the_segment_is_a_setting_of_the_preprocessing(folder):
    write_seg(folder / "seg.dcm", [(1, "1.2.3.0", None, None), (2, "1.2.3.0", None, None)])
    row = row_of(folder, "0.dcm")
    for segment, i in ((1, 0), (2, 1)):
        _, mask = Preprocessing(SHAPE, segment=segment)(folder, row)
        np.testing.assert_array_equal(mask[0].numpy(), frame_mask(i))
    with pytest.raises(ValueError, match=r"`segment` \(=0\)"):
        Preprocessing(SHAPE, segment=0)


def test_a_real_segmentation_is_read_as_pydicom_reads_it(tmp_path):
    from pydicom.data import get_testdata_file

    path = get_testdata_file("liver_1frame.dcm")
    seg = pydicom.dcmread(path)
    source = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    uid = source.SourceImageSequence[0].ReferencedSOPInstanceUID
    write_dicom(tmp_path / "a.dcm", np.zeros((512, 512), np.int16), SOPInstanceUID=uid)
    row = row_of(tmp_path, "a.dcm", mask=path)
    mask = read_mask(tmp_path, row, shape=(512, 512), segment=None)
    np.testing.assert_array_equal(mask.numpy(), seg.pixel_array != 0)
