"""Small files that ask for much memory are refused before they get any."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from seattn.data import DicomLimits, LimitError, read_dicom
from tests.data.files import items, write_dicom
from tests.data.fuzz import jpeg

PIXELS = np.random.default_rng(0).integers(0, 900, (64, 48)).astype(np.uint16)

CHILD = """
import json, resource, sys, tracemalloc
from seattn.data import DicomError, read_dicom
good, *bombs = sys.argv[1:]
read_dicom(good)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tracemalloc.start()
found = {}
for bomb in bombs:
    tracemalloc.reset_peak()
    try:
        read_dicom(bomb)
        outcome = "read"
    except DicomError as error:
        outcome = f"{type(error).__name__}: {error.reason}"
    found[bomb] = outcome, tracemalloc.get_traced_memory()[1]
tracemalloc.stop()
found["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps(found))
"""


def deflate_bomb(path: Path, size: int) -> None:
    write_dicom(path, PIXELS, syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    meta = 144 + struct.unpack("<L", content[140:144])[0]
    body = zlib.decompress(content[meta:], -zlib.MAX_WBITS)
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    with path.open("wb") as file:
        file.write(content[:meta] + squeeze.compress(body))
        for _ in range(size // 2**20):
            file.write(squeeze.compress(bytes(2**20)))
        file.write(squeeze.flush())


def compressed(path: Path, syntax: str, **changes: Any) -> bytes:
    """Write a compressed file, then change its header; return the code of its frame."""
    ds = dcmread(write_dicom(path, PIXELS))
    ds.compress(syntax, generate_instance_uid=False)
    ds.update(changes)
    ds.save_as(path)
    return bytes(ds.PixelData)


def patch(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def rle_bomb(path: Path, *, rows: int, columns: int, segment: int) -> None:
    """Two segments of zeros, 64 : 1."""
    ds = dcmread(write_dicom(path, PIXELS))
    run = b"\x81\0" * (segment // 2)
    code = struct.pack("<16L", 2, 64, 64 + len(run), *[0] * 13) + run + run
    ds.PixelData = encapsulate([code])
    ds["PixelData"].is_undefined_length = True
    ds.Rows, ds.Columns = rows, columns
    ds.file_meta.TransferSyntaxUID = RLELossless
    ds.save_as(path)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    folder = tmp_path_factory.mktemp("bombs")
    write_dicom(folder / "good", PIXELS)
    deflate_bomb(folder / "deflate", 2**29)
    for name, syntax in (("rle", RLELossless), ("j2k", JPEG2000Lossless), ("jls", JPEGLSLossless)):
        compressed(folder / f"{name} header", syntax, Rows=65535, Columns=65535)
    compressed(folder / "rle frames", RLELossless, NumberOfFrames=2**31 - 1)
    compressed(folder / "rle wide", RLELossless, Rows=16000, Columns=16000)
    write_dicom(folder / "native frames", PIXELS, NumberOfFrames=2**31 - 1)
    rle_bomb(folder / "rle bomb", rows=14336, columns=14336, segment=14336**2 // 64)
    rle_bomb(folder / "rle overfull", rows=10, columns=10, segment=2**22)
    size = struct.pack(">LL", 48, 64)  # of JPEG 2000: columns, rows
    for name, changes in (("code", {}), ("both", {"Rows": 16000, "Columns": 16000})):
        path = folder / f"j2k {name}"
        compressed(path, JPEG2000Lossless, **changes)
        content = path.read_bytes()
        place = content.index(b"\xff\x4f\xff\x51") + 8
        assert content[place : place + 8] == size
        huge = struct.pack(">LL", 16000, 16000)
        tile = (
            huge if content[place + 16 : place + 24] == size else content[place + 16 : place + 24]
        )
        path.write_bytes(
            content[:place] + huge + content[place + 8 : place + 16] + tile + content[place + 24 :]
        )
    compressed(folder / "jls code", JPEGLSLossless)
    frame = struct.Struct(">HBHH")  # length, precision, rows, columns of a SOF marker
    patch(folder / "jls code", frame.pack(11, 16, 64, 48), frame.pack(11, 16, 60000, 60000))
    jpeg(folder / "jpeg code", {})
    patch(folder / "jpeg code", frame.pack(11, 8, 36, 34), frame.pack(11, 8, 60000, 60000))
    nested = folder / "nested length"
    ds = dcmread(write_dicom(nested, PIXELS))
    ds.ReferencedImageSequence = items({"StudyDescription": "ABCD"})
    ds["ReferencedImageSequence"].is_undefined_length = True
    ds.save_as(nested)
    lie = b"\x08\x00\x30\x10UT\0\0\xf0\xff\xff\xff"
    patch(nested, b"\x08\x00\x30\x10LO\x04\x00ABCD", lie)
    paths = sorted(folder.iterdir())
    others = [path for path in paths if path.name != "good"]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder / "good"), *map(str, others)],
        capture_output=True,
        check=True,
    )
    return {Path(name).name: found for name, found in json.loads(child.stdout).items()}


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("deflate", "LimitError", "inflates to more than 200 times its size"),
        ("rle header", "LimitError", "4,294,836,225 samples to decode"),
        ("j2k header", "LimitError", "4,294,836,225 samples to decode"),
        ("jls header", "LimitError", "4,294,836,225 samples to decode"),
        ("rle frames", "DecodeError", "fewer frames than the header says"),
        ("rle wide", "LimitError", "more than 32 times as many"),
        ("native frames", "DecodeError", "are needed"),
        ("rle bomb", "LimitError", "more than 32 times as many"),
        ("rle overfull", "DecodeError", "bytes of RLE cannot be 200 bytes of pixels"),
        ("j2k code", "DecodeError", "an image of another size than the header says"),
        ("j2k both", "LimitError", "more than 200 times as many"),
        ("jls code", "DecodeError", "an image of another size than the header says"),
        ("jpeg code", "DecodeError", "an image of another size than the header says"),
        ("nested length", "HeaderError", "OSError"),
    ],
)
def test_a_bomb_is_refused_before_it_allocates(
    bombs: dict[str, tuple[str, int]], name: str, error: str, reason: str
) -> None:
    outcome, peak = bombs[name]
    assert outcome.startswith(error)
    assert reason in outcome
    assert peak < 2**26


def test_all_bombs_together_leave_the_resident_memory_where_it_was(
    bombs: dict[str, tuple[str, int]],
) -> None:
    assert int(bombs["rss"]) < 2**16  # KiB  # type: ignore[call-overload]


def test_large_files_are_refused_unopened(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PIXELS)
    size = path.stat().st_size
    read_dicom(path, limits=DicomLimits(file_bytes=size))
    with pytest.raises(LimitError, match=f"{size:,} bytes, more than the limit of {size - 1:,}"):
        read_dicom(path, limits=DicomLimits(file_bytes=size - 1))


def test_an_image_that_deflates_well_is_still_read(tmp_path: Path) -> None:
    zeros = np.zeros((3000, 3000), np.uint16)
    path = write_dicom(tmp_path / "a", zeros, syntax=DeflatedExplicitVRLittleEndian)
    assert path.stat().st_size < 2**15
    assert read_dicom(path, units="stored").pixels.shape == (1, 3000, 3000)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, None])
def test_limits_are_counts(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"`samples` \(=.*\) must be an int, 1 or more"):
        DicomLimits(samples=wrong)
