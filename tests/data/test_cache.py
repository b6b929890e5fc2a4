"""The cache: decodes each file once, whatever happens in between."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import traceback
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import torch
from pydicom.encaps import generate_frames
from pydicom.uid import RLELossless

from seattn.data import cache as cache_module
from seattn.data import cache_build as cache_build_module
from seattn.data import preprocess as preprocess_module
from seattn.data.cache import Cache
from seattn.data.cache import build_cache as build_cache_and_index
from seattn.data.cache_build import CacheBuild
from seattn.data.errors import CacheError
from seattn.data.index import DicomIndex
from seattn.data.limits import DicomLimits
from seattn.data.preprocess import Preprocessing
from tests.data.ct_folder import WINDOW, make_ct_folder, scan, write_ct
from tests.data.files import write_dicom

PREPROCESSING = Preprocessing(size=(16, 12), window=WINDOW)


def build_cache(*args, **kwargs):
    cache, index = build_cache_and_index(*args, **kwargs)
    assert index is args[0]
    return cache


@pytest.fixture
def index(tmp_path):
    return make_ct_folder(tmp_path / "scans")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files read, in order."""
    names = []
    read = preprocess_module.read_image

    def count(file, path, **kwargs):
        names.append(f"{path.parent.name}/{path.name}")
        return read(file, path, **kwargs)

    monkeypatch.setattr(preprocess_module, "read_image", count)
    return names


def damage_pixels(path):
    """Compress a file and spoil the pixels; its header stays right."""
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    path.write_bytes(path.read_bytes().replace(frame, b"\xff" * len(frame)))


def rows_of(index):
    return np.arange(len(index))


def complete_caches(folder):
    return sorted(path.parent for path in folder.glob("*/*/cache.json"))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("uint8", 0.5001 / 255), ("float16", 2**-12), ("float32", 0)]
)
def test_cached_images_are_those_of_the_files_up_to_rounding(index, folder, dtype, tolerance):
    cache = build_cache(index, PREPROCESSING, folder, dtype=dtype)
    images, masks = cache.images(rows_of(index)), cache.masks(rows_of(index))
    assert images.dtype == torch.float32
    for row, image, mask in zip(index.rows, images, masks, strict=True):
        expected, expected_mask = PREPROCESSING(index.root, row)
        assert (image - expected).abs().max() <= tolerance
        assert torch.equal(mask, expected_mask)


def test_modality_values_are_cached_in_float32(index, folder):
    preprocessing = Preprocessing(size=(16, 12), units="modality")
    cache = build_cache(index, preprocessing, folder, dtype="float32")
    expected, _ = preprocessing(index.root, index.rows[3])
    assert torch.equal(cache.images(np.array([3]))[0], expected)
    assert expected.min() < -900


def test_a_second_build_decodes_nothing(index, folder, decoded):
    first = build_cache(index, PREPROCESSING, folder)
    assert len(decoded) == 8
    again = build_cache(scan(index.root), PREPROCESSING, folder)
    assert len(decoded) == 8
    assert again.folder == first.folder
    assert len(complete_caches(folder)) == 1


def test_a_changed_file_alone_is_decoded_again(index, folder, decoded):
    old = build_cache(index, PREPROCESSING, folder)
    before = old.images(rows_of(index))
    decoded.clear()
    write_ct(index.root / "patient 1/0.dcm", seed=99, patient="MARKER-1")
    new = build_cache(scan(index.root), PREPROCESSING, folder)
    assert decoded == ["patient 1/0.dcm"]
    differ = (new.images(rows_of(index)) != before).flatten(1).any(1)
    assert differ.tolist() == [False, False, True, False, False, False, False, False]
    assert torch.equal(old.images(rows_of(index)), before)
    assert torch.equal(Cache(old.folder).images(rows_of(index)), before)


def test_a_file_of_another_archive_with_the_same_name_size_and_time_is_another(folder, tmp_path):
    images = []
    for name, stored in (("one", np.zeros((8, 8), "i2")), ("two", np.full((8, 8), 900, "i2"))):
        (tmp_path / name).mkdir()
        os.utime(write_dicom(tmp_path / name / "a.dcm", stored, SOPInstanceUID="1.2.3"), (0, 0))
        index = DicomIndex.scan(tmp_path / name, key="k", progress=False)
        images.append(build_cache(index, PREPROCESSING, folder).images(rows_of(index)))
    assert images[0].max() < images[1].min()


