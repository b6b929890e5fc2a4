"""Errors against float64, beside those of the plain modules in the same dtype."""

import copy

import pytest
import torch
from torch import Tensor, nn

from seattn.ops import batch_norm_act, operators
from tests.ops.plain import Tail, assert_equal, both, maps, plain, results


def error(got: Tensor, exact: Tensor) -> float:
    """The root mean square error, relative to the root mean square of ``exact``."""
    return ((got - exact).norm() / exact.norm()).item()


def errors(tail: Tail, *args: Tensor) -> list[tuple[str, float, float]]:
    """Of every result: its name, the error of the fused, the error of the plain tail."""
    exact = results(copy.deepcopy(tail).double(), *(t.double() for t in args))
    fused, unfused = both(tail, *args)
    assert fused.keys() == exact.keys()
    for name, value in unfused.items():
        assert fused[name].dtype == value.dtype, name
    names = [name for name, value in exact.items() if value.is_floating_point()]
    return [(k, error(fused[k], exact[k]), error(unfused[k], exact[k])) for k in names]


class Autocast(nn.Module):
    """A tail whose forward runs under autocast."""

    def __init__(self, tail: Tail, dtype: torch.dtype, enabled: bool = True):
        super().__init__()
        self.tail, self.dtype, self.enabled = tail, dtype, enabled

    @property
    def fused(self) -> bool:
        return self.tail.fused

    @fused.setter
    def fused(self, value: bool) -> None:
        self.tail.fused = value

    def double(self) -> "Autocast":
        self.enabled = False
        return super().double()

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype, enabled=self.enabled):
            return self.tail(x, shortcut)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gate", ["se", None])
@pytest.mark.parametrize("shortcut", ["map", "norm", None])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_error_under_autocast_is_not_above_that_of_the_modules(dtype, shortcut, gate, training):
    x, added, grad = (t.to(dtype) for t in maps(6, 32, 7, 7, dtype=torch.float32))
    tail = Tail(x.float(), gate=gate, shortcut=shortcut).train(training)
    for name, ours, theirs in errors(Autocast(tail, dtype), x, added, grad):
        assert ours <= 1.05 * theirs + 1e-6, name


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gate", ["se", None])
@pytest.mark.parametrize("shortcut", ["map", "norm", None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_error_of_a_network_in_one_dtype_is_of_the_modules_size(dtype, shortcut, gate, training):
    """Not below it each time: both round the gate, and a flipped ReLU in it weighs more."""
    x, added, grad = maps(6, 32, 7, 7, dtype=dtype)
    tail = Tail(x, gate=gate, shortcut=shortcut).train(training)
    for name, ours, theirs in errors(tail, x, added, grad):
        assert ours <= 3 * theirs + torch.finfo(dtype).eps, name


def test_float32_of_every_precision_of_input_is_kept_by_statistics():
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        mean, m2 = operators.moments(torch.randn(2, 9, 4).to(dtype))
        assert (mean.dtype, m2.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize("offset", [0, 10, 1000])
def test_variance_survives_a_mean_far_from_zero(offset):
    """``E[x^2] - E[x]^2`` in float32 loses 30 % of it at a mean of 1000."""
    x = torch.randn(4, 200, 16) + offset
    mean, m2 = operators.moments(x)
    exact = x.double()
    torch.testing.assert_close(mean.double(), exact.mean(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(m2.double(), exact.var(1, correction=0) * 200, rtol=1e-4, atol=0)


def test_different_dtypes_are_promoted_as_by_the_addition():
    x, added, _ = maps(3, 8, 4, 4, dtype=torch.float32)
    norm = nn.BatchNorm2d(8)
    for x_dtype, dtype in ((torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)):
        got = batch_norm_act(x.to(x_dtype), norm, shortcut=added.to(dtype))
        expected = plain(x.to(x_dtype), norm, shortcut=added.to(dtype))
        assert got.dtype == expected.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=0, atol=3e-2)  # that one rounds BN(x)


def test_autocast_changes_nothing():
    """Its statistics, gate and sums are those outside: autocast rounds none of them."""
    x, added, grad = maps(3, 8, 4, 4, dtype=torch.float32)
    tail = Tail(x)
    tail.fused = True
    inside = results(Autocast(tail, torch.bfloat16), x, added, grad)
    inside = {name.replace("tail.", ""): value for name, value in inside.items()}
    assert_equal(inside, results(tail, x, added, grad), 0)


@pytest.mark.parametrize("training", [True, False])
def test_a_norm_in_bfloat16_computes_in_float32(training):
    x = torch.randn(4, 64, 5, 5).bfloat16()
    norm = nn.BatchNorm2d(64, eps=0.01).bfloat16().train(training)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 2)
    exact = copy.deepcopy(norm).double()
    y, expected = batch_norm_act(x, norm), exact(x.double()).relu()
    # Rounded once: but for ties, the nearest bfloat16.
    pairs = [(y, expected), *zip(norm.buffers(), exact.buffers(), strict=True)]
    for got, value in pairs:
        assert (got == value.to(got.dtype)).double().mean() > 0.99
