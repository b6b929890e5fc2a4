"""A rebuilt block computes what the block did, and knows its gate before its last convolution."""

from functools import partial

import pytest
import torch
from torch import nn

from seattn import fuse_for_inference
from seattn.attention import CBAMBlock, ECABlock, EffectiveSE, SEBlock, SqueezeExcite
from seattn.backbones import BasicBlock, Bottleneck
from seattn.backbones.efficientnet_blocks import DepthwiseSeparable, InvertedBottleneck
from seattn.fuse.blocks import FusedInverted, FusedResidual
from seattn.fuse.gates import Gate, Pointwise, gate_through, is_pointwise
from seattn.ops import affine, reference
from tests.backbones.fusing import open_here
from tests.fuse.networks import randomise, relative

GATES = (None, SEBlock, ECABlock, EffectiveSE, partial(SqueezeExcite, hidden_channels=3))


def exact(block, x):
    """Fuse in float64, and return the new block after comparing what both compute."""
    block, x = randomise(block).double(), x.double()
    fused = fuse_for_inference(block, example=x)
    torch.testing.assert_close(fused(x), block(x), rtol=1e-12, atol=1e-12)
    return fused


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("stride", [1, 2])
def test_bottleneck(dims, gate, stride):
    block = Bottleneck(32, 8, stride=stride, attention=gate, spatial_dims=dims)
    fused = exact(block, torch.randn(3, 32, *(7, 5, 6)[:dims]))
    assert type(fused) is FusedResidual
    assert fused.gate_is_early is (gate is not None)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("gate", GATES)
def test_basic_block(dims, gate):
    block = BasicBlock(16, 24, stride=2, attention=gate, spatial_dims=dims)
    fused = exact(block, torch.randn(3, 16, *(7, 5, 6)[:dims]))
    assert type(fused) is FusedResidual
    assert not fused.gate_is_early


@pytest.mark.parametrize(
    "options",
    [
        {"cardinality": 4, "base_width": 32},
        {"stride_on": "conv1", "stride": 2},
        {"shortcut_kernel_size": 3, "stride": 2, "reduce_first": 2},
        {"dilation": 2, "first_dilation": 2},
        {"drop_path_rate": 0.9},
    ],
)
def test_bottleneck_with_options(options):
    exact(Bottleneck(16, 16, attention=SEBlock, **options), torch.randn(2, 16, 9, 7))


@pytest.mark.parametrize(("in_channels", "stride"), [(16, 1), (16, 2), (8, 1)])
def test_blocks_of_efficientnet(in_channels, stride):
    options = {"kernel_size": 5, "stride": stride, "dilation": 1, "drop_path_rate": 0.5}
    x = torch.randn(2, in_channels, 9, 7)
    for block in (
        DepthwiseSeparable(in_channels, 16, **options),
        InvertedBottleneck(in_channels, 16, expansion=4, **options),
    ):
        fused = exact(block, x)
        assert type(fused) is FusedInverted
        assert fused.has_shortcut is (in_channels == 16 and stride == 1)


def test_gate_is_known_before_the_last_convolution_has_run_on_the_map():
    block = randomise(Bottleneck(32, 8, attention=SEBlock)).double()
    fused = fuse_for_inference(block)
    seen = []
    fused.conv.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[2:]))
    fused.se.register_forward_hook(lambda module, args, out: seen.append("gate"))
    fused(torch.randn(2, 32, 6, 6, dtype=torch.float64))
    assert seen == ["gate", (6, 6)]
    first = fused.se.excitation[0]  # fc1 and the convolution in one, 8 means to 2 hidden units
    assert type(first) is Pointwise
    assert first.weight.shape == (2, 8)


class _Halved(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) / 2


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_of_one_pixel_are_products_and_no_others(bias, dims):
    layers = [
        nn.Conv2d(6, 4, 1, bias=bias),
        nn.BatchNorm2d(4),
        nn.SiLU(),
        nn.Conv2d(4, 8, 1, groups=2, bias=bias),
        nn.Conv2d(8, 8, 3, padding=1),
        _Halved(8, 5, 1),
        nn.Conv2d(5, 6, 1, padding="same"),
        nn.Sigmoid(),
    ]
    excitation = randomise(nn.Sequential(*layers)).double()
    squeeze = torch.randn(3, 6, dtype=torch.float64)
    gate = Gate(excitation)
    assert [i for i, layer in enumerate(gate.excitation) if type(layer) is Pointwise] == [0, 6]
    assert list(excitation) == layers
    expected = excitation(squeeze[:, :, None, None]).reshape(3, 6, *[1] * dims)
    actual = gate(squeeze.reshape(3, 6, *[1] * dims))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    layers[0].weight.data.zero_()  # the gate has weights of its own
    assert torch.equal(gate(squeeze.reshape(3, 6, *[1] * dims)), actual)
    assert type(Gate(layers[0]).excitation) is Pointwise


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gate_through_a_convolution_reads_the_means_before_it(dims, biases):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](6, 20, 1, bias=biases[0]).double()
    first = nn.Conv2d(20, 3, 1, bias=biases[1])
    excitation = nn.Sequential(first, nn.ReLU(), nn.Conv2d(3, 20, 1), nn.Sigmoid()).double()
    hidden = torch.randn(4, 6, *(3, 4, 5)[:dims], dtype=torch.float64)
    space = tuple(range(2, 2 + dims))
    for gate in (Gate(excitation), Gate(nn.Sequential(nn.Identity(), *excitation))):
        actual = gate_through(conv, gate)(hidden.mean(space, keepdim=True))
        expected = gate(conv(hidden).mean(space, keepdim=True))
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("conv", "pointwise"),
    [
        (nn.Linear(4, 8), False),
        (nn.Conv2d(4, 8, 1), True),
        (nn.Conv1d(4, 8, 1, padding="same"), True),
        (nn.Conv3d(4, 8, 1, padding="valid"), True),
        (nn.Conv2d(4, 8, (1, 3)), False),
        (nn.Conv2d(4, 8, 1, stride=(1, 2)), False),
        (nn.Conv2d(4, 8, 1, padding=(1, 0)), False),
        (nn.Conv2d(4, 8, 1, groups=2), False),
        (nn.ConvTranspose2d(4, 4, 1), False),
    ],
)
def test_only_a_convolution_of_single_pixels_lets_the_mean_through(conv, pointwise):
    assert is_pointwise(conv) is pointwise


