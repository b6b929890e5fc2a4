import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seattn.attention.simam import SimAM
from tests.references import simam_gate
from tests.strategies import feature_maps


def official(x: Tensor, e_lambda: float = 1e-4) -> Tensor:
    """The released definition: the inverse energy with n = H W - 1."""
    n = x.shape[2] * x.shape[3] - 1
    square = (x - x.mean(dim=(2, 3), keepdim=True)) ** 2
    y = square / (4 * (square.sum(dim=(2, 3), keepdim=True) / n + e_lambda)) + 0.5
    return x * torch.sigmoid(y)


@given(x=feature_maps(), regularisation=st.sampled_from([1e-4, 0.3]))
def test_gate_is_the_papers_in_1d_2d_and_3d(x, regularisation):
    gate = SimAM(regularisation=regularisation).gate(x)
    assert gate.shape == x.shape
    torch.testing.assert_close(gate, simam_gate(x, regularisation), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 16, 7, 5), (1, 3, 1, 2), (2, 64, 14, 14)])
def test_block_is_the_released_one(shape):
    x = torch.randn(shape)
    torch.testing.assert_close(SimAM(shape[1])(x), official(x), rtol=1e-6, atol=1e-6)


def test_a_single_position_is_finite_where_the_released_code_is_not():
    x = torch.randn(2, 4, 1, 1)
    assert official(x).isnan().all()
    torch.testing.assert_close(SimAM()(x), x * torch.sigmoid(torch.tensor(0.5)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype):
    x = (torch.randn(1, 2, 64, 64) * 500).to(dtype)  # a square is 250 000, float16 ends at 65 504
    gate = SimAM().gate(x)
    assert gate.dtype == dtype
    expected = SimAM().gate(x.float())
    torch.testing.assert_close(gate.float(), expected, rtol=2**-8, atol=0)


def test_there_is_nothing_to_learn():
    assert not SimAM(8).state_dict()


def test_channels_are_held_to_where_they_are_given():
    x = torch.randn(1, 8, 3, 3)
    assert torch.equal(SimAM(8)(x), SimAM()(x))
    with pytest.raises(ValueError, match=r"this block takes \(N, 9, \*spatial\)"):
        SimAM(9)(x)
    with pytest.raises(ValueError, match=r"this block takes \(N, C, \*spatial\)"):
        SimAM()(x[0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, r"`channels` \(=0\) must be positive"),
        ({"regularisation": 0}, r"`regularisation` \(=0\) must be positive"),
        ({"regularisation": float("nan")}, r"`regularisation` \(=nan\) must be positive"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SimAM(**arguments)
