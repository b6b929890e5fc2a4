"""Logistic regression on the pixels: what a task gives away before any network looks at it."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from seattn.data import DicomDataset

__all__ = ["linear_baseline"]

LARGEST = 64


def linear_baseline(
    train: DicomDataset, test: DicomDataset, *, classes: int, penalty: float = 1.0
) -> torch.Tensor:
    """Scores the test images with an L2-penalised multinomial logistic regression on raw pixels.

    Images are averaged down to 64 pixels a side where they are larger, and centred by the training
    mean. The objective is the summed cross entropy plus ``penalty / 2`` times the squared weights,
    those of every class, minimised by L-BFGS in float64.

    Returns:
        (N, classes) probabilities of the test images.
    """
    known, labels = _pixels(train)
    unknown, _ = _pixels(test)
    mean = known.mean(0)
    weight = torch.zeros(known.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def objective() -> torch.Tensor:
        solver.zero_grad()
        logits = (known - mean) @ weight + bias
        loss = (
            F.cross_entropy(logits, labels, reduction="sum") + penalty / 2 * weight.square().sum()
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(objective)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return ((unknown - mean) @ weight + bias).softmax(1)


def _pixels(dataset: DicomDataset) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(dataset.loader(64))
    pixels = [_reduced(batch.image).flatten(1).double() for batch in batches]
    return torch.cat(pixels), torch.cat([batch.label for batch in batches])


def _reduced(images: torch.Tensor) -> torch.Tensor:
    height, width = images.shape[-2:]
    return F.adaptive_avg_pool2d(images, (min(height, LARGEST), min(width, LARGEST)))
