"""The operators of inference in plain torch; `test_kernels` compares the kernels with them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn.ops import dense

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def calls(dtype):
    torch.manual_seed(0)
    x, shortcut = torch.randn(2, 5, 6, 3).to(dtype), torch.randn(2, 3, 3, 8).to(dtype)
    wide = dense.statistics_dtype(x)
    weight, bias, scale = torch.randn(8, 3).to(dtype), torch.randn(8).to(dtype), torch.rand(2, 8)
    for given_scale, given_shortcut in ((None, None), (scale.to(wide), shortcut)):
        yield "pointwise_act", (x, weight, bias, given_scale, given_shortcut, 2, True, 0)
    yield "gathered_act", (x, torch.randn(8, 3, 3, 3).to(dtype), bias, 2, 1, True)
    expand, expand_bias = torch.randn(4, 8).to(dtype), torch.randn(4).to(dtype)
    yield "excitation", (x, weight, bias, expand, expand_bias)
    yield "max_pool", (x, 3, 2, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_operators_keep_the_rules_of_torch(dtype):
    for name, args in calls(dtype):
        torch.library.opcheck(getattr(dense, name), args)


@pytest.mark.parametrize("name", [name for name in dense.__all__ if name != "LAUNCHES"])
def test_cuda_has_a_kernel_of_its_own(name):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"seattn::{name}", "CUDA")


@given(
    st.tuples(*[st.integers(1, 9)] * 2),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_pointwise_is_the_convolution_and_all_behind_it(sides, stride, scaled, added, relu):
    conv = nn.Conv2d(3, 5, 1, stride=stride).double()
    x = torch.randn(2, 3, *sides, dtype=torch.float64)
    expected = conv(x)
    scale = torch.rand(2, 5, dtype=torch.float64) if scaled else None
    shortcut = torch.randn_like(expected) if added else None
    if scale is not None:
        expected = expected * scale[:, :, None, None]
    if shortcut is not None:
        expected = expected + shortcut
    expected = expected.relu() if relu else expected
    nhwc = None if shortcut is None else shortcut.permute(0, 2, 3, 1).contiguous()
    found = dense.pointwise_act(
        x.permute(0, 2, 3, 1).contiguous(),
        conv.weight.flatten(1),
        conv.bias,
        scale,
        nhwc,
        stride,
        relu,
        0,
    )
    torch.testing.assert_close(found.permute(0, 3, 1, 2), expected, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 1))
def test_gathered_is_the_convolution_and_its_activation(channels, side, stride, padding):
    conv = nn.Conv2d(channels, 5, side, stride=stride, padding=padding).double()
    x = torch.randn(2, channels, 7, 6, dtype=torch.float64)
    found = dense.gathered_act(
        x.permute(0, 2, 3, 1).contiguous(),
        conv.weight.permute(0, 2, 3, 1).contiguous(),
        conv.bias,
        stride,
        padding,
        True,
    )
    expected = conv(x).relu()
    torch.testing.assert_close(found.permute(0, 3, 1, 2), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("pixels", "rows", "images"), [(49, 64, 3), (49, 128, 4), (3136, 128, 2), (1, 32, 32)]
)
def test_span_is_the_most_images_that_rows_can_be_of(pixels, rows, images):
    pytest.importorskip("triton")
    from seattn.ops.dense_kernels import span

    assert span(pixels, rows) == images
    starts = range(pixels)
    assert images == max((start + rows - 1) // pixels + 1 for start in starts)
