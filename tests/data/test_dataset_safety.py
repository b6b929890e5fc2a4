"""What a dataset does with bad files, with patients' data, and with memory."""

import logging
import pickle
import sys
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import RLELossless
from torch.utils.data import DataLoader, default_collate

from seattn.data import cache_build as cache_build_module
from seattn.data.cache_files import StoredRow
from seattn.data.dataset import DicomDataset
from seattn.data.errors import CacheError, DicomError
from seattn.data.index import DicomIndex, IndexRow
from seattn.data.split import split_by_patient
from seattn.data.transforms import RandomAffine, RandomContrast, RandomNoise, augment
from tests.data.ct_folder import WINDOW, make_ct_folder
from tests.data.files import items, write_dicom

HEADER, FOLDER = "ZZHEADER", "ZZFOLDER"
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="forks and reads /proc")


@pytest.fixture
def index(tmp_path):
    return make_ct_folder(tmp_path / "scans", patients=6)


def lose_a_frame(path):
    """Leaves an RLE file of two frames with one: pydicom's answer is StopIteration."""
    write_dicom(path, np.zeros((2, 40, 30), dtype=np.int16))
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    content = path.read_bytes()
    last = content.rindex(b"\xfe\xff\x00\xe0")
    path.write_bytes(content[:last] + b"\xfe\xff\xdd\xe0\0\0\0\0")


def loader(dataset, workers, **options):
    context = "fork" if workers else None
    return DataLoader(dataset, num_workers=workers, multiprocessing_context=context, **options)


@forks
@on_linux
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", ["cut", "frame", "gone"])
def test_an_epoch_over_a_bad_file_ends_in_an_error_and_never_early(index, workers, damage):
    path = index.root / index.rows[7].path
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "frame":
        lose_a_frame(path)
    else:
        path.unlink()
    dataset = DicomDataset(index, size=16, window=WINDOW)
    batches = iter(loader(dataset, workers, batch_size=2))
    assert [next(batches).row.tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(DicomError, match=r"patient 3/1\.dcm: (open|header|decode): "):
        next(batches)


@forks
@on_linux
@pytest.mark.parametrize("workers", [0, 2])
def test_with_skipped_files_an_epoch_has_all_others(index, tmp_path, workers):
    (index.root / index.rows[7].path).unlink()
    with pytest.warns(UserWarning, match="^1 of 12 images cannot be used") as caught:
        dataset = DicomDataset(
            index, size=16, window=WINDOW, cache=tmp_path / "cache", on_error="skip"
        )
    assert caught[0].filename == __file__
    assert len(dataset) == len(dataset.index) == 11
    batches = list(loader(dataset, workers, batch_size=4))
    assert [row for batch in batches for row in batch.row.tolist()] == list(range(11))
    whole = index.subset(i for i in range(12) if i != 7)
    expected = DicomDataset(whole, size=16, window=WINDOW).batch(range(11))
    assert (torch.cat([batch.image for batch in batches]) - expected.image).abs().max() < 0.002
    assert torch.equal(torch.cat([batch.label for batch in batches]), expected.label)
    assert torch.equal(torch.cat([batch.mask for batch in batches]), expected.mask)


def test_what_is_left_is_split_and_its_parts_decode_nothing(index, tmp_path, monkeypatch):
    (index.root / index.rows[7].path).unlink()
    options = {"size": 16, "window": WINDOW, "cache": tmp_path / "cache"}
    with pytest.warns(UserWarning, match="1 of 12"):
        whole = DicomDataset(index, **options, on_error="skip")
    monkeypatch.delattr("seattn.data.preprocess.read_image")
    parts = split_by_patient(whole.index, 1 / 2, 1 / 2)
    assert sum(len(DicomDataset(part, **options)) for part in parts) == 11


def test_without_a_cache_nothing_can_be_skipped(index):
    for options in ({"on_error": "skip"}, {"workers": 2}, {"as_float": False}):
        with pytest.raises(ValueError, match="need a `cache`"):
            DicomDataset(index, **options)


def test_a_dataset_without_a_cache_has_none_to_verify(index):
    with pytest.raises(ValueError, match="no `cache` to verify"):
        DicomDataset(index).verify_cache()


def test_a_damaged_cache_is_found_from_the_dataset(index, tmp_path):
    dataset = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path / "cache")
    dataset.verify_cache()
    (file,) = (tmp_path / "cache").glob("*/*/images.npy")
    content = bytearray(file.read_bytes())
    content[128 + 3 * 256] ^= 1
    file.write_bytes(content)
    with pytest.raises(CacheError, match=r"1 of 12 rows are damaged \(row 3\)"):
        dataset.verify_cache()


