"""How each block starts as the exact identity, and how that start is folded into its weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seattn.attention import (
    CBAMBlock,
    CoordAttention,
    ECABlock,
    GatherExcite,
    GlobalContext,
    SEBlock,
    SqueezeExcite,
    TripletAttention,
)

__all__ = ["Blended", "ScaledGate", "as_identity", "identity_kind", "readers"]


class ScaledGate(nn.Module):
    """A block whose gate is multiplied by a constant: ``x * (factor * block.gate(x))``.

    Where the block's gate is ``1 / factor``, a power of two, the product is exactly 1.

    Args:
        block: A block with ``gate(x)``.
        factor: The constant.
    """

    def __init__(self, block: nn.Module, factor: float) -> None:
        super().__init__()
        self.block = block
        self.factor = factor

    def gate(self, x: Tensor) -> Tensor:
        """Return the whole factor of ``x``, ``factor`` times the gate of the block."""
        block: Any = self.block
        return self.factor * block.gate(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` times the gate."""
        return x * self.gate(x)

    def extra_repr(self) -> str:
        """Return what printing the module shows."""
        return f"factor={self.factor}"


class Blended(nn.Module):
    """Any block, mixed in by a learnt weight: ``x + alpha * (block(x) - x)``, from ``alpha = 0``.

    In the first step ``alpha`` alone has a gradient.

    Args:
        block: Any module that keeps the shape of its input.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixture of ``x`` and the block's output."""
        return x + self.alpha * (self.block(x) - x)


def as_identity(block: nn.Module) -> nn.Module:
    """Return ``block``, or a module around it, that maps every input to itself and can learn."""
    own: Any = getattr(block, "init_identity_", None)
    if callable(own):
        own()
        return block
    gate = _gate_of(block)
    if not gate.last:
        return Blended(block)
    with torch.no_grad():
        for name in gate.last:
            for parameter in block.get_submodule(name).parameters():
                parameter.zero_()
    return ScaledGate(block, gate.factor)


def identity_kind(attention: nn.Module) -> str:
    """Return how what ``as_identity`` made is the identity, as ``Insertion`` names it."""
    if isinstance(attention, ScaledGate):
        return "scaled"
    return "blended" if isinstance(attention, Blended) else "own"


def readers(block: nn.Module) -> Sequence[str]:
    """Return the weights that meet the block's input: dividing them undoes a scaled input."""
    return [f"{name}.weight" for name in _gate_of(block).first]


class _Gate(NamedTuple):
    """A sigmoid gate: with the ``last`` layers zero it is 1 / ``factor`` whatever the input."""

    factor: float
    last: tuple[str, ...]
    first: tuple[str, ...]  # the layers that meet the input, linear in it


_GATES: dict[type[nn.Module], _Gate] = {
    SEBlock: _Gate(2.0, last=("fc2",), first=("fc1",)),
    SqueezeExcite: _Gate(2.0, last=("conv_expand",), first=("conv_reduce",)),
    ECABlock: _Gate(2.0, last=("conv",), first=("conv",)),
    GlobalContext: _Gate(2.0, last=("mlp_scale.fc2",), first=("conv_attn", "mlp_scale.fc1")),
    # Two gates of 0.5 each.
    CBAMBlock: _Gate(
        4.0, last=("channel.fc2", "spatial.conv.bn"), first=("channel.fc1", "spatial.conv.conv")
    ),
    CoordAttention: _Gate(4.0, last=("conv_h", "conv_w"), first=("conv1",)),
    # The mean of three gates of 0.5 each.
    TripletAttention: _Gate(
        2.0,
        last=("cw.conv.bn", "hc.conv.bn", "hw.conv.bn"),
        first=("cw.conv.conv", "hc.conv.conv", "hw.conv.conv"),
    ),
}


def _gate_of(block: nn.Module) -> _Gate:
    """Return what is known of the block's gate; no layers where that is nothing."""
    if type(block) is not GatherExcite:
        return _GATES.get(type(block), _Gate(1.0, last=(), first=()))
    # One chain of layers, longer or shorter; there may be none.
    layers = [name for name, part in block.named_modules() if [*part.parameters(recurse=False)]]
    return _Gate(2.0, last=tuple(layers[-1:]), first=tuple(layers[:1]))
