"""Inference: convolutions with all that follows them, a channel gate, a pooling, as operators.

Once the gate does not wait for the convolution, scale, bias, shortcut and ReLU are the end of its
matrix product: the output is written once, and nothing else of that size is read or written but the
shortcut. Maps are contiguous ``(N, H, W, C)``, the memory of channels-last ones. No gradients.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seattn.ops.reference import statistics_dtype

__all__ = ["LAUNCHES", "excitation", "gathered_act", "max_pool", "pointwise_act"]

LAUNCHES = (
    (128, 128, 64, 8, 3),
    (128, 64, 64, 4, 3),
    (64, 128, 64, 4, 3),
    (64, 64, 64, 4, 3),
    (64, 64, 64, 4, 2),
    (128, 128, 64, 8, 2),
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


def _gathered_act(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, relu: bool
) -> Tensor:
    """Return ``act(conv(x) + bias)``, summed in float32 or wider.

    Args:
        x: ``(N, H, W, K)``, of few channels.
        weight: ``(C, side, side, K)``.
        bias: ``(C,)``.
        stride: In both directions.
        padding: Pixels of zeros on every side.
        relu: Whether act is ReLU; otherwise there is none.
    """
    wide = statistics_dtype(x)
    maps, kernels = (each.permute(0, 3, 1, 2).to(wide) for each in (x, weight))
    y = F.conv2d(maps, kernels, bias.to(wide), stride, padding).permute(0, 2, 3, 1)
    return (y.relu() if relu else y).to(x.dtype).contiguous()


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


def _max_pool(x: Tensor, side: int, stride: int, padding: int) -> Tensor:
    """Return the maximum over windows of ``side x side`` pixels; nan where there is one."""
    y = F.max_pool2d(x.permute(0, 3, 1, 2), side, stride, padding)
    return y.permute(0, 2, 3, 1).contiguous()


# ---- registration ---------------------------------------------------------------------------


def windows(x: Tensor, side: int, stride: int, padding: int) -> tuple[int, int]:
    """Return how many windows of that side there are, down and across."""
    height, width = ((each + 2 * padding - side) // stride + 1 for each in x.shape[1:3])
    return height, width


def _pointwise_shape(x: Tensor, weight: Tensor, *others: Any) -> Tensor:
    stride = others[3]
    return x.new_empty(*x[:, ::stride, ::stride, 0].shape, len(weight))


def _gathered_shape(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, relu: bool
) -> Tensor:
    sides = windows(x, weight.shape[1], stride, padding)
    return x.new_empty(len(x), *sides, len(weight))


def _excitation_shape(
    x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, expand_bias: Tensor
) -> Tensor:
    return x.new_empty(len(x), len(expand), dtype=statistics_dtype(x))


def _max_pool_shape(x: Tensor, side: int, stride: int, padding: int) -> Tensor:
    return x.new_empty(len(x), *windows(x, side, stride, padding), x.shape[3])


def _operator(function: Callable[..., Tensor], shape: Callable[..., Tensor]) -> Any:
    name = function.__name__.removeprefix("_")
    operator = torch.library.custom_op(f"seattn::{name}", function, mutates_args=())

    def run_on_cuda(*args: Any) -> Tensor:
        from seattn.ops import dense_kernels  # Triton

        result: Tensor = getattr(dense_kernels, name)(*args)
        return result

    operator.register_kernel("cuda")(run_on_cuda)
    operator.register_fake(shape)
    return operator


pointwise_act = _operator(_pointwise_act, _pointwise_shape)
gathered_act = _operator(_gathered_act, _gathered_shape)
excitation = _operator(_excitation, _excitation_shape)
max_pool = _operator(_max_pool, _max_pool_shape)
