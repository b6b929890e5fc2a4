"""The four passes over memory in Triton: the functions of `seattn.ops.reference`, for CUDA.

Sums are in float32, whatever the dtype of the map, and merged in an order that depends on the
shapes alone: two runs are equal to the last bit. No atomics. The statistics of a tile are centred
on its own mean and merged with those before it (Chan, Golub & LeVeque 1979), so that a mean far
from zero costs no digits of the variance.
"""
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["affine_act", "affine_act_apply", "affine_act_reduce", "moments"]

REDUCING_PROGRAMS = 512
"""A reduction is split over pixels until it has as many programs: a few for every processor."""


# ---- launches -------------------------------------------------------------------------------


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """See `seattn.ops.reference.moments`."""
    n, p, c = x.shape
    tile = _tile(p, c, 4096)
    rows, splits = _split(x, tile)
    mean, m2 = (x.new_empty(splits, n, c, dtype=torch.float32) for _ in range(2))
    with torch.cuda.device_of(x):
        moments_kernel[(n * splits, triton.cdiv(c, tile["BC"]))](
            x, mean, m2, n, p, c, rows, splits, **tile
        )
    if splits == 1:
        return mean[0], m2[0]
    count = torch.full((splits, 1, 1), rows, dtype=torch.float32, device=x.device)
    count[-1] = p - rows * (splits - 1)
    whole = (mean * count).sum(0) / p
    return whole, (m2 + count * (mean - whole).square()).sum(0)


def affine_act(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    shortcut: Tensor | None,
    shortcut_scale: Tensor | None,
    relu: bool,
    keep_mask: bool,
) -> tuple[Tensor, Tensor]:
    """See `seattn.ops.reference.affine_act`."""
    n, p, c = x.shape
    y = torch.empty_like(x)
    shape = (n, p, triton.cdiv(c, 8)) if keep_mask else (0,)
    mask = x.new_empty(shape, dtype=torch.uint8)
    tile = _tile(p, c, 4096)
    with torch.cuda.device_of(x):
        affine_act_kernel[_grid(x, tile)](
            x, scale, shift, shortcut, shortcut_scale, y, mask if keep_mask else None, p, c,
            RELU=relu, **tile,
        )  # fmt: skip
    return y, mask