def test_a_changed_mask_is_read_again(index, folder, decoded):
    build_cache(index, PREPROCESSING, folder)
    decoded.clear()
    np.save(index.root / "masks/2.npy", np.ones((40, 30), dtype=np.int64))
    cache = build_cache(scan(index.root), PREPROCESSING, folder)
    assert decoded == ["patient 2/0.dcm"]
    assert cache.masks(np.array([4])).unique().tolist() == [1]


def test_a_mask_that_goes_missing_is_an_error_and_not_an_image_without_annotation(index, folder):
    row = replace(index.rows[0], mask=None)
    build_cache(replace(index, rows=(row,)), PREPROCESSING, folder)
    (index.root / "masks/0.npy").unlink()
    with pytest.raises(CacheError, match=r"masks/0\.npy: mask: No such file"):
        build_cache(index.subset([0]), PREPROCESSING, folder)


def test_another_split_of_the_same_images_decodes_nothing(index, folder, decoded):
    build_cache(index, PREPROCESSING, folder)
    decoded.clear()
    part = index.subset([6, 0, 3])
    cache = build_cache(part, PREPROCESSING, folder)
    assert decoded == []
    for i, row in enumerate(part.rows):
        image, mask = PREPROCESSING(part.root, row)
        assert (cache.images(np.array([i]))[0] - image).abs().max() < 0.002
        assert torch.equal(cache.masks(np.array([i]))[0], mask)


