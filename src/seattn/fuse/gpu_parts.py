"""On a GPU: the gate and the pooling of a network, as kernels of their own."""

from typing import Any

from torch import Tensor, nn

from seattn.fuse.chosen import Chosen
from seattn.fuse.epilogue import as_nhwc
from seattn.fuse.gates import Gate
from seattn.ops.dense import excitation, max_pool

__all__ = ["FusedGate", "FusedPool"]


class FusedGate(Chosen, Gate):
    """Squeeze and excitation in two kernels: the mean, two linear layers, ReLU and sigmoid.

    It reads the map whose mean the gate reads, and returns the factors in float32.

    Args:
        excitation: The layers.
    """

    @staticmethod
    def takes(gate: nn.Module | None) -> bool:
        """Return whether a gate is of this kind."""
        layers = _layers(gate) if isinstance(gate, Gate) else []
        kinds = [type(layer).__name__ for layer in layers]  # timm has a Sigmoid of its own
        return kinds == ["Pointwise", "ReLU", "Pointwise", "Sigmoid"]

    def gate(self, x: Tensor) -> Tensor:
        """Return the factors of the channels, (N, C, 1, 1)."""
        return Chosen.forward(self, x)

    def ways(self, x: Tensor) -> list[str]:
        """Return the names of the ways."""
        return ["torch", "Triton"]

    def run(self, way: str, x: Tensor) -> Tensor:
        """Compute in this way."""
        if way == "torch":
            return Gate.gate(self, x.mean((2, 3), keepdim=True))
        first, _, second, _ = _layers(self)
        factors = excitation(as_nhwc(x), first.weight, first.bias, second.weight, second.bias)
        return factors[:, :, None, None]


class FusedPool(Chosen):
    """Max pooling of 2D maps without the positions of the maxima, which torch writes as well.

    Args:
        pool: A square one, without dilation.
    """

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = pool

    @staticmethod
    def takes(pool: nn.Module) -> bool:
        """Return whether a module is such a pooling."""
        if type(pool) is not nn.MaxPool2d or pool.ceil_mode or pool.return_indices:
            return False
        sizes = (pool.kernel_size, pool.stride, pool.padding)
        return pool.dilation == 1 and all(isinstance(size, int) for size in sizes)

    def ways(self, x: Tensor) -> list[str]:
        """Return the names of the ways."""
        return ["torch", "Triton"]

    def run(self, way: str, x: Tensor) -> Tensor:
        """Compute in this way."""
        pool = self.pool
        if way == "torch":
            y: Tensor = pool(x)
            return y
        sizes = (pool.kernel_size, pool.stride, pool.padding)
        return max_pool(as_nhwc(x), *sizes).permute(0, 3, 1, 2)


def _layers(gate: Gate) -> list[Any]:
    """The layers of a gate that do something."""
    layers = gate.excitation if isinstance(gate.excitation, nn.Sequential) else [gate.excitation]
    return [layer for layer in layers if type(layer) is not nn.Identity]
