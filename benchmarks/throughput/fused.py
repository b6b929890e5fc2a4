"""Our networks with fused kernels: the switch is on around their steps, and off otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

import seattn
from benchmarks.throughput.steps import Batch
from seattn.backbones.fused import fused_paths

__all__ = ["require_fused", "switched", "switched_on"]


@contextlib.contextmanager
def switched(mode: str) -> Iterator[None]:
    """Set ``seattn.set_fused`` for a while."""
    before = seattn.set_fused(mode)
    try:
        yield
    finally:
        seattn.set_fused(before)


def switched_on(step: Callable[[], Any]) -> Callable[[], Any]:
    """Return a step around which the switch is on; what it has compiled depends on it."""

    def run() -> Any:
        with switched("on"):
            return step()

    return run


def require_fused(network: nn.Module, batch: Batch, *, train: bool) -> None:
    """Raise unless every path of the network is fused; the kernels are checked by this call."""
    with batch.autocast():
        paths = fused_paths(network.train(train), batch.images[:2])
    plain = [str(path) for path in paths if path.why_plain is not None]
    if plain or not paths:
        raise ValueError(f"not fused: {plain[0] if plain else 'no path of this network can be'}")