def test_relu_and_shortcut_are_there():
    block = randomise(Bottleneck(32, 8, attention=SEBlock))
    fused = fuse_for_inference(block)
    x = torch.randn(2, 32, 6, 6)
    assert (fused(x) == 0).float().mean() > 0.1
    nn.init.zeros_(fused.conv.weight)
    nn.init.zeros_(fused.conv.bias)
    assert torch.equal(fused(x), x.relu())


def test_input_is_not_changed():
    for block in (BasicBlock(16, 16), DepthwiseSeparable(16, 16, kernel_size=3, stride=1,
                  dilation=1, drop_path_rate=0)):  # fmt: skip
        fused = fuse_for_inference(randomise(block))
        x = torch.randn(2, 16, 6, 6)
        before = x.clone()
        fused(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize("position", ["pre", "post", "identity"])
def test_attention_elsewhere_keeps_the_block_and_folds_its_norms(position):
    block = Bottleneck(32, 8, attention=SEBlock, attention_position=position)
    fused = exact(block, torch.randn(2, 32, 7, 5))
    assert type(fused) is Bottleneck
    (row,) = fused.report.left
    assert row.folded == 3
    assert row.block == f"not rebuilt: its attention is at position '{position}', not 'standard'"


def test_no_attention_at_any_position_is_rebuilt():
    block = Bottleneck(32, 8, attention_position="post")
    assert type(exact(block, torch.randn(2, 32, 7, 5))) is FusedResidual


class _Maximum(SEBlock):
    """Inherits the promise of its base and breaks it."""

    def gate(self, x):
        return super().gate(x.amax((2, 3), keepdim=True))


@pytest.mark.parametrize("attention", [CBAMBlock, _Maximum])
def test_gate_that_reads_more_than_the_mean_keeps_its_block(attention):
    fused = exact(Bottleneck(32, 8, attention=attention), torch.randn(2, 32, 7, 5))
    assert type(fused) is Bottleneck
    assert attention.__name__ in fused.report.left[0].block


class _Doubled(nn.Module):
    """A user's block that says what its gate reads."""

    gate_reads_mean_only = True

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels))

    def gate(self, x):
        mean = x.flatten(2).mean(2) * self.weight
        return mean.reshape(mean.shape + (1,) * (x.ndim - 2))

    def forward(self, x):
        return x * self.gate(x)


def test_a_block_of_a_user_that_declares_its_gate_is_rebuilt():
    fused = exact(Bottleneck(32, 8, attention=_Doubled), torch.randn(2, 32, 7, 5))
    assert fused.gate_is_early


class _Own(Bottleneck):
    def forward(self, x):
        return -super().forward(x)


def test_a_subclass_is_not_taken_for_its_base():
    net = nn.Sequential(nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), _Own(32, 8))
    with pytest.raises(ValueError, match=r"'2.bn1': it is not known to follow .* in _Own"):
        fuse_for_inference(net)
    randomise(net)
    fused = fuse_for_inference(net, leave_unknown=True)
    x = torch.randn(2, 1, 9, 9)
    assert type(fused[2]) is _Own
    assert relative(fused(x), net(x)) < 1e-5


def test_a_block_in_two_places_is_rebuilt_in_both():
    block = Bottleneck(32, 8, attention=SEBlock)
    fused = exact(nn.Sequential(block, nn.ReLU(), block), torch.randn(2, 32, 7, 5))
    assert [type(fused[i]) for i in (0, 2)] == [FusedResidual, FusedResidual]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_where_the_fused_operators_run_one_of_them_ends_the_block(dims, monkeypatch):
    calls = []

    def spy(*args):
        calls.append(args)
        return reference.affine_act(*args)

    block = Bottleneck(32, 8, attention=partial(SEBlock, reduction=4), spatial_dims=dims)
    x = torch.randn(3, 32, *(7, 5, 6)[:dims]).double()
    fused = exact(block, x)
    expected = fused(x)
    rows = x.flatten(2).transpose(1, 2).contiguous()
    x = rows.transpose(1, 2).view(x.shape)
    with monkeypatch.context() as patch:
        open_here(patch)
        patch.setattr(affine.operators, "affine_act", spy)
        for module in (fused.conv, *fused.body):
            module.register_forward_hook(lay_channels_last)
        torch.testing.assert_close(fused(x), expected, rtol=1e-12, atol=1e-12)
        assert len(calls) == 1
        assert "seattn" not in torch.export.export(fused, (x,)).graph_module.code
    assert len(calls) == 1


def lay_channels_last(module, args, output):
    rows = output.flatten(2).transpose(1, 2).contiguous()
    return rows.transpose(1, 2).view_as(output)
