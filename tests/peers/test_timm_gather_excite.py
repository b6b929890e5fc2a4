"""Gather-excite against timm's, which is mended where timm 1.0.31 cannot construct it."""

from typing import Any

import pytest
import torch
from timm.layers import gather_excite as timm_module
from timm.layers.gather_excite import GatherExcite as TimmGatherExcite
from torch import nn

from seattn.attention.gather_excite import GatherExcite

SHAPES = ((2, 64, 9, 7), (1, 32, 14, 14), (3, 48, 17, 1))


@pytest.fixture
def build_theirs(monkeypatch):
    """timm's block; its constructor hands "device" and "dtype" over as positional arguments."""

    def without_names(build: Any) -> Any:
        def mended(*args: Any, **kwargs: Any) -> Any:
            return build(*(a for a in args if a not in ("device", "dtype")), **kwargs)

        return mended

    for name in ("create_conv2d", "ConvMlp"):
        monkeypatch.setattr(timm_module, name, without_names(getattr(timm_module, name)))

    def build(channels: int, **kwargs: Any) -> nn.Module:
        block = TimmGatherExcite(channels, **kwargs)
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 1e-5, 0.1
        return block

    return build


def randomise(block: nn.Module) -> nn.Module:
    for name, tensor in block.state_dict().items():
        if name.endswith("running_var") or (".norm" in name and name.endswith(".weight")):
            nn.init.uniform_(tensor, 0.5, 1.5)
        elif tensor.is_floating_point():
            nn.init.normal_(tensor, std=0.3)
    return block


def assert_twins(ours: nn.Module, theirs: nn.Module, shape: tuple[int, ...]) -> None:
    """Outputs within 1e-6, gradients within 1e-5, in training and in evaluation."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(randomise(theirs).state_dict(), strict=True)
    x = torch.randn(shape)
    for training in (False, True):
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        blocks = [block.train(training) for block in (ours, theirs)]
        y, expected = (block(leaf) for block, leaf in zip(blocks, leaves, strict=True))
        assert (y - expected).abs().max() <= 1e-6 * expected.abs().max()
        for output in (y, expected):
            output.square().mean().backward()
        torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-5, atol=1e-6)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6)
            a.grad = b.grad = None
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer)


@pytest.mark.parametrize("extent", [None, 2, 4, 8])
@pytest.mark.parametrize("mlp", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_means_are_timms(build_theirs, shape, mlp, extent):
    theirs = build_theirs(shape[1], extent=extent or 0, use_mlp=mlp)
    assert_twins(GatherExcite(shape[1], extent=extent, mlp=mlp), theirs, shape)


@pytest.mark.parametrize("extent", [2, 4, 8])
@pytest.mark.parametrize("shape", [(2, 64, 9, 7), (2, 32, 14, 14)])
def test_learnt_gathering_is_timms(build_theirs, shape, extent):
    theirs = build_theirs(shape[1], extent=extent, extra_params=True, use_mlp=False)
    assert_twins(GatherExcite(shape[1], extent=extent, learn_gather=True), theirs, shape)


@pytest.mark.parametrize("extent", [2, 4, 8])
def test_theta_plus_is_timms_with_the_authors_relu(build_theirs, extent):
    shape = (2, 64, 14, 14)
    ours = GatherExcite(64, extent=extent, learn_gather=True, mlp=True)
    theirs = build_theirs(64, extent=extent, extra_params=True)
    ours.load_state_dict(randomise(theirs).state_dict(), strict=True)
    x = torch.randn(shape)
    assert not torch.allclose(ours.eval()(x), theirs.eval()(x))
    theirs.gather.add_module("last", nn.ReLU())
    assert_twins(ours, theirs, shape)


def test_timms_learnt_gathering_of_the_whole_map_is_ours_in_the_middle(build_theirs):
    ours = GatherExcite(32, learn_gather=True, map_size=(7, 7)).eval()
    theirs = build_theirs(32, feat_size=(7, 7), extra_params=True, use_mlp=False).eval()
    ours.load_state_dict(randomise(theirs).state_dict(), strict=True)
    x = torch.randn(2, 32, 7, 7)
    gathered = theirs.gather(x)
    assert gathered.shape == x.shape
    torch.testing.assert_close(ours.gather(x), gathered[:, :, 3:4, 3:4])
