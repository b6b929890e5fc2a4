"""A wrong argument is named when it is given, not when the first file is read."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from seattn.data import (
    BatchLoader,
    DicomDataset,
    DicomError,
    DicomIndex,
    RandomNoise,
    SplitError,
    augment,
    check_splits,
    extend_split,
    kfold_by_patient,
    read_dicom,
    split_by_patient,
    split_hash,
    take_shard,
)
from seattn.data.preprocess import Preprocessing
from tests.data.ct_folder import WINDOW, make_ct_folder
from tests.data.files import write_dicom


@pytest.fixture
def index(tmp_path):
    return make_ct_folder(tmp_path / "scans")


@pytest.mark.parametrize("window", [400, "bone", (400,), (1, 2, 3), ("a", "b"), (40, None)])
def test_a_window_is_two_numbers(index, window):
    path = index.root / index.rows[0].path
    for make in (
        lambda: read_dicom(path, window=window),
        lambda: DicomDataset(index, window=window),
    ):
        with pytest.raises(ValueError, match=r"`window` \(=.* a \(center, width\).*; without it"):
            make()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0),
        ("size", 8.0),
        ("size", "8"),
        ("size", None),
        ("size", (8,)),
        ("size", (8, 8, 8)),
        ("size", (8.5, 8)),
        ("units", "hounsfield"),
        ("segment", "1"),
        ("segment", 0),
        ("voi", -1),
        ("voi", "1"),
    ],
)
def test_a_dataset_names_what_is_wrong_before_it_reads(index, name, value):
    with pytest.raises(ValueError, match=f"`{name}` "):
        DicomDataset(index, **{name: value})


def test_a_dataset_of_a_folder_says_how_to_get_an_index(index):
    with pytest.raises(TypeError, match=r"`index` .*PosixPath.*DicomIndex.scan"):
        DicomDataset(index.root)


def test_equal_settings_are_spelt_alike():
    one = Preprocessing(size=(np.int64(8), 8), window=[400, 1800])
    assert one == Preprocessing(size=(8, 8), window=(400.0, 1800.0))
    assert repr(one) == repr(Preprocessing(size=(8, 8), window=(400, 1800)))


def test_limits_are_limits(index):
    with pytest.raises(TypeError, match=r"`limits` \(=5\)"):
        read_dicom(index.root / index.rows[0].path, limits=5)
    with pytest.raises(TypeError, match=r"`limits` \(=5\)"):
        DicomDataset(index, limits=5)


def test_a_dataset_takes_no_voi_with_a_window(index):
    with pytest.raises(ValueError, match=r"`voi` \(=1\) chooses a window of the file"):
        DicomDataset(index, voi=1, window=WINDOW)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda index: DicomIndex.scan(index.root, key="k", workers=1.5), "workers"),
        (lambda index: DicomDataset(index, cache=index.root, workers=1.5), "workers"),
        (lambda index: BatchLoader(DicomDataset(index), 2.5), "batch_size"),
        (lambda index: BatchLoader(DicomDataset(index), 2, seed=-1), "seed"),
        (lambda index: split_by_patient(index, 0.5, 0.5, seed=None), "seed"),
        (lambda index: split_by_patient(index, 0.5, 0.5, seed=-1), "seed"),
        (lambda index: kfold_by_patient(index, 2.5), "k"),
        (lambda index: take_shard(index, rank="0", world_size=2), "rank"),
    ],
    ids=["scan", "cache", "batches", "order", "no seed", "split", "folds", "shard"],
)
def test_numbers_that_count_are_whole(index, call, name):
    with pytest.raises(ValueError, match=f"`{name}` .*whole number"):
        call(index)


@pytest.mark.parametrize("positions", [[1.7], [True, False], [slice(3)], ["a"], 3])
def test_positions_are_whole_numbers(index, positions):
    with pytest.raises(TypeError, match="`positions`"):
        DicomDataset(index, window=WINDOW).batch(positions)


def test_seeds_of_numpy_draw_as_those_of_python(index):
    batch = DicomDataset(index, size=8, window=WINDOW).batch([0])
    one = augment(batch, [RandomNoise()], seed=3, epoch=1)
    two = augment(batch, [RandomNoise()], seed=np.int64(3), epoch=np.int64(1))
    assert torch.equal(one.image, two.image)
    with pytest.raises(TypeError):
        augment(batch, [RandomNoise()], seed=3.0, epoch=1)


def test_a_batch_of_grey_and_colour_images_names_the_odd_one(tmp_path):
    write_dicom(tmp_path / "a", np.zeros((8, 8), "u1"))
    write_dicom(tmp_path / "b", np.zeros((8, 8, 3), "u1"), PhotometricInterpretation="RGB")
    dataset = DicomDataset(DicomIndex.scan(tmp_path, key="k", progress=False), size=8)
    with pytest.raises(DicomError, match=r"^b: channels: 3 channels, where .* has 1$"):
        dataset.batch([0, 1])


def test_an_error_and_a_report_can_be_printed_whatever_the_names_of_files(tmp_path):
    error = DicomError("a", "scan", "one\n  \udcff.dcm: open: bad")
    assert "\\udcff.dcm" in str(error).encode().decode()
    (tmp_path / "\udcff.dcm").write_bytes(b"bad")
    index = DicomIndex.scan(tmp_path, key="k", progress=False, on_error="skip")
    assert "\\udcff.dcm" in index.report().encode().decode()


def test_a_name_too_long_for_a_cache_is_an_error_that_can_be_redacted(index):
    with pytest.raises(DicomError, match=r"^cache: write: File name too long$"):
        DicomDataset(index, window=WINDOW, cache="x" * 300, redact_paths=True)


@pytest.mark.parametrize("call", [check_splits, split_hash], ids=["check", "hash"])
def test_the_parts_of_a_split_are_several_indexes(index, call):
    with pytest.raises(TypeError, match=r"^`parts` \(of type DicomIndex\) must be a list or a tup"):
        call(index)
    with pytest.raises(TypeError, match=r"^`parts` \(of type str\) must be"):
        call("parts")
    with pytest.raises(TypeError, match=r"^`parts\[1\]` \(of type DicomDataset\) .*its `index`\."):
        call([index, DicomDataset(index)])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda index, wrong: split_by_patient(wrong, 0.5, 0.5), "index"),
        (lambda index, wrong: kfold_by_patient(wrong, 2), "index"),
        (lambda index, wrong: extend_split([index], wrong), "newer"),
        (lambda index, wrong: extend_split([wrong], index), "parts[0]"),
    ],
    ids=["split", "folds", "newer", "parts"],
)
def test_a_split_of_a_dataset_says_where_its_index_is(index, call, name):
    with pytest.raises(TypeError, match=re.escape(f"`{name}` (of type DicomDataset) must be a Di")):
        call(index, DicomDataset(index))


@pytest.mark.parametrize("wrong", [(0.5, 0.5), [0.5, 0.5], "half", None])
def test_fractions_are_numbers_and_each_an_argument(index, wrong):
    for call in (
        lambda: split_by_patient(index, wrong),
        lambda: extend_split([index], index, wrong),
        lambda: check_splits([index], wrong),
    ):
        with pytest.raises(TypeError, match=r"`fractions` \(=.* each an argument of its own"):
            call()


@pytest.mark.parametrize("key", [["a"], ("a", ["b"])], ids=["list", "within a tuple"])
def test_keys_that_join_can_be_hashed(index, key):
    join = [None] * (len(index) - 1) + [key]
    for call in (
        lambda: split_by_patient(index, 0.5, 0.5, join=join),
        lambda: kfold_by_patient(index, 2, join=join),
        lambda: check_splits([index], join=[join]),
    ):
        with pytest.raises(TypeError, match=rf"`join\[{len(index) - 1}\]` \(=.*cannot be hashed"):
            call()


def test_errors_of_splits_name_arguments_and_no_folder(index):
    lone = index.subset([0])
    other = replace(index.rows[0], patient="other", study="", frame_of_reference="", pixels="")
    calls = {
        "index: split: ": lambda: split_by_patient(lone, 0.5, 0.5),
        "index: split": lambda: kfold_by_patient(lone, 2),
        "newer: extend: nobody": lambda: extend_split([replace(index, rows=(other,))], lone),
        "newer: extend: who": lambda: extend_split([lone, lone], lone, 0.5, 0.5),
        "parts: check: ": lambda: check_splits([lone, lone]).raise_if_bad(),
    }
    for text, call in calls.items():
        with pytest.raises(SplitError) as caught:
            call()
        assert str(caught.value).startswith(text)
        assert index.root.name not in str(caught.value)
    assert index.root.name not in repr(check_splits([lone]))
