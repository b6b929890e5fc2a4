"""MONAI's and TorchIO's ways from the same files to batches, as their documentation shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks import peers
from benchmarks.dicom_files import WINDOW, answers

__all__ = ["CONTRAST", "NOISE", "ROTATION", "SCALING", "Peers"]

ROTATION, SCALING, CONTRAST, NOISE = 15.0, 0.1, 0.2, 0.01
"""Ranges of the augmentation: degrees, relative size, relative contrast or gamma, sigma."""

Batches = Callable[[], Iterable[Any]]


class Peers:
    """The contestants that are installed; both caches are full when it has been made.

    Args:
        paths: The files; the row of an image is its position here.
        batch: Images in a batch.
        folder: Where MONAI's persistent cache goes.
    """

    def __init__(self, paths: Sequence[Path], *, batch: int, folder: Path) -> None:
        self._transforms, self._data = peers.find("monai.transforms"), peers.find("monai.data")
        self._torchio = peers.find("torchio")
        self._paths = paths
        self._items = [{"image": str(path), "row": row} for row, path in enumerate(paths)]
        self._batch, self._folder = batch, folder

    def absent(self) -> dict[str, str]:
        """Who is not there, and why."""
        found = {"MONAI": self._data, "TorchIO": self._torchio}
        return {name: "not installed" for name, module in found.items() if module is None}

    def fetching(self) -> dict[str, Batches]:
        """Batches from MONAI's caches: as they come, and as lean as can be."""
        if self._data is None:
            return {}
        make = self._transforms
        floats = make.EnsureTyped("image", track_meta=False)
        to_bytes = [
            make.Lambdad("image", lambda image: (255 * image).round()),
            make.EnsureTyped("image", track_meta=False, dtype=torch.uint8),
        ]
        cached = self._cached()
        caches = {
            "MONAI CacheDataset": cached,
            "MONAI CacheDataset, float32 tensors": self._cached(floats),
            "MONAI CacheDataset, uint8 tensors": self._cached(*to_bytes),
            "MONAI PersistentDataset": self._data.PersistentDataset(
                self._items, make.Compose([*self._load(), floats]), cache_dir=self._folder
            ),
        }
        return {name: self._loader(cache) for name, cache in caches.items()} | {
            "MONAI CacheDataset, 2 workers": self._loader(cached, num_workers=2)
        }

    def augmenting(self) -> dict[str, Batches]:
        """Batches of MONAI's and TorchIO's random transforms upon images in memory."""
        contestants: dict[str, Batches] = {}
        if self._data is not None:
            make = self._transforms
            random = [
                make.RandAffined(
                    "image",
                    prob=1,
                    rotate_range=math.radians(ROTATION),
                    scale_range=SCALING,
                    padding_mode="zeros",
                ),
                make.RandAdjustContrastd("image", prob=1, gamma=(1 - CONTRAST, 1 + CONTRAST)),
                make.RandGaussianNoised("image", prob=1, std=NOISE),
            ]
            contestants = {
                "MONAI CacheDataset + Rand*d": self._loader(self._cached(*random)),
                "MONAI PersistentDataset + Rand*d": self._loader(
                    self._data.PersistentDataset(
                        self._items,
                        make.Compose([*self._load(), *random]),
                        cache_dir=self._folder / "augmented",
                    )
                ),
            }
        if self._torchio is not None:
            contestants["TorchIO SubjectsDataset in memory"] = self._torchio_epoch()
        return contestants

    def _torchio_epoch(self) -> Batches:
        """Volumes one voxel deep, turned about that axis."""
        tio = self._torchio
        transform = tio.Compose(
            [
                tio.RandomAffine(
                    scales=(1 - SCALING, 1 + SCALING) * 2 + (1, 1),
                    degrees=(0, 0, 0, 0, -ROTATION, ROTATION),
                    default_pad_value=0,
                ),
                tio.RandomGamma(log_gamma=(math.log(1 - CONTRAST), math.log(1 + CONTRAST))),
                tio.RandomNoise(std=(NOISE, NOISE)),
            ]
        )
        subjects = [
            tio.Subject(image=tio.ScalarImage(tensor=_volume(path)), row=row)
            for row, path in enumerate(self._paths)
        ]
        dataset = tio.SubjectsDataset(subjects, transform=transform)
        loader = tio.SubjectsLoader(dataset, batch_size=self._batch, shuffle=True)
        return lambda: ({"image": batch["image"]["data"], "row": batch["row"]} for batch in loader)

    def _load(self) -> list[Any]:
        """From a path to the values of the window, in the function LINEAR."""
        make = self._transforms
        center, width = WINDOW
        low, high = (center - 0.5 + sign * (width - 1) / 2 for sign in (-1, 1))
        return [
            make.LoadImaged("image", reader=self._data.PydicomReader(swap_ij=False)),
            make.EnsureChannelFirstd("image"),
            make.ScaleIntensityRanged("image", low, high, 0, 1, clip=True),
        ]

    def _cached(self, *further: Any) -> Any:
        transform = self._transforms.Compose([*self._load(), *further])
        return self._data.CacheDataset(self._items, transform, num_workers=1, progress=False)

    def _loader(self, dataset: Any, **options: Any) -> Batches:
        loader: type[DataLoader[Any]] = self._data.DataLoader
        return partial(loader, dataset, batch_size=self._batch, shuffle=True, **options)


def _volume(path: Path) -> torch.Tensor:
    return torch.from_numpy(answers(path).window).float()[None, ..., None]
