import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn.attention.coordinate import CoordAttention
from tests.references import coordinate_gates


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 2**16),
)
def test_gate_is_the_papers(shape, seed):
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64) * 3
    block = CoordAttention(shape[1], hidden_channels=3, bias=True).double().eval()
    bn = block.bn1
    for tensor in (bn.bias, bn.running_mean, *(c.bias for c in block.children() if c is not bn)):
        nn.init.normal_(tensor)
    for tensor in (bn.weight, bn.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    scale = (bn.weight / (bn.running_var + bn.eps).sqrt()).tolist()
    shift, mean = bn.bias.tolist(), bn.running_mean.tolist()
    layers = (block.conv1, block.conv_h, block.conv_w)
    expected = coordinate_gates(
        x,
        tuple(layer.weight[:, :, 0, 0] for layer in layers),
        tuple(layer.bias for layer in layers),
        lambda v, i: (v - mean[i]) * scale[i] + shift[i],
    )
    torch.testing.assert_close(block.gate(x), expected, rtol=1e-11, atol=1e-11)


def test_gate_is_the_product_of_rows_and_columns():
    block, x = CoordAttention(64), torch.randn(2, 64, 5, 7)
    g_h, g_w = block.gates(x)
    assert g_h.shape == (2, 64, 5, 1)
    assert g_w.shape == (2, 64, 1, 7)
    assert torch.equal(block.gate(x), g_h * g_w)


def test_transposed_maps_swap_the_gates():
    block, x = CoordAttention(64).eval(), torch.randn(2, 64, 5, 7)
    swapped = CoordAttention(64).eval()
    state = block.state_dict()
    state["conv_h.weight"], state["conv_w.weight"] = state["conv_w.weight"], state["conv_h.weight"]
    swapped.load_state_dict(state)
    torch.testing.assert_close(swapped(x.mT), block(x).mT)


def test_there_are_no_biases_unless_asked_for():
    block = CoordAttention(32)
    assert block.conv1.bias is block.conv_h.bias is block.conv_w.bias is None


@pytest.mark.parametrize("bias", [False, True])
def test_state_dict_has_timms_names(bias):
    names = ["weight", "bias"] if bias else ["weight"]
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(CoordAttention(32, bias=bias).state_dict()) == [
        *(f"conv1.{name}" for name in names),
        *(f"bn1.{name}" for name in norm),
        *(f"{layer}.{name}" for layer in ("conv_h", "conv_w") for name in names),
    ]


@pytest.mark.parametrize(
    ("block", "hidden"),
    [
        (CoordAttention(64), 2),
        (CoordAttention(40, 8), 5),
        (CoordAttention(6, hidden_channels=8), 8),
    ],
)
def test_hidden_width(block, hidden):
    channels = block.conv1.in_channels
    assert block.conv1.weight.shape == (hidden, channels, 1, 1)
    assert block.bn1.num_features == hidden
    for layer in (block.conv_h, block.conv_w):
        assert layer.weight.shape == (channels, hidden, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 16}, r"`reduction` \(=32\) must not exceed `channels` \(=16\)"),
        ({"channels": 8, "hidden_channels": 0}, r"`hidden_channels` \(=0\) must be positive"),
    ],
)
def test_impossible_width_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CoordAttention(**arguments)


@pytest.mark.parametrize("shape", [(32, 7, 7), (2, 32, 7), (2, 31, 7, 7), (2, 32, 3, 7, 7)])
def test_input_of_another_layout_is_refused(shape):
    with pytest.raises(ValueError, match=r"this block takes \(N, 32, H, W\)"):
        CoordAttention(32)(torch.randn(shape))


def test_zero_logits_gate_by_a_quarter():
    block = CoordAttention(32)
    nn.init.zeros_(block.conv_h.weight)
    nn.init.zeros_(block.conv_w.weight)
    x = torch.randn(2, 32, 5, 7)
    assert torch.equal(block(x), x / 4)


def test_weights_start_as_documented():
    block = CoordAttention(1024, hidden_channels=512, bias=True)
    assert block.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.01)
    for layer in (block.conv_h, block.conv_w):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 1024), rel=0.01)
    for layer in (block.conv1, block.conv_h, block.conv_w):
        assert not layer.bias.any()
