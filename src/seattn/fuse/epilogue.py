"""On a GPU: a convolution and all that follows it, and the ways in which it can run.

In half precision a network spends its time on moving maps. The output of a convolution should be
written once, finished. Who does that best depends on the layer: cuDNN adds bias and ReLU and for
some shapes a shortcut; our kernel of the 1x1 convolution a gate as well; otherwise one more pass
adds everything at once. Of images with a few channels our kernel gathers the pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seattn.fuse.chosen import Chosen
from seattn.ops import operators
from seattn.ops.batch_norm import as_rows
from seattn.ops.dense import LAUNCHES, gathered_act, pointwise_act
from seattn.ops.reference import statistics_dtype

__all__ = ["Epilogue", "as_nhwc"]

_TRITON = [f"Triton {number}" for number in range(len(LAUNCHES))]


class Epilogue(Chosen):
    """A 2D convolution with bias and what follows it: ``act(gate * conv(x) + shortcut)``.

    Called with ``x``, and perhaps ``gate`` (N, C, 1, 1) and ``shortcut``, of the output's shape.

    Args:
        conv: The convolution.
        relu: Whether act is ReLU; otherwise there is none.
    """

    def __init__(self, conv: Any, *, relu: bool) -> None:
        super().__init__()
        self.conv = conv
        self.relu = relu

    def extra_repr(self) -> str:
        """Say how it runs."""
        return f"relu={self.relu}, {super().extra_repr()}"

    def ways(
        self, x: Tensor, gate: Tensor | None = None, shortcut: Tensor | None = None
    ) -> list[str]:
        """Return the names of the ways that may do this."""
        names = ["torch", "one pass"]
        if gate is None and self.relu and not isinstance(self.conv.padding, str):
            names.append("cuDNN")
            if x.shape[1] % 8 and shortcut is None and self.conv.groups == 1:
                names.append("cuDNN, padded")
        if _is_of_pixels(self.conv):
            names += _TRITON
        elif gate is None and shortcut is None and x.shape[1] <= 4 and _is_square(self.conv):
            names.append("Triton")
        return names

    def run(
        self, way: str, x: Tensor, gate: Tensor | None = None, shortcut: Tensor | None = None
    ) -> Tensor:
        """Compute in this way."""
        if way == "one pass":
            return self._one_pass(x, gate, shortcut)
        if way.startswith("cuDNN"):
            return self._cudnn(x, shortcut, padded=way != "cuDNN")
        if way == "Triton":
            return self._gathered(x)
        if way.startswith("Triton"):
            return self._pointwise(x, gate, shortcut, int(way.split()[1]))
        y: Tensor = self.conv(x)
        if gate is not None:
            y = y * gate.to(y.dtype)
        if shortcut is not None:
            y = y + shortcut
        return y.relu() if self.relu else y

    def _one_pass(self, x: Tensor, gate: Tensor | None, shortcut: Tensor | None) -> Tensor:
        conv = self.conv
        y = conv._conv_forward(x, conv.weight, None)
        wide = statistics_dtype(y)
        scale = y.new_ones(y.shape[:2], dtype=wide) if gate is None else _as_rows(gate, wide)
        shift = scale * conv.bias.to(wide)
        added = None if shortcut is None else as_rows(shortcut)
        rows, _ = operators.affine_act(as_rows(y), scale, shift, added, None, self.relu, False)
        return rows.transpose(1, 2).view(y.shape)

    def _cudnn(self, x: Tensor, shortcut: Tensor | None, *, padded: bool) -> Tensor:
        conv, weight = self.conv, self.conv.weight
        if padded:  # to the channels that its fast kernels want
            more = (0, 0, 0, 0, 0, -x.shape[1] % 8)
            x, weight = (
                F.pad(each, more).contiguous(memory_format=torch.channels_last)
                for each in (x, weight)
            )
        how = (conv.stride, conv.padding, conv.dilation, conv.groups)
        if shortcut is None:
            return torch.cudnn_convolution_relu(x, weight, conv.bias, *how)
        return torch.cudnn_convolution_add_relu(x, weight, shortcut, 1.0, conv.bias, *how)

    def _pointwise(
        self, x: Tensor, gate: Tensor | None, shortcut: Tensor | None, launch: int
    ) -> Tensor:
        conv = self.conv
        scale = None if gate is None else _as_rows(gate, statistics_dtype(x))
        added = None if shortcut is None else as_nhwc(shortcut)
        weight = conv.weight.flatten(1)
        y = pointwise_act(
            as_nhwc(x), weight, conv.bias, scale, added, conv.stride[0], self.relu, launch
        )
        return y.permute(0, 3, 1, 2)

    def _gathered(self, x: Tensor) -> Tensor:
        conv = self.conv
        how = (conv.stride[0], conv.padding[0])
        return gathered_act(as_nhwc(x), as_nhwc(conv.weight), conv.bias, *how, self.relu).permute(
            0, 3, 1, 2
        )


def as_nhwc(x: Tensor) -> Tensor:
    """Return ``(N, H, W, C)``, a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).contiguous()


def _as_rows(gate: Tensor, dtype: torch.dtype) -> Tensor:
    return gate.flatten(1).to(dtype).contiguous()  # (N, C)


def _is_of_pixels(conv: Any) -> bool:
    return (
        conv.kernel_size == (1, 1)
        and conv.groups == 1
        and conv.padding in ((0, 0), "valid", "same")
        and conv.stride[0] == conv.stride[1]
    )


def _is_square(conv: Any) -> bool:
    sides = (conv.kernel_size, conv.stride, conv.padding)
    return (
        conv.groups == 1
        and conv.dilation == (1, 1)
        and not isinstance(conv.padding, str)
        and all(first == second for first, second in sides)
    )
