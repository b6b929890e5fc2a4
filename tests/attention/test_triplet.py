import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn.attention.triplet import TripletAttention
from tests.attention.norms import affine, randomise
from tests.references import triplet_gate

BRANCHES = ("cw", "hc", "hw")


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)),
    kernel_size=st.sampled_from([1, 3, 7]),
    seed=st.integers(0, 2**16),
)
def test_gate_is_the_papers(shape, kernel_size, seed):
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64) * 3
    block = randomise(TripletAttention(kernel_size=kernel_size)).double().eval()
    branches = [block.get_submodule(name).conv for name in BRANCHES]
    expected = triplet_gate(
        x,
        [branch.conv.weight.detach() for branch in branches],
        [affine(branch.bn) for branch in branches],
    )
    torch.testing.assert_close(block.gate(x), expected, rtol=1e-11, atol=1e-11)


def test_gate_is_the_mean_of_three():
    block, x = TripletAttention(32), torch.randn(2, 32, 5, 7)
    cw, hc, hw = block.gates(x)
    assert cw.shape == (2, 32, 1, 7)
    assert hc.shape == (2, 32, 5, 1)
    assert hw.shape == (2, 1, 5, 7)
    assert torch.equal(block.gate(x), (cw + hc + hw) / 3)


def test_any_number_of_channels_unless_one_is_given():
    block = TripletAttention()
    for channels in (1, 3, 40):
        assert block(torch.randn(2, channels, 5, 7)).shape == (2, channels, 5, 7)
    with pytest.raises(ValueError, match=r"this block takes \(N, 9, H, W\)"):
        TripletAttention(9)(torch.randn(2, 8, 5, 7))


def test_state_dict_has_the_authors_names():
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    state = TripletAttention(64).state_dict()
    assert list(state) == [
        key
        for branch in BRANCHES
        for key in (f"{branch}.conv.conv.weight", *(f"{branch}.conv.bn.{name}" for name in norm))
    ]
    assert state["hc.conv.conv.weight"].shape == (1, 2, 7, 7)
    assert TripletAttention(64).cw.conv.bn.momentum == 0.01


@pytest.mark.parametrize("shape", [(2, 32, 7), (32, 7, 7), (2, 32, 3, 7, 7)])
def test_input_of_another_rank_is_refused(shape):
    with pytest.raises(ValueError, match=r"this block takes \(N, C, H, W\)"):
        TripletAttention()(torch.randn(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, r"`channels` \(=0\) must be positive"),
        ({"kernel_size": 4}, r"`kernel_size` \(=4\) must be odd and positive"),
        ({"kernel_size": -1}, r"`kernel_size` \(=-1\) must be odd and positive"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TripletAttention(**arguments)


def test_zero_logits_gate_by_exactly_a_half():
    block, x = TripletAttention(32), torch.randn(2, 32, 5, 7)
    for name in BRANCHES:
        nn.init.zeros_(block.get_submodule(name).conv.bn.weight)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(block.to(dtype)(x.to(dtype)), x.to(dtype) / 2)


def test_weights_start_as_documented():
    weights = [b.conv.conv.weight for b in TripletAttention(kernel_size=101).children()]
    for weight in weights:
        assert weight.std().item() == pytest.approx(math.sqrt(2 / 101**2), rel=0.03)
