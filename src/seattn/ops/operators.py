"""The passes over memory as torch operators: plain torch, Triton on CUDA, and their shapes.

The operators have no gradient of their own; `seattn.ops.affine` joins them. Triton is imported at
their first use on CUDA; where it is not installed, in float64, and for an empty map, they run in
plain torch.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seattn.ops import reference
from seattn.ops.reference import statistics_dtype

__all__ = [
    "affine_act", "affine_act_apply", "affine_act_reduce", "moments", "silu_gate",
    "silu_gate_apply", "silu_gate_reduce", "silu_squeeze",
]  # fmt: skip


def run_on_cuda(name: str) -> Callable[..., Any]:
    """Return the kernel called ``name``, or the function of `reference` where that has none."""

    def run(x: Tensor, *args: Any) -> Any:
        if x.dtype == torch.float64 or x.numel() == 0 or not importlib.util.find_spec("triton"):
            return getattr(reference, name)(x, *args)
        from seattn.ops import kernels, silu_kernels

        return getattr(silu_kernels if name.startswith("silu") else kernels, name)(x, *args)

    return run


# ---- shapes for the compiler ----------------------------------------------------------------


def _vector(x: Tensor) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[2]), dtype=statistics_dtype(x))


def _moments_shapes(x: Tensor) -> tuple[Tensor, Tensor]:
    return _vector(x), _vector(x)


def _affine_act_shapes(x: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    keep_mask = others[-1]
    shape = (*x.shape[:2], (x.shape[2] + 7) // 8) if keep_mask else (0,)
    return torch.empty_like(x), x.new_empty(shape, dtype=torch.uint8)


def _affine_act_reduce_shapes(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    mask: Tensor | None,
    shortcut: Tensor | None,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    masked = x.new_empty(0) if mask is None else torch.empty_like(x)
    d_shortcut = scale.new_empty(0) if shortcut is None else _vector(x)
    return masked, _vector(x), _vector(x), d_shortcut


def _map_shape(x: Tensor, *others: Any) -> Tensor:
    return torch.empty_like(x)


def _three_vectors(x: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _vector(x), _vector(x), _vector(x)


# ---- registration ---------------------------------------------------------------------------


def _operator(function: Callable[..., Any], shapes: Callable[..., Any]) -> Callable[..., Any]:
    name = function.__name__
    operator = torch.library.custom_op(f"seattn::{name}", function, mutates_args=())
    operator.register_kernel("cuda")(run_on_cuda(name))
    operator.register_fake(shapes)
    return operator


moments = _operator(reference.moments, _moments_shapes)
affine_act = _operator(reference.affine_act, _affine_act_shapes)
affine_act_reduce = _operator(reference.affine_act_reduce, _affine_act_reduce_shapes)
affine_act_apply = _operator(reference.affine_act_apply, _map_shape)
silu_squeeze = _operator(reference.silu_squeeze, _three_vectors)
silu_gate = _operator(reference.silu_gate, _map_shape)
silu_gate_reduce = _operator(reference.silu_gate_reduce, _three_vectors)
silu_gate_apply = _operator(reference.silu_gate_apply, _map_shape)
