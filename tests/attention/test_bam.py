import math
import operator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn.attention.bam import BAMBlock
from tests.attention.norms import affine, randomise
from tests.references import bam_gate
from tests.strategies import feature_maps

INPUTS = ((2, 32, 9), (2, 32, 9, 7), (2, 32, 3, 9, 7))
COMBINE = {"sum": operator.add, "product": operator.mul}


@given(x=feature_maps(), dilation=st.integers(1, 4), combine=st.sampled_from(sorted(COMBINE)))
def test_gate_is_the_papers_and_the_authors_in_1d_2d_and_3d(x, dilation, combine):
    block = BAMBlock(
        x.shape[1],
        hidden_channels=3,
        dilation=dilation,
        combine=combine,
        spatial_dims=x.ndim - 2,
    )
    randomise(block).double().eval()
    channel, spatial = block.channel, block.spatial
    expected = bam_gate(
        x,
        [(fc.weight.detach()[:, :, 0, 0], fc.bias.detach()) for fc in (channel.fc1, channel.fc2)],
        [
            (conv.weight.detach(), conv.bias.detach())
            for conv in (spatial.conv0, spatial.conv1, spatial.conv2, spatial.conv3)
        ],
        (affine(channel.bn), [affine(bn) for bn in (spatial.bn0, spatial.bn1, spatial.bn2)]),
        dilation,
        COMBINE[combine],
    )
    torch.testing.assert_close(block.gate(x), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", INPUTS)
def test_children_return_the_two_branches(shape):
    block, x = BAMBlock(32, spatial_dims=len(shape) - 2), torch.randn(shape)
    channel, spatial = block.channel(x), block.spatial(x)
    assert channel.shape == shape[:2] + (1,) * (len(shape) - 2)
    assert spatial.shape == (2, 1, *shape[2:])
    assert torch.equal(block.gate(x), 1 + torch.sigmoid(channel + spatial))


def test_a_slice_alone_is_an_image():
    flat, deep = randomise(BAMBlock(32)).eval(), BAMBlock(32, spatial_dims=3).eval()
    state = flat.state_dict()
    for name in [name for name in state if name.startswith("spatial.conv") and "weight" in name]:
        kernel = torch.zeros_like(deep.state_dict()[name])
        kernel[:, :, kernel.shape[2] // 2] = state[name]
        state[name] = kernel
    deep.load_state_dict(state)
    x = torch.randn(2, 32, 9, 7)
    torch.testing.assert_close(deep(x[:, :, None])[:, :, 0], flat(x))


def test_channel_layers_have_one_shape_for_every_rank():
    shapes = [
        {name: v.shape for name, v in BAMBlock(32, spatial_dims=n).channel.state_dict().items()}
        for n in (1, 2, 3)
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_state_dict_names_and_widths():
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    layers = ["channel.fc1", "channel.bn", "channel.fc2"]
    layers += [f"spatial.{kind}{i}" for i in range(3) for kind in ("conv", "bn")]
    layers += ["spatial.conv3"]
    state = BAMBlock(40, 8).state_dict()
    assert list(state) == [
        f"{layer}.{name}"
        for layer in layers
        for name in (norm if "bn" in layer else ["weight", "bias"])
    ]
    assert state["channel.fc1.weight"].shape == (5, 40, 1, 1)
    assert state["spatial.conv0.weight"].shape == (5, 40, 1, 1)
    assert state["spatial.conv2.weight"].shape == (5, 5, 3, 3)
    assert state["spatial.conv3.weight"].shape == (1, 5, 1, 1)


def test_the_papers_defaults():
    block = BAMBlock(64)
    assert block.channel.fc1.out_channels == 4
    assert block.spatial.conv1.dilation == block.spatial.conv2.dilation == (4, 4)
    assert block.combine == "sum"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 8}, r"`reduction` \(=16\) must not exceed `channels` \(=8\)"),
        ({"channels": 8, "hidden_channels": 0}, r"`hidden_channels` \(=0\) must be positive"),
        ({"channels": 32, "dilation": 0}, r"`dilation` \(=0\) must be positive"),
        ({"channels": 32, "combine": "max"}, r"`combine` \(='max'\) must be 'sum' or 'product'"),
        ({"channels": 32, "spatial_dims": 4}, r"`spatial_dims` \(=4\) must be 1, 2 or 3"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BAMBlock(**arguments)


@pytest.mark.parametrize("shape", [(2, 32, 7), (2, 31, 7, 7), (32, 7, 7), (2, 32, 3, 7, 7)])
def test_input_of_another_layout_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(=2\) this block takes \(N, 32, H, W\)"):
        BAMBlock(32)(torch.randn(shape))


@pytest.mark.parametrize("combine", COMBINE)
def test_zero_logits_gate_by_one_and_a_half(combine):
    block, x = BAMBlock(32, combine=combine), torch.randn(2, 32, 5, 7)
    for layer in (block.channel.fc2, block.spatial.conv3):
        nn.init.zeros_(layer.weight)
    assert torch.equal(block(x), x * 1.5)


def test_training_refuses_a_single_map_as_batchnorm_does():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        BAMBlock(32).train()(torch.randn(1, 32, 5, 7))


def test_weights_start_as_documented():
    block = BAMBlock(1024, hidden_channels=512)
    assert block.channel.fc1.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.01)
    assert block.channel.fc2.weight.std().item() == pytest.approx(math.sqrt(2 / 1024), rel=0.01)
    kernel = block.spatial.conv1.weight
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / (512 * 9)), rel=0.01)
    for name, parameter in block.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
