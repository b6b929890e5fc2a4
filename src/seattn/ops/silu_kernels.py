"""The passes over memory of SiLU and a gate behind it in Triton: see `seattn.ops.reference`."""
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from seattn.ops import kernels

__all__ = ["silu_gate", "silu_gate_apply", "silu_gate_reduce", "silu_squeeze"]


# ---- launches -------------------------------------------------------------------------------


def silu_squeeze(x: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `seattn.ops.reference.silu_squeeze`."""
    silu, slope, sloped_x = _sums(None, x, scale, shift) / x.shape[1]
    return silu.clone(), slope.clone(), sloped_x.clone()


def silu_gate(x: Tensor, scale: Tensor, shift: Tensor, gate: Tensor) -> Tensor:
    """See `seattn.ops.reference.silu_gate`."""
    y = torch.empty_like(x)
    _, p, c = x.shape
    tile = kernels._tile(p, c, 4096)
    with torch.cuda.device_of(x):
        silu_gate_kernel[kernels._grid(x, tile)](x, scale, shift, gate, y, p, c, **tile)
    return y


def silu_gate_reduce(
    grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """See `seattn.ops.reference.silu_gate_reduce`."""
    silu, slope, sloped_x = _sums(grad, x, scale, shift)
    return silu.clone(), slope.clone(), sloped_x.clone()


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
    """See `seattn.ops.reference.silu_gate_apply`."""
    dx = torch.empty_like(x)
    _, p, c = x.shape
    tile = kernels._tile(p, c, 4096)
    with torch.cuda.device_of(x):
        silu_gate_apply_kernel[kernels._grid(x, tile)](
            grad, x, scale, shift, gate, squeezed, slope, offset, dx, p, c, **tile
        )
    return dx


def _sums(grad: Tensor | None, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The three sums (3, N, C), merged in an order that depends on the shapes alone."""
    n, p, c = x.shape
    tile = kernels._tile(p, c, 2048)
    rows, splits = kernels._split(x, tile)
    parts = x.new_empty(3, splits, n, c, dtype=torch.float32)
    with torch.cuda.device_of(x):
        silu_sums_kernel[(n * splits, triton.cdiv(c, tile["BC"]))](
            grad, x, scale, shift, *parts, n, p, c, rows, splits, **tile
        )
    return parts.sum(1)


# ---- kernels --------------------------------------------------------------------------------


@triton.jit
def silu_sums_kernel(
    grad_ptr, x_ptr, scale_ptr, shift_ptr, silu_ptr, slope_ptr, sloped_x_ptr,
    N, P, C, ROWS, SPLITS, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n = (tl.program_id(0) // SPLITS).to(tl.int64)
    part = tl.program_id(0) % SPLITS
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    row = tl.arange(0, BP)
    at = row[:, None] * C + c[None, :]
    scale = tl.load(scale_ptr + n * C + c, mask=c < C, other=0.0)
    shift = tl.load(shift_ptr + n * C + c, mask=c < C, other=0.0)
    silu_sum = tl.zeros([BC], tl.float32)
    slope_sum = tl.zeros([BC], tl.float32)
    sloped_x_sum = tl.zeros([BC], tl.float32)
    stop = tl.minimum((part + 1) * ROWS, P)
    for start in range(part * ROWS, stop, BP):
        inside = (start + row < stop)[:, None] & (c < C)[None, :]
        first = (n * P + start) * C
        x = tl.load(x_ptr + first + at, mask=inside, other=0.0).to(tl.float32)
        z = x * scale[None, :] + shift[None, :]
        sigmoid = 1.0 / (1.0 + tl.exp(-z))
        silu = z * sigmoid
        slope = sigmoid * (1.0 + z * (1.0 - sigmoid))
        if grad_ptr is not None:
            grad = tl.load(grad_ptr + first + at, mask=inside, other=0.0).to(tl.float32)
            silu *= grad
            slope *= grad
        else:  # what lies outside of the map is not 0 by itself
            silu = tl.where(inside, silu, 0.0)
            slope = tl.where(inside, slope, 0.0)
        silu_sum += tl.sum(silu, 0)
        slope_sum += tl.sum(slope, 0)
        sloped_x_sum += tl.sum(slope * x, 0)
    out = (part * N + n) * C + c
    tl.store(silu_ptr + out, silu_sum, mask=c < C)
    tl.store(slope_ptr + out, slope_sum, mask=c < C)
    tl.store(sloped_x_ptr + out, sloped_x_sum, mask=c < C)


@triton.jit
def silu_gate_kernel(
    x_ptr, scale_ptr, shift_ptr, gate_ptr, y_ptr, P, C, BP: tl.constexpr, BC: tl.constexpr
):
    tiles = tl.cdiv(P, BP)
    n = (tl.program_id(0) // tiles).to(tl.int64)
    start = (tl.program_id(0) % tiles) * BP
    row = tl.arange(0, BP)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    vector = n * C + c
    inside = (start + row < P)[:, None] & (c < C)[None, :]
    at = (n * P + start) * C + row[:, None] * C + c[None, :]
    scale = tl.load(scale_ptr + vector, mask=c < C, other=0.0)
    shift = tl.load(shift_ptr + vector, mask=c < C, other=0.0)
    gate = tl.load(gate_ptr + vector, mask=c < C, other=0.0)
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    z = x * scale[None, :] + shift[None, :]
    y = gate[None, :] * (z / (1.0 + tl.exp(-z)))
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def silu_gate_apply_kernel(
    grad_ptr, x_ptr, scale_ptr, shift_ptr, gate_ptr, squeezed_ptr, slope_ptr, offset_ptr, dx_ptr,
    P, C, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(P, BP)
    n = (tl.program_id(0) // tiles).to(tl.int64)
    start = (tl.program_id(0) % tiles) * BP
    row = tl.arange(0, BP)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    vector = n * C + c
    inside = (start + row < P)[:, None] & (c < C)[None, :]
    at = (n * P + start) * C + row[:, None] * C + c[None, :]
    scale = tl.load(scale_ptr + vector, mask=c < C, other=0.0)
    shift = tl.load(shift_ptr + vector, mask=c < C, other=0.0)
    gate = tl.load(gate_ptr + vector, mask=c < C, other=0.0)
    squeezed = tl.load(squeezed_ptr + vector, mask=c < C, other=0.0)
    offset = tl.load(offset_ptr + vector, mask=c < C, other=0.0)
    grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    z = x * scale[None, :] + shift[None, :]
    sigmoid = 1.0 / (1.0 + tl.exp(-z))
    derivative = sigmoid * (1.0 + z * (1.0 - sigmoid))
    dx = (grad * gate[None, :] + squeezed[None, :]) * derivative * scale[None, :] + offset[None, :]
    if slope_ptr is not None:
        dx += x * tl.load(slope_ptr + vector, mask=c < C, other=0.0)[None, :]
    tl.store(dx_ptr + at, dx.to(dx_ptr.dtype.element_ty), mask=inside)
