"""The least time that a step of a ResNet takes on a card: ``python -m benchmarks.roofline``.

Every kernel takes the time of its arithmetic or of its memory traffic, whichever is longer, and
kernels do not overlap. A pass is one read or one write of an activation. Two levels are priced:
*eager*, each operator a kernel of its own; and *fused*, what normalisation, gate, shortcut and
activation need once a kernel may do them together (training: one read for the statistics, one pass
to apply; backward one reduction, one pass; inference: everything is the convolution's epilogue, but
a gate has to wait for its squeeze). Caches are left out, so small tensors may beat the floor.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

import seattn

__all__ = ["LEVELS", "Kernel", "Walk", "ceilings", "count", "floor", "kernels", "walk"]

LEVELS = ("eager", "fused")
MASK = 1 / 16  # one bit instead of a bfloat16 number

# Passes over the output of a normalisation: forward and backward when training, and in inference.
PASSES: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    # normalise (statistics 1, apply 2), ReLU 2; backward ReLU 3, normalisation 5
    "inner": {"eager": (5, 8, 4), "fused": (3, 5, 0)},
    # normalise 3, add 3, ReLU 2
    "tail": {"eager": (8, 8, 7), "fused": (4 + MASK, 6 + MASK, 1)},
    # besides: squeeze 1, scale 2; backward of the scale 2 + 3, of the squeeze 1 + 3, the sum 1
    "gated tail": {"eager": (11, 18, 10), "fused": (4 + MASK, 6 + MASK, 4)},
    "shortcut": {"eager": (3, 5, 2), "fused": (2, 3, 0)},
    # a block's input has two gradients, which somebody adds
    "fork": {"eager": (0, 3, 0), "fused": (0, 3, 0)},
    # normalise, ReLU, and max pooling to a quarter, whose positions take 8 bytes or one each
    "stem": {"eager": (5 + 1 + 1.25, 8 + 1 + 1.25, 4 + 1.25), "fused": (2.375, 3.75, 1.25)},
}


@dataclass(frozen=True)
class Kernel:
    """Floating-point operations and bytes of one kernel."""

    name: str
    flops: float
    bytes: float


@dataclass(frozen=True)
class Conv:
    """A convolution: elements in, out, and of its weight; operations of one pass."""

    read: int
    written: int
    weight: int
    flops: int
    first: bool


@dataclass(frozen=True)
class Walk:
    """What a forward pass does, by shapes: convolutions, activations by role, parameters."""

    convolutions: tuple[Conv, ...]
    activations: tuple[tuple[str, int], ...]
    parameters: int


def walk(network: nn.Module, images: Tensor) -> Walk:
    """Run a bottleneck ResNet of ours, or of timm, on the meta device, and note its shapes."""
    convolutions: list[Conv] = []
    activations: list[tuple[str, int]] = []
    gated = any(
        name.endswith((".se", ".se_module")) and not isinstance(module, nn.Identity)
        for name, module in network.named_modules()
    )
    blocks = {f"layer{stage}" for stage in range(1, 5)}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            (x,) = args
            if isinstance(module, nn.Conv2d) and x.shape[-1] > 1:
                weight, positions = module.weight.numel(), out[0, 0].numel() * len(out)
                sampled = (
                    x.numel()
                    if module.kernel_size[0] > 1
                    else x.numel() * positions // (len(x) * x[0, 0].numel())
                )
                first = not convolutions
                convolutions.append(
                    Conv(sampled, out.numel(), weight, 2 * weight * positions, first)
                )
            elif isinstance(module, nn.BatchNorm2d):
                activations.append((_role(name, gated=gated), out.numel()))
            elif name.rpartition(".")[0] in blocks:
                activations.append(("fork", x.numel()))

        return hook

    handles = [m.register_forward_hook(note(n)) for n, m in network.named_modules()]
    network(images)
    for handle in handles:
        handle.remove()
    parameters = sum(p.numel() for p in network.parameters())
    return Walk(tuple(convolutions), tuple(activations), parameters)


def kernels(walked: Walk, *, train: bool, level: str, element: int = 2) -> Iterator[Kernel]:
    """Price a walk; ``element`` is the bytes of an activation's element."""
    for conv in walked.convolutions:
        moved = element * (conv.read + conv.written + conv.weight)
        yield Kernel("convolution", conv.flops, moved)
        if train:  # the gradients of weight and input; the first has no input to give one to
            for _ in range(1 if conv.first else 2):
                yield Kernel("convolution", conv.flops, moved)
    for role, elements in walked.activations:
        forward, backward, inference = PASSES[role][level]
        if not train:
            yield Kernel(role, 0, inference * elements * element)
            continue
        yield Kernel(role, 0, forward * elements * element)
        yield Kernel(role, 0, backward * elements * element)
    if train:  # SGD with momentum: parameter, gradient and momentum read, two written, float32
        yield Kernel("optimizer", 0, 20 * walked.parameters)


