"""Before a time is taken: are outputs, loss, gradients and running statistics right?

The reference is the network's first library, run eagerly in float32 without TF32, for a few images
in float64. What rounding alone does is known from the same library run eagerly in the contestant's
dtype, and nobody may be off by more than 1.2 times that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.throughput.steps import Batch
from seattn.weights import convert

__all__ = ["FEW_IMAGES", "allowed", "deviations", "numbers", "reference_numbers"]

FEW_IMAGES = 8
"""Up to so many images the reference is float64."""
SLACK = 1.2
LEAST = 1e-4  # relative; what float32 may lose by another order of its sums
FP16_SCALE = 1024.0

Numbers = Mapping[str, Tensor]


def numbers(
    network: nn.Module, forward: Callable[[Tensor], Tensor], batch: Batch, *, train: bool
) -> dict[str, Tensor]:
    """Run once and return the logits; when training also loss, gradients, running statistics.

    Names are those of our networks; the gradients are dropped from the network afterwards.
    """
    if not train:
        network.eval()
        with torch.inference_mode(), batch.autocast():
            return {"logits": forward(batch.images).clone()}
    network.train().zero_grad(set_to_none=True)
    scale = FP16_SCALE if batch.dtype == "fp16" else 1.0
    with batch.autocast():
        logits = forward(batch.images)
        loss = F.cross_entropy(logits, batch.labels)
    (loss * scale).backward()  # type: ignore[no-untyped-call]
    state = {name: p.grad / scale for name, p in network.named_parameters() if p.grad is not None}
    state |= {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.zero_grad(set_to_none=True)
    found = convert({name: tensor.detach() for name, tensor in state.items()})
    return {"logits": logits.detach().clone(), "loss": loss.detach().reshape(1), **found}


def reference_numbers(network: nn.Module, batch: Batch, *, train: bool) -> dict[str, Tensor]:
    """The numbers of an eager network in float32 without TF32, in float64 for a few images.

    The network is left in that dtype.
    """
    dtype = torch.float64 if len(batch.images) <= FEW_IMAGES else torch.float32
    exact = Batch(batch.images.to(dtype), batch.labels, "fp32")
    with _no_tf32():
        return numbers(network.to(dtype), network, exact, train=train)


def deviations(found: Numbers, reference: Numbers) -> dict[str, float]:
    """Relative differences of logits, loss, gradients and running statistics.

    Each is the root mean square, over its tensors, of the tensors' relative differences: so a small
    tensor that is wrong shows as much as a large one. Tensors that are all but zero are left out.

    Raises:
        ValueError: The names of the tensors differ.
    """
    if found.keys() != reference.keys():
        raise ValueError(f"tensors differ: {sorted(found.keys() ^ reference.keys())[:5]}")
    squares: dict[str, list[float]] = {}
    largest: dict[str, float] = {}
    for name, expected in reference.items():
        kind = _kind(name)
        largest[kind] = max(largest.get(kind, 0.0), float(expected.double().norm()))
    for name, expected in reference.items():
        kind, norm = _kind(name), float(expected.double().norm())
        if kind == "counter" or norm <= 1e-4 * largest[kind]:
            continue
        gap = float((found[name].double() - expected.double()).norm()) / norm
        squares.setdefault(kind, []).append(gap**2)
    return {kind: (sum(values) / len(values)) ** 0.5 for kind, values in squares.items()}


def allowed(found: Mapping[str, float], rounding: Mapping[str, float]) -> bool:
    """Whether the deviations are within what rounding does to the eager network in that dtype."""
    return all(value <= max(SLACK * rounding[kind], LEAST) for kind, value in found.items())


def _kind(name: str) -> str:
    if name in ("logits", "loss"):
        return name
    if name.endswith(("running_mean", "running_var")):
        return "running statistics"
    return "counter" if name.endswith("num_batches_tracked") else "gradients"


@contextlib.contextmanager
def _no_tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
