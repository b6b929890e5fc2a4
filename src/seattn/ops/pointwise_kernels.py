"""The operators of `seattn.ops.pointwise` in Triton, for float16, bfloat16 and float32 maps."""
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from seattn.ops.pointwise import LAUNCHES

__all__ = ["excitation", "pointwise_act"]

SQUEEZING_PROGRAMS = 512
"""The sums over pixels are split until they have so many programs, or 16 parts an image."""


# ---- launches -------------------------------------------------------------------------------


def pointwise_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor | None,
    shortcut: Tensor | None,
    stride: int,
    relu: bool,
    launch: int,
) -> Tensor:
    """See `seattn.ops.pointwise`."""
    n, h, w, k = x.shape
    c = len(weight)
    y = x.new_empty(n, triton.cdiv(h, stride), triton.cdiv(w, stride), c)
    p = y.shape[1] * y.shape[2]
    bm, bn, bk, warps, stages = LAUNCHES[launch]
    with torch.cuda.device_of(x):
        pointwise_kernel[(triton.cdiv(n * p, bm) * triton.cdiv(c, bn),)](
            x, weight, bias, scale, shortcut, y, n, p, n * p, k, c, h, w, y.shape[2],
            STRIDE=stride, RELU=relu, FEW=p >= bm, WHOLE=k % bk == 0,
            EXACT=x.dtype == torch.float32, BM=bm, BN=bn, BK=bk, num_warps=warps, num_stages=stages,
        )  # fmt: skip
    return y