def test_grey_levels_are_those_of_the_cache(index, tmp_path):
    options = {"size": 16, "window": WINDOW, "cache": tmp_path / "cache"}
    levels = DicomDataset(index, **options, as_float=False)
    images = DicomDataset(index, **options)
    assert levels[3].image.dtype == torch.uint8
    assert torch.equal(levels.batch(range(12)).image.float() / 255, images.batch(range(12)).image)
    transforms = [RandomAffine(shift=0.1), RandomContrast(), RandomNoise()]
    one, two = (
        augment(each.batch([5, 2]), transforms, seed=0, epoch=0) for each in (levels, images)
    )
    for field, other in zip(one, two, strict=True):
        assert torch.equal(field, other)
    assert isinstance(next(iter(DataLoader(levels, batch_size=4))).image, torch.Tensor)


@pytest.fixture
def marked(tmp_path):
    """Files whose headers, and whose folders, hold markers wherever text can stand."""
    root = tmp_path / FOLDER / "scans"
    root.mkdir(parents=True)
    for i in range(6):
        write_dicom(
            root / f"{FOLDER}{i}.dcm",
            np.random.default_rng(i).integers(-500, 900, (40, 30)).astype(np.int16),
            SOPInstanceUID=f"1.2.3.{i}",
            PatientName=f"{HEADER}^Name",
            PatientID=f"{HEADER}{i}",
            OtherPatientIDs=HEADER,
            PatientBirthDate=f"{HEADER}-13-01",  # invalid: pydicom warns and quotes it
            PatientAddress=HEADER,
            PatientComments=HEADER,
            AccessionNumber=HEADER,
            InstitutionName=HEADER,
            ReferringPhysicianName=HEADER,
            StudyDescription=HEADER,
            SeriesDescription=HEADER,
            StudyID=HEADER,
            ImageComments=HEADER,
            RequestAttributesSequence=items({"RequestedProcedureDescription": HEADER}),
        )
        dataset = pydicom.dcmread(root / f"{FOLDER}{i}.dcm")
        dataset.private_block(0x99, HEADER, create=True).add_new(1, "LO", HEADER)
        dataset.save_as(root / f"{FOLDER}{i}.dcm")
        assert (root / f"{FOLDER}{i}.dcm").read_bytes().count(HEADER.encode()) > 15
        (root / "masks").mkdir(exist_ok=True)
        np.save(root / f"masks/{FOLDER}{i}.npy", np.ones((40, 30), dtype=bool))
    index = DicomIndex.scan(root, key="k", progress=False)
    rows = [replace(row, mask=f"masks/{Path(row.path).stem}.npy") for row in index.rows]
    return replace(index, rows=tuple(rows))


def spoil(index):
    """Makes five of six rows unusable, by what is found at each stage."""
    paths = [index.root / row.path for row in index.rows]
    paths[0].unlink()
    lose_a_frame(paths[1])
    paths[2].write_bytes(paths[2].read_bytes()[:-50])
    (index.root / index.rows[3].mask).unlink()
    np.save(index.root / index.rows[4].mask, np.ones((3, 4)))
    rows = list(index.rows)
    for i in (1, 2):
        status = paths[i].stat()
        rows[i] = replace(rows[i], size=status.st_size, mtime_ns=status.st_mtime_ns)
    return replace(index, rows=tuple(rows))


