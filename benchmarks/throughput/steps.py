"""One step of training, and one of inference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DTYPES", "Batch", "infer", "make_batch", "trainer"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
CLASSES = 1000
LEARNING_RATE = (
    1e-6  # weights stay where they are: a benchmark of thousands of steps must not drift
)


@dataclass(frozen=True)
class Batch:
    """Static synthetic data and how it is computed with: ``dtype``, a key of ``DTYPES``.

    Training has float32 images and weights, and computes in the dtype by autocast. Inference has
    both in the dtype itself, as one deploys it.
    """

    images: Tensor
    labels: Tensor
    dtype: str

    def autocast(self) -> torch.autocast:
        """The context of the forward pass."""
        enabled = self.dtype != "fp32" and self.images.dtype == torch.float32
        return torch.autocast(self.images.device.type, DTYPES[self.dtype], enabled=enabled)


def make_batch(
    *, batch: int, in_chans: int, size: int, dtype: str, device: str, train: bool
) -> Batch:
    """Normally distributed images, channels last, and uniform labels; seeded."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, in_chans, size, size, generator=generator)
    labels = torch.randint(CLASSES, (batch,), generator=generator)
    held = torch.float32 if train else DTYPES[dtype]
    images = images.to(device, held, memory_format=torch.channels_last)
    return Batch(images, labels.to(device), dtype)


def trainer(
    network: nn.Module, forward: Callable[[Tensor], Tensor], batch: Batch
) -> Callable[[], Tensor]:
    """Forward, cross entropy, backward and a fused SGD step with momentum; the loss is returned.

    float16 needs its loss scaled, and pays for it.
    """
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=0.9, fused=True)
    scaler = torch.amp.GradScaler(batch.images.device.type, enabled=batch.dtype == "fp16")

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with batch.autocast():
            loss = F.cross_entropy(forward(batch.images), batch.labels)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        return loss

    return step


def infer(
    network: nn.Module, forward: Callable[[Tensor], Tensor], batch: Batch
) -> Callable[[], Tensor]:
    """The forward pass in eval mode under ``torch.inference_mode``; the logits are returned."""
    network.eval()

    def step() -> Tensor:
        with torch.inference_mode(), batch.autocast():
            return forward(batch.images)

    return step