def excitation(
    x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, expand_bias: Tensor
) -> Tensor:
    """See `seattn.ops.pointwise`."""
    n, p, k = len(x), x.shape[1] * x.shape[2], x.shape[3]
    r, c = len(reduce), len(expand)
    bc = min(max(triton.next_power_of_2(k), 16), 128)
    bp = min(triton.next_power_of_2(p), 4096 // bc)
    wanted = min(triton.cdiv(SQUEEZING_PROGRAMS, n * triton.cdiv(k, bc)), 16)
    rows = triton.cdiv(triton.cdiv(p, wanted), bp) * bp
    parts = triton.cdiv(p, rows)
    sums = x.new_empty(parts, n, k, dtype=torch.float32)
    gate = x.new_empty(n, c, dtype=torch.float32)
    with torch.cuda.device_of(x):
        squeeze_kernel[(n * parts, triton.cdiv(k, bc))](x, sums, n, p, k, rows, parts, BP=bp, BC=bc)
        excite_kernel[(triton.cdiv(n, 16), triton.cdiv(c, 64))](
            sums, reduce, reduce_bias, expand, expand_bias, gate, n, p, k, r, c, parts,
            EXACT=x.dtype == torch.float32, BR=max(triton.next_power_of_2(r), 16), BK=64, BC=64,
        )  # fmt: skip
    return gate


# ---- kernels --------------------------------------------------------------------------------
# Offsets to a tile are 64 bit, those within it 32 bit; nan passes the ReLU.


@triton.jit
def pointwise_kernel(
    x_ptr, weight_ptr, bias_ptr, scale_ptr, shortcut_ptr, y_ptr, N, P, M, K, C, H, W, WIDTH,
    STRIDE: tl.constexpr, RELU: tl.constexpr, FEW: tl.constexpr, WHOLE: tl.constexpr,
    EXACT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    # Neighbouring programs share their pixels, which the second finds in the L2.
    columns = tl.cdiv(C, BN)
    first = (tl.program_id(0) // columns).to(tl.int64) * BM
    row = tl.arange(0, BM)
    c = (tl.program_id(0) % columns) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    is_row = first + row < M
    is_c = c < C
    if STRIDE == 1:
        x_at = x_ptr + first * K + row[:, None] * K + k[None, :]
    else:
        image, pixel = (first + row) // P, (first + row) % P
        source = (image * H + pixel // WIDTH * STRIDE) * W + pixel % WIDTH * STRIDE
        x_at = x_ptr + source[:, None] * K + k[None, :]
    weight_at = weight_ptr + c[None, :] * K + k[:, None]
    y = tl.zeros([BM, BN], tl.float32)
    for start in range(0, K, BK):
        if WHOLE:
            a = tl.load(x_at + start, mask=is_row[:, None], other=0.0)
            b = tl.load(weight_at + start, mask=is_c[None, :], other=0.0)
        else:
            inside = start + k < K
            a = tl.load(x_at + start, mask=is_row[:, None] & inside[None, :], other=0.0)
            b = tl.load(weight_at + start, mask=is_c[None, :] & inside[:, None], other=0.0)
        y = tl.dot(a, b, y, input_precision="ieee" if EXACT else "tf32")
    y += tl.load(bias_ptr + c, mask=is_c, other=0.0).to(tl.float32)[None, :]
    inside = is_row[:, None] & is_c[None, :]
    if scale_ptr is not None:
        if FEW:  # the tile is of one image, or of two
            here = first // P
            scale = tl.load(scale_ptr + here * C + c, mask=is_c, other=0.0)
            is_later = is_c & (here + 1 < N)
            later = tl.load(scale_ptr + (here + 1) * C + c, mask=is_later, other=0.0)
            own = row < (here + 1) * P - first
            y *= tl.where(own[:, None], scale[None, :], later[None, :])
        else:
            of_row = ((first + row) // P)[:, None] * C + c[None, :]
            y *= tl.load(scale_ptr + of_row, mask=inside, other=0.0)
    at = first * C + row[:, None] * C + c[None, :]
    if shortcut_ptr is not None:
        y += tl.load(shortcut_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        y = tl.where(y <= 0, 0.0, y)
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def squeeze_kernel(x_ptr, sums_ptr, N, P, K, ROWS, PARTS, BP: tl.constexpr, BC: tl.constexpr):
    n = (tl.program_id(0) // PARTS).to(tl.int64)
    part = tl.program_id(0) % PARTS
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    row = tl.arange(0, BP)
    stop = tl.minimum((part + 1) * ROWS, P)
    total = tl.zeros([BC], tl.float32)
    for start in range(part * ROWS, stop, BP):
        inside = (start + row < stop)[:, None] & (c < K)[None, :]
        at = x_ptr + (n * P + start) * K + row[:, None] * K + c[None, :]
        total += tl.sum(tl.load(at, mask=inside, other=0.0).to(tl.float32), 0)
    tl.store(sums_ptr + (part * N + n) * K + c, total, mask=c < K)


@triton.jit
def excite_kernel(
    sums_ptr, reduce_ptr, reduce_bias_ptr, expand_ptr, expand_bias_ptr, gate_ptr,
    N, P, K, R, C, PARTS,
    EXACT: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    # Every program of the same images makes their hidden units anew: that is little, and no launch.
    precision: tl.constexpr = "ieee" if EXACT else "tf32"
    n = tl.program_id(0) * 16 + tl.arange(0, 16)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    r = tl.arange(0, BR)
    hidden = tl.zeros([16, BR], tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        here = (n < N)[:, None] & (k < K)[None, :]
        mean = tl.zeros([16, BK], tl.float32)
        for part in range(PARTS):
            at = sums_ptr + (part * N + n[:, None]) * K + k[None, :]
            mean += tl.load(at, mask=here, other=0.0)
        at = reduce_ptr + r[None, :] * K + k[:, None]
        reduce = tl.load(at, mask=(r < R)[None, :] & (k < K)[:, None], other=0.0).to(tl.float32)
        hidden = tl.dot(mean / P, reduce, hidden, input_precision=precision)
    hidden += tl.load(reduce_bias_ptr + r, mask=r < R, other=0.0).to(tl.float32)[None, :]
    hidden = tl.where(hidden <= 0, 0.0, hidden)
    at = expand_ptr + c[None, :] * R + r[:, None]
    expand = tl.load(at, mask=(c < C)[None, :] & (r < R)[:, None], other=0.0).to(tl.float32)
    gate = tl.dot(hidden, expand, input_precision=precision)
    gate += tl.load(expand_bias_ptr + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    gate = 1 / (1 + tl.exp(-gate))
    at = gate_ptr + n[:, None] * C + c[None, :]
    tl.store(at, gate, mask=(n < N)[:, None] & (c < C)[None, :])