def test_no_header_gets_out_and_no_path_where_they_are_redacted(marked, tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    said = []  # what a log may catch
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = {"size": 16, "window": WINDOW, "redact_paths": True}
        good = DicomDataset(marked, **options, cache=tmp_path / "good")
        batch = good.batch(range(6))
        said += [repr(batch), repr(good), repr(good[0]), str(list(good.loader(2)))]
        samples = pickle.dumps([batch, good[0]])
        dataset_pickle = pickle.dumps(good)
        index = spoil(marked)
        for workers in (0, 2):
            with pytest.raises(CacheError) as error:
                DicomDataset(index, **options, cache=tmp_path / str(workers), workers=workers)
            said.append("".join(traceback.format_exception(error.value)))
            assert "5 of 6 images cannot be used" in said[-1]
        skipped = DicomDataset(index, **options, cache=tmp_path / "0", on_error="skip")
        assert len(skipped) == 1
        for i in range(5):
            with pytest.raises(DicomError, match=f"^row {i}: ") as bad:
                DicomDataset(index, **options)[i]
            said.append("".join(traceback.format_exception(bad.value)))
            assert bad.value.__context__ is None
            samples += pickle.dumps(bad.value)
        (file,) = (tmp_path / "good").glob("*/*/images.npy")
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        with pytest.raises(CacheError, match="damaged") as damaged:
            good.verify_cache()
        said.append("".join(traceback.format_exception(damaged.value)))
        file.write_bytes(b"")
        with pytest.raises(CacheError, match="damaged") as damaged:
            pickle.loads(dataset_pickle)
        said.append("".join(traceback.format_exception(damaged.value)))
    said += [str(each.message) for each in caught if FOLDER not in each.filename]
    said += [*capfd.readouterr(), caplog.text]
    assert len(caught) >= 1
    text = "\n".join(said)
    assert HEADER not in text
    assert FOLDER not in text
    assert HEADER.encode() not in dataset_pickle + samples
    assert FOLDER.encode() not in samples
    caches = [tmp_path / name for name in ("good", "0", "2")]
    files = [path for cache in caches for path in cache.rglob("*")]
    assert sum(path.name == "cache.json" for path in files) == 3
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        for marker in (HEADER, FOLDER, *(row.patient for row in marked.rows)):
            assert marker not in str(path.relative_to(tmp_path))
            assert marker.encode() not in content


def test_the_progress_bar_names_nobody(marked, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    DicomDataset(marked, size=16, window=WINDOW, cache=tmp_path / "cache")
    shown = capsys.readouterr().err
    assert "preparing images" in shown
    assert HEADER not in shown
    assert FOLDER not in shown


def test_paths_are_named_unless_they_are_redacted(marked, tmp_path):
    index = spoil(marked)
    with pytest.raises(CacheError, match=f"{FOLDER}0.dcm: open: No such file"):
        DicomDataset(index, window=WINDOW, cache=tmp_path / "cache")
    with pytest.raises(DicomError, match=f"^{FOLDER}0.dcm: open: No such file"):
        DicomDataset(index, window=WINDOW)[0]


def test_a_cache_that_cannot_be_written_is_an_error_that_can_be_redacted(index, tmp_path):
    (tmp_path / FOLDER).write_text("a file, no folder")
    for redact_paths in (False, True):
        with pytest.raises(CacheError, match="write: ") as caught:
            DicomDataset(index, window=WINDOW, cache=tmp_path / FOLDER, redact_paths=redact_paths)
        text = "".join(traceback.format_exception(caught.value))
        assert (FOLDER in text) is not redact_paths


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A dataset of 10,000 cached rows, 41 MB."""
    rows = tuple(
        IndexRow(f"{i}.dcm", 0, f"p{i}", "s", "s", "axial", 64, 64, 1, 1, label=i % 2)
        for i in range(10_000)
    )

    def decode(rows, root, preprocessing, *, dtype, workers):
        for i in range(len(rows)):
            yield StoredRow(np.full((1, 64, 64), i % 251, dtype=np.uint8), None)

    monkeypatch.setattr(cache_build_module, "decode_rows", decode)
    index = DicomIndex(tmp_path, rows, (), ("no", "yes"))
    return DicomDataset(index, size=64, window=WINDOW, cache=tmp_path / "cache", as_float=False)


def anonymous_megabytes():
    """Memory of this process that is no file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


@on_linux
def test_an_epoch_of_ten_thousand_images_needs_no_more_memory_than_a_batch(large):
    for _ in large.loader(32):  # once, to have the memory of a batch
        break
    before = anonymous_megabytes()
    for epoch in range(2):
        batches = large.loader(32, shuffle=True)
        batches.set_epoch(epoch)
        seen = sum(len(batch.row) for batch in batches)
        assert seen == 10_000
        assert anonymous_megabytes() - before < 8  # the images have 41


def measure(samples):
    return default_collate(samples), anonymous_megabytes()


@forks
@on_linux
def test_workers_do_not_grow_over_an_epoch(large):
    used = []
    for batch, megabytes in loader(large, 2, batch_size=50, collate_fn=measure, shuffle=True):
        used.append(megabytes)
        assert torch.equal(batch.image[:, 0, 0, 0].long(), batch.row % 251)
    assert len(used) == 200
    assert max(used[-20:]) - min(used[2:22]) < 8


def test_a_pickled_dataset_is_its_index_and_little_else(large):
    extra = len(pickle.dumps(large)) - len(pickle.dumps(large.index))
    assert extra < 100_000


@pytest.mark.parametrize("method", ["fork", "spawn"])
@forks
@on_linux
def test_workers_fetch_what_this_process_does(index, tmp_path, method):
    dataset = DicomDataset(
        index, size=16, window=WINDOW, cache=tmp_path / "cache", as_float=False, redact_paths=True
    )
    batches = DataLoader(
        dataset, batch_size=5, num_workers=1, multiprocessing_context=method, drop_last=True
    )
    for i, batch in enumerate(batches):
        for one, other in zip(batch, dataset.batch(range(5 * i, 5 * i + 5)), strict=True):
            assert torch.equal(one, other)


@forks
@on_linux
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_can_gather_whole_batches(index, tmp_path, workers):
    dataset = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path / "cache")
    batches = list(loader(range(len(dataset)), workers, batch_size=5, collate_fn=dataset.batch))
    assert [len(batch.row) for batch in batches] == [5, 5, 2]
    for i, batch in enumerate(batches):
        for one, other in zip(batch, dataset.batch(batch.row.numpy()), strict=True):
            assert torch.equal(one, other)
        assert batch.row[0] == 5 * i
