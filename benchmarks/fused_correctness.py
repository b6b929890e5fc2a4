"""Proves the fused kernels on a card: ``python -m benchmarks.fused_correctness --record FILE``.

Three comparisons: each kernel with plain torch, call by call; the check that runs before the first
use; and whole networks, with and without fused kernels, with float64. A network's fused errors may
not exceed its own without, and two runs are equal to the last bit wherever the plain modules' are.
``seattn.ops.switch.PROVED`` names the compute capabilities whose row in the file has passed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.kernel_calls import LARGE_SHAPES, compare_beyond_32_bits, compare_kernels
from benchmarks.rounds import circumstances, record
from benchmarks.throughput.fused import switched
from seattn.attention import ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck, ResNet
from seattn.backbones.fused import fused_paths
from seattn.ops import switch
from seattn.ops.self_check import TOLERANCES, self_check

__all__ = ["CASES", "Case", "check_network", "opened", "prove", "proved_line"]

AT_MOST, EACH_AT_MOST = 1.05, 2.0
"""The fused error by the plain one: the median over a dtype's draws, and over a case's.

Each draw gives the geometric mean over tensors. One draw says little: where rounding opens or shuts
a ReLU late in the network, with kernels or without, all gradients before it are off by far more.
"""
DRAWS = {"small": 9, "resnet50": 3}
"""Batches of images."""

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
    *itertools.starmap(
        Case,
        itertools.product(
            ("small", "resnet50"), GATES, (True, False), ("float32", "bfloat16", "float16")
        ),
    ),
    *(Case("small", gate, True, "bfloat16", compiled=True) for gate in GATES),
    Case("small", "SE", False, "bfloat16", compiled=True),
]


def main() -> int:
    """Prove, print, record; the exit status is 0 if passed, 1 if not, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fused_correctness")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a dry run without kernels"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="append the row to a JSONL file"
    )
    choices = parser.parse_args()
    if choices.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA GPU here: nothing can be proved (--device cpu is a dry run)")
        return 2
    cases, draws = CASES, DRAWS
    if choices.device == "cpu":
        cases, draws = [case for case in CASES if case.network == "small"], {"small": 3}
    row = prove(choices.device, cases, draws)
    print(*(f"FAULT: {fault}" for fault in row["faults"]), sep="\n", end="\n" * bool(row["faults"]))
    print(f"{'passed' if row['passed'] else 'FAILED'} on {row['device']} in {row['seconds']:.0f} s")
    if choices.device == "cuda" and choices.record:
        record([row], choices.record)
        print(f"the line for src/seattn/ops/switch.py:\n{proved_line(choices.record)}")
    return 0 if row["passed"] else 1


def prove(device: str, cases: Sequence[Case], draws: Mapping[str, int]) -> dict[str, Any]:
    """Return the row: what was compared, the figures, the faults, and whether it passed.

    Args:
        device: ``"cuda"``, or ``"cpu"`` for a dry run.
        cases: Networks to compare.
        draws: Batches of images for a network of that name.
    """
    start, cuda = time.perf_counter(), device == "cuda"
    row: dict[str, Any] = {
        "capability": list(torch.cuda.get_device_capability()) if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "passed": False,
        "faults": [],
        "at_most": [AT_MOST, EACH_AT_MOST],
        "tolerances": {str(dtype): value for dtype, value in TOLERANCES.items()},
        **circumstances(("seattn", "torch", "triton"), threads=torch.get_num_threads()),
    }
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with opened(device), exact:
        row["kernels"] = _kernels(device, row["faults"])
        row["self_check"] = {}
        for dtype, tolerance in TOLERANCES.items():
            deviation = self_check(torch.device(device), dtype)
            row["self_check"][str(dtype)] = deviation
            if not deviation <= tolerance:
                row["faults"].append(f"self-check: {dtype} is off by {deviation:.1e}")
        row["networks"] = []
        for case in cases:
            found = check_network(case, device, draws=draws[case.network])
            row["networks"].append({**asdict(case), **found})
            print(f"{case}: {found['ratio']:.3f} of the plain error, {found['seconds']:.1f} s")
            row["faults"] += [f"{case}: {fault}" for fault in found["faults"]]
    row["ratios"] = {}
    for name in dict.fromkeys(case.dtype for case in cases):
        mine = (each["ratios"] for each in row["networks"] if each["dtype"] == name)
        row["ratios"][name] = ratio = statistics.median(itertools.chain(*mine))
        if not ratio <= AT_MOST:
            row["faults"].append(f"{name}: {ratio:.3f} of the error of the plain modules")
    row["passed"] = not row["faults"]
    row["seconds"] = time.perf_counter() - start
    return row


def proved_line(file: Path) -> str:
    """The line of the switch that the recorded rows stand for."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    proved = sorted({tuple(row["capability"]) for row in rows if row["passed"]})
    return f"PROVED: frozenset[tuple[int, int]] = frozenset({proved})"


@contextlib.contextmanager
def opened(device: str) -> Iterator[None]:
    """Let the operators run; on the CPU, where the switch forbids it, they are plain torch."""
    on_cpu = {"_DEVICES": ("cpu",), "_why_not_ready": lambda device, dtype, mode: None}
    patched = mock.patch.multiple(
        switch, **(on_cpu if device == "cpu" else {"_DEVICES": ("cuda",)})
    )
    with switched("on"), patched:
        yield


# ---- kernels --------------------------------------------------------------------------------


def _kernels(device: str, faults: list[str]) -> dict[str, Any] | None:
    """Compare the kernels call by call; on the CPU only where Triton interprets."""
    if device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        print("kernels: not compared, they need a GPU or TRITON_INTERPRET=1")
        return None
    found: dict[str, Any] = {}
    try:
        found["calls"], found["error_by_tolerance"] = compare_kernels(device)
        if device == "cuda":
            large, worst = compare_kernels(device, LARGE_SHAPES)
            found |= {"large_calls": large, "large_error_by_tolerance": worst}
            found["error_by_tolerance_beyond_32_bits"] = compare_beyond_32_bits(device)
    except Exception as error:  # noqa: BLE001  # of a comparison, a compiler, a driver, a card
        faults.append(f"kernels: {type(error).__name__}: {str(error)[:500]}")
    print(f"kernels: {found}")
    return found


# ---- networks -------------------------------------------------------------------------------


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


def _build(case: Case) -> ResNet:
    """A seeded network whose every parameter and statistic is random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gate = GATES[case.gate]
        if case.network == "small":
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
    size = (77, 70) if case.network == "small" else (64, 64)
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


if __name__ == "__main__":
    sys.exit(main())
