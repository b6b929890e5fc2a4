"""A network as a CUDA graph: its kernels are launched all at once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

__all__ = ["RecordedNetwork"]


class RecordedNetwork(nn.Module):
    """Replays what a network did on CUDA, for inputs of one shape; others run as they come.

    It is recorded at the first call with such an input. The weights are those of that call, and
    what the network does besides kernels, such as hooks, is not done again.

    Args:
        network: Takes one tensor.
        shape: Of the input that is recorded.
    """

    def __init__(self, network: nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.network = network
        self.shape = shape
        self._recorded: Any = None

    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        """Return what the network returns, in tensors of its own."""
        if x.shape != self.shape or not x.is_cuda or torch.compiler.is_exporting():
            return self.network(x)
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            if self._recorded is None:
                self._recorded = _record(self.network, x)
            graph, given, returned = self._recorded
            if (x.dtype, x.device) != (given.dtype, given.device):
                return self.network(x)
            given.copy_(x)
            graph.replay()
            return tree_map_only(Tensor, torch.clone, returned)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the recording out: copies and pickles record anew."""
        return {**vars(self), "_recorded": None}


def _record(network: nn.Module, x: Tensor) -> tuple[Any, Tensor, Any]:
    given = x.clone()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):  # libraries choose and allocate at their first calls
            network(given)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        returned = network(given)
    return graph, given, returned
