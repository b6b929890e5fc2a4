import math

import pytest
import torch
from hypothesis import given
from torch import nn

from seattn.attention.cbam import CBAMBlock
from tests.references import cbam_gate
from tests.strategies import feature_maps

INPUTS = ((2, 32, 9), (2, 32, 9, 7), (2, 32, 3, 9, 7))


def randomise(block: CBAMBlock) -> CBAMBlock:
    """Give biases and BatchNorm values that a formula cannot ignore."""
    for name, tensor in block.state_dict().items():
        if name.endswith(("bn.weight", "running_var")):
            nn.init.uniform_(tensor, 0.5, 1.5)
        elif name.endswith(("bias", "running_mean")):
            nn.init.normal_(tensor)
    return block


@given(x=feature_maps())
def test_gate_is_the_papers_in_1d_2d_and_3d(x):
    block = CBAMBlock(
        x.shape[1], hidden_channels=3, kernel_size=3, bias=True, spatial_dims=x.ndim - 2
    )
    fc1, fc2, (conv, bn) = block.channel.fc1, block.channel.fc2, block.spatial.conv
    randomise(block).double().eval()
    scale = bn.weight.item() / math.sqrt(bn.running_var.item() + bn.eps)
    expected = cbam_gate(
        x,
        (fc1.weight[:, :, 0, 0], fc2.weight[:, :, 0, 0]),
        (fc1.bias, fc2.bias),
        conv.weight[0].detach(),
        lambda v: (v - bn.running_mean.item()) * scale + bn.bias.item(),
    )
    torch.testing.assert_close(block.gate(x), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", INPUTS)
def test_children_return_the_two_gates(shape):
    block = CBAMBlock(32, spatial_dims=len(shape) - 2)
    x = torch.randn(shape)
    channel = block.channel(x)
    spatial = block.spatial(x * channel)
    assert channel.shape == shape[:2] + (1,) * (len(shape) - 2)
    assert spatial.shape == (2, 1, *shape[2:])
    assert torch.equal(block.gate(x), channel * spatial)


@pytest.mark.parametrize(("rank", "extra"), [(1, ()), (3, (1,))])
def test_other_ranks_agree_with_2d(rank, extra):
    flat = CBAMBlock(32).eval()
    block = CBAMBlock(32, spatial_dims=rank).eval()
    block.channel.load_state_dict(flat.channel.state_dict())
    kernel = flat.spatial.conv.conv.weight.detach()
    other = torch.zeros_like(block.spatial.conv.conv.weight)
    if rank == 1:
        other[:] = kernel[:, :, 3]
        x = torch.randn(2, 32, 1, 9)
    else:
        other[:, :, 3] = kernel
        x = torch.randn(2, 32, 5, 9)
    block.spatial.conv.conv.weight.data = other
    shaped = x.reshape(2, 32, *extra, *(x.shape[-1:] if rank == 1 else x.shape[2:]))
    torch.testing.assert_close(block(shaped).reshape(x.shape), flat(x))


def test_channel_layers_have_one_shape_for_every_rank():
    shapes = [
        {name: v.shape for name, v in CBAMBlock(32, spatial_dims=n).channel.state_dict().items()}
        for n in (1, 2, 3)
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_pool_order_swaps_what_the_kernel_reads():
    ours, authors = CBAMBlock(32).eval(), CBAMBlock(32, pool_order="max_mean").eval()
    authors.load_state_dict(ours.state_dict())
    x = torch.randn(2, 32, 9, 7)
    assert not torch.allclose(authors(x), ours(x))
    authors.spatial.conv.conv.weight.data = ours.spatial.conv.conv.weight.data.flip(1)
    torch.testing.assert_close(authors(x), ours(x))


def test_there_are_no_biases_unless_asked_for():
    assert list(CBAMBlock(32).channel.state_dict()) == ["fc1.weight", "fc2.weight"]


@pytest.mark.parametrize("bias", [False, True])
def test_state_dict_has_timms_names(bias):
    names = ["weight", "bias"] if bias else ["weight"]
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(CBAMBlock(32, bias=bias).state_dict()) == [
        *(f"channel.{layer}.{name}" for layer in ("fc1", "fc2") for name in names),
        "spatial.conv.conv.weight",
        *(f"spatial.conv.bn.{name}" for name in norm),
    ]


@pytest.mark.parametrize(
    ("block", "hidden", "kernel"),
    [
        (CBAMBlock(64), 4, (7, 7)),
        (CBAMBlock(40, 8, kernel_size=3), 5, (3, 3)),
        (CBAMBlock(6, hidden_channels=5, spatial_dims=3, kernel_size=1), 5, (1, 1, 1)),
        (CBAMBlock(16, spatial_dims=1), 1, (7,)),
    ],
)
def test_widths(block, hidden, kernel):
    assert block.channel.fc1.weight.shape == (hidden, block.channels, 1, 1)
    assert block.channel.fc2.weight.shape == (block.channels, hidden, 1, 1)
    assert block.spatial.conv.conv.weight.shape == (1, 2, *kernel)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 8}, r"`reduction` \(=16\) must not exceed `channels` \(=8\)"),
        ({"channels": 8, "hidden_channels": 0}, r"`hidden_channels` \(=0\) must be positive"),
        ({"channels": 32, "kernel_size": 4}, r"`kernel_size` \(=4\) must be odd and positive"),
        ({"channels": 32, "kernel_size": -1}, r"`kernel_size` \(=-1\) must be odd and positive"),
        ({"channels": 32, "pool_order": "max"}, r"`pool_order` \(='max'\) must be 'mean_max' or"),
        ({"channels": 32, "spatial_dims": 4}, r"`spatial_dims` \(=4\) must be 1, 2 or 3"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CBAMBlock(**arguments)


@pytest.mark.parametrize(
    ("rank", "shape", "layout"),
    [
        (1, (2, 32, 7, 7), r"\(=1\) this block takes \(N, 32, W\)"),
        (2, (2, 32, 7), r"\(=2\) this block takes \(N, 32, H, W\)"),
        (2, (2, 31, 7, 7), r"\(N, 32, H, W\)"),
        (2, (32, 7, 7), r"\(N, 32, H, W\)"),
        (3, (2, 32, 7, 7), r"\(=3\) this block takes \(N, 32, D, H, W\)"),
    ],
)
def test_input_of_another_layout_is_refused(rank, shape, layout):
    with pytest.raises(ValueError, match=layout):
        CBAMBlock(32, spatial_dims=rank)(torch.randn(shape))


def test_zero_logits_gate_by_a_quarter():
    block = CBAMBlock(32)
    nn.init.zeros_(block.channel.fc2.weight)
    nn.init.zeros_(block.spatial.conv.bn.weight)
    x = torch.randn(2, 32, 5, 7)
    assert torch.equal(block(x), x / 4)


def test_weights_start_as_documented():
    block = CBAMBlock(1024, hidden_channels=512, bias=True, kernel_size=31)
    fc1, fc2, kernel = block.channel.fc1, block.channel.fc2, block.spatial.conv.conv
    assert fc1.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.01)
    assert fc2.weight.std().item() == pytest.approx(math.sqrt(2 / 1024), rel=0.01)
    assert kernel.weight.std().item() == pytest.approx(math.sqrt(2 / 31**2), rel=0.1)
    assert not fc1.bias.any()
    assert not fc2.bias.any()
