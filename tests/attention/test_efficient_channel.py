import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seattn.attention.efficient_channel import ECABlock
from tests.references import eca_gate
from tests.strategies import feature_maps


@given(x=feature_maps(), kernel_size=st.sampled_from([None, 1, 3, 5, 9]))
def test_gate_is_the_papers_in_1d_2d_and_3d(x, kernel_size):
    block = ECABlock(x.shape[1], kernel_size=kernel_size).double()
    expected = eca_gate(x, block.conv.weight.flatten().tolist())
    assert block.gate(x).shape == x.shape[:2] + (1,) * (x.ndim - 2)
    torch.testing.assert_close(block.gate(x).flatten(1), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "kernel_size"),
    [
        ({"channels": 1}, 3),
        ({"channels": 64}, 3),
        ({"channels": 127}, 3),
        ({"channels": 128}, 5),
        ({"channels": 1024}, 5),
        ({"channels": 2048}, 7),
        ({"channels": 2048, "gamma": 1}, 13),
        ({"channels": 2048, "beta": -5}, 3),
        ({"channels": 2048, "beta": -30}, 9),
        ({"channels": 2048, "kernel_size": 3}, 3),
        ({"channels": 2048, "kernel_size": 1}, 1),
    ],
)
def test_kernel_size(arguments, kernel_size):
    block = ECABlock(**arguments)
    assert {k: tuple(v.shape) for k, v in block.state_dict().items()} == {
        "conv.weight": (1, 1, kernel_size)
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, r"`channels` \(=0\) must be positive"),
        ({"channels": 8, "kernel_size": 4}, r"`kernel_size` \(=4\) must be odd and positive"),
        ({"channels": 8, "kernel_size": -1}, r"`kernel_size` \(=-1\) must be odd and positive"),
        ({"channels": 8, "gamma": 0}, r"`gamma` \(=0\) must be positive"),
    ],
)
def test_impossible_width_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ECABlock(**arguments)
