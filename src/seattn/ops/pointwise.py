"""Inference: a 1x1 convolution with all that follows it, and a channel gate, as operators.

Once the gate does not wait for the convolution, scale, bias, shortcut and ReLU are the end of the
matrix product: its output is written once, and nothing else of that size is read or written but the
shortcut. Maps are contiguous ``(N, H, W, C)``, the memory of channels-last ones. No gradients.
"""

import torch
from torch import Tensor

from seattn.ops.reference import statistics_dtype

__all__ = ["LAUNCHES", "excitation", "pointwise_act"]

LAUNCHES = (
    (128, 128, 64, 8, 3),
    (128, 256, 64, 8, 3),
    (128, 64, 64, 4, 3),
    (64, 128, 64, 4, 3),
    (64, 64, 64, 4, 3),
    (64, 64, 128, 4, 3),
    (64, 32, 128, 4, 4),
    (32, 32, 128, 4, 4),
)
"""Pixels, channels and inputs of a tile, warps, and stages of the pipeline. Which is the fastest
depends on the shape: measure it."""


def _pointwise_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor | None,
    shortcut: Tensor | None,
    stride: int,
    relu: bool,
    launch: int,
) -> Tensor:
    """Return ``act(scale * (x weight^T + bias) + shortcut)``, summed in float32 or wider.

    Args:
        x: ``(N, H, W, K)``.
        weight: ``(C, K)``.
        bias: ``(C,)``.
        scale: ``(N, C)``, float32; None: 1.
        shortcut: ``(N, H', W', C)``, the shape of the result; None: 0.
        stride: In both directions; H' is H / stride, rounded up.
        relu: Whether act is ReLU; otherwise there is none.
        launch: Index into ``LAUNCHES``; results differ by the order of sums.
    """
    wide = statistics_dtype(x)
    y = x[:, ::stride, ::stride].to(wide) @ weight.to(wide).T + bias.to(wide)
    if scale is not None:
        y = y * scale[:, None, None]
    if shortcut is not None:
        y = y + shortcut
    return (y.relu() if relu else y).to(x.dtype)


def _excitation(
    x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, expand_bias: Tensor
) -> Tensor:
    """Return the gate ``sigmoid(expand relu(reduce mean(x) + ...) + ...)``, float32 or wider.

    Args:
        x: ``(N, H, W, K)``.
        reduce: ``(R, K)``.
        reduce_bias: ``(R,)``.
        expand: ``(C, R)``.
        expand_bias: ``(C,)``.

    Returns:
        ``(N, C)``.
    """
    wide = statistics_dtype(x)
    hidden = x.to(wide).mean((1, 2)) @ reduce.to(wide).T + reduce_bias.to(wide)
    return torch.sigmoid(hidden.relu() @ expand.to(wide).T + expand_bias.to(wide))


pointwise_act = torch.library.custom_op("seattn::pointwise_act", _pointwise_act, mutates_args=())
excitation = torch.library.custom_op("seattn::excitation", _excitation, mutates_args=())


@pointwise_act.register_kernel("cuda")
def _(x: Tensor, *args: object) -> Tensor:
    from seattn.ops import pointwise_kernels  # Triton

    return pointwise_kernels.pointwise_act(x, *args)  # type: ignore[arg-type]


@excitation.register_kernel("cuda")
def _(x: Tensor, *args: Tensor) -> Tensor:
    from seattn.ops import pointwise_kernels  # Triton

    return pointwise_kernels.excitation(x, *args)


@pointwise_act.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor, scale: object, shortcut: object, stride: int,
    *others: object,
) -> Tensor:  # fmt: skip
    return x.new_empty(*x[:, ::stride, ::stride, 0].shape, len(weight))


@excitation.register_fake
def _(x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, *others: Tensor) -> Tensor:
    return x.new_empty(len(x), len(expand), dtype=statistics_dtype(x))
