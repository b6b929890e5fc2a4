import pytest
import torch
from hypothesis import given

from seattn.attention.spatial_channel_excitation import SCSEBlock
from tests.references import se_gate, spatial_se_gate
from tests.strategies import feature_maps


@given(x=feature_maps())
def test_gate_is_the_sum_of_the_papers_two_in_1d_2d_and_3d(x):
    block = SCSEBlock(x.shape[1], hidden_channels=3).double()
    first, second, only = block.cSE[1], block.cSE[3], block.sSE[0]
    channel = se_gate(
        x,
        (first.weight[:, :, 0, 0], second.weight[:, :, 0, 0]),
        (first.bias, second.bias),
        lambda v: max(v, 0.0),
    ).reshape(x.shape[:2] + (1,) * (x.ndim - 2))
    position = spatial_se_gate(x, only.weight.flatten().tolist(), only.bias.item())
    torch.testing.assert_close(block.gate(x), channel + position, rtol=1e-12, atol=1e-12)
    # Scaling first and adding then is what the paper writes.
    torch.testing.assert_close(block(x), x * channel + x * position, rtol=1e-12, atol=1e-12)


def test_state_dict_has_the_names_and_shapes_of_segmentation_models_pytorch():
    shapes = {key: tuple(value.shape) for key, value in SCSEBlock(64).state_dict().items()}
    assert shapes == {
        "cSE.1.weight": (4, 64, 1, 1),
        "cSE.1.bias": (4,),
        "cSE.3.weight": (64, 4, 1, 1),
        "cSE.3.bias": (64,),
        "sSE.0.weight": (1, 64, 1, 1),
        "sSE.0.bias": (1,),
    }


def test_both_gates_learn_from_the_identity():
    block = SCSEBlock(32)
    block.init_identity_()
    block(torch.randn(2, 32, 5, 5)).square().sum().backward()
    assert block.cSE[3].weight.grad.any()
    assert block.sSE[0].weight.grad.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_identity_is_exact_in_every_precision_until_the_first_step(dtype):
    block, x = SCSEBlock(32).to(dtype), (torch.randn(2, 32, 5, 7) * 10).to(dtype)
    assert not torch.equal(block(x), x)
    block.init_identity_()
    assert torch.equal(block(x), x)
    block(x).square().mean().backward()
    torch.optim.SGD(block.parameters(), lr=0.1).step()
    assert not torch.equal(block(x), x)


def test_the_hidden_layer_is_not_rectified_in_place():
    block, seen = SCSEBlock(32, hidden_channels=16), []
    block.cSE[1].register_forward_hook(lambda module, args, output: seen.append(output))
    block(torch.randn(2, 32, 5, 5))
    assert (seen[0] < 0).any()
