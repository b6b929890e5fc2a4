"""What it costs to index an archive, and how that grows: ``python -m benchmarks.dicom_index``.

Archives of synthetic CT files, five images to a patient and 500 to a folder, are scanned for the
first time, scanned again from a store, scanned again after one file in a hundred has changed, and
saved and loaded as an index. Times are CPU time of the process and its workers, in microseconds a
file; the floor is ``os.stat`` of every file, which tells whether it has changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from benchmarks.dicom_files import SYNTAXES, write_ct
from benchmarks.rounds import circumstances, cpu_time, record
from seattn.data import DicomIndex

KEY = b"the patients are synthetic"
_PATIENT, _IMAGE = "P%07d", "1.2.9999%08d"  # as long in every file


def main() -> None:
    """Index archives of growing size, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--size", type=int, default=64, help="pixels of a side (default 64)")
    parser.add_argument("--workers", type=int, default=0, help="processes that read (default 0)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append rows to a JSONL file")
    choices = parser.parse_args()
    rows = []
    for files in choices.files:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(index_archive(Path(folder), files, choices.size, choices.workers))
        row = rows[-1]
        print(f"{files:,} files, {row['workers']} workers, CPU microseconds a file")
        for name, value in row["cpu_us_per_file"].items():
            print(f"  {name:32}  {value:8.1f}")
        print(f"  the index takes {row['index_bytes_per_file']:.0f} bytes a file")
    record(rows, choices.record)


def index_archive(folder: Path, files: int, size: int, workers: int) -> dict[str, Any]:
    """Measure one archive; a scan that gives another index than the first is an error."""
    root, store, saved = folder / "archive", folder / "archive.scan", folder / "index.json"
    paths = write_archive(root, files, size)
    times: dict[str, float] = {}

    def scan() -> DicomIndex:
        return DicomIndex.scan(root, key=KEY, store=store, workers=workers, progress=False)

    timed(times, "floor: stat", lambda: [os.stat(path) for path in paths], files)  # noqa: PTH116
    first = timed(times, "first scan", scan, files)
    if len(first) != files or len({row.patient for row in first.rows}) != -(-files // 5):
        raise RuntimeError("the scan lost files or patients: no time is taken")
    if timed(times, "scan of an unchanged archive", scan, files) != first:
        raise RuntimeError("the second scan differs from the first: no time is taken")
    for path in paths[::100]:
        os.utime(path)
    timed(times, "scan after 1 % has changed", scan, files)
    timed(times, "save the index", lambda: first.save(saved), files)
    if timed(times, "load the index", lambda: DicomIndex.load(saved), files) != first:
        raise RuntimeError("the loaded index differs from the saved one: no time is taken")
    return {
        "case": "index",
        "files": files,
        "workers": workers,
        "bytes_per_file": paths[0].stat().st_size,
        "index_bytes_per_file": saved.stat().st_size / files,
        "cpu_us_per_file": times,
        **circumstances(["pydicom", "numpy"], threads=1),
    }


def timed(times: dict[str, float], name: str, work: Callable[[], Any], files: int) -> Any:
    """Do some work, and note its CPU time a file."""
    start = cpu_time()
    result = work()
    times[name] = 1e6 * (cpu_time() - start) / files
    return result


def write_archive(root: Path, files: int, size: int) -> list[Path]:
    """Write one file with pydicom, and the others as copies of it with identities of their own."""
    root.mkdir()
    model = root / "model"
    hu = np.random.default_rng(0).integers(-1000, 1500, (size, size)).astype(np.int16)
    write_ct(model, hu, syntax=SYNTAXES["uncompressed"])
    dataset = dcmread(model)
    dataset.PatientID, dataset.SOPInstanceUID = _PATIENT % 0, _IMAGE % 0
    dataset.save_as(model, enforce_file_format=True)
    content = model.read_bytes()
    model.unlink()
    paths = []
    for number in range(files):
        if number % 500 == 0:
            folder = root / f"{number // 500:04}"
            folder.mkdir()
        paths.append(folder / f"{number:06}.dcm")
        image, patient = _IMAGE % number, _PATIENT % (number // 5)
        mine = content.replace((_IMAGE % 0).encode(), image.encode())
        paths[-1].write_bytes(mine.replace((_PATIENT % 0).encode(), patient.encode()))
    return paths


if __name__ == "__main__":
    main()
