import copy
import math
import pickle

import pytest
import torch
from hypothesis import given

from seattn.attention import SEBlock, SqueezeExcite
from tests.references import se_gate
from tests.strategies import feature_maps

BLOCKS = (SEBlock, SqueezeExcite)
INPUTS = ((2, 32, 5), (2, 32, 5, 7), (2, 32, 3, 5, 7))


def relu(v: float) -> float:
    return max(v, 0.0)


def silu(v: float) -> float:
    return v / (1 + math.exp(-v))


@pytest.mark.parametrize(("block_class", "activation"), [(SEBlock, relu), (SqueezeExcite, silu)])
@given(x=feature_maps())
def test_gate_is_the_papers_in_1d_2d_and_3d(block_class, activation, x):
    block = block_class(x.shape[1], hidden_channels=3).double()
    first, second = block.children()
    expected = se_gate(
        x,
        (first.weight[:, :, 0, 0], second.weight[:, :, 0, 0]),
        (first.bias, second.bias),
        activation,
    )
    assert block.gate(x).shape == x.shape[:2] + (1,) * (x.ndim - 2)
    torch.testing.assert_close(block.gate(x).flatten(1), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block_class", BLOCKS)
@given(x=feature_maps())
def test_block_is_its_input_times_its_gate(block_class, x):
    block = block_class(x.shape[1], reduction=1).double()
    assert torch.equal(block(x), x * block.gate(x))


@pytest.mark.parametrize("block_class", BLOCKS)
def test_one_block_serves_every_rank(block_class):
    block = block_class(32)
    x = torch.randn(2, 32, 4, 6, 5)
    torch.testing.assert_close(block(x).flatten(3), block(x.flatten(3)))
    torch.testing.assert_close(block(x).flatten(2), block(x.flatten(2)))


@pytest.mark.parametrize(
    ("block", "hidden"),
    [
        (SEBlock(64), 4),
        (SEBlock(40), 2),
        (SEBlock(16), 1),
        (SEBlock(6, 2), 3),
        (SEBlock(6, hidden_channels=5), 5),
        (SqueezeExcite(32), 8),
        (SqueezeExcite(2, hidden_channels=1), 1),
    ],
)
def test_hidden_width(block, hidden):
    first, second = block.children()
    channels = first.in_channels
    assert first.weight.shape == (hidden, channels, 1, 1)
    assert first.bias.shape == (hidden,)
    assert second.weight.shape == (channels, hidden, 1, 1)
    assert second.bias.shape == (channels,)


def test_state_dict_has_timms_names():
    assert list(SEBlock(16).state_dict()) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert list(SqueezeExcite(16).state_dict()) == [
        "conv_reduce.weight", "conv_reduce.bias", "conv_expand.weight", "conv_expand.bias",
    ]  # fmt: skip


@pytest.mark.parametrize("block_class", BLOCKS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 8, "reduction": 9}, r"`reduction` \(=9\) must not exceed `channels` \(=8\)"),
        ({"channels": 8, "reduction": 0}, r"`reduction` \(=0\) must be positive"),
        ({"channels": 8, "hidden_channels": 0}, r"`hidden_channels` \(=0\) must be positive"),
    ],
)
def test_impossible_width_is_refused(block_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        block_class(**arguments)


@pytest.mark.parametrize("block_class", BLOCKS)
@pytest.mark.parametrize("shape", [(32,), (2, 32), (32, 7, 7), (2, 31, 7, 7), (2, 7, 7, 32)])
def test_input_of_another_layout_is_refused(block_class, shape):
    with pytest.raises(ValueError, match=r"this block takes \(N, 32, \*spatial\)"):
        block_class(32)(torch.randn(shape))


@pytest.mark.parametrize("block_class", BLOCKS)
@pytest.mark.parametrize("shape", INPUTS)
def test_torch_compile_makes_one_graph(block_class, shape):
    block, x = block_class(32), torch.randn(shape)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), block(x))


@pytest.mark.parametrize("block_class", BLOCKS)
@pytest.mark.parametrize("shape", INPUTS)
def test_export_keeps_batch_and_size_free(block_class, shape):
    block = block_class(32)
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(block, (torch.randn(shape),), dynamic_shapes=(free,))
    x = torch.randn(3, 32, 9, *shape[3:])
    torch.testing.assert_close(exported.module()(x), block(x))


@pytest.mark.parametrize("block_class", BLOCKS)
def test_one_fx_trace_serves_every_rank(block_class):
    block = block_class(32)
    traced = torch.fx.symbolic_trace(block)
    for shape in INPUTS:
        x = torch.randn(shape)
        assert torch.equal(traced(x), block(x))
    with pytest.raises(ValueError, match="this block takes"):
        traced(torch.randn(2, 31, 5))


@pytest.mark.parametrize("block_class", BLOCKS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_a_copy_computes_the_same(block_class, duplicate):
    block, x = block_class(32), torch.randn(2, 32, 5, 7)
    assert torch.equal(duplicate(block)(x), block(x))


@pytest.mark.parametrize("block_class", BLOCKS)
@pytest.mark.parametrize(
    ("shape", "memory_format"),
    [((2, 32, 5, 7), torch.channels_last), ((2, 32, 3, 5, 7), torch.channels_last_3d)],
)
def test_channels_last_is_kept(block_class, shape, memory_format):
    x = torch.randn(shape).to(memory_format=memory_format)
    assert block_class(32)(x).is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("block_class", BLOCKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2**-6), (torch.float16, 2**-9)])
def test_half_precision_is_kept_and_near(block_class, dtype, tolerance):
    block, x = block_class(32), torch.randn(2, 32, 5, 7)
    half = copy.deepcopy(block).to(dtype)(x.to(dtype))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), block(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("block_class", BLOCKS)
def test_autocast_keeps_the_inputs_dtype(block_class):
    block, x = block_class(32), torch.randn(2, 32, 5, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block(x).dtype == torch.float32
        assert block(x.bfloat16()).dtype == torch.bfloat16
        torch.testing.assert_close(block(x), x * block.gate(x).float())


@pytest.mark.parametrize("block_class", BLOCKS)
def test_a_map_of_one_pixel_in_a_batch_of_one(block_class):
    x = torch.randn(1, 32, 1, 1, requires_grad=True)
    y = block_class(32)(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


def test_squeeze_excite_starts_with_zero_biases_as_efficientnet_does():
    block = SqueezeExcite(32)
    assert not block.conv_reduce.bias.any()
    assert not block.conv_expand.bias.any()


@pytest.mark.parametrize("block_class", BLOCKS)
def test_weights_start_with_the_deviation_of_he_2015(block_class):
    first, second = block_class(1024, hidden_channels=512).children()
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.01)
    assert second.weight.std().item() == pytest.approx(math.sqrt(2 / 1024), rel=0.01)
