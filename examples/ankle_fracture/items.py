"""The items of a part: its images, or its images with their augmented copies, as the protocol says.

The paper counts 2364, 792 and 792 images after augmentation: 591, 198 and 198 with three more of
each, those of validation and test too. Sound is to augment training images alone, anew each epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from examples.ankle_fracture.protocol import Protocol
from seattn.data import DicomDataset, RandomAffine, RandomContrast, RandomFlip, RandomNoise, augment
from seattn.data.sample import Sample

__all__ = ["Items", "items_of", "prefetch", "to_device"]

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Items:
    """Item ``i`` is version ``i % (1 + copies)`` of image ``i // (1 + copies)``; 0 is the image.

    Args:
        dataset: The images.
        protocol: What is done to them.
        training: Whether this part trains.
        seed: Draws noise and augmentation.
    """

    dataset: DicomDataset
    protocol: Protocol
    training: bool
    seed: int

    @property
    def versions(self) -> int:
        """Items of each image."""
        return 1 + self.protocol.copies

    def __len__(self) -> int:
        """The number of items."""
        return self.versions * len(self.dataset)

    @property
    def labels(self) -> list[int]:
        """The class of each item."""
        rows = self.dataset.index.rows
        return [-1 if r.label is None else r.label for r in rows for _ in range(self.versions)]

    @property
    def patients(self) -> list[str]:
        """The patient of each item, as a pseudonym."""
        return [row.patient for row in self.dataset.index.rows for _ in range(self.versions)]

    def batch(self, numbers: NDArray[np.int64], *, epoch: int = 0) -> Sample:
        """The items of these numbers; of training items augmented online, those of an epoch."""
        sample = self.dataset.batch(numbers // self.versions)
        if not len(numbers):
            return sample
        online = self.training and self.protocol.online
        draws = np.full(len(numbers), epoch + 1) if online else numbers % self.versions
        if self.training or self.protocol.noise_on == "all":  # before the copies, as the paper does
            noise = RandomNoise(self.protocol.noise)
            sample = augment(sample, (noise,), seed=self.seed, epoch=epoch + 1 if online else 0)
        if not draws.any():
            return sample
        changes = (
            RandomFlip(horizontal=self.protocol.flips / 2, vertical=self.protocol.flips / 2),
            RandomAffine(rotation=self.protocol.rotation, scaling=self.protocol.scaling),
            RandomContrast(self.protocol.contrast),
        )
        parts, order = [], []
        for draw in np.unique(draws):
            chosen = torch.from_numpy(np.flatnonzero(draws == draw))
            some = Sample(*(field[chosen] for field in sample))
            if draw:
                some = augment(some, changes, seed=self.seed, epoch=int(draw))
            parts.append(some)
            order.append(chosen)
        back = torch.cat(order).argsort()
        return Sample(*(torch.cat(field)[back] for field in zip(*parts, strict=True)))

    def numbers(
        self, size: int, *, epoch: int = 0, shuffle: bool = False, drop_last: bool = False
    ) -> list[NDArray[np.int64]]:
        """Which items make each batch; shuffled, that is a function of seed and epoch."""
        order = np.arange(len(self))
        if shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(order)
        end = len(self) - len(self) % size if drop_last else len(self)
        return [order[start : min(start + size, end)] for start in range(0, end, size)]

    def batches(
        self, size: int, *, epoch: int = 0, shuffle: bool = False, drop_last: bool = False
    ) -> Iterator[Sample]:
        """The items in batches."""
        for some in self.numbers(size, epoch=epoch, shuffle=shuffle, drop_last=drop_last):
            yield self.batch(some, epoch=epoch)


def items_of(parts: dict[str, DicomDataset], protocol: Protocol, *, seed: int) -> dict[str, Items]:
    """The items of each part by its name."""
    return {name: Items(data, protocol, name == "train", seed) for name, data in parts.items()}


def to_device(sample: Sample, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and label on a device; a copy to a GPU from pinned memory waits for nobody."""
    pair = (sample.image, sample.label)
    if device.type == "cuda":
        pair = (pair[0].pin_memory(), pair[1].pin_memory())
    return pair[0].to(device, non_blocking=True), pair[1].to(device, non_blocking=True)


def prefetch(
    make: Callable[[Argument], Result], arguments: Iterable[Argument], *, threads: int
) -> Iterator[Result]:
    """``map``, with the next results made by threads while one is in use, in the same order."""
    with ThreadPoolExecutor(threads) as pool:
        arguments = iter(arguments)
        waiting = deque(pool.submit(make, each) for each in islice(arguments, threads + 1))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(make, each) for each in islice(arguments, 1))
            yield result
