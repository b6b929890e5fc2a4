"""Grad-CAM maps of images of a dataset, and which of its images have annotated regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from seattn.data import DicomDataset
from seattn.explain import GradCAM

__all__ = ["NOT_ANNOTATED", "annotated", "cams"]

NOT_ANNOTATED = 255


def annotated(dataset: DicomDataset) -> list[int]:
    """Positions of the images whose annotation marks at least one pixel."""
    with_mask = [i for i, row in enumerate(dataset.index.rows) if row.mask is not None]
    return [i for i in with_mask if dataset[i].mask.any()]


def cams(
    network: nn.Module,
    target_layer: str,
    dataset: DicomDataset,
    positions: Sequence[int],
    *,
    target: str | Sequence[int] = "label",
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Grad-CAM maps, and the grid that they were computed on.

    Args:
        network: What is explained.
        target_layer: Where.
        dataset: The images, which are shown as they are: without noise or augmentation.
        positions: Which of them.
        target: The class that is explained: "label" for the image's own, "predicted" for the one
            with the highest logit; or the number of a class for each image.
    """
    cam = GradCAM(network, target_layer)
    device = next(network.parameters()).device
    maps: list[torch.Tensor] = []
    grid: tuple[int, ...] = ()
    for start in range(0, len(positions), 64):
        batch = dataset.batch(positions[start : start + 64])
        classes: torch.Tensor | None = None
        if target == "label":
            classes = batch.label.to(device)
        elif target != "predicted":
            classes = torch.tensor(target[start : start + 64], device=device)
        result = cam.explain(batch.image.to(device), target=classes)
        maps.append(result.maps.cpu())
        grid = tuple(result.raw.shape[-2:])
    return torch.cat(maps), grid
