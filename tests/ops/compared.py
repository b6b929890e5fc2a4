"""Compares the Triton kernels with plain torch: ``python tests/ops/compared.py DEVICE``.

On ``cuda`` as they are, on ``cpu`` in Triton's interpreter. A program of its own, as
``TRITON_INTERPRET=1`` must be set before Triton is imported.
"""

import itertools
import sys

import torch

from seattn.ops import kernels, operators, reference

# One pixel, one image, sizes that fill no tile and no octet, several blocks of channels,
# and pixels enough for a reduction to be split.
SHAPES = [(1, 1, 8), (3, 1, 5), (2, 35, 11), (1, 7, 260), (2, 600, 3), (1, 1100, 9)]
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


def calls(shape, dtype):
    """Every combination of arguments that `seattn.ops.affine` makes, and some that it does not."""
    torch.manual_seed(0)
    x, added, grad = ((torch.randn(shape) * 2 + 1).to(dtype) for _ in range(3))
    scale, shift, slope, offset, added_scale = (torch.randn(shape[0], shape[2]) for _ in range(5))
    x[0, 0, 0] = torch.nan
    yield "moments", (x,)
    for relu, keep in ((True, True), (True, False), (False, False)):
        for more in ((None, None), (added, None), (added, added_scale)):
            yield "affine_act", (x, scale, shift, *more, relu, keep)
    mask = reference.affine_act(x, scale, shift, added, None, True, True)[1]
    for relu, given in ((True, mask), (True, None), (False, None)):
        for shortcut in (None, added):
            yield "affine_act_reduce", (grad, x, scale, shift, given, shortcut, relu)
    for more in itertools.product((shift, None), (slope, None)):
        yield "affine_act_apply", (grad, x, scale, *more, offset)
    yield "silu_squeeze", (x, scale, shift)
    yield "silu_gate", (x, scale, shift, added_scale)
    yield "silu_gate_reduce", (grad, x, scale, shift)
    for more in (slope, None):
        yield "silu_gate_apply", (grad, x, scale, shift, added_scale, offset, more, offset)


def compare(name, args, tolerance):
    got, again = (operators.run_on_cuda(name)(*args) for _ in range(2))
    expected = getattr(reference, name)(*args)
    leaves = torch.utils._pytree.tree_leaves
    for one, other, right in zip(leaves(got), leaves(again), leaves(expected), strict=True):
        assert (one.dtype, one.shape) == (right.dtype, right.shape), (name, one, right)
        assert one.is_contiguous(), name
        if right.dtype == torch.uint8:
            assert torch.equal(one, right), (name, "mask")
            continue
        assert torch.equal(one.nan_to_num(7), other.nan_to_num(7)), (name, "not deterministic")
        bound = tolerance * right.nan_to_num().abs().max().item() if right.numel() else 0
        torch.testing.assert_close(one, right, rtol=0, atol=bound, equal_nan=True)


def main(device):
    count = 0
    for shape in SHAPES:
        for dtype, tolerance in TOLERANCES.items():
            for name, args in calls(shape, dtype):
                on_device = [a.to(device) if isinstance(a, torch.Tensor) else a for a in args]
                compare(name, on_device, tolerance)
                count += 1
    far = torch.randn(1, 600, 4).to(device) + 1000
    _, m2 = kernels.moments(far)
    exact = far.double().var(1, correction=0) * 600
    assert ((m2 - exact).abs() / exact).max() < 1e-3, "the statistics are not centred"
    sys.stdout.write(f"{count} calls\n")


if __name__ == "__main__":
    main(sys.argv[1])
