"""Compares the kernels of `seattn.ops.dense` with plain torch in float64.

``python tests/ops/dense_calls.py cpu`` in Triton's interpreter, ``cuda`` on a card; it prints how
many calls were right. A program of its own, as Triton decides at its import whether it interprets.
"""

import itertools
import sys

import torch

from seattn.ops import dense, dense_kernels

TOLERANCES = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
# (images, height and width, inputs, outputs, stride); the last has 130 images in one tile.
POINTWISE = [
    (1, (1, 1), 8, 8, 1), (3, (5, 7), 24, 40, 1), (3, (5, 7), 24, 40, 2), (5, (7, 7), 128, 72, 1),
    (2, (30, 10), 64, 136, 2), (1, (3, 43), 16, 300, 1), (17, (3, 1), 40, 16, 3),
    (130, (1, 1), 16, 16, 1),
]  # fmt: skip
# (images, height, width, inputs, outputs, side, stride, padding)
GATHERED = [
    (2, 23, 17, 3, 24, 7, 2, 3), (1, 5, 5, 1, 8, 3, 1, 1), (3, 12, 9, 2, 70, 3, 2, 0),
    (1, 9, 9, 4, 64, 7, 2, 3),
]  # fmt: skip
# (images, height, width, channels, side, stride, padding)
POOLS = [(2, 23, 17, 24, 3, 2, 1), (1, 5, 5, 130, 2, 2, 0), (3, 12, 9, 8, 3, 1, 1)]


def calls(dtype):
    """Every kernel with its arguments."""

    def draw(*shape, by=1):
        return (torch.randn(shape) / by**0.5).to(dtype)

    for n, sides, k, c, stride in POINTWISE:
        reached = [-(-side // stride) for side in sides]
        x, weight, bias = draw(n, *sides, k), draw(c, k, by=k), draw(c)
        for launch, scale, shortcut, relu in itertools.product(
            range(len(dense.LAUNCHES)),
            (None, torch.rand(n, c)),
            (None, draw(n, *reached, c)),
            (True, False),
        ):
            yield "pointwise_act", (x, weight, bias, scale, shortcut, stride, relu, launch)
        r = max(k // 4, 3)
        yield "excitation", (x, draw(r, k, by=k), draw(r), draw(c, r, by=r), draw(c))
    for n, h, w, k, c, side, stride, padding in GATHERED:
        weight = draw(c, side, side, k, by=side * side * k)
        for relu in (True, False):
            yield "gathered_act", (draw(n, h, w, k), weight, draw(c), stride, padding, relu)
    yield "excitation", (draw(1, 90, 70, 64), draw(16, 64, by=64), draw(16), draw(9, 16), draw(9))
    for n, h, w, c, *how in POOLS:
        x = draw(n, h, w, c)
        x[0, 2, 3, 1] = torch.nan
        yield "max_pool", (x, *how)


def compare(name, args, tolerance):
    """Fail unless a kernel gives what plain torch does in float64, and again the same."""
    kernel = getattr(dense_kernels, name)
    found, again = kernel(*args), kernel(*args)
    exact = [a.double() if isinstance(a, torch.Tensor) else a for a in args]
    expected = getattr(dense, f"_{name}")(*exact)
    assert found.is_contiguous()
    assert found.dtype == (torch.float32 if name == "excitation" else args[0].dtype)
    assert torch.equal(found.nan_to_num(7), again.nan_to_num(7)), f"{name} is not deterministic"
    bound = tolerance * float(expected.nan_to_num().abs().max())
    if name == "max_pool":
        bound = 0.0
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound, equal_nan=True)


def main(device):
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    count = 0
    for dtype, tolerance in TOLERANCES.items():
        if device == "cpu" and dtype == torch.bfloat16:
            continue  # the interpreter multiplies their bit patterns
        for name, args in calls(dtype):
            moved = [a.to(device) if isinstance(a, torch.Tensor) else a for a in args]
            compare(name, moved, tolerance)
            count += 1
    sys.stdout.write(f"{count} calls\n")


if __name__ == "__main__":
    main(sys.argv[1])
