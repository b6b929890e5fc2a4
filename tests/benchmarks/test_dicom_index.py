"""The benchmark of the index on small archives, from the command to the row; never its times."""

import json
import sys

import pytest

from benchmarks import dicom_index
from seattn.data import DicomIndex


def test_a_row_for_each_archive(tmp_path, monkeypatch, capsys):
    record = tmp_path / "rows.jsonl"
    command = ["dicom_index", "--files", "7", "503", "--size", "8", "--record", str(record)]
    monkeypatch.setattr(sys, "argv", command)
    dicom_index.main()
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["files"] for row in rows] == [7, 503]
    for row in rows:
        assert list(row["cpu_us_per_file"])[:2] == ["floor: stat", "first scan"]
        assert min(row["cpu_us_per_file"].values()) > 0
        assert row["bytes_per_file"] > 2 * 8 * 8
    assert "503 files, 0 workers" in capsys.readouterr().out


def test_a_scan_that_loses_files_is_not_timed(tmp_path, monkeypatch):
    scan = DicomIndex.scan
    monkeypatch.setattr(
        DicomIndex, "scan", lambda *args, **options: scan(*args, **options).subset(range(3))
    )
    with pytest.raises(RuntimeError, match="no time is taken"):
        dicom_index.index_archive(tmp_path, files=4, size=8, workers=0)
