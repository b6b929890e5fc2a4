"""`moments` and `affine_act` with gradients: one reduction and one apply pass backward.

With ``g`` the gradient of the output behind the ReLU, the sums ``sum_p g x`` and ``sum_p g`` are
the gradients of scale and shift: the reduction. Ordinary autograd takes them to the moments. With
``dmean`` and ``dm2`` those of the moments, the gradient of x, which has two consumers, is

    scale * g + 2 dm2 * x + (dmean / P - 2 dm2 * mean),

formed in the one apply pass. To this end `moments` hands x on to `affine_act` as a token, and the
"gradients" of the token and its slot are ``g`` and (scale, shift), which is not what autograd
means by the word. So a `Measured` map is for one call of `affine_act` and nothing else.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seattn.ops import operators

__all__ = ["Measured", "affine_act", "moments"]


class Measured(NamedTuple):
    """A map whose moments are known, for one call of `affine_act`."""

    mean: Tensor  # (N, C)
    m2: Tensor  # (N, C), sum_p (x - mean)^2
    token: Tensor  # (N, P, C), x itself
    slot: Tensor  # (2, N, C), takes scale and shift back


def moments(x: Tensor, *, uses_m2: bool, alone: bool) -> Measured:
    """Return the mean and the centred second moment of every channel of every image.

    Args:
        x: ``(N, P, C)``.
        uses_m2: Whether ``m2`` will be used; if not, backward does not read ``x`` for it.
        alone: Whether the output is ``relu(scale * x + shift)`` without a shortcut, whose ReLU
            backward finds again from ``x``.
    """
    return Measured(*_Moments.apply(x.contiguous(), uses_m2, alone))  # type: ignore[no-untyped-call]


def affine_act(
    x: Measured | Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    shortcut: Measured | Tensor | None = None,
    shortcut_scale: Tensor | None = None,
    relu: bool,
) -> Tensor:
    """Return ``act(scale * x + shift + shortcut_scale * shortcut)`` in one pass.

    Args:
        x: ``(N, P, C)``.
        scale: ``(N, C)``.
        shift: ``(N, C)``, that of the shortcut included.
        shortcut: ``(N, P, C)`` of the same dtype; measured only if it has a scale.
        shortcut_scale: ``(N, C)``; None: 1.
        relu: Whether act is ReLU; otherwise there is none.
    """
    token, slot = _token(x)
    added, added_slot = (None, None) if shortcut is None else _token(shortcut)
    scale, shift = scale.contiguous(), shift.contiguous()
    if shortcut_scale is not None:
        shortcut_scale = shortcut_scale.contiguous()
    keep_mask = relu and added is not None and torch.is_grad_enabled()
    return _AffineAct.apply(  # type: ignore[no-untyped-call]
        token, slot, scale, shift, added, added_slot, shortcut_scale, relu, keep_mask
    )


def _token(x: Measured | Tensor) -> tuple[Tensor, Tensor | None]:
    return (x.token, x.slot) if isinstance(x, Measured) else (x.contiguous(), None)


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, uses_m2: bool, alone: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, m2 = operators.moments(x)
        ctx.save_for_backward(x, mean)
        ctx.uses_m2, ctx.alone = uses_m2, alone
        return mean, m2, x.view_as(x), mean.new_zeros(2, *mean.shape)

    @staticmethod
    def backward(
        ctx: Any, d_mean: Tensor, d_m2: Tensor, grad: Tensor, slot: Tensor
    ) -> tuple[Tensor, None, None]:
        x, mean = ctx.saved_tensors
        scale, shift = slot.unbind(0)
        slope = 2 * d_m2 if ctx.uses_m2 else None
        offset = d_mean / x.shape[1]
        if slope is not None:
            offset = offset - slope * mean
        dx = operators.affine_act_apply(grad, x, scale, shift if ctx.alone else None, slope, offset)
        return dx, None, None


class _AffineAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        slot: Tensor | None,
        scale: Tensor,
        shift: Tensor,
        shortcut: Tensor | None,
        shortcut_slot: Tensor | None,
        shortcut_scale: Tensor | None,
        relu: bool,
        keep_mask: bool,
    ) -> Tensor:
        y, mask = operators.affine_act(x, scale, shift, shortcut, shortcut_scale, relu, keep_mask)
        # The sum over the shortcut is needed for its scale only.
        scaled = None if shortcut_scale is None else shortcut
        ctx.save_for_backward(x, scale, shift, mask if keep_mask else None, scaled, shortcut_scale)
        ctx.relu, ctx.has_shortcut = relu, shortcut is not None
        ctx.measured, ctx.shortcut_measured = slot is not None, shortcut_slot is not None
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, mask, shortcut, shortcut_scale = ctx.saved_tensors
        grad = grad.contiguous()  # it comes with any strides
        masked, d_scale, d_shift, d_shortcut_scale = operators.affine_act_reduce(
            grad, x, scale, shift, mask, shortcut, ctx.relu
        )
        if mask is not None:
            grad = masked
        dx, slot = grad, None
        if ctx.measured:
            slot = torch.stack((scale, shift))
        else:
            alone = ctx.relu and not ctx.has_shortcut
            dx = _scaled(grad, x, scale, shift if alone else None)
        if not ctx.has_shortcut:
            return dx, slot, d_scale, d_shift, None, None, None, None, None
        d_shortcut, shortcut_slot = grad, None
        if ctx.shortcut_measured:
            shortcut_slot = torch.stack((shortcut_scale, shortcut_scale))
        elif shortcut_scale is not None:
            d_shortcut = _scaled(grad, shortcut, shortcut_scale, None)
        if shortcut_scale is None:
            d_shortcut_scale = None
        return (
            dx, slot, d_scale, d_shift, d_shortcut, shortcut_slot, d_shortcut_scale, None, None,
        )  # fmt: skip


def _scaled(grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
    return operators.affine_act_apply(grad, x, scale, shift, None, torch.zeros_like(scale))
