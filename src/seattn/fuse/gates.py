"""The gate of an attention block as a module of its own: from the squeeze to the factors."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from seattn.attention import rank

__all__ = ["AcrossChannels", "Gate", "OfBlock", "Pointwise", "gate_through", "is_pointwise"]


class Gate(nn.Module):
    """Maps the mean of every channel, ``(N, K, 1, ..., 1)``, to factors ``(N, C, 1, ..., 1)``.

    ``record_gates`` finds it, as it finds an attention block. Pointwise convolutions become linear
    layers: on a CPU a convolution of one pixel takes 27 us, whatever its size, and a product 3 us.

    Args:
        excitation: The same for ``(N, K, 1, 1)``.
    """

    def __init__(self, excitation: nn.Module) -> None:
        super().__init__()
        if type(excitation) is nn.Sequential:
            self.excitation: nn.Module = nn.Sequential(*map(_as_linear, excitation))
        else:
            self.excitation = _as_linear(excitation)

    def gate(self, mean: Tensor) -> Tensor:
        """Return the factors."""
        factors = self.excitation(mean.flatten(1)[:, :, None, None])  # (N, C, 1, 1)
        return rank.match_rank(factors, mean)

    def forward(self, mean: Tensor) -> Tensor:
        """Return the factors."""
        return self.gate(mean)


class Pointwise(nn.Linear):
    """The 1x1 convolution of one pixel, ``(N, K, 1, 1)`` to ``(N, C, 1, 1)``, as a product.

    Args:
        weight: ``(C, K)``; it is copied.
        bias: ``(C)``.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        rows, columns = weight.shape
        with torch.device("meta"):  # where no random numbers are drawn
            super().__init__(columns, rows)
        self.to_empty(device=weight.device).to(weight.dtype).requires_grad_(False)
        self.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, squeeze: Tensor) -> Tensor:
        """Return ``(N, C, 1, 1)``."""
        return super().forward(squeeze.flatten(1))[:, :, None, None]


def _as_linear(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.Conv2d) and is_pointwise(layer):
        return Pointwise(*_matrix(layer))
    return layer


def _matrix(conv: Any) -> tuple[Tensor, Tensor]:
    """Return weight (C, K) and bias (C) of a pointwise convolution."""
    weight = conv.weight.flatten(1)
    return weight, weight.new_zeros(len(weight)) if conv.bias is None else conv.bias


def gate_through(conv: Any, gate: Gate) -> Gate:
    """Return a gate that reads the means of what enters a pointwise convolution.

    The two are linear, so with ``W, b`` the convolution and ``V, c`` a first layer of the gate that
    is linear too, ``V (W mean + b) + c`` is one layer, with weight ``V W`` and bias ``V b + c``.
    It has far fewer weights than ``W``. Where the gate starts with another layer, ``W, b`` is put
    before it.
    """
    layers = list(gate.excitation) if type(gate.excitation) is nn.Sequential else [gate.excitation]
    weight, bias = _matrix(conv)
    first = layers[0]
    if type(first) is Pointwise:
        weight, bias = first.weight @ weight, first.weight @ bias + first.bias  # (R, K), (R)
        layers = layers[1:]
    return Gate(nn.Sequential(Pointwise(weight, bias), *layers))


def is_pointwise(conv: nn.Module) -> bool:
    """Return whether every pixel of the output is made of the same pixel of the input alone."""
    return (
        isinstance(conv, _ConvNd)
        and type(conv) in (nn.Conv1d, nn.Conv2d, nn.Conv3d)
        and set(conv.kernel_size) == set(conv.stride) == {conv.groups} == {1}
        and (conv.padding in ("same", "valid") or set(conv.padding) == {0})
    )


class OfBlock(nn.Module):
    """The excitation of one of our blocks, whose gate reads nothing but the mean."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, squeeze: Tensor) -> Tensor:
        """Return the factors."""
        return self.block.gate(squeeze)  # type: ignore[operator]  # a method


class AcrossChannels(nn.Module):
    """The excitation of efficient channel attention: 1D convolutions along the channels."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, squeeze: Tensor) -> Tensor:
        """Return the factors."""
        row = squeeze.flatten(1)[:, None]  # (N, 1, C)
        return rank.match_rank(self.layers(row)[:, 0], squeeze)
