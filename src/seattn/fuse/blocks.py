"""Residual blocks made of folded convolutions: what a network of any library is rebuilt from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from seattn.fuse.epilogue import Epilogue
from seattn.fuse.gates import Gate, gate_through, is_pointwise
from seattn.fuse.gpu_parts import FusedGate
from seattn.ops.affine import affine_act
from seattn.ops.batch_norm import as_rows
from seattn.ops.reference import statistics_dtype
from seattn.ops.switch import why_plain

__all__ = ["FusedInverted", "FusedResidual"]


class FusedResidual(nn.Module):
    """The block of ResNet with its gate known early: ``act(gate * conv(body(x)) + shortcut(x))``.

    A convolution of one pixel and no padding is linear in every pixel alike, so the mean of its
    output is what it makes of the mean of its input, which has fewer channels. The gate then does
    not wait for that convolution.

    Args:
        body: All that comes before the last convolution.
        conv: The last convolution, its BatchNorm folded.
        gate: What makes the factors of the channels of their means, or None.
        shortcut: What the input passes to the addition; None: nothing.
        act: What follows the addition.
    """

    def __init__(
        self,
        body: Sequence[nn.Module],
        conv: _ConvNd,
        gate: Gate | None,
        shortcut: nn.Module | None,
        act: nn.Module,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.conv = conv
        self.gate_is_early = gate is not None and is_pointwise(conv)
        self.se = gate_through(conv, gate) if gate is not None and is_pointwise(conv) else gate
        self.downsample = nn.Identity() if shortcut is None else shortcut
        self.act = act
        self.space = tuple(range(2, 2 + len(conv.kernel_size)))

    def describe(self) -> str:
        """Say in the report's words what was made of the block."""
        if self.se is None:
            return "rebuilt, no gate"
        early = "before" if self.gate_is_early else "after"
        return f"rebuilt, gate known {early} the last convolution"

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = self.body(x)
        gate = self._gate(hidden) if self.gate_is_early else None
        if isinstance(self.conv, Epilogue):
            return self.act(self.conv(hidden, gate, self.downsample(x)))
        residual = self.conv(hidden)
        if self.se is None:
            return self.act(residual + self.downsample(x))
        gate = self._gate(residual) if gate is None else gate
        return scale_add_act(residual, gate, self.downsample(x), self.act)

    def _gate(self, x: Tensor) -> Tensor:
        fused = isinstance(self.se, FusedGate)
        return self.se(x if fused else x.mean(self.space, keepdim=True))  # type: ignore[misc]


class FusedInverted(nn.Module):
    """The block of EfficientNet: ``conv(gate * body(x))``, plus ``x`` where there is a shortcut.

    Args:
        body: Expansion and depthwise convolution, their BatchNorms folded.
        gate: What makes the factors of the channels, or None.
        conv: The projection, its BatchNorm folded.
        has_shortcut: Whether the input is added.
    """

    def __init__(
        self,
        body: Sequence[nn.Module],
        gate: Gate | None,
        conv: _ConvNd,
        has_shortcut: bool,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.se = gate
        self.conv = conv
        self.space = tuple(range(2, 2 + len(conv.kernel_size)))
        self.has_shortcut = has_shortcut

    def describe(self) -> str:
        """Say in the report's words what was made of the block."""
        return "rebuilt, no gate" if self.se is None else "rebuilt"

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = self.body(x)
        if self.se is not None:
            hidden = hidden * self.se(hidden.mean(self.space, keepdim=True))
        projected = self.conv(hidden)
        return x + projected if self.has_shortcut else projected


def scale_add_act(residual: Tensor, gate: Tensor, shortcut: Tensor, act: nn.Module) -> Tensor:
    """Return ``act(gate * residual + shortcut)``; on CUDA in one pass, where `set_fused` has it."""
    if type(act) is nn.ReLU and why_plain(residual) is None and _alike(residual, shortcut):
        scale = gate.flatten(1).to(statistics_dtype(residual))
        y = affine_act(
            as_rows(residual),
            scale,
            torch.zeros_like(scale),
            shortcut=as_rows(shortcut),
            relu=True,
        )
        return y.transpose(1, 2).view(residual.shape)
    return act(torch.addcmul(shortcut, residual, gate.to(residual.dtype)))


def _alike(residual: Tensor, shortcut: Tensor) -> bool:
    return residual.shape == shortcut.shape and residual.dtype == shortcut.dtype
