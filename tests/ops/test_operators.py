import copy
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seattn.ops import affine, operators, reference

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def arguments(dtype=torch.float32, shape=(2, 5, 11)):
    """x, a shortcut, a gradient; vectors scale, shift, slope, offset; a mask."""
    torch.manual_seed(0)
    tall = [torch.randn(shape).to(dtype) for _ in range(3)]
    vectors = [
        torch.randn(shape[0], shape[2], dtype=reference.statistics_dtype(tall[0])) for _ in range(4)
    ]
    mask = operators.affine_act(tall[0], *vectors[:2], tall[1], None, True, True)[1]
    return *tall, *vectors, mask


def calls(dtype):
    x, added, grad, scale, shift, slope, offset, mask = arguments(dtype)
    yield operators.moments, (x,)
    for relu, keep in ((True, True), (True, False), (False, False)):
        yield operators.affine_act, (x, scale, shift, None, None, relu, keep)
        yield operators.affine_act, (x, scale, shift, added, None, relu, keep)
        yield operators.affine_act, (x, scale, shift, added, slope, relu, keep)
    for relu, given_mask in ((True, mask), (True, None), (False, None)):
        yield operators.affine_act_reduce, (grad, x, scale, shift, given_mask, None, relu)
        yield operators.affine_act_reduce, (grad, x, scale, shift, given_mask, added, relu)
    for given_shift in (shift, None):
        for given_slope in (slope, None):
            yield (
                operators.affine_act_apply,
                (grad, x, scale, given_shift, given_slope, offset),
            )
    yield operators.silu_squeeze, (x, scale, shift)
    yield operators.silu_gate, (x, scale, shift, offset)
    yield operators.silu_gate_reduce, (grad, x, scale, shift)
    for given_slope in (slope, None):
        rest = (scale, shift, offset, shift, given_slope, offset)
        yield operators.silu_gate_apply, (grad, x, *rest)


@pytest.mark.parametrize("dtype", DTYPES)
def test_operators_keep_the_rules_of_torch(dtype):
    """Schema, shapes for the compiler, and the compiler itself, with sizes fixed and free."""
    for operator, args in calls(dtype):
        torch.library.opcheck(operator, args)


@pytest.mark.parametrize("name", operators.__all__)
def test_cuda_has_a_kernel_of_its_own(name):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"seattn::{name}", "CUDA")


@pytest.mark.parametrize(("dtype", "triton"), [(torch.float64, object()), (torch.float32, None)])
def test_float64_and_all_without_triton_run_in_plain_torch_on_cuda(dtype, triton, monkeypatch):
    monkeypatch.setattr(operators.importlib.util, "find_spec", lambda name: triton)
    for kernels in ("kernels", "silu_kernels"):  # importing one is an error
        monkeypatch.setitem(sys.modules, f"seattn.ops.{kernels}", None)
    for operator, args in calls(dtype):
        name = operator._name
        got = operators.run_on_cuda(name)(*args)
        torch.testing.assert_close(got, getattr(reference, name)(*args), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_contiguous_and_of_the_dtype_of_the_map_or_of_its_sums(dtype):
    for operator, args in calls(dtype):
        for result in torch.utils._pytree.tree_leaves(operator(*args)):
            assert result.is_contiguous()
            if result.ndim == 3 and result.dtype != torch.uint8:
                assert result.dtype == dtype
            if result.ndim == 2:
                assert result.dtype == reference.statistics_dtype(args[0])


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 19))
def test_mask_is_one_bit_a_value_and_says_where_the_relu_is_open(n, p, c):
    x, added, grad, scale, shift, *_ = arguments(torch.float64, (n, p, c))
    y, mask = operators.affine_act(x, scale, shift, added, None, True, True)
    assert (mask.shape, mask.dtype) == ((n, p, (c + 7) // 8), torch.uint8)
    masked, *sums = operators.affine_act_reduce(grad, x, scale, shift, mask, added, True)
    assert torch.equal(masked, grad * (y > 0))
    expected = [(masked * other).sum(1) for other in (x, torch.ones_like(x), added)]
    torch.testing.assert_close(sums, expected, rtol=1e-13, atol=1e-13)


def test_mask_is_the_same_with_and_without_a_shortcut_of_zeros():
    x, added, grad, scale, shift, *_ = arguments()
    zeros = torch.zeros_like(x)
    mask = operators.affine_act(x, scale, shift, zeros, None, True, True)[1]
    stored = operators.affine_act_reduce(grad, x, scale, shift, mask, None, True)
    found_again = operators.affine_act_reduce(grad, x, scale, shift, None, None, True)
    assert found_again[0].numel() == 0
    for one, other in zip(stored[1:], found_again[1:], strict=True):
        assert torch.equal(one, other)


def test_moments_of_a_map_may_be_used_in_any_way():
    """Here: instance norm, whose variance no batch norm uses like this."""
    x, _, grad, *_ = arguments(torch.float64)
    outputs, gradients = [], []
    for fused in (True, False):
        leaf = copy.deepcopy(x).requires_grad_()
        if fused:
            measured = affine.moments(leaf, uses_m2=True, alone=True)
            scale = (measured.m2 / x.shape[1] + 1e-5).rsqrt()
            y = affine.affine_act(measured, scale, -scale * measured.mean, relu=True)
        else:
            y = torch.nn.functional.instance_norm(leaf.mT).mT.relu()
        y.backward(grad)
        outputs.append(y.detach())
        gradients.append(leaf.grad)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)
