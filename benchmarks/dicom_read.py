"""Reading one DICOM file, beside the other readers: ``python -m benchmarks.dicom_read``.

Every contestant reads the same files in the same process. What it returns is compared with what
numpy makes of pydicom's array before anything is timed; see ``benchmarks.rounds`` for how. The
floor is what no reader can do without: numpy brings the bytes of the pixels into memory, from an
offset that it is told.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian

from benchmarks import peers
from benchmarks.dicom_files import SYNTAXES, WINDOW, Answers, answers, comparable, write_folder
from benchmarks.rounds import circumstances, judge, measure, record, show
from seattn.data import read_dicom

PACKAGES = (
    "seattn",
    "torch",
    "numpy",
    "pydicom",
    "monai",
    "itk",
    "SimpleITK",
    "torchio",
    "torchxrayvision",
    "pylibjpeg-rle",
    "pylibjpeg-openjpeg",
    "pyjpegls",
)
FLOOR = "floor: np.fromfile"
BARE = "pydicom dcmread + pixel_array"
LIMITS = tuple(
    (f"seattn {units}", rival, limit)
    for units in ("stored", "modality", "window")
    for rival, limit in ((BARE, 1.5), ("MONAI PydicomReader", 0.25))
)


@dataclass(frozen=True)
class Contestant:
    """A reader, and how its answer is compared.

    Attributes:
        read: From a path to pixels.
        returns: Which of the ``Answers`` it should return.
        transposed: Whether it has columns first.
        rescaled: Whether it maps the stored values, from 0 to the full scale, onto -1024..1024.
    """

    read: Callable[[Path], Any]
    returns: Literal["stored", "modality", "window"]
    transposed: bool = False
    rescaled: bool = False


def main() -> None:
    """Measures, prints, and with ``--record`` appends a JSON row for each way of compression."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=Path, metavar="DIR", help="read these, not synthetic CTs")
    parser.add_argument("--images", type=int, default=8, help="files a round (default 8)")
    parser.add_argument("--size", type=int, default=512, help="pixels of a side (default 512)")
    parser.add_argument("--rounds", type=int, default=15, help="counted rounds (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default 1)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append rows to a JSONL file")
    choices = parser.parse_args()
    torch.set_num_threads(choices.threads)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(choices.threads)

    readers, absent = contestants()
    with tempfile.TemporaryDirectory() as scratch:
        for case, paths in cases(choices, Path(scratch)).items():
            check(readers, paths)
            seconds = measure(
                {FLOOR: partial(read_all, floor(paths), paths)}
                | {name: partial(read_all, each.read, paths) for name, each in readers.items()},
                rounds=choices.rounds,
                per=len(paths),
            )
            row = {
                "case": f"read, {case}",
                "unit": "a file",
                **circumstances(PACKAGES, threads=choices.threads),
                "files": len(paths),
                "bytes_of_pixels": sum(map(pixel_bytes, paths)) / len(paths),
                "cpu_seconds": seconds,
                "ratios": judge(seconds, LIMITS if case in ("uncompressed", "own files") else ()),
                "absent": absent,
            }
            show(row)
            record([row], choices.record)


def cases(choices: argparse.Namespace, scratch: Path) -> dict[str, list[Path]]:
    """The files of each way of compression for which a decoder is installed, or those of a user."""
    if choices.files:
        paths = comparable(choices.files)[: choices.images]
        if not paths:
            raise SystemExit("no file there is one that all readers read alike")
        return {"own files": paths}
    return {
        case: write_folder(scratch / case, images=choices.images, size=choices.size, syntax=syntax)
        for case, syntax in SYNTAXES.items()
        if get_decoder(syntax).is_available
    }


