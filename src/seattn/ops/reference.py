"""The passes over memory in plain torch: what they mean, and how they run without a kernel.

Maps are contiguous ``(N, P, C)``, P being the pixels: the memory of a channels-last map of any
rank. Vectors are ``(N, C)``, of the dtype of `statistics_dtype`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "affine_act", "affine_act_apply", "affine_act_reduce", "moments", "silu_gate",
    "silu_gate_apply", "silu_gate_reduce", "silu_squeeze", "statistics_dtype",
]  # fmt: skip


def statistics_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of sums over ``x``: float64 of float64, otherwise float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


# ---- forward --------------------------------------------------------------------------------


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over pixels and the centred sum of squares ``sum_p (x - mean)^2``."""
    values = x.to(statistics_dtype(x))
    mean = values.mean(1)
    return mean, (values - mean[:, None]).square().sum(1)


def affine_act(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    shortcut: Tensor | None,
    shortcut_scale: Tensor | None,
    relu: bool,
    keep_mask: bool,
) -> tuple[Tensor, Tensor]:
    """Return ``y = act(scale * x + shift + shortcut_scale * shortcut)`` and where the ReLU is open.

    The mask has one bit a value, ``(N, P, ceil(C / 8))``; without ``keep_mask`` it is empty.
    """
    y = x * scale[:, None] + shift[:, None]
    if shortcut is not None:
        y = y + (shortcut if shortcut_scale is None else shortcut * shortcut_scale[:, None])
    mask = _pack(_is_open(y)) if keep_mask else x.new_empty(0, dtype=torch.uint8)
    return (y.relu() if relu else y).to(x.dtype), mask


# ---- backward -------------------------------------------------------------------------------


def affine_act_reduce(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    mask: Tensor | None,
    shortcut: Tensor | None,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ``g``, the gradient behind the ReLU, and its sums over pixels with x, 1, shortcut.

    ``g`` is written only where a mask is given. Without one the ReLU is open where
    ``scale * x + shift`` is positive, which the apply pass finds out again. An empty tensor stands
    for what is not written, and for the last sum where there is no ``shortcut``.
    """
    dtype, masked = statistics_dtype(x), x.new_empty(0)
    if mask is not None:
        grad = masked = torch.where(_unpack(mask, x.shape[2]), grad, 0)
    elif relu:
        grad = torch.where(_is_open(x * scale[:, None] + shift[:, None]), grad, 0)
    grad = grad.to(dtype)
    d_shortcut = scale.new_empty(0) if shortcut is None else (grad * shortcut).sum(1)
    return masked, (grad * x).sum(1), grad.sum(1), d_shortcut


def affine_act_apply(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor | None,
    slope: Tensor | None,
    offset: Tensor,
) -> Tensor:
    """Return ``dx = scale * grad + slope * x + offset``.

    With ``shift``, ``grad`` counts only where ``scale * x + shift`` is positive.
    """
    if shift is not None:
        grad = torch.where(_is_open(x * scale[:, None] + shift[:, None]), grad, 0)
    dx = grad * scale[:, None] + offset[:, None]
    return (dx if slope is None else dx + x * slope[:, None]).to(x.dtype)


# ---- the ReLU's mask ------------------------------------------------------------------------


def _is_open(z: Tensor) -> Tensor:
    return ~(z <= 0)  # nan passes, in both directions, as through torch's ReLU


def _bits(x: Tensor) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=x.device)


def _pack(mask: Tensor) -> Tensor:
    n, p, c = mask.shape
    octets = F.pad(mask, (0, -c % 8)).view(n, p, (c + 7) // 8, 8)
    return (octets.to(torch.uint8) << _bits(mask)).sum(3, dtype=torch.uint8)


def _unpack(mask: Tensor, channels: int) -> Tensor:
    return (mask[..., None] >> _bits(mask) & 1).bool().flatten(2)[..., :channels]


# ---- SiLU, and a gate behind it -------------------------------------------------------------


def silu_squeeze(x: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the means over pixels of ``silu(z)``, ``silu'(z)`` and ``silu'(z) * x``.

    ``z = scale * x + shift``; the last two are the derivatives of the first by shift and scale.
    """
    values = x.to(statistics_dtype(x))
    silu, slope = _silu(values * scale[:, None] + shift[:, None])
    return silu.mean(1), slope.mean(1), (slope * values).mean(1)


def silu_gate(x: Tensor, scale: Tensor, shift: Tensor, gate: Tensor) -> Tensor:
    """Return ``y = gate * silu(scale * x + shift)``."""
    silu, _ = _silu(x * scale[:, None] + shift[:, None])
    return (silu * gate[:, None]).to(x.dtype)


def silu_gate_reduce(
    grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums over pixels of ``grad`` with ``silu(z)``, ``silu'(z)``, ``silu'(z) * x``."""
    values = x.to(statistics_dtype(x))
    silu, slope = _silu(values * scale[:, None] + shift[:, None])
    grad = grad.to(values.dtype)
    sloped = grad * slope
    return (grad * silu).sum(1), sloped.sum(1), (sloped * values).sum(1)


def silu_gate_apply(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    gate: Tensor,
    squeezed: Tensor,
    slope: Tensor | None,
    offset: Tensor,
) -> Tensor:
    """Return ``dx = scale * (gate * grad + squeezed) * silu'(z) + slope * x + offset``."""
    values = x.to(statistics_dtype(x))
    _, derivative = _silu(values * scale[:, None] + shift[:, None])
    dx = (grad * gate[:, None] + squeezed[:, None]) * derivative * scale[:, None]
    dx = dx + offset[:, None]
    return (dx if slope is None else dx + values * slope[:, None]).to(x.dtype)


def _silu(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``silu(z) = z * sigmoid(z)`` and its derivative."""
    sigmoid = torch.sigmoid(z)
    return z * sigmoid, sigmoid * (1 + z * (1 - sigmoid))