def affine_act_reduce(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    mask: Tensor | None,
    shortcut: Tensor | None,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See `seattn.ops.reference.affine_act_reduce`."""
    n, p, c = x.shape
    tile = _tile(p, c, 2048)
    rows, splits = _split(x, tile)
    masked = x.new_empty(0) if mask is None else torch.empty_like(x)
    number = 2 if shortcut is None else 3
    sums = x.new_empty(number, splits, n, c, dtype=torch.float32)
    with torch.cuda.device_of(x):
        affine_act_reduce_kernel[(n * splits, triton.cdiv(c, tile["BC"]))](
            grad, x, scale, shift, mask, shortcut, None if mask is None else masked,
            sums[0], sums[1], None if shortcut is None else sums[2],
            n, p, c, rows, splits, RELU=relu, **tile,
        )  # fmt: skip
    d_scale, d_shift, *d_shortcut = (total.sum(0) for total in sums)
    return masked, d_scale, d_shift, d_shortcut[0] if d_shortcut else scale.new_empty(0)


def affine_act_apply(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor | None,
    slope: Tensor | None,
    offset: Tensor,
) -> Tensor:
    """See `seattn.ops.reference.affine_act_apply`."""
    dx = torch.empty_like(x)
    _, p, c = x.shape
    tile = _tile(p, c, 4096)
    with torch.cuda.device_of(x):
        affine_act_apply_kernel[_grid(x, tile)](
            grad, x, scale, shift, slope, offset, dx, p, c, **tile
        )
    return dx


def _tile(pixels: int, channels: int, size: int) -> dict[str, int]:
    """The pixels BP and channels BC of a tile of about ``size`` values."""
    bc = min(max(triton.next_power_of_2(channels), 8), 128)
    return {"BP": min(triton.next_power_of_2(pixels), size // bc), "BC": bc}


def _grid(x: Tensor, tile: dict[str, int]) -> tuple[int, int]:
    n, p, c = x.shape
    return n * triton.cdiv(p, tile["BP"]), triton.cdiv(c, tile["BC"])


def _split(x: Tensor, tile: dict[str, int]) -> tuple[int, int]:
    """The rows of a part of an image, a multiple of BP, and the number of parts."""
    n, p, c = x.shape
    wanted = triton.cdiv(REDUCING_PROGRAMS, n * triton.cdiv(c, tile["BC"]))
    rows = triton.cdiv(triton.cdiv(p, wanted), tile["BP"]) * tile["BP"]
    return rows, triton.cdiv(p, rows)


# ---- kernels --------------------------------------------------------------------------------
# Offsets to a tile are 64 bit, those within it 32 bit. A comparison with nan is false, and the
# ReLU is open unless its input is <= 0: nan passes.


@triton.jit
def moments_kernel(
    x_ptr, mean_ptr, m2_ptr, N, P, C, ROWS, SPLITS, BP: tl.constexpr, BC: tl.constexpr
):
    n = (tl.program_id(0) // SPLITS).to(tl.int64)
    part = tl.program_id(0) % SPLITS
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    row = tl.arange(0, BP)
    stop = tl.minimum((part + 1) * ROWS, P)
    count = 0.0
    mean = tl.zeros([BC], tl.float32)
    m2 = tl.zeros([BC], tl.float32)
    for start in range(part * ROWS, stop, BP):
        inside = (start + row < stop)[:, None]
        at = x_ptr + (n * P + start) * C + row[:, None] * C + c[None, :]
        x = tl.load(at, mask=inside & (c < C)[None, :], other=0.0).to(tl.float32)
        tile_count = tl.minimum(stop - start, BP).to(tl.float32)
        tile_mean = tl.sum(x, 0) / tile_count
        centred = tl.where(inside, x - tile_mean[None, :], 0.0)
        delta = tile_mean - mean
        total = count + tile_count
        mean += delta * (tile_count / total)
        m2 += tl.sum(centred * centred, 0) + delta * delta * (count * tile_count / total)
        count = total
    out = (part * N + n) * C + c
    tl.store(mean_ptr + out, mean, mask=c < C)
    tl.store(m2_ptr + out, m2, mask=c < C)


@triton.jit
def affine_act_kernel(
    x_ptr, scale_ptr, shift_ptr, shortcut_ptr, shortcut_scale_ptr, y_ptr, mask_ptr, P, C,
    RELU: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(P, BP)
    n = (tl.program_id(0) // tiles).to(tl.int64)
    start = (tl.program_id(0) % tiles) * BP
    row = tl.arange(0, BP)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    vector = n * C + c
    inside = (start + row < P)[:, None] & (c < C)[None, :]
    first = (n * P + start) * C
    at = row[:, None] * C + c[None, :]
    scale = tl.load(scale_ptr + vector, mask=c < C, other=0.0)
    shift = tl.load(shift_ptr + vector, mask=c < C, other=0.0)
    x = tl.load(x_ptr + first + at, mask=inside, other=0.0).to(tl.float32)
    y = x * scale[None, :] + shift[None, :]
    if shortcut_ptr is not None:
        shortcut = tl.load(shortcut_ptr + first + at, mask=inside, other=0.0).to(tl.float32)
        if shortcut_scale_ptr is not None:
            shortcut_scale = tl.load(shortcut_scale_ptr + vector, mask=c < C, other=0.0)
            shortcut = shortcut * shortcut_scale[None, :]
        y += shortcut
    if mask_ptr is not None:
        # Beyond C everything is loaded as 0, and so is the bit.
        bits = tl.where(y <= 0, 0, 1).reshape(BP, BC // 8, 8)
        octets = tl.sum(bits << tl.arange(0, 8)[None, None, :], 2).to(tl.uint8)
        width = (C + 7) // 8
        octet = tl.program_id(1) * (BC // 8) + tl.arange(0, BC // 8)
        out = mask_ptr + (n * P + start) * width + row[:, None] * width + octet[None, :]
        tl.store(out, octets, mask=(start + row < P)[:, None] & (octet < width)[None, :])
    if RELU:
        y = tl.where(y <= 0, 0.0, y)
    tl.store(y_ptr + first + at, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def affine_act_reduce_kernel(
    grad_ptr, x_ptr, scale_ptr, shift_ptr, mask_ptr, shortcut_ptr, masked_ptr,
    d_scale_ptr, d_shift_ptr, d_shortcut_ptr, N, P, C, ROWS, SPLITS,
    RELU: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n = (tl.program_id(0) // SPLITS).to(tl.int64)
    part = tl.program_id(0) % SPLITS
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    row = tl.arange(0, BP)
    at = row[:, None] * C + c[None, :]
    width = (C + 7) // 8
    scale = tl.load(scale_ptr + n * C + c, mask=c < C, other=0.0)
    shift = tl.load(shift_ptr + n * C + c, mask=c < C, other=0.0)
    d_scale = tl.zeros([BC], tl.float32)
    d_shift = tl.zeros([BC], tl.float32)
    d_shortcut = tl.zeros([BC], tl.float32)
    stop = tl.minimum((part + 1) * ROWS, P)
    for start in range(part * ROWS, stop, BP):
        inside = (start + row < stop)[:, None] & (c < C)[None, :]
        first = (n * P + start) * C
        grad = tl.load(grad_ptr + first + at, mask=inside, other=0.0)
        x = tl.load(x_ptr + first + at, mask=inside, other=0.0).to(tl.float32)
        if mask_ptr is not None:
            octet_at = (n * P + start) * width + row[:, None] * width + (c // 8)[None, :]
            octets = tl.load(mask_ptr + octet_at, mask=inside, other=0).to(tl.int32)
            grad = tl.where(((octets >> (c % 8)[None, :]) & 1) == 0, 0.0, grad)
            grad = grad.to(masked_ptr.dtype.element_ty)
            tl.store(masked_ptr + first + at, grad, mask=inside)
        elif RELU:
            grad = tl.where(x * scale[None, :] + shift[None, :] <= 0, 0.0, grad)
        grad = grad.to(tl.float32)
        d_scale += tl.sum(grad * x, 0)
        d_shift += tl.sum(grad, 0)
        if shortcut_ptr is not None:
            shortcut = tl.load(shortcut_ptr + first + at, mask=inside, other=0.0)
            d_shortcut += tl.sum(grad * shortcut.to(tl.float32), 0)
    out = (part * N + n) * C + c
    tl.store(d_scale_ptr + out, d_scale, mask=c < C)
    tl.store(d_shift_ptr + out, d_shift, mask=c < C)
    if shortcut_ptr is not None:
        tl.store(d_shortcut_ptr + out, d_shortcut, mask=c < C)


@triton.jit
def affine_act_apply_kernel(
    grad_ptr, x_ptr, scale_ptr, shift_ptr, slope_ptr, offset_ptr, dx_ptr, P, C,
    BP: tl.constexpr, BC: tl.constexpr,
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
    grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if (shift_ptr is not None) or (slope_ptr is not None):
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if shift_ptr is not None:
        shift = tl.load(shift_ptr + vector, mask=c < C, other=0.0)
        grad = tl.where(x * scale[None, :] + shift[None, :] <= 0, 0.0, grad)
    dx = grad * scale[None, :] + tl.load(offset_ptr + vector, mask=c < C, other=0.0)[None, :]
    if slope_ptr is not None:
        dx += x * tl.load(slope_ptr + vector, mask=c < C, other=0.0)[None, :]
    tl.store(dx_ptr + at, dx.to(dx_ptr.dtype.element_ty), mask=inside)
