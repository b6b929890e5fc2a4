"""Compares the Triton kernels with plain torch: ``python -m benchmarks.kernel_calls DEVICE``.

On ``cuda`` as they are, on ``cpu`` in Triton's interpreter. A program of its own, as
``TRITON_INTERPRET=1`` must be set before Triton is imported.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from seattn.ops import operators, reference

__all__ = ["LARGE_SHAPES", "SHAPES", "compare_beyond_32_bits", "compare_kernels"]

Shape = tuple[int, int, int]

# One pixel, one image, sizes that fill no tile and no octet, several blocks of channels,
# and pixels enough for a reduction to be split.
SHAPES: Sequence[Shape] = [
    (1, 1, 8), (3, 1, 5), (2, 35, 11), (1, 7, 260), (2, 600, 3), (1, 1100, 9),
]  # fmt: skip
LARGE_SHAPES: Sequence[Shape] = [(4, 12544, 64), (2, 3136, 256), (4, 196, 1024), (4, 49, 2048)]
"""Maps of a ResNet-50."""
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


def compare_kernels(device: str, shapes: Sequence[Shape] = SHAPES) -> tuple[int, float]:
    """Return how many calls were compared, and the largest error as a share of the tolerance.

    Raises:
        AssertionError: A result is wrong, or another in a second run.
    """
    count, worst = 0, 0.0
    for shape, (dtype, tolerance) in itertools.product(shapes, TOLERANCES.items()):
        for name, args in _calls(shape, dtype, exact=shape in LARGE_SHAPES):
            on_device = tree_map_only(Tensor, lambda tensor: tensor.to(device), args)
            worst = max(worst, _compare(name, on_device, tolerance))
            count += 1
    far = torch.randn(1, 600, 4).to(device) + 1000
    _, m2 = operators.run_on_cuda("moments")(far)
    exact = far.double().var(1, correction=0) * 600
    _expect(bool(((m2 - exact).abs() / exact).max() < 1e-3), "the statistics are not centred")
    return count, worst


def compare_beyond_32_bits(device: str, shape: Shape = (1500, 12544, 128)) -> float:
    """Compare the last of so many images that offsets to it take more than 32 bits.

    Returns:
        The largest error as a share of the tolerance.

    Raises:
        AssertionError: A result is wrong.
    """
    torch.manual_seed(0)
    x = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_()
    vectors = (torch.randn(shape[0], shape[2]).half().float().to(device) for _ in range(4))
    scale, shift, slope, offset = vectors
    _, mask = operators.run_on_cuda("affine_act")(x, scale, shift, x, None, True, True)
    worst = 0.0
    for name, args in (
        ("moments", (x,)),
        ("affine_act", (x, scale, shift, x, None, True, True)),
        ("affine_act_reduce", (x, x, scale, shift, mask, x, True)),
        ("affine_act_apply", (x, x, scale, shift, slope, offset)),
        ("silu_squeeze", (x, scale, shift)),
        ("silu_gate", (x, scale, shift, slope)),
        ("silu_gate_reduce", (x, x, scale, shift)),
        ("silu_gate_apply", (x, x, scale, shift, slope, offset, slope, offset)),
    ):
        got = tree_leaves(operators.run_on_cuda(name)(*args))
        last = tree_map_only(Tensor, lambda tensor: tensor[-1:], args)
        expected = tree_leaves(getattr(reference, name)(*last))
        for one, right in zip(got, expected, strict=True):
            worst = max(worst, _error(name, one[-1:], right, TOLERANCES[torch.bfloat16]))
    return worst


def _calls(
    shape: Shape, dtype: torch.dtype, *, exact: bool
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every combination of arguments that `seattn.ops` makes, and some that it does not.

    Args:
        shape: Of the maps.
        dtype: Of the maps.
        exact: Whether products of maps and factors are exact in float32. Then a fused multiply-add
            rounds as a product and a sum do; otherwise one in millions opens another ReLU.
    """
    torch.manual_seed(0)
    x, added, grad = (torch.randn(shape) * 2 + 1 for _ in range(3))
    scale, shift, slope, offset, added_scale = (torch.randn(shape[0], shape[2]) for _ in range(5))
    if exact:
        x, added, scale, added_scale = (v.half().float() for v in (x, added, scale, added_scale))
    x, added, grad = (values.to(dtype) for values in (x, added, grad))
    x[0, 0, 0] = torch.nan
    yield "moments", (x,)
    for relu, keep in ((True, True), (True, False), (False, False)):
        for more in ((None, None), (added, None), (added, added_scale)):
            yield "affine_act", (x, scale, shift, *more, relu, keep)
    mask = reference.affine_act(x, scale, shift, added, None, True, True)[1]
    for relu, given in ((True, mask), (True, None), (False, None)):
        for shortcut in (None, added):
            yield "affine_act_reduce", (grad, x, scale, shift, given, shortcut, relu)
    for pair in itertools.product((shift, None), (slope, None)):
        yield "affine_act_apply", (grad, x, scale, *pair, offset)
    yield "silu_squeeze", (x, scale, shift)
    yield "silu_gate", (x, scale, shift, added_scale)
    yield "silu_gate_reduce", (grad, x, scale, shift)
    for last in (slope, None):
        yield "silu_gate_apply", (grad, x, scale, shift, added_scale, offset, last, offset)


def _compare(name: str, args: tuple[Any, ...], tolerance: float) -> float:
    got, again = (tree_leaves(operators.run_on_cuda(name)(*args)) for _ in range(2))
    expected = tree_leaves(getattr(reference, name)(*args))
    worst = 0.0
    for one, other, right in zip(got, again, expected, strict=True):
        same = torch.equal(one.nan_to_num(7), other.nan_to_num(7))
        _expect(same, f"{name} is not deterministic")
        worst = max(worst, _error(name, one, right, tolerance))
    return worst


def _error(name: str, got: Tensor, right: Tensor, tolerance: float) -> float:
    """The largest error, as a share of what is allowed: of the largest value."""
    same = (got.dtype, got.shape) == (right.dtype, right.shape)
    _expect(same, f"{name} gives {got.dtype} {tuple(got.shape)}")
    _expect(got.is_contiguous(), f"{name} gives strides {got.stride()}")
    if right.dtype == torch.uint8:
        _expect(torch.equal(got, right), f"{name} gives another mask")
        return 0.0
    if not right.numel():
        return 0.0
    bound = tolerance * float(right.nan_to_num().abs().max())
    torch.testing.assert_close(got, right, rtol=0, atol=bound, equal_nan=True, msg=_of(name))
    gap = float((got.double() - right.double()).nan_to_num().abs().max())
    return gap / bound if bound else 0.0


def _of(name: str) -> Any:
    return lambda message: f"{name}: {message}"


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


if __name__ == "__main__":
    print(f"{compare_kernels(sys.argv[1])[0]} calls")
