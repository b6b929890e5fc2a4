"""Blocks that take maps of any rank: one object, one state dict, one torch.fx trace."""

import pickle

import pytest
import torch
from torch import nn

from seattn.attention import rank
from seattn.attention.effective_squeeze_excitation import EffectiveSE
from seattn.attention.efficient_channel import ECABlock
from seattn.attention.global_context import GlobalContext, GlobalContextAdd
from seattn.attention.simam import SimAM
from seattn.attention.spatial_channel_excitation import SCSEBlock

BLOCKS = (EffectiveSE, ECABlock, SimAM, SCSEBlock, GlobalContext, GlobalContextAdd)
INPUTS = ((2, 32, 5), (2, 32, 5, 7), (2, 32, 3, 5, 7))

every_block = pytest.mark.parametrize("block_class", BLOCKS)
every_rank = pytest.mark.parametrize("shape", INPUTS)


def build(block_class: type[nn.Module]) -> nn.Module:
    """A block of 32 channels none of whose parameters is 0, so that it does something."""
    block = block_class(32)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block


@every_block
def test_one_block_serves_every_rank(block_class):
    """None of these knows where a position lies: flattening space changes nothing."""
    block = build(block_class)
    x = torch.randn(2, 32, 4, 6, 5)
    torch.testing.assert_close(block(x).flatten(3), block(x.flatten(3)))
    torch.testing.assert_close(block(x).flatten(2), block(x.flatten(2)))


@pytest.mark.parametrize("block_class", [EffectiveSE, ECABlock, GlobalContext])
@every_rank
def test_gate_of_a_channel_has_the_rank_of_the_input(block_class, shape):
    gate = build(block_class).gate(torch.randn(shape))
    assert gate.shape == shape[:2] + (1,) * (len(shape) - 2)


@every_block
@every_rank
def test_torch_compile_makes_one_graph(block_class, shape):
    block, x = build(block_class), torch.randn(shape)
    torch.compiler.reset()
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), block(x))


@every_block
@every_rank
def test_export_keeps_batch_and_size_free(block_class, shape):
    block = build(block_class)
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(block, (torch.randn(shape),), dynamic_shapes=(free,))
    x = torch.randn(3, 32, 9, *shape[3:])
    torch.testing.assert_close(exported.module()(x), block(x))


@every_block
def test_one_fx_trace_serves_every_rank_traced_twice_and_pickled(block_class):
    block = build(block_class)
    traced = pickle.loads(pickle.dumps(torch.fx.symbolic_trace(torch.fx.symbolic_trace(block))))
    for shape in INPUTS:
        x = torch.randn(shape)
        assert torch.equal(traced(x), block(x))
    with pytest.raises(ValueError, match="this block takes"):
        traced(torch.randn(2, 31, 5))


@every_block
@pytest.mark.parametrize("shape", [(32,), (2, 32), (32, 7, 7), (2, 31, 7, 7), (2, 7, 7, 32)])
def test_input_of_another_layout_is_refused(block_class, shape):
    with pytest.raises(ValueError, match=r"this block takes \(N, 32, \*spatial\)"):
        build(block_class)(torch.randn(shape))


@every_block
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_maps_in_half_precision(block_class, dtype):
    block, x = build(block_class), torch.randn(1, 32, 112, 112)
    half = build(block_class).to(dtype)
    half.load_state_dict(block.state_dict())
    tolerance = {torch.float16: 2**-7, torch.bfloat16: 2**-4}[dtype]
    torch.testing.assert_close(half(x.to(dtype)).float(), block(x), rtol=tolerance, atol=tolerance)


@every_rank
def test_an_image_is_a_view_and_goes_back(shape):
    x = torch.randn(shape)
    image = rank.as_image(x, 32)
    assert image.shape == (2, 32, x[0, 0].numel(), 1)
    assert image.data_ptr() == x.data_ptr()
    assert torch.equal(rank.like_map(image, x), x)
