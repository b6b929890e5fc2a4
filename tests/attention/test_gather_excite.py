import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn.attention.gather_excite import GatherExcite
from seattn.attention.squeeze_excitation import SEBlock
from tests.attention.norms import affine, randomise
from tests.references import gather_excite_gate
from tests.strategies import feature_maps


def layers(block: GatherExcite) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights and biases of the two layers, if there are any."""
    found = [m for m in block.mlp.modules() if hasattr(m, "bias")]
    return [(layer.weight.detach(), layer.bias.detach()) for layer in found]


@given(x=feature_maps(), extent=st.sampled_from([2, 4, 8, None]), mlp=st.booleans())
def test_gathering_means_is_the_papers_in_1d_2d_and_3d(x, extent, mlp):
    block = GatherExcite(
        x.shape[1], extent=extent, mlp=mlp, hidden_channels=3, spatial_dims=x.ndim - 2
    )
    randomise(block).double()
    # A window of extent 8 around the first of 5 positions is the whole map.
    expected = gather_excite_gate(x, extent or 8, mlp=layers(block))
    torch.testing.assert_close(block.gate(x).expand_as(x), expected, rtol=1e-11, atol=1e-11)


@given(x=feature_maps(), extent=st.sampled_from([2, 4, 8]), mlp=st.booleans())
def test_learnt_gathering_is_the_papers_in_1d_2d_and_3d(x, extent, mlp):
    block = GatherExcite(
        x.shape[1],
        extent=extent,
        learn_gather=True,
        mlp=mlp,
        hidden_channels=3,
        spatial_dims=x.ndim - 2,
    )
    gather = randomise(block).double().eval().gather
    halvings = [
        (gather.get_submodule(f"conv{i}").weight.detach(), affine(gather.get_submodule(f"norm{i}")))
        for i in range(1, extent.bit_length())
    ]
    expected = gather_excite_gate(x, extent, halvings, layers(block))
    torch.testing.assert_close(block.gate(x), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mlp", [False, True])
@pytest.mark.parametrize("space", [(5,), (5, 4), (3, 5, 4)])
def test_learnt_gathering_of_the_whole_map_weighs_every_position(space, mlp):
    block = GatherExcite(16, learn_gather=True, mlp=mlp, map_size=space, spatial_dims=len(space))
    x = torch.randn(2, 16, *space)
    randomise(block).eval()
    scale, shift = affine(block.gather.norm1)
    gathered = (x * block.gather.conv1.weight[:, 0]).flatten(2).sum(2) * scale + shift
    if mlp:
        (w1, b1), (w2, b2) = layers(block)
        hidden = (gathered.relu() @ w1.flatten(1).T + b1).relu()
        gathered = hidden @ w2.flatten(1).T + b2
    assert block.gate(x).shape == (2, 16) + (1,) * len(space)
    torch.testing.assert_close(block.gate(x).flatten(1), gathered.sigmoid())
    with pytest.raises(ValueError, match=rf"takes \(N, 16, {', '.join(map(str, space))}\)"):
        block(torch.randn(2, 16, *(size + 1 for size in space)))


@pytest.mark.parametrize("space", [(5,), (5, 4), (3, 5, 4)])
def test_a_mean_of_the_whole_map_and_layers_are_squeeze_and_excitation(space):
    block, se = GatherExcite(32, mlp=True, spatial_dims=len(space)), SEBlock(32)
    for i, layer in enumerate((se.fc1, se.fc2)):
        weight, bias = layers(block)[i]
        layer.weight.data, layer.bias.data = weight.reshape(layer.weight.shape), bias
    x = torch.randn(2, 32, *space)
    torch.testing.assert_close(block(x), se(x))


def test_the_default_is_the_sigmoid_of_the_mean_and_has_no_parameters():
    block, x = GatherExcite(32), torch.randn(2, 32, 5, 7)
    assert not block.state_dict()
    torch.testing.assert_close(block(x), x * x.mean((2, 3), keepdim=True).sigmoid())


@pytest.mark.parametrize("extent", [2, 4, 8])
@pytest.mark.parametrize("learn_gather", [False, True])
def test_gathered_maps_are_smaller_by_the_extent(extent, learn_gather):
    block = GatherExcite(16, extent=extent, learn_gather=learn_gather)
    for height, width in ((16, 24), (15, 1), (17, 9)):
        small = block.gather(torch.randn(2, 16, height, width)).shape[2:]
        assert small == (math.ceil(height / extent), math.ceil(width / extent))


def test_a_gate_belongs_to_a_square_of_the_extent():
    gate = GatherExcite(16, extent=4).gate(torch.randn(2, 16, 12, 8))
    squares = gate.unfold(2, 4, 4).unfold(3, 4, 4)
    assert torch.equal(squares, squares[..., :1, :1].expand_as(squares))
    assert gate.unique().numel() == 2 * 16 * 3 * 2


@pytest.mark.parametrize("mlp", [False, True])
def test_state_dict_has_timms_names(mlp):
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    state = GatherExcite(64, 8, extent=4, learn_gather=True, mlp=mlp).state_dict()
    expected = [
        key
        for i in (1, 2)
        for key in (f"gather.conv{i}.weight", *(f"gather.norm{i}.{name}" for name in norm))
    ]
    if mlp:
        expected += [f"mlp.fc{i}.{name}" for i in (1, 2) for name in ("weight", "bias")]
        assert state["mlp.fc1.weight"].shape == (8, 64, 1, 1)
    assert list(state) == expected
    assert state["gather.conv2.weight"].shape == (64, 1, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, r"`channels` \(=0\) must be positive"),
        ({"channels": 8, "mlp": True}, r"`reduction` \(=16\) must not exceed `channels` \(=8\)"),
        ({"channels": 8, "extent": 1}, r"`extent` \(=1\) must be a power of two from 2 on"),
        ({"channels": 8, "extent": 6}, r"`extent` \(=6\) must be a power of two from 2 on"),
        ({"channels": 8, "extent": -2}, r"`extent` \(=-2\) must be a power of two from 2 on"),
        ({"channels": 8, "spatial_dims": 4}, r"`spatial_dims` \(=4\) must be 1, 2 or 3"),
        ({"channels": 8, "learn_gather": True}, r"`map_size` \(=None\) belongs to a learnt"),
        ({"channels": 8, "map_size": (7, 7)}, r"`map_size` \(=\(7, 7\)\) belongs to a learnt"),
        (
            {"channels": 8, "learn_gather": True, "extent": 2, "map_size": (7, 7)},
            r"`map_size` \(=\(7, 7\)\) belongs to a learnt",
        ),
        (
            {"channels": 8, "learn_gather": True, "map_size": (7,)},
            r"`map_size` \(=\(7,\)\) must be 2 positive sizes",
        ),
        (
            {"channels": 8, "learn_gather": True, "map_size": (7, 0)},
            r"`map_size` \(=\(7, 0\)\) must be 2 positive sizes",
        ),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GatherExcite(**arguments)


@pytest.mark.parametrize("shape", [(2, 32, 7), (2, 31, 7, 7), (32, 7, 7), (2, 32, 3, 7, 7)])
def test_input_of_another_layout_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(=2\) this block takes \(N, 32, H, W\)"):
        GatherExcite(32)(torch.randn(shape))


@pytest.mark.parametrize("mlp", [False, True])
def test_zero_logits_gate_by_a_half(mlp):
    block = GatherExcite(32, extent=2, learn_gather=True, mlp=mlp)
    for parameter in (block.mlp.fc2 if mlp else block.gather.norm1).parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 32, 5, 7)
    assert torch.equal(block(x), x / 2)


def test_weights_start_as_documented():
    block = GatherExcite(4096, extent=2, learn_gather=True, mlp=True, hidden_channels=64)
    assert block.gather.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.02)
    assert block.mlp.fc1.weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.02)
    assert block.mlp.fc2.weight.std().item() == pytest.approx(math.sqrt(2 / 4096), rel=0.02)
