"""The operators of `seattn.ops.dense` in Triton, for float16, bfloat16 and float32 maps."""
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

from seattn.ops.dense import LAUNCHES, windows

__all__ = ["excitation", "gathered_act", "max_pool", "pointwise_act"]

SQUEEZING_PROGRAMS = 2048
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
    """See `seattn.ops.dense`."""
    n, h, w, k = x.shape
    c = len(weight)
    y = x.new_empty(n, triton.cdiv(h, stride), triton.cdiv(w, stride), c)
    p = y.shape[1] * y.shape[2]
    bm, bn, bk, warps, stages = LAUNCHES[launch]
    with torch.cuda.device_of(x):
        pointwise_kernel[(triton.cdiv(n * p, bm) * triton.cdiv(c, bn),)](
            x, weight, bias, scale, shortcut, y, n, p, n * p, k, c, h, w, y.shape[2],
            STRIDE=stride, RELU=relu, SPAN=span(p, bm), WHOLE=k % bk == 0,
            EXACT=x.dtype == torch.float32, BM=bm, BN=bn, BK=bk, num_warps=warps, num_stages=stages,
        )  # fmt: skip
    return y


def gathered_act(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, relu: bool
) -> Tensor:
    """See `seattn.ops.dense`."""
    n, h, w, k = x.shape
    c, side = len(weight), weight.shape[1]
    y = x.new_empty(n, *windows(x, side, stride, padding), c)
    m = n * y.shape[1] * y.shape[2]
    bn = min(max(triton.next_power_of_2(c), 16), 64)
    with torch.cuda.device_of(x):
        gathered_kernel[(triton.cdiv(m, 128) * triton.cdiv(c, bn),)](
            x, weight, bias, y, h, w, y.shape[1], y.shape[2], m, c,
            K=k, SIDE=side, STRIDE=stride, PADDING=padding, RELU=relu,
            EXACT=x.dtype == torch.float32, BM=128, BN=bn, BK=32, num_warps=8, num_stages=2,
        )  # fmt: skip
    return y


def excitation(
    x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, expand_bias: Tensor
) -> Tensor:
    """See `seattn.ops.dense`."""
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
        excite_kernel[(triton.cdiv(n, 16), triton.cdiv(c, 128))](
            sums, reduce, reduce_bias, expand, expand_bias, gate, n, p, k, r, c, SPLITS=parts,
            EXACT=x.dtype == torch.float32, BR=max(triton.next_power_of_2(r), 16), BK=64, BC=128,
            num_warps=8, num_stages=2,
        )  # fmt: skip
    return gate


def max_pool(x: Tensor, side: int, stride: int, padding: int) -> Tensor:
    """See `seattn.ops.dense`."""
    n, h, w, c = x.shape
    y = x.new_empty(n, *windows(x, side, stride, padding), c)
    m = n * y.shape[1] * y.shape[2]
    bc = min(max(triton.next_power_of_2(c), 16), 128)
    bm = 2048 // bc
    with torch.cuda.device_of(x):
        max_pool_kernel[(triton.cdiv(m, bm), triton.cdiv(c, bc))](
            x, y, h, w, y.shape[1], y.shape[2], m, c,
            SIDE=side, STRIDE=stride, PADDING=padding, BM=bm, BC=bc,
        )  # fmt: skip
    return y


def span(pixels: int, rows: int) -> int:
    """The most images that so many rows of pixels are of."""
    return (rows + pixels - 2) // pixels + 1


# ---- kernels --------------------------------------------------------------------------------
# Offsets to a tile are 64 bit, those within it 32 bit; nan passes the ReLU and the maximum.


