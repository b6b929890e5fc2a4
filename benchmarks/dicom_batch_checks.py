"""Whether a contestant's batches hold the images of the files, before it is timed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["check", "check_augmented"]


def check(name: str, batches: Iterable[Any], truth: NDArray[np.float64]) -> None:
    """Each image once, within half a grey level of what is in its file; else it is an error."""
    for row, image in _images(name, batches, len(truth)).items():
        difference = np.abs(image - truth[row]).max()
        if not difference <= 0.5001 / 255:
            raise RuntimeError(
                f"{name} differs by {difference:.1e} in image {row}: no time is taken"
            )


def check_augmented(name: str, batches: Iterable[Any], truth: NDArray[np.float64]) -> None:
    """Each image once, changed, and still recognisable: its correlation with the file's."""
    for row, image in _images(name, batches, len(truth)).items():
        with np.errstate(invalid="ignore"):  # an image of one grey level is like none: nan
            likeness = np.corrcoef(image.ravel(), truth[row].ravel())[0, 1]
        if not 0.5 < likeness < 0.99999:
            raise RuntimeError(
                f"{name} makes of image {row} one of correlation {likeness:.5f}: no time is taken"
            )


def _images(name: str, batches: Iterable[Any], count: int) -> Mapping[int, NDArray[np.float64]]:
    """All images of an epoch by row, 0..1 (H, W)."""
    found: dict[int, NDArray[np.float64]] = {}
    for batch in batches:
        images, rows = batch["image"] if isinstance(batch, dict) else batch.image, _rows(batch)
        scale = 255 if images.dtype == torch.uint8 else 1
        for row, image in zip(rows, images, strict=True):
            found[row] = np.squeeze(np.asarray(image)).astype(np.float64) / scale
    if sorted(found) != list(range(count)):
        raise RuntimeError(f"{name} yields {len(found)} of {count} images: no time is taken")
    return found


def _rows(batch: Any) -> Sequence[int]:
    return (batch["row"] if isinstance(batch, dict) else batch.row).tolist()
