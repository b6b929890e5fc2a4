"""Cached images to batches, plain and augmented: ``python -m benchmarks.dicom_batches``.

The same synthetic CT files go into our cache and into MONAI's. Three things are measured: an epoch
of batches from the cache, the same with rotation, scaling, contrast and noise, and the memory of a
long epoch. Every contestant's batches are compared with the images of the files before anything is
timed; see ``benchmarks.rounds`` for how.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks import dicom_batch_peers, dicom_memory
from benchmarks.dicom_batch_checks import check, check_augmented
from benchmarks.dicom_files import SYNTAXES, WINDOW, answers, write_folder
from benchmarks.rounds import circumstances, judge, measure, record, show
from seattn.data import (
    DicomDataset,
    DicomIndex,
    RandomAffine,
    RandomContrast,
    RandomNoise,
    Sample,
    augment,
)

PACKAGES = ("seattn", "torch", "numpy", "pydicom", "monai", "torchio")
TRANSFORMS = (
    RandomAffine(rotation=dicom_batch_peers.ROTATION, scaling=dicom_batch_peers.SCALING),
    RandomContrast(dicom_batch_peers.CONTRAST),
    RandomNoise(dicom_batch_peers.NOISE),
)
GATHER, OPERATORS = "floor: numpy mm[idx]", "floor: gather, grid_sample, contrast, noise"
FETCH_LIMITS = (
    ("seattn loader, uint8", GATHER, 3.0),
    ("seattn loader, uint8", "MONAI CacheDataset", 1 / 3),
    ("seattn loader, uint8", "MONAI CacheDataset, uint8 tensors", 1 / 3),
    ("seattn loader, float32", "MONAI CacheDataset", 1 / 3),
)
AUGMENT_LIMITS = (
    ("seattn loader + augment", OPERATORS, 1.5),
    ("seattn loader + augment", "MONAI CacheDataset + Rand*d", 0.25),
)

Batches = Callable[[], Iterable[Any]]


def main() -> None:
    """Measures, prints, and with ``--record`` appends three JSON rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512, help="images (default 512)")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side (default 224)")
    parser.add_argument("--batch", type=int, default=32, help="images in a batch (default 32)")
    parser.add_argument("--rounds", type=int, default=15, help="counted rounds (default 15)")
    parser.add_argument("--epoch", type=int, default=10_000, help="images of the long epoch")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default 1)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append rows to a JSONL file")
    choices = parser.parse_args()
    torch.set_num_threads(choices.threads)
    np.random.seed(0)  # noqa: NPY002 - MONAI's transforms

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        syntax = SYNTAXES["uncompressed"]
        paths = write_folder(
            folder / "files", images=choices.images, size=choices.size, syntax=syntax
        )
        index = DicomIndex.scan(folder / "files", key="nobody's", progress=False)
        facts = {
            **circumstances(PACKAGES, threads=choices.threads),
            "images": choices.images,
            "size": choices.size,
            "batch": choices.batch,
        }
        row = memory(index, choices, folder)
        if row:
            report_memory(row)
            record([row | facts], choices.record)

        truth = np.stack([answers(path).window for path in paths])
        peers = dicom_batch_peers.Peers(paths, batch=choices.batch, folder=folder / "monai")
        for case, contestants, examine, limits in (
            ("fetch", fetching(index, choices, folder) | peers.fetching(), check, FETCH_LIMITS),
            (
                "augment",
                augmenting(index, choices, folder) | peers.augmenting(),
                check_augmented,
                AUGMENT_LIMITS,
            ),
        ):
            for name, batches in contestants.items():
                examine(name, batches(), truth)
            seconds = measure(
                {name: partial(exhaust, batches) for name, batches in contestants.items()},
                rounds=choices.rounds,
                per=choices.images,
            )
            row = {
                "case": case,
                "unit": "an image",
                "cpu_seconds": seconds,
                "ratios": judge(seconds, limits),
                "absent": peers.absent(),
                **facts,
            }
            show(row)
            record([row], choices.record)


def exhaust(batches: Batches) -> None:
    """One turn of a contestant: an epoch."""
    for _ in batches():
        pass


