"""Thousands of damaged files, each of which reads or is refused by one of our errors, and soon."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seattn.data import DicomError, read_dicom
from tests.data.fuzz import FAMILIES, MARKER, make_bases

ROOT = Path(__file__).parents[2]


def fuzz(folder: Path, *, first: int, count: int) -> dict[str, Any]:
    """Run in a process of its own: it may crash, and its memory can be measured."""
    command = [sys.executable, "-m", "tests.data.fuzz", str(folder)]
    child = subprocess.run(
        [*command, "--first", str(first), "--count", str(count)],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert child.returncode == 0, (child.returncode, (folder / "case").read_text())
    assert MARKER.encode() not in child.stdout.replace(b"the marker is in", b"")
    assert MARKER.encode() not in child.stderr
    return dict(json.loads(child.stdout))


def check(outcome: dict[str, Any]) -> None:
    assert outcome["bad"] == []
    assert outcome["slowest"] < 5
    assert outcome["megabytes"] < 1536
    kinds = {line.split(": ")[1] for line in outcome["outcomes"]}
    assert {"read", "DecodeError", "HeaderError", "LimitError", "NoImageError"} <= kinds
    assert {line.split(": ")[0] for line in outcome["outcomes"]} == {f.__name__ for f in FAMILIES}


def test_damaged_files_read_or_are_refused(tmp_path: Path) -> None:
    check(fuzz(tmp_path, first=0, count=6000))


@pytest.mark.full
def test_a_hundred_thousand_damaged_files_read_or_are_refused(tmp_path: Path) -> None:
    check(fuzz(tmp_path, first=100_000, count=100_000))


def test_the_undamaged_files_of_the_suite_read(tmp_path: Path) -> None:
    for base in make_bases(tmp_path):
        assert read_dicom(tmp_path / base.name, units="stored").pixels.shape == (1, 36, 34)


def test_a_file_that_ends_at_any_boundary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.dcm"
    count = 0
    for base in make_bases(tmp_path):
        if base.deflated:
            continue
        for element in base.elements:
            for end in (element.start, element.value):
                path.write_bytes(base.content[:end])
                with pytest.raises(DicomError) as caught:
                    read_dicom(path)
                assert MARKER not in str(caught.value)
                count += 1
    assert count > 500