@pytest.fixture
def read_only():
    """Forbids to write into a folder, to root as well."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        def lock(folder):
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)
            patch.setattr(cache_module.Path, "mkdir", refuse)
            patch.setattr(cache_build_module.tempfile, "mkdtemp", refuse)
            locked.append(folder)

        locked = []
        yield lock
    for folder in locked:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_a_part_is_taken_from_a_read_only_folder_and_nothing_is_written(
    index, folder, tmp_path, decoded, read_only
):
    wanted = [[6, 0, 3], [1], [7, 6, 5, 4, 3, 2, 1, 0], [2, 2]]
    alone = [
        build_cache(index.subset(part), PREPROCESSING, tmp_path / str(i))
        for i, part in enumerate(wanted)
    ]
    build_cache(index, PREPROCESSING, folder)
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    decoded.clear()
    read_only(folder)
    for part, expected in zip(wanted, alone, strict=True):
        cache = build_cache(index.subset(part), PREPROCESSING, folder)
        for each in (cache, pickle.loads(pickle.dumps(cache))):
            assert len(each) == len(part)
            for rows in (np.arange(len(part)), np.arange(len(part))[::-1], np.array([], int)):
                assert torch.equal(each.images(rows), expected.images(rows))
                assert torch.equal(each.masks(rows), expected.masks(rows))
            each.verify()
        assert len(pickle.dumps(cache)) < 1000
    assert decoded == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == files
    (index.root / "patient 1/0.dcm").touch()
    with pytest.raises(CacheError, match="cache: write: Permission denied"):
        build_cache(scan(index.root), PREPROCESSING, folder)


@pytest.mark.parametrize("name", ["images.npy", "cache.json"])
def test_a_damaged_cache_is_not_taken_for_one_that_holds_a_part(index, folder, name):
    place = build_cache(index, PREPROCESSING, folder).folder
    (place / name).write_bytes(b"")
    part = build_cache(index.subset([2, 1]), PREPROCESSING, folder)
    assert part.folder != place
    part.verify()


@pytest.mark.parametrize(
    "other",
    [
        Preprocessing(size=(12, 16), window=WINDOW),
        Preprocessing(size=(16, 12), window=(400.0, 1801.0)),
        Preprocessing(size=(16, 12), units="minmax"),
        Preprocessing(size=(16, 12), window=WINDOW, bone_mask=True),
        Preprocessing(size=(16, 12), window=WINDOW, force=True),
    ],
)
def test_every_setting_is_part_of_the_key(index, folder, decoded, other):
    one = build_cache(index, PREPROCESSING, folder)
    decoded.clear()
    cache = build_cache(index, other, folder)
    assert len(set(decoded)) == 8
    assert cache.folder.parent != one.folder.parent
    assert len(complete_caches(folder)) == 2


def test_limits_are_no_part_of_the_key(index, folder, decoded):
    one = build_cache(index, PREPROCESSING, folder)
    decoded.clear()
    generous = replace(PREPROCESSING, limits=DicomLimits(samples=2**30))
    assert build_cache(index, generous, folder).folder == one.folder
    assert decoded == []


def test_the_type_and_the_versions_are_part_of_the_key(index, folder, decoded, monkeypatch):
    build_cache(index, PREPROCESSING, folder)
    build_cache(index, PREPROCESSING, folder, dtype="float16")
    assert len(decoded) == 16
    version = cache_module.importlib.metadata.version
    monkeypatch.setattr(
        cache_module.importlib.metadata,
        "version",
        lambda name: "99.0" if name == "pydicom" else version(name),
    )
    build_cache(index, PREPROCESSING, folder)
    assert len(decoded) == 24


def test_a_decoder_that_is_not_installed_is_no_error(monkeypatch):
    assert cache_module._version("seattn-has-no-such-distribution") is None


def spoil_five(index):
    """Makes five of the eight rows impossible to use, each in its own way."""
    damage_pixels(index.root / "patient 0/1.dcm")
    write_ct(index.root / "patient 2/0.dcm", seed=0, patient="MARKER-2", colour=True)
    index = scan(index.root)
    (index.root / "patient 1/0.dcm").write_bytes(b"changed")
    (index.root / "patient 3/1.dcm").unlink()
    (index.root / "masks/3.npy").write_bytes(b"no array")
    return index


def test_all_bad_files_are_listed(index, folder):
    index = spoil_five(index)
    with pytest.raises(CacheError) as caught:
        build_cache(index, PREPROCESSING, folder)
    lines = str(caught.value).splitlines()
    assert "5 of 8 images cannot be used" in lines[0]
    assert [line.split(": ")[:2] for line in lines[1:]] == [
        ["  patient 0/1.dcm", "decode"],
        ["  patient 1/0.dcm", "open"],
        ["  patient 2/0.dcm", "channels"],
        ["  masks/3.npy", "mask"],
        ["  patient 3/1.dcm", "open"],
    ]
    assert "index the folder again" in lines[2]
    assert list(folder.glob("*/.*")) == []


def test_after_an_error_only_what_was_mended_is_decoded(index, folder, decoded):
    good = (index.root / "patient 2/1.dcm").read_bytes()
    damage_pixels(index.root / "patient 2/1.dcm")
    with pytest.raises(CacheError, match="1 of 8 images cannot be used"):
        build_cache(scan(index.root), PREPROCESSING, folder)
    (index.root / "patient 2/1.dcm").write_bytes(good)
    decoded.clear()
    cache = build_cache(scan(index.root), PREPROCESSING, folder)
    assert decoded == ["patient 2/1.dcm"]
    assert len(cache) == 8


def test_bad_files_are_skipped_with_one_warning_that_counts_them(index, folder):
    index = spoil_five(index)
    with pytest.warns(UserWarning, match="^5 of 8 images cannot be used") as caught:
        cache, rest = build_cache_and_index(index, PREPROCESSING, folder, on_error="skip")
    assert len(caught) == 1
    assert "patient" not in str(caught[0].message)
    assert [row.path for row in rest.rows] == [
        "patient 0/0.dcm",
        "patient 1/1.dcm",
        "patient 2/1.dcm",
    ]
    failed = [each for each in rest.failures if not each.skipped]
    assert [(each.path, each.stage) for each in failed] == [
        ("patient 0/1.dcm", "decode"),
        ("patient 1/0.dcm", "open"),
        ("patient 2/0.dcm", "channels"),
        ("patient 3/0.dcm", "mask"),
        ("patient 3/1.dcm", "open"),
    ]
    assert "5 files failed" in rest.report()
    assert len(index) == 8
    assert len(cache) == len(rest) == 3
    for i, row in enumerate(rest.rows):
        image, mask = PREPROCESSING(rest.root, row)
        assert (cache.images(np.array([i]))[0] - image).abs().max() < 0.002
        assert torch.equal(cache.masks(np.array([i]))[0], mask)


def test_skipping_again_decodes_no_good_file_and_adds_no_cache(index, folder, decoded):
    damage_pixels(index.root / "patient 2/1.dcm")
    index = scan(index.root)
    for _ in range(2):
        decoded.clear()
        with pytest.warns(UserWarning, match="1 of 8"):
            build_cache_and_index(index, PREPROCESSING, folder, on_error="skip")
    assert decoded == ["patient 2/1.dcm"]
    assert len(complete_caches(folder)) == 1


def test_a_bad_frame_is_named_among_the_failures(folder):
    index = scan_frames(folder.parent / "frames", frames=3)
    rows = (*index.rows, replace(index.rows[0], frame=3))
    with pytest.warns(UserWarning, match="1 of 4"):
        _, rest = build_cache_and_index(
            replace(index, rows=rows), PREPROCESSING, folder, on_error="skip"
        )
    (failure,) = rest.failures
    assert failure.stage == "frame"
    assert "fewer frames" in failure.reason
    assert failure.reason.endswith("(frame 3)")


def scan_frames(root, *, frames):
    root.mkdir()
    pixels = np.arange(frames * 120, dtype=np.int16).reshape(frames, 10, 12)
    write_dicom(root / "frames.dcm", pixels)
    return DicomIndex.scan(root, key="k", progress=False)


def test_if_all_files_are_bad_skipping_is_an_error(index, folder):
    shutil.rmtree(index.root)
    with pytest.raises(CacheError, match="8 of 8 images cannot be used"):
        build_cache(index, PREPROCESSING, folder, on_error="skip")


def test_with_redacted_paths_errors_name_rows(index, folder):
    index = spoil_five(index)
    with pytest.raises(CacheError) as caught:
        build_cache(index, PREPROCESSING, folder, redact_paths=True)
    text = "".join(traceback.format_exception(caught.value))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()[1:]] == [
        f"  row {i}" for i in (1, 2, 4, 6, 7)
    ]
    assert str(caught.value).startswith("cache: build: 5 of 8")
    for word in ("patient", "masks/", str(index.root)):
        assert word not in str(caught.value)
        assert word not in text


def test_images_of_other_channels_are_told_apart_from_those_that_are_known(index, folder):
    build_cache(index, PREPROCESSING, folder)
    write_ct(index.root / "patient 0/0.dcm", seed=0, patient="MARKER-0", colour=True)
    (index.root / "patient 3/1.dcm").touch()
    changed = scan(index.root)
    with pytest.raises(CacheError, match=r"1 of 8.*\n  patient 0/0.dcm: channels: 3 .* have 1"):
        build_cache(changed, PREPROCESSING, folder)
    shutil.rmtree(index.root / "patient 1")
    build_cache(changed.subset([0]), PREPROCESSING, folder)  # colour alone is fine
    with pytest.raises(CacheError, match=r"1 of 2.*\n  patient 0/1.dcm: channels: 1 .* have 3"):
        build_cache(changed.subset([0, 1]), PREPROCESSING, folder)


def test_most_images_decide_how_many_channels_all_have(index, folder):
    write_ct(index.root / "patient 0/0.dcm", seed=0, patient="MARKER-0", colour=True)  # the first
    changed = scan(index.root)
    with pytest.raises(CacheError, match=r"1 of 8.*\n  patient 0/0.dcm: channels: 3 .* have 1"):
        build_cache(changed, PREPROCESSING, folder)
    with pytest.warns(UserWarning, match="1 of 8 images"):
        cache, left = build_cache_and_index(changed, PREPROCESSING, folder, on_error="skip")
    assert (cache.channels, len(cache), len(left)) == (1, 7, 7)


def test_values_too_large_for_float16_are_an_error(tmp_path, folder):
    write_dicom(tmp_path / "a.dcm", np.full((10, 12), 65535, dtype=np.uint16))
    index = DicomIndex.scan(tmp_path, key="k", progress=False)
    stored = Preprocessing(size=(10, 12), units="stored")
    with pytest.raises(CacheError, match=r"a.dcm: store: .*float16.*'float32'"):
        build_cache(index, stored, folder, dtype="float16")
    assert build_cache(index, stored, folder, dtype="float32").images(np.array([0])).max() == 65535


def build_and_die(index, folder):
    """Builds a cache in a process that is killed at the third file."""
    read = preprocess_module.read_image
    calls = []

    def kill(file, path, **kwargs):
        calls.append(path)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(file, path, **kwargs)

    preprocess_module.read_image = kill
    build_cache(index, PREPROCESSING, folder)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill so")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_build_that_is_killed_leaves_nothing_that_is_taken_for_a_cache(index, folder, decoded):
    process = multiprocessing.get_context("fork").Process(
        target=build_and_die, args=(index, folder)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(folder.glob("*/.building-*"))) == 1
    cache = build_cache(index, PREPROCESSING, folder)
    assert list(folder.glob("*/.building-*")) == []
    assert len(decoded) == 8
    assert len(cache.images(rows_of(index))) == 8


@pytest.mark.parametrize("where", [CacheBuild._decode, cache_build_module._publish])
def test_of_two_builders_at_once_both_get_the_cache(index, folder, monkeypatch, where):
    name = f"{where.__module__}.{where.__qualname__}"

    def late(*args):
        monkeypatch.setattr(name, where)
        build_cache(index, PREPROCESSING, folder)  # the other process
        return where(*args)

    monkeypatch.setattr(name, late)
    cache = build_cache(index, PREPROCESSING, folder)
    assert len(cache.images(rows_of(index))) == 8
    assert len(complete_caches(folder)) == 1


def test_a_build_that_fails_at_the_end_leaves_nothing(index, folder, monkeypatch):
    def fail(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module.Path, "replace", fail)
    with pytest.raises(CacheError, match="cache: write: No space left"):
        build_cache(index, PREPROCESSING, folder)
    assert list(folder.glob("*/*")) == []


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "cache.json"])
@pytest.mark.parametrize("content", [None, b"", "half"])
def test_a_damaged_cache_is_an_error_that_names_its_folder(index, folder, name, content):
    file = build_cache(index, PREPROCESSING, folder).folder / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-50] if content == "half" else content)
    with pytest.raises(CacheError, match="delete this folder") as caught:
        build_cache(index, PREPROCESSING, folder)
    assert caught.value.path == str(file.parent)
    shutil.rmtree(file.parent)
    build_cache(index, PREPROCESSING, folder)


def flip_a_bit(path, position):
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 16]))


def test_one_flipped_bit_is_found_and_its_row_named(index, folder):
    cache = build_cache(index, PREPROCESSING, folder)
    cache.verify()
    flip_a_bit(cache.folder / "images.npy", 128 + 5 * 16 * 12 + 7)
    flip_a_bit(cache.folder / "masks.npy", 128 + 3 * 16 * 12)  # the mask of row 6
    reason = r"2 of 8 rows are damaged \(rows 5, 6\); delete this folder"
    with pytest.raises(CacheError, match=reason) as caught:
        Cache(cache.folder).verify()
    assert caught.value.path == str(cache.folder)
    with pytest.raises(CacheError, match=r"^cache: verify: 2 of 8 rows"):
        Cache(cache.folder, redact_paths=True).verify()


def test_a_damaged_row_is_not_taken_over(index, folder, decoded):
    cache = build_cache(index.subset(range(7)), PREPROCESSING, folder)
    expected = cache.images(np.arange(7)).clone()
    flip_a_bit(cache.folder / "images.npy", 128 + 5 * 16 * 12 + 7)
    flip_a_bit(cache.folder / "masks.npy", 128 + 3 * 16 * 12)
    decoded.clear()
    whole = build_cache(index, PREPROCESSING, folder)
    assert decoded == ["patient 2/1.dcm", "patient 3/0.dcm", "patient 3/1.dcm"]
    whole.verify()
    assert torch.equal(whole.images(np.arange(7)), expected)


def test_a_part_is_verified_alone_and_names_its_own_rows(index, folder):
    place = build_cache(index, PREPROCESSING, folder).folder
    part = build_cache(index.subset([7, 6, 5, 6]), PREPROCESSING, folder)
    build_cache(index.subset([0, 1]), PREPROCESSING, folder).verify()
    part.verify()
    flip_a_bit(place / "images.npy", 128 + 5 * 16 * 12 + 7)
    flip_a_bit(place / "masks.npy", 128 + 3 * 16 * 12)
    build_cache(index.subset([0, 1]), PREPROCESSING, folder).verify()
    with pytest.raises(CacheError, match=r"3 of 4 rows are damaged \(rows 1, 2, 3\)"):
        part.verify()


def test_a_changed_record_is_found_when_the_cache_is_opened(index, folder):
    cache = build_cache(index, PREPROCESSING, folder)
    path = cache.folder / "cache.json"
    path.write_text(path.read_text().replace("true", "false", 1))
    with pytest.raises(CacheError, match="damaged"):
        Cache(cache.folder)
    with pytest.raises(CacheError, match=r"^cache: open: damaged") as caught:
        build_cache(index, PREPROCESSING, folder, redact_paths=True)
    assert str(folder) not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
def test_a_file_that_is_too_long_is_damaged(index, folder, name):
    cache = build_cache(index, PREPROCESSING, folder)
    with (cache.folder / name).open("ab") as file:
        file.write(b"0")
    with pytest.raises(CacheError, match="damaged"):
        Cache(cache.folder)


def test_a_damaged_cache_of_other_rows_is_left_alone(index, folder, decoded):
    other = build_cache(index.subset([0, 1]), PREPROCESSING, folder)
    (other.folder / "images.npy").write_bytes(b"")
    decoded.clear()
    build_cache(index, PREPROCESSING, folder).verify()
    assert len(decoded) == 8


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps files that are mapped")
def test_a_cache_may_be_deleted_and_made_again_while_it_is_in_use(index, folder):
    cache = build_cache(index, PREPROCESSING, folder)
    before = cache.images(rows_of(index)).clone()
    shutil.rmtree(folder)
    write_ct(index.root / "patient 1/0.dcm", seed=99, patient="MARKER-1")
    new = build_cache(scan(index.root), PREPROCESSING, folder)
    assert torch.equal(cache.images(rows_of(index)), before)
    assert not torch.equal(new.images(rows_of(index)), before)


def test_images_come_as_they_are_stored_if_asked_for(index, folder):
    cache = build_cache(index, PREPROCESSING, folder)
    stored = cache.images(rows_of(index), as_float=False)
    assert stored.dtype == torch.uint8
    assert torch.equal(cache.images(rows_of(index)), stored.float() / 255)


def test_masks_cost_nothing_where_none_is_annotated(index, folder):
    cache = build_cache(index, PREPROCESSING, folder)
    masks = cache.masks(np.array([1, 3, 5]))
    assert masks.shape == (3, 1, 16, 12)
    assert masks.dtype == torch.uint8
    assert (masks == 255).all()
    assert masks.untyped_storage().nbytes() == 1


def test_a_pickle_holds_the_folder_and_not_the_pixels(index, folder):
    cache = build_cache(index, PREPROCESSING, folder)
    pickled = pickle.dumps(cache)
    assert len(pickled) < 1000
    images = pickle.loads(pickled).images(rows_of(index))
    assert torch.equal(images, cache.images(rows_of(index)))


def test_what_comes_out_may_be_changed(index, folder):
    cache = build_cache(index, PREPROCESSING, folder, dtype="float32")
    before = cache.images(rows_of(index))
    cache.images(rows_of(index)).zero_()
    cache.masks(rows_of(index)).zero_()
    assert torch.equal(cache.images(rows_of(index)), before)
    assert cache.masks(rows_of(index)).max() == 255


def test_nothing_in_the_cache_names_a_patient(index, folder):
    build_cache(index, PREPROCESSING, folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        text = str(path.relative_to(folder)).encode() + path.read_bytes()
        for word in ["MARKER", "Marker", "patient", ".dcm", *(row.patient for row in index.rows)]:
            assert word.encode() not in text


def test_a_small_cache_takes_the_room_of_its_pixels(index, folder):
    place = build_cache(index, PREPROCESSING, folder).folder
    assert (place / "images.npy").stat().st_size == 128 + 8 * 16 * 12
    assert (place / "masks.npy").stat().st_size == 128 + 4 * 16 * 12
    facts = json.loads((place / "cache.json").read_text())["facts"]
    assert facts["settings"]["window"] == [400, 1800]


def test_impossible_arguments_are_named(index, folder):
    with pytest.raises(ValueError, match="`index` is empty"):
        build_cache(index.subset([]), PREPROCESSING, folder)
    with pytest.raises(ValueError, match=r"`dtype` \(='int16'\)"):
        build_cache(index, PREPROCESSING, folder, dtype="int16")
    with pytest.raises(ValueError, match=r"`dtype` \(='uint8'\).*use 'float32'"):
        build_cache(index, Preprocessing(size=(8, 8), units="modality"), folder)
    with pytest.raises(ValueError, match=r"`workers` \(=-1\)"):
        build_cache(index, PREPROCESSING, folder, workers=-1)
    with pytest.raises(ValueError, match=r"`on_error` \(='ignore'\)"):
        build_cache(index, PREPROCESSING, folder, on_error="ignore")
    assert not folder.exists()