def contestants() -> tuple[dict[str, Contestant], dict[str, str]]:
    """The readers that are installed, and those that are not, with the name of their package."""
    readers = {
        BARE: Contestant(lambda path: dcmread(path).pixel_array, "stored"),
        "seattn stored": Contestant(partial(_ours, units="stored"), "stored"),
        "seattn modality": Contestant(partial(_ours, units="modality"), "modality"),
        "seattn window": Contestant(partial(_ours, units="window", window=WINDOW), "window"),
    }
    optional: dict[str, tuple[tuple[str, ...], Callable[[], Contestant]]] = {
        "MONAI PydicomReader": (("monai",), partial(_monai, "PydicomReader")),
        "MONAI ITKReader": (("monai", "itk"), partial(_monai, "ITKReader")),
        "SimpleITK": (("SimpleITK",), _simpleitk),
        "TorchIO": (("torchio",), _torchio),
        "torchxrayvision": (("torchxrayvision",), _torchxrayvision),
    }
    absent = {}
    for name, (modules, build) in optional.items():
        missing = [module for module in modules if peers.find(module) is None]
        if missing:
            absent[name] = f"{missing[0]} is not installed"
        else:
            readers[name] = build()
    return readers, absent


def check(readers: Mapping[str, Contestant], paths: Sequence[Path]) -> None:
    """Compare what every reader makes of every file; a wrong answer is an error."""
    for path in paths:
        truth = answers(path)
        for name, contestant in readers.items():
            difference = disagreement(contestant, path, truth)
            # A thousandth of a grey level in 0..1; a hundredth of a stored value or of an HU.
            limit = 4e-6 if contestant.returns == "window" else 0.01
            if not difference <= limit:
                raise RuntimeError(f"{name} differs by {difference:.1e}: no time is taken")


def disagreement(contestant: Contestant, path: Path, truth: Answers) -> float:
    """The largest difference from the truth; infinite where the shape is another."""
    pixels = np.squeeze(np.asarray(contestant.read(path))).astype(np.float64)
    if contestant.transposed:
        pixels = pixels.T
    if contestant.rescaled:
        pixels = (pixels + 1024) / 2048 * truth.full_scale
    expected = getattr(truth, contestant.returns)
    if pixels.shape != expected.shape:
        return float("inf")
    return float(np.abs(pixels - expected)[truth.counts].max(initial=0))


def read_all(read: Callable[[Path], Any], paths: Sequence[Path]) -> None:
    """One turn of a contestant."""
    for path in paths:
        read(path)


def floor(paths: Sequence[Path]) -> Callable[[Path], NDArray[np.uint8]]:
    """Read the bytes from the element of the pixels to the end of the file."""
    starts = {path: path.stat().st_size - pixel_bytes(path) for path in paths}
    return lambda path: np.fromfile(path, dtype=np.uint8, offset=starts[path])


def pixel_bytes(path: Path) -> int:
    """Bytes from the element of the pixels to the end; all of a file that is deflated whole."""
    with path.open("rb") as file:
        syntax = dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID
        start = 0 if syntax == DeflatedExplicitVRLittleEndian else file.tell()
    return path.stat().st_size - start


def _ours(path: Path, **options: Any) -> torch.Tensor:
    return read_dicom(path, **options).pixels


def _monai(reader: str) -> Contestant:
    monai = peers.find("monai.transforms"), peers.find("monai.data")
    load = monai[0].LoadImage(reader=getattr(monai[1], reader)())
    return Contestant(load, "modality", transposed=True)


def _simpleitk() -> Contestant:
    sitk = peers.find("SimpleITK")
    return Contestant(lambda path: sitk.GetArrayFromImage(sitk.ReadImage(path)), "modality")


def _torchio() -> Contestant:
    torchio = peers.find("torchio")
    return Contestant(lambda path: torchio.ScalarImage(path).data, "modality", transposed=True)


def _torchxrayvision() -> Contestant:
    read = peers.find("torchxrayvision").utils.read_xray_dcm
    return Contestant(read, "stored", rescaled=True)


if __name__ == "__main__":
    main()