@triton.jit
def pointwise_kernel(
    x_ptr, weight_ptr, bias_ptr, scale_ptr, shortcut_ptr, y_ptr, N, P, M, K, C, H, W, WIDTH,
    STRIDE: tl.constexpr, RELU: tl.constexpr, SPAN: tl.constexpr, WHOLE: tl.constexpr,
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
    inside = is_row[:, None] & is_c[None, :]
    at = row[:, None] * C + c[None, :]
    if shortcut_ptr is not None:  # on its way while the product is summed
        shortcut = tl.load(shortcut_ptr + first * C + at, mask=inside, other=0.0)
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
            is_k = start + k < K
            a = tl.load(x_at + start, mask=is_row[:, None] & is_k[None, :], other=0.0)
            b = tl.load(weight_at + start, mask=is_c[None, :] & is_k[:, None], other=0.0)
        y = tl.dot(a, b, y, input_precision="ieee" if EXACT else "tf32")
    y += tl.load(bias_ptr + c, mask=is_c, other=0.0).to(tl.float32)[None, :]
    if scale_ptr is not None:
        here = first // P
        if SPAN <= 4:  # a vector for each image that the tile has pixels of
            left = ((here + 1) * P - first).to(tl.int32)  # rows of the first image
            scale = tl.load(scale_ptr + here * C + c, mask=is_c, other=0.0)
            scales = tl.broadcast_to(scale[None, :], [BM, BN])
            for later in tl.static_range(1, SPAN):
                is_there = is_c & (here + later < N)
                scale = tl.load(scale_ptr + (here + later) * C + c, mask=is_there, other=0.0)
                begun = row >= left + (later - 1) * P
                scales = tl.where(begun[:, None], scale[None, :], scales)
            y *= scales
        else:
            of_row = ((first + row) // P)[:, None] * C + c[None, :]
            y *= tl.load(scale_ptr + of_row, mask=inside, other=0.0)
    if shortcut_ptr is not None:
        y += shortcut.to(tl.float32)
    if RELU:
        y = tl.where(y <= 0, 0.0, y)
    tl.store(y_ptr + first * C + at, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def gathered_kernel(
    x_ptr, weight_ptr, bias_ptr, y_ptr, H, W, HEIGHT, WIDTH, M, C,
    K: tl.constexpr, SIDE: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr,
    RELU: tl.constexpr, EXACT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    columns = tl.cdiv(C, BN)
    first = (tl.program_id(0) // columns).to(tl.int64) * BM
    row = first + tl.arange(0, BM)
    c = (tl.program_id(0) % columns) * BN + tl.arange(0, BN)
    image = row // (HEIGHT * WIDTH)
    pixel = (row % (HEIGHT * WIDTH)).to(tl.int32)
    top = pixel // WIDTH * STRIDE - PADDING
    left = pixel % WIDTH * STRIDE - PADDING
    x_at = x_ptr + image * H * W * K
    total: tl.constexpr = SIDE * SIDE * K
    y = tl.zeros([BM, BN], tl.float32)
    for start in tl.static_range(0, total, BK):
        k = start + tl.arange(0, BK)
        line = top[:, None] + (k // (SIDE * K))[None, :]
        place = left[:, None] + (k // K % SIDE)[None, :]
        inside = (line >= 0) & (line < H) & (place >= 0) & (place < W) & (k < total)[None, :]
        inside = inside & (row < M)[:, None]
        at = (line * W + place) * K + (k % K)[None, :]
        a = tl.load(x_at[:, None] + at, mask=inside, other=0.0)
        b_inside = (k < total)[:, None] & (c < C)[None, :]
        b = tl.load(weight_ptr + c[None, :] * total + k[:, None], mask=b_inside, other=0.0)
        y = tl.dot(a, b, y, input_precision="ieee" if EXACT else "tf32")
    y += tl.load(bias_ptr + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    if RELU:
        y = tl.where(y <= 0, 0.0, y)
    at = y_ptr + first * C + tl.arange(0, BM)[:, None] * C + c[None, :]
    tl.store(at, y.to(y_ptr.dtype.element_ty), mask=(row < M)[:, None] & (c < C)[None, :])


@triton.jit
def squeeze_kernel(x_ptr, sums_ptr, N, P, K, ROWS, SPLITS, BP: tl.constexpr, BC: tl.constexpr):
    n = (tl.program_id(0) // SPLITS).to(tl.int64)
    part = tl.program_id(0) % SPLITS
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
    N, P, K, R, C,
    SPLITS: tl.constexpr, EXACT: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    # Every program of the same images makes their hidden units anew: that is little, and no launch.
    precision: tl.constexpr = "ieee" if EXACT else "tf32"
    n = tl.program_id(0) * 16 + tl.arange(0, 16)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    r = tl.arange(0, BR)
    expand_at = expand_ptr + c[None, :] * R + r[:, None]
    expand_inside = (c < C)[None, :] & (r < R)[:, None]
    expand = tl.load(expand_at, mask=expand_inside, other=0.0).to(tl.float32)
    hidden = tl.zeros([16, BR], tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        here = (n < N)[:, None] & (k < K)[None, :]
        sums_at = sums_ptr + n[:, None] * K + k[None, :]
        mean = tl.load(sums_at, mask=here, other=0.0)
        for part in tl.static_range(1, SPLITS):  # unrolled: all are on their way at once
            mean += tl.load(sums_at + part * N * K, mask=here, other=0.0)
        reduce_at = reduce_ptr + r[None, :] * K + k[:, None]
        reduce_inside = (r < R)[None, :] & (k < K)[:, None]
        reduce = tl.load(reduce_at, mask=reduce_inside, other=0.0).to(tl.float32)
        hidden = tl.dot(mean / P, reduce, hidden, input_precision=precision)
    hidden += tl.load(reduce_bias_ptr + r, mask=r < R, other=0.0).to(tl.float32)[None, :]
    hidden = tl.where(hidden <= 0, 0.0, hidden)
    gate = tl.dot(hidden, expand, input_precision=precision)
    gate += tl.load(expand_bias_ptr + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    gate = 1 / (1 + tl.exp(-gate))
    gate_at = gate_ptr + n[:, None] * C + c[None, :]
    tl.store(gate_at, gate, mask=(n < N)[:, None] & (c < C)[None, :])


@triton.jit
def max_pool_kernel(
    x_ptr, y_ptr, H, W, HEIGHT, WIDTH, M, C,
    SIDE: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr,
    BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0).to(tl.int64) * BM
    row = first + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    image = row // (HEIGHT * WIDTH)
    pixel = (row % (HEIGHT * WIDTH)).to(tl.int32)
    top = pixel // WIDTH * STRIDE - PADDING
    left = pixel % WIDTH * STRIDE - PADDING
    inside = (row < M)[:, None] & (c < C)[None, :]
    x_at = x_ptr + image * H * W * C
    y = tl.full([BM, BC], float("-inf"), tl.float32)
    for tap in tl.static_range(SIDE * SIDE):
        line, place = top + tap // SIDE, left + tap % SIDE
        there = (line >= 0) & (line < H) & (place >= 0) & (place < W)
        at = x_at[:, None] + ((line * W + place) * C)[:, None] + c[None, :]
        x = tl.load(at, mask=inside & there[:, None], other=float("-inf")).to(tl.float32)
        y = tl.maximum(y, x, propagate_nan=tl.PropagateNan.ALL)
    at = y_ptr + first * C + tl.arange(0, BM)[:, None] * C + c[None, :]
    tl.store(at, y.to(y_ptr.dtype.element_ty), mask=inside)
