"""The batches' benchmark on tiny images, from the command to the rows; never its times."""

import json
import math
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import dicom_memory
from benchmarks.dicom_batch_checks import check, check_augmented
from seattn.data import Sample

ROOT = Path(__file__).parents[2]


def test_three_rows_from_a_tiny_run(tmp_path):
    record = tmp_path / "rows.jsonl"
    command = [sys.executable, "-m", "benchmarks.dicom_batches", "--images", "6", "--size", "32"]
    command += ["--batch", "4", "--rounds", "2", "--epoch", "40", "--record", str(record)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {row["case"]: row for row in map(json.loads, record.read_text().splitlines())}
    assert list(rows) == ["memory", "fetch", "augment"]
    for points in rows["memory"]["mib"].values():
        assert len(points) == 10
        assert all(1 < each < 100_000 for each in points)
    for case in ("fetch", "augment"):
        row = rows[case]
        assert sum(name.startswith("floor") for name in row["cpu_seconds"]) == 1
        assert any(name.startswith("seattn") for name in row["cpu_seconds"])
        monai = any(name.startswith("MONAI") for name in row["cpu_seconds"])
        assert monai != ("MONAI" in row["absent"])
        assert row["ratios"]
        for seconds in row["cpu_seconds"].values():
            assert len(seconds) == 2
            assert all(0 < each < math.inf for each in seconds)
        assert (row["images"], row["size"], row["batch"]) == (6, 32, 4)


def _batches(images, *, order=(3, 1, 0, 2)):
    rows = torch.tensor(order)
    return [Sample(images[rows, None], rows, rows, rows)]


@pytest.fixture
def truth():
    y, x = np.mgrid[:16, :16]
    return np.stack([np.hypot(y - 4 - i, x - 8) / 20 for i in range(4)])


def test_bytes_floats_and_dictionaries_are_taken(truth):
    images = torch.from_numpy(truth)
    check("float", _batches(images), truth)
    check("bytes", _batches((255 * images).round().to(torch.uint8)), truth)
    check("dictionaries", [each._asdict() for each in _batches(images)], truth)


@pytest.mark.parametrize("change", ["a grey level", "other rows", "a missing row", "transposed"])
def test_other_images_are_refused(truth, change):
    images = torch.from_numpy(truth)
    batches = {
        "a grey level": _batches(images + torch.eye(16) / 255),
        "other rows": _batches(images.roll(1, 0)),
        "a missing row": _batches(images, order=(3, 1, 0)),
        "transposed": _batches(images.mT),
    }[change]
    with pytest.raises(RuntimeError, match=r"wrong one .* no time is taken"):
        check("wrong one", batches, truth)


def test_augmented_images_are_changed_and_still_the_same_ones(truth):
    images = torch.from_numpy(truth)
    noise = 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    check_augmented("noise", _batches(images + noise), truth)
    for wrong in (images, images.flip(1), torch.rand(images.shape), torch.zeros(images.shape)):
        with pytest.raises(RuntimeError, match="no time is taken"):
            check_augmented("wrong", _batches(wrong), truth)


def test_memory_that_is_held_is_seen():
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc, which is Linux's")
    held = []

    def hoard():
        for _ in range(40):
            # Pages of its own; an array might get what an earlier test has given back.
            pages = mmap.mmap(-1, 2**21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            pages.write(b"1" * 2**21)
            held.append(pages)
            yield

    points = dicom_memory.watch(hoard, count=40)
    assert len(points) == 20
    assert 60 < dicom_memory.growth(points) < 90


def test_growth_is_a_trend_and_not_a_wave():
    assert dicom_memory.growth([10.0, 50.0] * 10) == 0
    assert dicom_memory.growth([10.0] + [50.0] * 19) == 0
    assert dicom_memory.growth(list(range(20))) == 20
