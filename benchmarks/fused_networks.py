"""Networks with fused kernels beside themselves without: errors from float64, and second runs."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product, starmap
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.throughput.fused import switched
from seattn.attention import ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck, EfficientNet, ResNet
from seattn.backbones.fused import fused_paths
from seattn.ops import switch

__all__ = ["CASES", "EACH_AT_MOST", "Case", "check_network", "opened"]

EACH_AT_MOST = 2.0
"""The fused error by the plain one: the median over a case's draws.

Each draw gives the geometric mean over tensors. One draw says little: where rounding opens or shuts
a ReLU late in the network, with kernels or without, all gradients before it are off by far more.
"""

Results = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A network, its gate, its mode, how it runs; ``dtype`` other than float32: by autocast."""

    network: str
    gate: str
    training: bool
    dtype: str
    compiled: bool = False


GATES: dict[str, Any] = {"SE": partial(SEBlock, reduction=4), "ECA": ECABlock, "none": None}
CASES = [
    *starmap(
        Case,
        product(("small", "resnet50"), GATES, (True, False), ("float32", "bfloat16", "float16")),
    ),
    *(Case("small", gate, True, "bfloat16", compiled=True) for gate in GATES),
    Case("small", "SE", False, "bfloat16", compiled=True),
    *starmap(
        Case, product(("efficientnet",), ("SE",), (True, False), ("float32", "bfloat16", "float16"))
    ),
]


@contextlib.contextmanager
def opened(device: str) -> Iterator[None]:
    """Let the operators run; on the CPU, where the switch forbids it, they are plain torch."""
    on_cpu = {"_DEVICES": ("cpu",), "_why_not_ready": lambda device, dtype, mode: None}
    patched = mock.patch.multiple(
        switch, **(on_cpu if device == "cpu" else {"_DEVICES": ("cuda",)})
    )
    with switched("on"), patched:
        yield


def check_network(case: Case, device: str, *, draws: int) -> dict[str, Any]:
    """Compare a case's logits, gradients and buffers with float64, beside the plain modules'."""
    start = time.perf_counter()
    network = _build(case).train(case.training).to(device)
    reference = _build(case).train(case.training).to(device).double()
    forward: Callable[[Tensor], Tensor] = network
    if case.compiled:
        backend = "inductor" if device == "cuda" else "aot_eager"
        torch.compiler.reset()
        forward = torch.compile(network, fullgraph=True, backend=backend)
    faults: list[str] = []
    ratios = []
    for seed in range(draws):
        images = _images(case, seed).to(device, memory_format=torch.channels_last)
        if seed == 0:
            with _autocast(case, device):
                paths = fused_paths(network, images)
            faults += [str(path) for path in paths if path.why_plain is not None]
            faults += _unsteady(case, network, forward, images)
        ours = _results(case, network, forward, images)
        with switched("off"):
            plain = _results(case, network, network, images)
            exact = _results(None, reference, reference, images.double())
        theirs, logs = _errors(plain, exact), []
        for name, error in _errors(ours, exact).items():
            if theirs[name] > 0:
                logs.append(math.log(max(error, 1e-30) / theirs[name]))
            elif error != 0:  # in evaluation nothing moves the running statistics
                faults.append(f"{name} is off by {error:.1e}, without fused kernels by nothing")
        ratios.append(math.exp(statistics.fmean(logs)))
    ratio = statistics.median(ratios)
    if not (ratio <= EACH_AT_MOST and all(map(math.isfinite, ratios))):
        faults.append(f"{ratio:.3f} of the error of the plain modules")
    seconds = time.perf_counter() - start
    return {"ratio": ratio, "ratios": ratios, "faults": faults, "seconds": seconds}


def _unsteady(
    case: Case, network: nn.Module, forward: Callable[[Tensor], Tensor], images: Tensor
) -> list[str]:
    """What differs in a second run, although the plain modules repeat it to the last bit."""
    ours, again = (_results(case, network, forward, images) for _ in range(2))
    with switched("off"):
        plain, plain_again = (_results(case, network, network, images) for _ in range(2))
    return [
        f"{name} differs in a second run"
        for name in ours
        if torch.equal(plain[name], plain_again[name]) and not torch.equal(ours[name], again[name])
    ]


def _build(case: Case) -> ResNet | EfficientNet:
    """A seeded network whose every parameter and statistic is random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gate = GATES[case.gate]
        network: ResNet | EfficientNet
        if case.network == "efficientnet":
            network = EfficientNet(width=0.25, depth=1.1, num_classes=8)
        elif case.network == "small":
            channels = (16, 32, 16, 24)
            network = ResNet(
                BasicBlock, (1, 2, 1, 1), channels=channels, num_classes=8, attention=gate
            )
        else:
            network = ResNet(Bottleneck, (3, 4, 6, 3), num_classes=8, attention=gate)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _images(case: Case, seed: int) -> Tensor:
    size = (64, 64) if case.network == "resnet50" else (77, 70)
    return torch.randn(16, 3, *size, generator=torch.Generator().manual_seed(seed))


def _results(
    case: Case | None, network: nn.Module, forward: Callable[[Tensor], Tensor], images: Tensor
) -> Results:
    """Logits, gradients and buffers of one step, after which the network is as before."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = images.clone().requires_grad_()
    with _autocast(case, images.device.type):
        logits = forward(images)
    aims = torch.linspace(-1, 1, logits.numel(), device=logits.device).view_as(logits)
    (logits * aims).sum().backward()  # type: ignore[no-untyped-call]
    found = {"logits": logits.detach().clone(), "images": images.grad}
    found |= {name: parameter.grad for name, parameter in network.named_parameters()}
    found |= {
        name: value.clone() for name, value in network.named_buffers() if value.is_floating_point()
    }
    network.zero_grad(set_to_none=True)
    network.load_state_dict(before)
    return {name: value for name, value in found.items() if value is not None}


def _autocast(case: Case | None, device: str) -> torch.autocast:
    dtype = getattr(torch, case.dtype) if case is not None else torch.float32
    return torch.autocast(device, dtype, enabled=dtype != torch.float32)


def _errors(found: Results, exact: Results) -> dict[str, float]:
    if found.keys() != exact.keys():
        raise ValueError(f"tensors differ: {sorted(found.keys() ^ exact.keys())[:5]}")
    gaps = {name: float((found[name].double() - value).norm()) for name, value in exact.items()}
    norms = {name: float(value.norm()) for name, value in exact.items()}
    return {name: gap / max(norms[name], 1e-300) if gap else 0.0 for name, gap in gaps.items()}
