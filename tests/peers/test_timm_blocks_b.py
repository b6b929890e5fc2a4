"""CBAM and coordinate attention against timm's and against the authors' definitions."""

import copy

import pytest
import torch
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn
from torch import Tensor, nn
from torch.nn import functional as F

from seattn.attention.cbam import CBAMBlock
from seattn.attention.coordinate import CoordAttention

SHAPES = ((2, 64, 9, 7), (1, 256, 14, 14), (3, 128, 2, 1))


def randomise(module: nn.Module) -> nn.Module:
    """Random BatchNorm and random biases."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            nn.init.uniform_(child.weight, 0.5, 1.5)
            nn.init.normal_(child.bias)
            nn.init.normal_(child.running_mean)
            nn.init.uniform_(child.running_var, 0.5, 1.5)
        elif isinstance(child, nn.Conv2d) and child.bias is not None:
            nn.init.normal_(child.bias)
    return module


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest value."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def assert_twins(ours: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    """Output to 1e-6, gradients to 1e-5 and running statistics, in training and in evaluation."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(randomise(theirs).state_dict(), strict=True)
    for training in (False, True):
        runs = []
        for module in (copy.deepcopy(ours), copy.deepcopy(theirs)):
            leaf = x.clone().requires_grad_()
            y = module.train(training)(leaf)
            y.square().sum().backward()
            gradients = {k: p.grad for k, p in module.named_parameters()} | {"x": leaf.grad}
            runs.append((y, gradients, dict(module.named_buffers())))
        (y, gradients, buffers), (y_, gradients_, buffers_) = runs
        assert relative_error(y, y_) < 1e-6
        for key, expected in gradients_.items():
            error = (gradients[key] - expected).norm()
            # What is left of a bias before BatchNorm is rounding noise.
            assert error <= 1e-5 * expected.norm() + 1e-4, key
        for key, expected in buffers_.items():
            torch.testing.assert_close(buffers[key], expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_cbam_is_timms(shape, bias):
    ours, theirs = CBAMBlock(shape[1], bias=bias), CbamModule(shape[1], mlp_bias=bias)
    assert_twins(ours, theirs, torch.randn(shape))


def test_cbam_of_other_widths_is_timms():
    ours = CBAMBlock(40, hidden_channels=7, kernel_size=3)
    assert_twins(
        ours, CbamModule(40, rd_channels=7, spatial_kernel_size=3), torch.randn(2, 40, 6, 5)
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_coord_attention_is_timms(shape, bias):
    theirs = CoordAttn(shape[1], bias=bias)
    ours = CoordAttention(shape[1], hidden_channels=theirs.conv1.out_channels, bias=bias)
    assert_twins(ours, theirs, torch.randn(shape))


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_cbam_is_the_authors(shape):
    block = randomise(CBAMBlock(shape[1], bias=True, pool_order="max_mean")).eval()
    x = torch.randn(shape)
    assert relative_error(block(x), authors_cbam(x, block.state_dict())) < 1e-6


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_coord_attention_is_the_authors(shape):
    hidden = max(8, shape[1] // 32)
    block = randomise(CoordAttention(shape[1], hidden_channels=hidden, bias=True)).eval()
    x = torch.randn(shape)
    assert relative_error(block(x), authors_coordinate(x, block.state_dict())) < 1e-6


def authors_cbam(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    """Woo et al.'s released definition: linear layers on pooled vectors, [max, mean]."""
    size = x.shape[2:]
    logits = torch.zeros(x.shape[:2])
    for pooled in (F.avg_pool2d(x, size), F.max_pool2d(x, size)):
        weight, bias = state["channel.fc1.weight"].flatten(1), state["channel.fc1.bias"]
        hidden = F.linear(pooled.flatten(1), weight, bias).relu()
        weight, bias = state["channel.fc2.weight"].flatten(1), state["channel.fc2.bias"]
        logits = logits + F.linear(hidden, weight, bias)
    x = logits.sigmoid()[:, :, None, None] * x
    maps = torch.stack([x.max(1).values, x.mean(1)], dim=1)
    return x * norm(F.conv2d(maps, state["spatial.conv.conv.weight"], padding=3), state).sigmoid()


def authors_coordinate(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    """Hou et al.'s released definition: each direction pooled, the two encoded together."""
    _, _, height, width = x.shape
    rows = F.adaptive_avg_pool2d(x, (height, 1))
    columns = F.adaptive_avg_pool2d(x, (1, width)).permute(0, 1, 3, 2)
    encoded = convolve(torch.cat([rows, columns], dim=2), state, "conv1")
    encoded = norm(encoded, state)
    encoded = encoded * F.relu6(encoded + 3) / 6
    rows, columns = encoded[:, :, :height], encoded[:, :, height:].permute(0, 1, 3, 2)
    return (
        x * convolve(rows, state, "conv_h").sigmoid() * convolve(columns, state, "conv_w").sigmoid()
    )


def convolve(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])


def norm(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The only BatchNorm of ``state``, in evaluation."""
    (prefix,) = (key.removesuffix("running_mean") for key in state if key.endswith("running_mean"))
    mean, var, weight, bias = (
        state[prefix + name][:, None, None]
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias
