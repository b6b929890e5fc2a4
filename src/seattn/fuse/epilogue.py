"""On a GPU: a convolution and all that follows it, and the ways in which it can run.

In half precision a network spends its time on moving maps. The output of a convolution should be
written once, finished. Who does that best depends on the layer: cuDNN adds bias and ReLU and for
some shapes a shortcut; our kernel of the 1x1 convolution a gate as well; otherwise one more pass
adds everything at once.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from seattn.fuse.gates import Gate
from seattn.ops import operators
from seattn.ops.batch_norm import as_rows
from seattn.ops.pointwise import LAUNCHES, excitation, pointwise_act
from seattn.ops.reference import statistics_dtype

__all__ = ["Epilogue", "FusedGate", "ways_of"]


class Way(Protocol):
    """Computes ``act(gate * conv(x) + shortcut)``."""

    def __call__(
        self, conv: Any, x: Tensor, gate: Tensor | None, shortcut: Tensor | None, *, relu: bool
    ) -> Tensor:
        """Return the map; ``gate`` is (N, C, 1, 1), ``shortcut`` of the shape of the output."""


class Epilogue(nn.Module):
    """A 2D convolution with bias and what follows it: ``act(gate * conv(x) + shortcut)``.

    Args:
        conv: The convolution.
        relu: Whether act is ReLU; otherwise there is none.
    """

    def __init__(self, conv: Any, *, relu: bool) -> None:
        super().__init__()
        self.conv = conv
        self.relu = relu
        self.way = "torch"

    def forward(
        self, x: Tensor, gate: Tensor | None = None, shortcut: Tensor | None = None
    ) -> Tensor:
        """Return the map. An exported graph holds standard operators only."""
        way = "torch" if _must_be_plain(x) else self.way
        return _WAYS[way](self.conv, x, gate, shortcut, relu=self.relu)

    def extra_repr(self) -> str:
        """Say how it runs."""
        return f"relu={self.relu}, way={self.way!r}"


class FusedGate(Gate):
    """Squeeze and excitation in two kernels: the mean, two linear layers, ReLU and sigmoid.

    It reads the map whose mean the gate reads.
    """

    @staticmethod
    def takes(gate: nn.Module | None) -> bool:
        """Return whether a gate is of this kind."""
        layers = _layers(gate) if isinstance(gate, Gate) else []
        kinds = [type(layer).__name__ for layer in layers]  # timm has a Sigmoid of its own
        return [k.replace("Conv2d", "Linear") for k in kinds] == [
            "Linear",
            "ReLU",
            "Linear",
            "Sigmoid",
        ]

    def gate(self, x: Tensor) -> Tensor:
        """Return the factors of the channels, (N, C, 1, 1), in float32."""
        if _must_be_plain(x):
            return super().gate(x.mean((2, 3), keepdim=True))
        first, _, second, _ = _layers(self)
        vectors = [
            layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
            for layer in (first, second)
        ]
        weights = [layer.weight.flatten(1) for layer in (first, second)]
        factors = excitation(_rows(x), weights[0], vectors[0], weights[1], vectors[1])
        return factors[:, :, None, None]


def ways_of(conv: Any, gate: Tensor | None, shortcut: Tensor | None) -> Iterator[tuple[str, Way]]:
    """Yield by name the ways that may compute this, ``"torch"`` first; some may fail."""
    names = ["torch", "one pass"]
    if gate is None:
        names.append("cuDNN")
    if is_strided_pointwise(conv):
        names += _TRITON
    yield from ((name, _WAYS[name]) for name in names)


def is_strided_pointwise(conv: Any) -> bool:
    """Return whether the kernel of the 1x1 convolution can do it."""
    return (
        conv.kernel_size == (1, 1)
        and conv.groups == 1
        and conv.padding in ((0, 0), "valid", "same")
        and conv.stride[0] == conv.stride[1]
    )


# ---- ways -----------------------------------------------------------------------------------


def _torch(
    conv: Any, x: Tensor, gate: Tensor | None, shortcut: Tensor | None, *, relu: bool
) -> Tensor:
    y = conv(x)
    if gate is not None:
        y = y * gate.to(y.dtype)
    if shortcut is not None:
        y = y + shortcut
    return y.relu() if relu else y


def _one_pass(
    conv: Any, x: Tensor, gate: Tensor | None, shortcut: Tensor | None, *, relu: bool
) -> Tensor:
    y = conv._conv_forward(x, conv.weight, None)
    wide = statistics_dtype(y)
    scale = y.new_ones(y.shape[:2], dtype=wide) if gate is None else gate.flatten(1).to(wide)
    added = None if shortcut is None else as_rows(shortcut)
    rows, _ = operators.affine_act(
        as_rows(y), scale, scale * conv.bias.to(wide), added, None, relu, False
    )
    return rows.transpose(1, 2).view(y.shape)


def _cudnn(
    conv: Any, x: Tensor, gate: Tensor | None, shortcut: Tensor | None, *, relu: bool
) -> Tensor:
    if gate is not None or not relu or isinstance(conv.padding, str):
        raise NotImplementedError("the operator has a ReLU, no gate, and its padding in pixels")
    how = (conv.stride, conv.padding, conv.dilation, conv.groups)
    if shortcut is None:
        return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, *how)
    return torch.cudnn_convolution_add_relu(x, conv.weight, shortcut, 1.0, conv.bias, *how)


def _triton(
    launch: int,
    conv: Any,
    x: Tensor,
    gate: Tensor | None,
    shortcut: Tensor | None,
    *,
    relu: bool,
) -> Tensor:
    scale = None if gate is None else gate.flatten(1).to(statistics_dtype(x))
    added = None if shortcut is None else _rows(shortcut)
    weight = conv.weight.flatten(1)
    rows = pointwise_act(_rows(x), weight, conv.bias, scale, added, conv.stride[0], relu, launch)
    return rows.permute(0, 3, 1, 2)


_TRITON = tuple(f"Triton {number}" for number in range(len(LAUNCHES)))
_WAYS: dict[str, Way] = {
    "torch": _torch,
    "one pass": _one_pass,
    "cuDNN": _cudnn,
    **{name: partial(_triton, number) for number, name in enumerate(_TRITON)},
}


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C), a view of channels-last memory


def _layers(gate: Gate) -> list[Any]:
    """The layers of a gate that do something."""
    layers = gate.excitation if isinstance(gate.excitation, nn.Sequential) else [gate.excitation]
    return [layer for layer in layers if type(layer) is not nn.Identity]


def _must_be_plain(x: Tensor) -> bool:
    return torch.compiler.is_exporting() or x.numel() == 0
