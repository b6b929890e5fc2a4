"""One step of training on a global batch, by one process or several, at once or in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from examples.ankle_fracture.processes import Processes

__all__ = ["PRECISIONS", "Step", "micro_batches"]

Batch = tuple[torch.Tensor, torch.Tensor]
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def micro_batches(batch: NDArray[np.int64], pieces: int) -> list[NDArray[np.int64]]:
    """A global batch in pieces of about one size, fewer where they would have a single image."""
    return np.array_split(batch, max(1, min(pieces, len(batch) // 2)))


@dataclass(frozen=True)
class Step:
    """Takes steps whose gradient is that of the mean loss of the global batch.

    The mean weighs each image with the weight of its class. Each process passes the sum of the
    losses of its share, divided by the weights of the whole batch, backwards; the gradients of the
    pieces and of the processes add up to that of the batch. Only the statistics of batch
    normalisation are those of a piece (of all processes).

    Args:
        network: What is trained, alone or within DistributedDataParallel.
        optimizer: Takes the step.
        scaler: Scales the loss where gradients are fp16.
        weight: (K,) weights of the classes, on the device of the network.
        precision: A key of ``PRECISIONS``: of the forward pass, by autocast.
        processes: Who takes part.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    weight: torch.Tensor
    precision: str
    processes: Processes

    def __call__(
        self, pieces: Iterator[Batch], *, count: int, weighs: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes one step.

        Args:
            pieces: Images and labels of this process's share of each micro-batch, on its device;
                maybe none.
            count: How many micro-batches make the global batch.
            weighs: The sum of the weights of the global batch.

        Returns:
            Of this process's shares: the weighed sum of their losses, and how many it got right.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses, correct = [], []
        for number in range(count):
            image, label = next(pieces)
            with self._alone() if number < count - 1 else nullcontext():
                with self._autocast(image.device):
                    logits = self.network(image)
                    loss = F.cross_entropy(logits, label, weight=self.weight, reduction="sum")
                # DistributedDataParallel averages over the processes.
                part = loss * (self.processes.size / weighs)
                self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            correct.append((logits.argmax(1) == label).sum())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return torch.stack(losses).sum(), torch.stack(correct).sum()

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(device.type, dtype=PRECISIONS[self.precision])

    def _alone(self) -> AbstractContextManager[Any]:
        """Gradients of a piece stay in their process; those of the last one are exchanged."""
        if isinstance(self.network, DistributedDataParallel):
            return self.network.no_sync()
        return nullcontext()
