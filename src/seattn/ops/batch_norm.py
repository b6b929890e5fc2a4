"""Batch norm with what follows it in a residual block, in two passes over memory each way."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seattn.ops.affine import Measured, affine_act, moments
from seattn.ops.reference import statistics_dtype
from seattn.ops.statistics import merge_moments, move_running_statistics
from seattn.ops.sync_batch_norm import SyncBatchNorm, group_of

__all__ = ["batch_norm_act"]

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | SyncBatchNorm


def batch_norm_act(
    x: Tensor,
    norm: BatchNorm,
    *,
    gate: Callable[[Tensor], Tensor] | None = None,
    shortcut: Tensor | None = None,
    shortcut_norm: BatchNorm | None = None,
    relu: bool = True,
) -> Tensor:
    """Return ``relu(norm(x) * gate(mean(norm(x))) + shortcut_norm(shortcut))``.

    The result and the gradients are those of the modules one after the other, up to rounding; the
    statistics are sums in float32 (float64 of float64). The running statistics move as in the
    module. Neither the module's ``forward`` nor its hooks run. A second derivative is an error.
    On CUDA with Triton the passes over memory are kernels of ours, elsewhere plain torch.

    Args:
        x: ``(N, C, *spatial)``.
        norm: The batch norm of ``x``, in training or in evaluation.
        gate: From the squeeze ``(N, C)``, in the dtype of the norm's parameters and outside
            autocast, to the factors ``(N, C)``.
        shortcut: A map of the shape of ``x``, ``(N, C, *spatial)``.
        shortcut_norm: The batch norm of the shortcut; None: the shortcut is added as it is.
        relu: Whether a ReLU follows.

    Returns:
        A map like ``x`` in channels-last memory.

    Raises:
        TypeError: A norm is not one of torch's ``BatchNorm1d``, ``2d``, ``3d`` or our
            `SyncBatchNorm`.
        ValueError: The shapes do not fit each other or the norm; a channel of the batch has one
            value, in training; ``shortcut_norm`` without ``shortcut``.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.attention import SEBlock
        >>> from seattn.ops import batch_norm_act
        >>> x, norm, block = torch.randn(4, 32, 7, 7), nn.BatchNorm2d(32), SEBlock(32)
        >>> fused = batch_norm_act(
        ...     x, norm, gate=lambda squeeze: block.gate(squeeze[..., None, None]).flatten(1)
        ... )
        >>> torch.allclose(fused, block(norm(x)).relu(), atol=1e-5)
        True
    """
    check(x, norm, "norm")
    if shortcut is None:
        if shortcut_norm is not None:
            raise ValueError("`shortcut_norm` needs a `shortcut`; pass both or neither")
    else:
        if shortcut.shape != x.shape:
            raise ValueError(
                f"`shortcut` (of shape {tuple(shortcut.shape)}) must have the shape of `x`, "
                f"{tuple(x.shape)}"
            )
        if shortcut_norm is not None:
            check(shortcut, shortcut_norm, "shortcut_norm")
        dtype = torch.promote_types(x.dtype, shortcut.dtype)
        x, shortcut = x.to(dtype), shortcut.to(dtype)
    added: Measured | Tensor | None = None if shortcut is None else as_rows(shortcut)
    added_scale = None
    with torch.autocast(x.device.type, enabled=False):
        rows, scale, shift = _affine(as_rows(x), norm, gate, alone=relu and shortcut is None)
        if isinstance(added, Tensor) and shortcut_norm is not None:
            added, added_scale, added_shift = _affine(added, shortcut_norm, None, alone=False)
            shift = shift + added_shift
        y = affine_act(rows, scale, shift, shortcut=added, shortcut_scale=added_scale, relu=relu)
    return y.transpose(1, 2).view(x.shape)


def check(x: Tensor, norm: nn.Module, name: str) -> None:
    if type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, SyncBatchNorm):
        raise TypeError(
            f"`{name}` (a {type(norm).__name__} of {type(norm).__module__}) must be BatchNorm1d, "
            "BatchNorm2d or BatchNorm3d of torch.nn or SyncBatchNorm of seattn.ops, no subclass; "
            "call any other norm as a module"
        )
    if x.ndim < 3 or x.shape[1] != norm.num_features:
        raise ValueError(
            f"`x` (of shape {tuple(x.shape)}) must be (N, C, *spatial) with the "
            f"C = {norm.num_features} of `{name}`"
        )


def as_rows(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2).contiguous()  # (N, P, C), a view of channels-last memory


def _affine(
    x: Tensor, norm: BatchNorm, gate: Callable[[Tensor], Tensor] | None, *, alone: bool
) -> tuple[Measured | Tensor, Tensor, Tensor]:
    """Return the map, measured if need be, and the scale and shift (N, C) of norm and gate."""
    dtype = statistics_dtype(x)
    source: Measured | Tensor = x
    frozen = is_frozen(norm)
    if gate is not None or not frozen:
        source = moments(x, uses_m2=not frozen, alone=alone)
    measured = source if isinstance(source, Measured) else None
    a, b = scale_and_shift(norm, None if frozen else measured, pixels=x.shape[1], dtype=dtype)
    if gate is not None and measured is not None:
        squeeze = a * measured.mean + b  # BN(x) = a x + b, and so is its mean over space
        excitation = gate(in_dtype_of(norm, squeeze))
        return source, (excitation * a).to(dtype), (excitation * b).to(dtype)
    images, _, channels = x.shape
    return source, a.expand(images, channels), b.expand(images, channels)


# ---- the norm's part ------------------------------------------------------------------------


def is_frozen(norm: BatchNorm) -> bool:
    """Whether the norm uses its running statistics."""
    has_none = norm.running_mean is None or norm.running_var is None
    return not (norm.training or has_none)


def scale_and_shift(
    norm: BatchNorm, measured: Measured | None, *, pixels: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return a and b (C) of ``BN(x) = a x + b``, from the batch, or without one from the past."""
    if measured is None:
        mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    else:
        mean, var = _batch_statistics(measured, norm, pixels=pixels)
    weight: Tensor | None = norm.weight
    bias: Tensor | None = norm.bias
    a = torch.rsqrt(var.to(dtype) + norm.eps)
    a = a if weight is None else a * weight.to(dtype)
    b = -a * mean.to(dtype)
    return a, b if bias is None else b + bias.to(dtype)


def in_dtype_of(norm: BatchNorm, squeeze: Tensor) -> Tensor:
    """Return the squeeze as the norm's output would be: in the dtype of its parameters, if any."""
    weight: Tensor | None = norm.weight
    return squeeze if weight is None else squeeze.to(weight.dtype)


def _batch_statistics(measured: Measured, norm: BatchNorm, *, pixels: int) -> tuple[Tensor, Tensor]:
    """Merge the moments of images and processes (Chan et al.) and move the running statistics."""
    images = measured.mean.shape[0]
    values = images * pixels
    group = group_of(norm)
    if group is None and values == 1:
        raise ValueError(
            "`x` has one value a channel, whose variance is not defined: train on more than one "
            "image or pixel, or put a norm with running statistics into evaluation"
        )
    mean = measured.mean.sum(0) / max(images, 1)
    between = (measured.mean - mean).square().sum(0) * pixels
    m2 = measured.m2.sum(0) + between
    count: int | Tensor = max(values, 1)
    if group is not None:
        count, mean, m2 = merge_moments(mean.new_full((), values), mean, m2, group)
    if norm.training and norm.track_running_stats:
        move_running_statistics(norm, count, mean, m2)
    return mean, m2 / count
