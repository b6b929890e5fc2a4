"""Modules that can run in several ways, and the choice of the fastest on a GPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Chosen", "choose_ways", "seconds_called", "seconds_recorded", "time_ways"]

_DEVICES = ("cuda",)
_CALLS = 5
"""Calls of a way between two looks at the clock."""
_LOOKS = 3


class Chosen(nn.Module):
    """A module that computes one thing in several ways, which are known by name.

    ``"torch"``, the way of plain torch, is there for every input and is the measure of the others.
    It runs also where the others do not: elsewhere than on CUDA, for gradients, in an export.
    """

    way = "torch"

    def ways(self, *args: Any) -> list[str]:
        """Return the names of the ways that may do this, ``"torch"`` first; some may fail."""
        raise NotImplementedError

    def run(self, way: str, *args: Any) -> Tensor:
        """Compute in this way."""
        raise NotImplementedError

    def forward(self, *args: Any) -> Tensor:
        """Compute in the way that is chosen, where it can be taken."""
        return self.run("torch" if _must_be_plain(args) else self.way, *args)

    def extra_repr(self) -> str:
        """Say how it runs."""
        return f"way={self.way!r}"


def _must_be_plain(args: tuple[Any, ...]) -> bool:
    if torch.compiler.is_exporting() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return True
    x = args[0]
    if x.device.type not in _DEVICES or x.numel() == 0:
        return True
    return torch.is_grad_enabled() and any(a is not None and a.requires_grad for a in args)


def choose_ways(network: nn.Module, run: Callable[[], object], *, recorded: bool) -> None:
    """Let every such module time its ways on what it is given in a run, and keep the fastest.

    Args:
        network: With the modules.
        run: Runs it once.
        recorded: Whether it will run as a CUDA graph, where launches cost nothing.
    """

    def choose(module: Any, args: tuple[Any, ...]) -> None:
        times = time_ways(module, *args, recorded=recorded)
        module.way = min(times, key=lambda way: times[way], default="torch")

    chosen = [module for module in network.modules() if isinstance(module, Chosen)]
    hooks = [module.register_forward_pre_hook(choose) for module in chosen]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def time_ways(module: Chosen, *args: Any, recorded: bool) -> dict[str, float]:
    """Return the seconds of each way whose result is that of plain torch, up to rounding."""
    seconds = seconds_recorded if recorded else seconds_called
    times: dict[str, float] = {}
    expected = module.run("torch", *args)
    for way in module.ways(*args):
        call = partial(module.run, way, *args)
        try:
            if agree(call(), expected):
                times[way] = seconds(call)
        except Exception:  # noqa: BLE001  # of cuDNN or Triton, which do not do every shape
            continue
    return times


def agree(found: Tensor, expected: Tensor) -> bool:
    """Return whether two results in half precision differ by rounding alone; nan never agrees."""
    if found.shape != expected.shape:
        return False
    gap = torch.linalg.vector_norm((found - expected).float())
    allowed = 2 * torch.finfo(expected.dtype).eps
    return bool(gap <= allowed * torch.linalg.vector_norm(expected.float()))


def seconds_called(call: Callable[[], object]) -> float:
    """Return the seconds of one call, launches included."""
    return _fastest(lambda: [call() for _ in range(_CALLS)])


def seconds_recorded(call: Callable[[], object]) -> float:
    """Return the seconds of one call in a CUDA graph."""
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