def fetching(index: DicomIndex, choices: argparse.Namespace, folder: Path) -> dict[str, Batches]:
    """Our ways to a batch, and the bare gather from the same file."""
    bytes_, floats = (dataset(index, choices, folder, as_float=each) for each in (False, True))
    (images,) = (folder / "cache").glob("*/*/images.npy")
    load = partial(DataLoader, bytes_, choices.batch, shuffle=True)
    return {
        GATHER: partial(gather, np.load(images, mmap_mode="r"), choices.batch),
        "seattn loader, uint8": lambda: bytes_.loader(choices.batch, shuffle=True),
        "seattn loader, float32": lambda: floats.loader(choices.batch, shuffle=True),
        "seattn in DataLoader, uint8": load,
        "seattn in DataLoader, uint8, 2 workers": partial(load, num_workers=2),
    }


def augmenting(index: DicomIndex, choices: argparse.Namespace, folder: Path) -> dict[str, Batches]:
    """Our way to an augmented batch, and the operators that it cannot do without."""
    plain = dataset(index, choices, folder, as_float=False)
    (images,) = (folder / "cache").glob("*/*/images.npy")
    return {
        OPERATORS: partial(operators, np.load(images, mmap_mode="r"), choices.batch),
        "seattn loader + augment": partial(augmented, plain, choices.batch),
    }


def augmented(images: DicomDataset, batch: int) -> Iterator[Sample]:
    """Our batches with rotation, scaling, contrast and noise."""
    for sample in images.loader(batch, shuffle=True):
        yield augment(sample, TRANSFORMS, seed=0, epoch=0)


def dataset(
    index: DicomIndex, choices: argparse.Namespace, folder: Path, *, as_float: bool
) -> DicomDataset:
    """The cached images, as uint8 or as float32."""
    return DicomDataset(
        index, size=choices.size, window=WINDOW, cache=folder / "cache", as_float=as_float
    )


def gather(images: NDArray[np.uint8], batch: int) -> Iterator[Sample]:
    """What no fetch can do without: numpy copies the rows of a batch."""
    order = np.random.default_rng(0).permutation(len(images))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        yield _sample(torch.from_numpy(images[rows]), rows)


def operators(images: NDArray[np.uint8], batch: int) -> Iterator[Sample]:
    """One pass of each operator with numbers that are at hand, in place where it can be."""
    turn = torch.tensor([[0.98, 0.17, 0.0], [-0.17, 0.98, 0.0]]).expand(batch, 2, 3)
    grid = F.affine_grid(turn, [batch, *images.shape[1:]], align_corners=False)
    for sample in gather(images, batch):
        image = sample.image.float().div_(255)
        image = F.grid_sample(image, grid[: len(image)], align_corners=False)
        image.mul_(1.1).add_(-0.05).clamp_(0, 1)
        image.add_(torch.randn(image.shape), alpha=dicom_batch_peers.NOISE).clamp_(0, 1)
        yield sample._replace(image=image)


def _sample(image: torch.Tensor, rows: NDArray[np.int64]) -> Sample:
    row = torch.from_numpy(rows)
    return Sample(image=image, label=row, mask=row, row=row)


def memory(index: DicomIndex, choices: argparse.Namespace, folder: Path) -> dict[str, Any] | None:
    """Anonymous memory in the course of an epoch of as many images as asked for."""
    if not Path("/proc/self/status").exists():
        return None
    many = index.subset(number % len(index) for number in range(choices.epoch))
    bytes_ = dataset(many, choices, folder / "long", as_float=False)
    count = -(-choices.epoch // choices.batch)
    points = {
        "seattn loader, uint8": dicom_memory.watch(
            partial(bytes_.loader, choices.batch, shuffle=True), count=count
        ),
        "seattn loader + augment": dicom_memory.watch(
            partial(augmented, bytes_, choices.batch), count=count
        ),
        "seattn in DataLoader, uint8, 2 workers": dicom_memory.watch(
            partial(DataLoader, bytes_, choices.batch, shuffle=True, num_workers=2), count=count
        ),
    }
    return {
        "case": "memory",
        "epoch": choices.epoch,
        "mib": points,
        "growth_mib": {name: dicom_memory.growth(each) for name, each in points.items()},
    }


def report_memory(row: Mapping[str, Any]) -> None:
    """Print the range of the memory, and whether it grows."""
    print(f"\nmemory of an epoch of {row['epoch']} images, MiB of anonymous pages")
    for name, points in row["mib"].items():
        low, high, trend = min(points), max(points), row["growth_mib"][name]
        print(f"  {name}: {low:.0f} to {high:.0f}, trend {trend:+.1f} over the epoch")


if __name__ == "__main__":
    main()
