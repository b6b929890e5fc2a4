"""Fits a fused network to a GPU: epilogues, each in the way that is the fastest on an example."""

import importlib.util
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from seattn.fuse.blocks import FusedResidual
from seattn.fuse.epilogue import Epilogue, FusedGate, ways_of
from seattn.fuse.known import STEMS, class_path
from seattn.fuse.verification import outputs

__all__ = [
    "choose_ways",
    "fit_to_gpu",
    "put_epilogues",
    "runs_kernels",
    "seconds_called",
    "seconds_recorded",
    "time_ways",
]

_CALLS = 5
"""Calls of a way between two looks at the clock."""
_LOOKS = 3


def runs_kernels(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether the kernels are for this device and dtype."""
    return (
        device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and torch.version.hip is None
        and importlib.util.find_spec("triton") is not None
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def fit_to_gpu(network: nn.Module, example: Tensor, *, recorded: bool) -> dict[str, str]:
    """Give the blocks epilogues, in place; return each one's name and way.

    Args:
        network: A fused network on a CUDA device, in half precision.
        example: The batch that the ways are timed on.
        recorded: Whether the network will run as a CUDA graph, where launches cost nothing.
    """
    put_epilogues(network)
    choose_ways(network, lambda: outputs(network, example), recorded=recorded)
    return {
        name: module.way for name, module in network.named_modules() if isinstance(module, Epilogue)
    }


def put_epilogues(network: nn.Module) -> None:
    """Join convolutions and what follows them, in place."""
    for module in list(network.modules()):
        if class_path(module) in STEMS:
            first, norm, last = STEMS[class_path(module)]
            conv, act = module.get_submodule(first), module.get_submodule(last)
            if type(module.get_submodule(norm)) is nn.Identity and _joins(conv, act):
                module.add_module(first, Epilogue(conv, relu=True))
                module.add_module(last, nn.Identity())
        elif isinstance(module, FusedResidual):
            _join_block(module)


def choose_ways(network: nn.Module, run: Callable[[], object], *, recorded: bool) -> None:
    """Let every epilogue time its ways on what it is given in a run, and keep the fastest."""
    hooks = [
        module.register_forward_pre_hook(partial(_choose, recorded))
        for module in network.modules()
        if isinstance(module, Epilogue)
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()


def _join_block(block: FusedResidual) -> None:
    body = list(block.body)
    for number, (conv, act) in enumerate(pairwise(list(block.body))):
        if _joins(conv, act):
            body[number], body[number + 1] = Epilogue(conv, relu=True), nn.Identity()
    block.body = nn.Sequential(*(module for module in body if type(module) is not nn.Identity))
    if isinstance(block.downsample, nn.Sequential):
        for name, conv in list(block.downsample.named_children()):
            if _has_bias(conv):
                block.downsample.add_module(name, Epilogue(conv, relu=False))
    if block.se is not None and FusedGate.takes(block.se):
        block.se = FusedGate(block.se.excitation)
    if _joins(block.conv, block.act) and (block.se is None or block.gate_is_early):
        block.add_module("conv", Epilogue(block.conv, relu=True))
        block.act = nn.Identity()


def _joins(conv: nn.Module, act: nn.Module) -> bool:
    return _has_bias(conv) and type(act) is nn.ReLU


def _has_bias(conv: nn.Module) -> bool:
    return type(conv) is nn.Conv2d and conv.bias is not None and conv.padding_mode == "zeros"


@torch.no_grad()
def time_ways(
    epilogue: Epilogue,
    x: Tensor,
    gate: Tensor | None = None,
    shortcut: Tensor | None = None,
    *,
    recorded: bool,
) -> dict[str, float]:
    """Return the seconds of each way whose result is that of plain torch, up to rounding."""
    seconds = seconds_recorded if recorded else seconds_called
    times: dict[str, float] = {}
    expected = None
    for name, way in ways_of(epilogue.conv, gate, shortcut):
        call = partial(way, epilogue.conv, x, gate, shortcut, relu=epilogue.relu)
        try:
            found = call()
            if expected is None:
                expected = found
            elif not _agree(found, expected):
                continue
            del found
            times[name] = seconds(call)
        except Exception:  # noqa: BLE001  # of cuDNN or Triton, which do not do every shape
            continue
    return times


def _choose(recorded: bool, epilogue: Epilogue, args: tuple[Any, ...]) -> None:
    times = time_ways(epilogue, *args, recorded=recorded)
    epilogue.way = min(times, key=lambda name: times[name], default="torch")


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Whether two results in half precision differ by rounding alone; nan agrees with nothing."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    gap = torch.linalg.vector_norm((found - expected).float())
    allowed = 2 * torch.finfo(expected.dtype).eps
    return bool(gap <= allowed * torch.linalg.vector_norm(expected.float()))


def seconds_called(call: Callable[[], object]) -> float:
    """Of one call, launches included."""
    return _fastest(lambda: [call() for _ in range(_CALLS)])


def seconds_recorded(call: Callable[[], object]) -> float:
    """Of one call in a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS):
            call()
    return _fastest(graph.replay)


def _fastest(work: Callable[[], object]) -> float:
    times = []
    work()
    for _ in range(_LOOKS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(float(start.elapsed_time(end)))
    return min(times) / 1000 / _CALLS