def floor(priced: Iterator[Kernel] | list[Kernel], *, flops: float, bandwidth: float) -> float:
    """Seconds at the card's ceilings."""
    return sum(max(k.flops / flops, k.bytes / bandwidth) for k in priced)


def ceilings(device: str, dtype: torch.dtype, *, clock: Any) -> tuple[float, float]:
    """FLOP/s of a large matrix product and bytes/s of a large copy, the best of ten each."""
    side, numbers = (8192, 2**28) if device == "cuda" else (1024, 2**24)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    product = min(clock.time(lambda: a @ b, 3) for _ in range(10))
    copy = min(clock.time(lambda: target.copy_(source), 3) for _ in range(10))
    return 2 * side**3 / product, 2 * source.nbytes / copy


class count(TorchDispatchMode):  # type: ignore[no-untyped-call]  # noqa: N801 - `with count()`
    """Count what eager PyTorch does inside the block, operator by operator: ``counted.kernels``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: list[Kernel] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and note what it reads, writes and computes."""
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        name = packet.__name__
        if func.is_view or name in ALLOCATIONS:
            return out
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        moved = sum(_bytes(t) for t in tensors)
        moved += sum(_bytes(t) for t in tree_leaves(out) if isinstance(t, Tensor))
        # Operators that go over their inputs twice: statistics, then the values; both gradients.
        if name == "native_batch_norm" and args[5]:
            moved += _bytes(tensors[0])
        elif name == "native_batch_norm_backward":
            moved += _bytes(tensors[0]) + _bytes(tensors[1])
        elif name == "convolution_backward" and args[10][0]:
            moved += _bytes(tensors[0])
        formula = flop_registry.get(packet)
        flops = formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        self.kernels.append(Kernel(name, flops, moved))
        return out


ALLOCATIONS = {"detach", "empty", "empty_like", "zeros_like", "ones_like", "new_empty_strided"}


def main() -> None:
    """Print what a step moves and computes, and its floor on a card of the given ceilings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--in-chans", type=int, default=3)
    parser.add_argument("--tflops", type=float, help="ceiling of a matrix product, TFLOP/s")
    parser.add_argument("--tbytes", type=float, help="ceiling of a copy, TB/s read and written")
    choices = parser.parse_args()
    for name in ("resnet50", "se_resnet50"):
        walked = walk_named(name, choices.batch, choices.in_chans, choices.size)
        for train in (True, False):
            for level in LEVELS:
                priced = list(kernels(walked, train=train, level=level))
                work, moved = (sum(getattr(k, what) for k in priced) for what in ("flops", "bytes"))
                line = (
                    f"{name:12} {'train' if train else 'infer'} {level:6} "
                    f"{work / choices.batch / 1e9:6.2f} GFLOP and "
                    f"{moved / choices.batch / 1e6:6.1f} MB an image"
                )
                if choices.tflops and choices.tbytes:
                    seconds = floor(
                        priced, flops=1e12 * choices.tflops, bandwidth=1e12 * choices.tbytes
                    )
                    line += f"; at most {choices.batch / seconds:.0f} images/s"
                print(line)


def walk_named(name: str, batch: int, in_chans: int, size: int) -> Walk:
    """The walk of one of our networks."""
    with torch.device("meta"):
        network = seattn.create_model(name, in_chans=in_chans)
        return walk(network.eval(), torch.empty(batch, in_chans, size, size))


def _role(name: str, *, gated: bool) -> str:
    if "downsample" in name:
        return "shortcut"
    if name.endswith("bn3"):
        return "gated tail" if gated else "tail"
    return "inner" if "layer" in name else "stem"


def _bytes(tensor: Tensor) -> int:
    """Bytes that reading the tensor touches: an expanded one is as large as its storage."""
    expanded = 0 in tensor.stride() and tensor.numel() > 1
    return tensor.untyped_storage().nbytes() if expanded else tensor.nbytes


if __name__ == "__main__":
    main()
