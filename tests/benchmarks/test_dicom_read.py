"""The readers' benchmark on tiny files, from the command to the row; never its times."""

import itertools
import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from benchmarks import dicom_read
from benchmarks.dicom_files import SYNTAXES, WINDOW, answers, comparable, write_folder
from benchmarks.dicom_read import BARE, FLOOR, Contestant, check, floor, pixel_bytes

ROOT = Path(__file__).parents[2]


def test_a_row_for_each_way_of_compression(tmp_path):
    # In a process of its own: some peers do not import where warnings are errors.
    record = tmp_path / "rows.jsonl"
    command = [sys.executable, "-m", "benchmarks.dicom_read", "--images", "2", "--size", "32"]
    command += ["--rounds", "2", "--record", str(record)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["case"] for row in rows] == [f"read, {case}" for case in SYNTAXES]
    for row in rows:
        names = set(row["cpu_seconds"])
        assert names >= {FLOOR, BARE, "seattn stored", "seattn modality", "seattn window"}
        assert names.isdisjoint(row["absent"])
        assert len(names) + len(row["absent"]) == 10
        for seconds in row["cpu_seconds"].values():
            assert len(seconds) == 2
            assert all(0 < each < math.inf for each in seconds)
        assert row["versions"]["pydicom"]
        assert row["files"] == 2
    uncompressed, *others = rows
    assert 2 * 32 * 32 <= uncompressed["bytes_of_pixels"] <= 2 * 32 * 32 + 12
    assert {ratio["contestant"] for ratio in uncompressed["ratios"]} == {
        "seattn stored",
        "seattn modality",
        "seattn window",
    }
    assert not any(row["ratios"] for row in others)


def test_a_folder_of_ones_own(tmp_path, monkeypatch):
    folder, record = tmp_path / "files", tmp_path / "rows.jsonl"
    write_folder(folder, images=3, size=16, syntax=SYNTAXES["uncompressed"])
    (folder / "notes.txt").write_text("no image")
    readers = {BARE: Contestant(_stored, "stored")}
    monkeypatch.setattr(dicom_read, "contestants", lambda: (readers, {"Peer": "not there"}))
    command = ["dicom_read", "--files", str(folder), "--rounds", "2", "--record", str(record)]
    monkeypatch.setattr(sys, "argv", command)
    ticks = itertools.count()
    measure = partial(dicom_read.measure, clock=lambda: next(ticks))
    monkeypatch.setattr(dicom_read, "measure", measure)
    dicom_read.main()
    row = json.loads(record.read_text())
    assert (row["case"], row["files"]) == ("read, own files", 3)
    assert row["cpu_seconds"] == {FLOOR: [1 / 3] * 2, BARE: [1 / 3] * 2}  # a tick for three files
    assert row["absent"] == {"Peer": "not there"}
    assert str(tmp_path) not in record.read_text()

    readers["a wrong one"] = Contestant(_stored, "modality")
    with pytest.raises(RuntimeError, match="a wrong one"):
        dicom_read.main()
    for path in folder.glob("*.dcm"):
        path.unlink()
    with pytest.raises(SystemExit, match="no file there"):
        dicom_read.main()


@pytest.fixture
def path(tmp_path):
    return write_folder(tmp_path / "a", images=1, size=16, syntax=SYNTAXES["uncompressed"])[0]


def _stored(path):
    return dcmread(path).pixel_array


@pytest.mark.parametrize(
    ("name", "contestant"),
    [
        ("wrong numbers", Contestant(lambda path: _stored(path) + 1, "stored")),
        ("one wrong pixel", Contestant(lambda path: _stored(path) + np.eye(1, 16, 3), "stored")),
        ("no rescale", Contestant(_stored, "modality")),
        ("columns first", Contestant(lambda path: _stored(path).T, "stored")),
        ("another window", Contestant(lambda path: answers(path).window * 0.999, "window")),
        ("half an image", Contestant(lambda path: _stored(path)[:8], "stored")),
        ("not a number", Contestant(lambda path: np.full((16, 16), np.nan), "stored")),
    ],
)
def test_a_reader_with_other_pixels_is_refused(path, name, contestant):
    with pytest.raises(RuntimeError, match=f"{name} differs .* no time is taken"):
        check({BARE: Contestant(_stored, "stored"), name: contestant}, [path])


def test_conventions_of_readers_are_understood(path):
    check(
        {
            "columns first": Contestant(lambda path: _stored(path).T, "stored", transposed=True),
            "one of frames": Contestant(lambda path: _stored(path)[None], "stored"),
            "rescaled": Contestant(
                lambda path: _stored(path) / 65535 * 2048 - 1024, "stored", rescaled=True
            ),
        },
        [path],
    )


def test_padding_is_not_compared(path):
    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", "SS", int(dataset.pixel_array[0, 0]))
    dataset.save_as(path)
    padded = _stored(path) == dataset.PixelPaddingValue
    assert 0 < padded.sum() < padded.size
    check({"other padding": Contestant(lambda path: _stored(path) + 9 * padded, "stored")}, [path])
    with pytest.raises(RuntimeError):
        check({"worse": Contestant(lambda path: _stored(path) + 9 * ~padded, "stored")}, [path])


def test_answers_are_those_of_pydicom(path):
    from pydicom.pixels import apply_rescale, apply_windowing

    dataset, truth = dcmread(path), answers(path)
    hu = apply_rescale(dataset.pixel_array, dataset)
    np.testing.assert_array_equal(truth.modality, hu)
    assert (dataset.WindowCenter, dataset.WindowWidth) == WINDOW
    low, high = (-(2**15) - 1024, 2**15 - 1 - 1024)  # pydicom's range of output
    windowed = (apply_windowing(hu, dataset) - low) / (high - low)
    np.testing.assert_allclose(truth.window, windowed, atol=1e-9)


@pytest.mark.parametrize("case", SYNTAXES)
def test_the_floor_moves_the_bytes_of_the_pixels(tmp_path, case):
    (path,) = write_folder(tmp_path / "a", images=1, size=64, syntax=SYNTAXES[case])
    dataset = dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == SYNTAXES[case]
    found = floor([path])(path)
    assert found.nbytes == pixel_bytes(path)
    if case == "deflated":
        assert found.tobytes() == path.read_bytes()
    else:
        assert found.tobytes()[12:].startswith(dataset.PixelData[:64])


def test_files_that_readers_take_differently_are_left_out(tmp_path):
    paths = write_folder(tmp_path / "a", images=5, size=16, syntax=SYNTAXES["uncompressed"])
    for path, change in zip(
        paths[1:],
        (
            {"PhotometricInterpretation": "MONOCHROME1"},
            {"PresentationLUTShape": "INVERSE"},
            {"ModalityLUTSequence": [Dataset()]},
            {"Rows": 64},
        ),
        strict=True,
    ):
        dataset = dcmread(path)
        for keyword, value in change.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    assert comparable(tmp_path / "a") == paths[:1]


def test_images_differ_and_have_noise(tmp_path):
    paths = write_folder(tmp_path / "a", images=2, size=32, syntax=SYNTAXES["uncompressed"])
    first, second = (answers(path).modality for path in paths)
    assert not np.array_equal(first, second)
    assert 5 < first[:2, :8].std() < 30  # air, cut off at the smallest value
