import pytest
import torch
from hypothesis import given

from seattn.attention.effective_squeeze_excitation import EffectiveSE
from tests.references import effective_se_gate
from tests.strategies import feature_maps


@given(x=feature_maps())
def test_gate_is_the_definitions_in_1d_2d_and_3d(x):
    block = EffectiveSE(x.shape[1]).double()
    block.fc.weight.data *= 5  # so that gates of exactly 0 and 1 occur
    expected = effective_se_gate(x, block.fc.weight[:, :, 0, 0], block.fc.bias)
    assert block.gate(x).shape == x.shape[:2] + (1,) * (x.ndim - 2)
    torch.testing.assert_close(block.gate(x).flatten(1), expected, rtol=1e-12, atol=1e-12)


def test_state_dict_has_timms_names_and_shapes():
    shapes = {key: tuple(value.shape) for key, value in EffectiveSE(6).state_dict().items()}
    assert shapes == {"fc.weight": (6, 6, 1, 1), "fc.bias": (6,)}


def test_the_identity_is_not_flat():
    """`F.hardsigmoid` has no gradient at 3: a block that starts there would never learn."""
    block, x = EffectiveSE(8), torch.randn(2, 8, 5, 5)
    block.init_identity_()
    block(x).square().sum().backward()
    assert block.fc.weight.grad.all()
    assert (block.fc.bias.grad > 0).all()


@pytest.mark.parametrize("channels", [0, -1])
def test_impossible_width_is_refused(channels):
    with pytest.raises(ValueError, match=rf"`channels` \(={channels}\) must be positive"):
        EffectiveSE(channels)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_identity_is_exact_in_every_precision_until_the_first_step(dtype):
    block, x = EffectiveSE(32).to(dtype), (torch.randn(2, 32, 5, 7) * 10).to(dtype)
    assert not torch.equal(block(x), x)
    block.init_identity_()
    assert torch.equal(block(x), x)
    block(x).square().mean().backward()
    torch.optim.SGD(block.parameters(), lr=0.1).step()
    assert not torch.equal(block(x), x)
