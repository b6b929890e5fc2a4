"""Where residual branches end, whatever the network: tensors followed through a forward pass."""

from collections.abc import MutableMapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["Provenance"]

_ATEN = torch.ops.aten


class _Trace(NamedTuple):
    """How a tensor came about.

    Args:
        bit: Its own.
        ancestors: The bits of all tensors it was computed from.
        convolutions: The most on any way from the input to it.
        place: The module that returned it, or of whose output it is a pointwise function.
        settled: Whether ``place`` returned it, and has parameters or buffers.
    """

    bit: int
    ancestors: int
    convolutions: int
    place: str | None
    settled: bool = False


class Provenance(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every tensor that depends on the input, from operation to operation."""

    def __init__(self, inputs: tuple[Any, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.additions: list[str | None] = []  # where the deeper of two summands comes from
        self.concatenations: list[str | None] = []  # likewise, of what meets its own ancestor
        self._traces: MutableMapping[Tensor, _Trace] = WeakTensorKeyDictionary()
        self._bit = 1
        for leaf in tree_leaves(inputs):
            if isinstance(leaf, Tensor):
                self._follow(leaf, [])

    def returned(self, name: str, module: nn.Module, output: Tensor) -> None:
        """Take note that ``module`` returned ``output``.

        The innermost module with parameters or buffers keeps it. Any other (an activation,
        dropout, stochastic depth) has it only where nothing else offers itself.
        """
        trace = self._traces.get(output)
        if trace is None or trace.settled:
            return
        settled = any(True for _ in (*module.parameters(), *module.buffers()))
        if settled or trace.place is None:
            self._traces[output] = trace._replace(place=name, settled=settled)

    def __torch_dispatch__(  # noqa: D105
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        operands = [
            (leaf.shape, self._traces[leaf])
            for leaf in tree_leaves(args)
            if isinstance(leaf, Tensor) and leaf in self._traces
        ]
        result = func(*args, **(kwargs or {}))
        if not operands:
            return result
        shapes = [shape for shape, _ in operands]
        traces = [trace for _, trace in operands]
        deepest = max(traces, key=_convolutions)
        operation, place = func.overloadpacket, None
        if operation in (_ATEN.add, _ATEN.add_) and shapes[1:] == shapes[:1]:
            if any(trace.convolutions < deepest.convolutions for trace in traces):
                self.additions.append(deepest.place)
        elif operation is _ATEN.cat:
            if any(trace.bit & deepest.ancestors for trace in traces):
                self.concatenations.append(deepest.place)
        elif torch.Tag.pointwise in func.tags:
            alike = [trace for shape, trace in operands if shape == result.shape]
            place = max(alike, key=_convolutions).place if alike else None
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._follow(leaf, traces, place, operation is _ATEN.convolution)
        return result

    def _follow(
        self,
        tensor: Tensor,
        sources: Sequence[_Trace],
        place: str | None = None,
        convolved: bool = False,
    ) -> None:
        ancestors = 0
        for source in sources:
            ancestors |= source.ancestors | source.bit
        convolutions = max(map(_convolutions, sources), default=0) + convolved
        self._traces[tensor] = _Trace(self._bit, ancestors, convolutions, place)
        self._bit <<= 1


def _convolutions(trace: _Trace) -> int:
    return trace.convolutions
