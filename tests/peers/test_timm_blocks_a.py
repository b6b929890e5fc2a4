"""Our blocks against timm's, with its weights."""

import pytest
import torch
from timm.layers import EcaModule, EffectiveSEModule
from timm.layers import GlobalContext as TimmGlobalContext
from torch import nn

from seattn.attention.effective_squeeze_excitation import EffectiveSE
from seattn.attention.efficient_channel import ECABlock
from seattn.attention.global_context import GlobalContext, GlobalContextAdd

SHAPES = [(2, 64, 7, 5), (1, 256, 1, 1), (3, 128, 14, 14), (2, 24, 1, 9)]


def assert_same(ours: nn.Module, theirs: nn.Module, shape: tuple[int, ...]) -> None:
    """Strictly loaded with the same random numbers: outputs and all gradients within 1e-6."""
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(shape)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [block(x) for block, x in zip((ours, theirs), inputs, strict=True)]
    assert (outputs[0] - outputs[1]).abs().max() <= 1e-6 * outputs[1].abs().max()
    for output in outputs:
        output.square().mean().backward()
    pairs = [(inputs[0].grad, inputs[1].grad)]
    pairs += [(a.grad, b.grad) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)]
    for actual, expected in pairs:
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_effective_se_is_timms(shape):
    assert_same(EffectiveSE(shape[1]), EffectiveSEModule(shape[1]), shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_eca_is_timms(shape):
    assert_same(ECABlock(shape[1]), EcaModule(shape[1]), shape)


def test_eca_chooses_timms_kernel_size():
    for channels in range(1, 4097):
        expected = EcaModule(channels, device="meta").conv.weight.shape
        with torch.device("meta"):
            assert ECABlock(channels).conv.weight.shape == expected, channels


@pytest.mark.parametrize("shape", SHAPES)
def test_scaling_global_context_is_timms(shape):
    assert_same(GlobalContext(shape[1]), TimmGlobalContext(shape[1]), shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_adding_global_context_is_timms(shape):
    theirs = TimmGlobalContext(shape[1], fuse_add=True, fuse_scale=False)
    assert_same(GlobalContextAdd(shape[1]), theirs, shape)


def test_only_our_adding_global_context_starts_as_the_identity():
    x = torch.randn(2, 32, 5, 5)
    theirs = TimmGlobalContext(32, fuse_add=True, fuse_scale=False, init_last_zero=True)
    assert torch.equal(GlobalContextAdd(32)(x), x)
    assert not torch.allclose(theirs(x), x, atol=0.01)
