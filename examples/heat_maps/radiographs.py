"""FracAtlas radiographs with their masks, as square batches (doi 10.1038/s41597-023-02432-4)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seattn.data import Sample

__all__ = ["Radiographs", "read_radiographs"]

# The training copies of images that the set also has, with another file number, in val or test.
COPIES = {"IMG0004148", "IMG0004149", "IMG0004155", "IMG0004036"}


@dataclass(frozen=True)
class Radiographs:
    """The radiographs of one split.

    Args:
        names: File names without extension.
        groups: Blocks of consecutive file numbers, which stand for the patients: the set publishes
            none.
        images: uint8 (N, 1, S, S).
        masks: uint8 (N, 1, S, S), 1 inside the annotated fracture; 0 everywhere in normal images.
        labels: int64 (N,), 1 with a fracture.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    images: torch.Tensor
    masks: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)

    def batch(self, rows: Sequence[int] | torch.Tensor) -> Sample:
        """The images of these rows, float32 in 0..1, as the batch transforms take them."""
        rows = torch.as_tensor(rows)
        image = self.images[rows].float() / 255
        return Sample(image, self.labels[rows], self.masks[rows], rows)


def read_radiographs(folder: Path, *, size: int, implants: bool) -> dict[str, Radiographs]:
    """Reads ``labels.csv``, the images and the masks.

    Args:
        folder: Has ``labels.csv`` with the columns path, label, group, split, hardware and mask.
        size: Side of the square that each image is padded to and resized to, in pixels.
        implants: False leaves out every image that shows an implant, which nearly equals the label.

    Returns:
        The splits "train", "val" and "test".
    """
    with (folder / "labels.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (implants or row["hardware"] == "0") and Path(row["path"]).stem not in COPIES
        ]
    return {
        split: _read(folder, [row for row in rows if row["split"] == split], size)
        for split in ("train", "val", "test")
    }


def _read(folder: Path, rows: list[dict[str, str]], size: int) -> Radiographs:
    images = np.zeros((len(rows), 1, size, size), np.uint8)
    masks = np.zeros_like(images)
    for row, image, mask in zip(rows, images, masks, strict=True):
        image[0] = _square(folder / row["path"], size, Image.Resampling.BILINEAR)
        if row["mask"]:  # a pixel belongs to the fracture if half of it does
            mask[0] = _square(folder / row["mask"], size, Image.Resampling.BOX) >= 128
    return Radiographs(
        names=tuple(Path(row["path"]).stem for row in rows),
        groups=tuple(row["group"] for row in rows),
        images=torch.from_numpy(images),
        masks=torch.from_numpy(masks),
        labels=torch.tensor([int(row["label"]) for row in rows]),
    )


def _square(path: Path, size: int, resampling: Image.Resampling) -> np.ndarray:
    """Grey values 0..255, padded with black about the middle, then resized."""
    with Image.open(path) as opened:
        grey = opened.convert("L")
    side = max(grey.size)
    padded = Image.new("L", (side, side))
    padded.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
    return np.asarray(padded.resize((size, size), resampling))
