"""Batch norm, SiLU and the gate behind it: EfficientNet's squeeze-and-excitation, in few passes.

With ``z = BN(x)`` and ``h = silu(z)`` the squeeze is the mean of ``h``, which is not affine in x:
it takes a read of x of its own. Neither ``z`` nor ``h`` is ever written. Forward:

    mean, m2 = moments(x)                       one read
    squeeze = mean_p silu(scale * x + shift)    one read
    y = gate * silu(scale * x + shift)          one read, one write

Backward, with ``g`` the gradient of y, the sums of ``g silu(z)``, ``g silu'(z)`` and
``g silu'(z) x`` are one reduction. The gradient d of the squeeze, which depends on the first of
them, adds ``d / P`` to the gradient of ``h``; its own sums were found while squeezing. One apply
pass forms the gradient of x,

    scale * (gate * g + d / P) * silu'(z) + 2 dm2 * x + (dmean / P - 2 dm2 * mean).

As in `seattn.ops.affine`, x is handed on as a token whose "gradient" is ``g``, and a slot takes
the vectors (scale, shift, gate, d / P) back, to which both consumers of x add their part.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seattn.ops import operators
from seattn.ops.affine import Measured
from seattn.ops.batch_norm import (
    BatchNorm,
    as_rows,
    check,
    in_dtype_of,
    is_frozen,
    scale_and_shift,
)
from seattn.ops.reference import statistics_dtype

__all__ = ["batch_norm_silu"]


def batch_norm_silu(
    x: Tensor, norm: BatchNorm, *, gate: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return ``silu(norm(x)) * gate(mean(silu(norm(x))))``.

    The result and the gradients are those of the modules one after the other, up to rounding; all
    else as in ``batch_norm_act``.

    Args:
        x: ``(N, C, *spatial)``.
        norm: The batch norm of ``x``, in training or in evaluation.
        gate: From the squeeze ``(N, C)``, in the dtype of the norm's parameters and outside
            autocast, to the factors ``(N, C)``.

    Returns:
        A map like ``x`` in channels-last memory.

    Raises:
        TypeError: The norm is not one of torch's ``BatchNorm1d``, ``2d``, ``3d`` or our
            `SyncBatchNorm`.
        ValueError: ``x`` does not fit the norm; a channel of the batch has one value, in training.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.ops import batch_norm_silu
        >>> x, norm = torch.randn(4, 32, 7, 7), nn.BatchNorm2d(32)
        >>> torch.allclose(batch_norm_silu(x, norm), nn.functional.silu(norm(x)), atol=1e-5)
        True
    """
    check(x, norm, "norm")
    with torch.autocast(x.device.type, enabled=False):
        rows, dtype = as_rows(x), statistics_dtype(x)
        frozen = is_frozen(norm)
        source = Measured(*_Handed.apply(rows, not frozen))  # type: ignore[no-untyped-call]
        a, b = scale_and_shift(norm, None if frozen else source, pixels=rows.shape[1], dtype=dtype)
        scale, shift = (each.expand(rows.shape[0], -1).contiguous() for each in (a, b))
        factor = torch.ones_like(scale)
        if gate is not None:
            squeeze = _Squeeze.apply(source.token, source.slot, scale, shift)  # type: ignore[no-untyped-call]
            factor = gate(in_dtype_of(norm, squeeze)).to(dtype)
        y: Tensor = _Gated.apply(  # type: ignore[no-untyped-call]
            source.token, source.slot, scale, shift, factor.contiguous()
        )
    return y.transpose(1, 2).view(x.shape)


class _Handed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, measures: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if measures:
            mean, m2 = operators.moments(x)
        else:
            mean, m2 = (x.new_empty(0, dtype=statistics_dtype(x)) for _ in range(2))
        ctx.save_for_backward(x, mean)
        ctx.measures = measures
        slot = x.new_zeros(4, x.shape[0], x.shape[2], dtype=statistics_dtype(x))
        return mean, m2, x.view_as(x), slot

    @staticmethod
    def backward(
        ctx: Any, d_mean: Tensor, d_m2: Tensor, grad: Tensor, slot: Tensor
    ) -> tuple[Tensor, None]:
        x, mean = ctx.saved_tensors
        scale, shift, gate, squeezed = slot.unbind(0)
        slope, offset = None, torch.zeros_like(scale)
        if ctx.measures:
            slope = 2 * d_m2
            offset = d_mean / x.shape[1] - slope * mean
        dx = operators.silu_gate_apply(
            grad.contiguous(), x, scale, shift, gate, squeezed, slope, offset
        )
        return dx, None


class _Squeeze(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slot: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        squeeze, by_shift, by_scale = operators.silu_squeeze(x, scale, shift)
        ctx.save_for_backward(by_shift, by_scale)
        ctx.pixels = x.shape[1]
        return squeeze

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        by_shift, by_scale = ctx.saved_tensors
        zeros = torch.zeros_like(grad)
        slot = torch.stack((zeros, zeros, zeros, grad / ctx.pixels))
        return None, slot, grad * by_scale, grad * by_shift


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, slot: Tensor, scale: Tensor, shift: Tensor, gate: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, scale, shift, gate)
        return operators.silu_gate(x, scale, shift, gate)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, scale, shift, gate = ctx.saved_tensors
        grad = grad.contiguous()  # it comes with any strides
        by_gate, by_shift, by_scale = operators.silu_gate_reduce(grad, x, scale, shift)
        slot = torch.stack((scale, shift, gate, torch.zeros_like(gate)))
        return grad, slot, gate * by_scale, gate * by_shift, by_gate
