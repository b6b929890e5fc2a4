"""The gate of an attention block as a module of its own: from the squeeze to the factors."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from seattn.attention import rank

__all__ = ["AcrossChannels", "Gate", "OfBlock", "gate_through", "is_pointwise"]


class Gate(nn.Module):
    """Maps the mean of every channel, ``(N, K, 1, ..., 1)``, to factors ``(N, C, 1, ..., 1)``.

    ``record_gates`` finds it, as it finds an attention block.

    Args:
        excitation: The same for ``(N, K, 1, 1)``.
    """

    def __init__(self, excitation: nn.Module) -> None:
        super().__init__()
        self.excitation = excitation

    def gate(self, mean: Tensor) -> Tensor:
        """Return the factors."""
        factors = self.excitation(mean.flatten(1)[:, :, None, None])  # (N, C, 1, 1)
        return rank.match_rank(factors, mean)

    def forward(self, mean: Tensor) -> Tensor:
        """Return the factors."""
        return self.gate(mean)


def gate_through(conv: Any, gate: Gate) -> Gate:
    """Return a gate that reads the means of what enters a pointwise convolution.

    The two are linear, so with ``W, b`` the convolution and ``V, c`` a first layer of the gate that
    is linear too, ``V (W mean + b) + c`` is one layer, with weight ``V W`` and bias ``V b + c``.
    It has far fewer weights than ``W``. Where the gate starts with another layer, ``W, b`` is put
    before it.
    """
    layers = list(gate.excitation) if type(gate.excitation) is nn.Sequential else [gate.excitation]
    weight = conv.weight.flatten(1)  # (C, K)
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias  # (C)
    first: Any = layers[0]
    if type(first) is nn.Conv2d and is_pointwise(first):
        reduce = first.weight.flatten(1)  # (R, C)
        weight, bias = reduce @ weight, reduce @ bias
        bias = bias if first.bias is None else bias + first.bias
        layers = layers[1:]
    rows, columns = weight.shape
    rows, columns = weight.shape
    with torch.device("meta"):  # where no random numbers are drawn
        merged = nn.Conv2d(columns, rows, 1)
    merged = merged.to_empty(device=weight.device).to(weight.dtype)
    merged.load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
    return Gate(nn.Sequential(merged.requires_grad_(False), *layers))


def is_pointwise(conv: nn.Module) -> bool:
    """Return whether every pixel of the output is made of the same pixel of the input alone."""
    return (
        isinstance(conv, _ConvNd)
        and type(conv) in (nn.Conv1d, nn.Conv2d, nn.Conv3d)
        and set(conv.kernel_size) == set(conv.stride) == {conv.groups} == {1}
        and set(conv.padding) in ({0}, set("same"), set("valid"))
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
