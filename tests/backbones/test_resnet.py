from functools import partial

import pytest
import torch
from torch import Tensor, nn

from seattn.attention import SEBlock, SqueezeExcite
from seattn.backbones import BasicBlock, Bottleneck, ResNet, resnet18, resnet50, se_resnet18

one_each = {"layers": (1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("stem", "size", "side"),
    [
        ("small", 28, 4),
        ("small", 64, 8),
        ("small", 96, 12),
        ("standard", 64, 2),
        ("standard", 224, 7),
    ],
)
def test_final_map(stem, size, side):
    network = resnet18(**one_each, channels=(8, 8, 8, 8), in_chans=1, stem=stem).eval()
    assert network.forward_features(torch.randn(1, 1, size, size)).shape == (1, 8, side, side)


def test_small_stem_is_one_3x3_convolution_of_the_first_width():
    network = resnet18(**one_each, channels=(24, 8, 8, 8), stem="small")
    assert network.conv1.weight.shape == (24, 3, 3, 3)
    assert network.conv1.stride == (1, 1)
    assert network(torch.randn(2, 3, 28, 28)).shape == (2, 1000)


@pytest.mark.parametrize(("block", "expansion"), [(BasicBlock, 1), (Bottleneck, 4)])
def test_channels_are_the_widths_before_expansion(block, expansion):
    network = ResNet(block, (1, 2, 1, 1), channels=(16, 8, 24, 40))
    outputs = []
    x = torch.randn(2, 16, 16, 16)
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = stage(x)
        outputs.append(x.shape[1])
    assert outputs == [16 * expansion, 8 * expansion, 24 * expansion, 40 * expansion]
    assert network.num_features == 40 * expansion
    assert network.conv1.out_channels == 16


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_block_is_the_papers_sum(block):
    def run(*layers: nn.Module) -> Tensor:
        return nn.Sequential(*layers)(x)

    unit = block(16, 8, stride=2, attention=partial(SEBlock, reduction=4), zero_init_last=False)
    x = torch.randn(3, 16, 9, 9)
    first = (unit.conv1, unit.bn1, nn.ReLU(), unit.conv2, unit.bn2)
    rest = (nn.ReLU(), unit.conv3, unit.bn3) if block is Bottleneck else ()
    residual = run(*first, *rest)
    expected = (residual * unit.se.gate(residual) + run(unit.downsample)).relu()
    torch.testing.assert_close(unit(x), expected)
    assert unit(x).shape == (3, 8 * block.expansion, 5, 5)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_zero_init_last_starts_a_block_as_its_shortcut(block):
    x = torch.randn(2, 8 * block.expansion, 5, 5)
    unit = block(8 * block.expansion, 8)
    assert torch.equal(unit(x), x.relu())
    assert not torch.equal(block(8 * block.expansion, 8, zero_init_last=False)(x), x.relu())


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("build", [resnet18, resnet50])
def test_zero_init_last_reaches_every_block_and_no_other_norm(build, zero):
    network = build(**one_each, channels=(8, 8, 8, 8), zero_init_last=zero)
    last = "bn2.weight" if build is resnet18 else "bn3.weight"
    for name, parameter in network.named_parameters():
        if "bn" in name and name.endswith("weight"):
            is_last = zero and name.startswith("layer") and name.endswith(last)
            assert torch.equal(parameter, torch.full_like(parameter, float(not is_last))), name


@pytest.mark.parametrize(
    "attention", [SEBlock, SqueezeExcite, partial(SEBlock, reduction=4), partial(SEBlock, 32)]
)
def test_attention_is_built_for_each_block(attention):
    if isinstance(attention, partial) and attention.args:
        attention = attention.func  # a class stays a class; positional channels would be the user's
    network = resnet18(**one_each, channels=(16, 16, 32, 32), attention=attention)
    blocks = [stage[0].se for stage in (network.layer1, network.layer4)]
    assert [next(block.parameters()).shape[1] for block in blocks] == [16, 32]


def test_attention_keeps_the_initialisation_of_its_own():
    class Zeroed(SEBlock):
        def __init__(self, channels: int) -> None:
            super().__init__(channels)
            nn.init.zeros_(self.fc2.weight)

    network = resnet18(**one_each, attention=Zeroed)
    assert not any(stage[0].se.fc2.weight.any() for stage in (network.layer1, network.layer4))


def test_se_resnet_takes_another_attention_or_none():
    assert isinstance(se_resnet18(**one_each, attention=None).layer1[0].se, nn.Identity)


@pytest.mark.parametrize("attention", [SEBlock(64), "se", 16])
def test_attention_that_is_no_class_is_refused(attention):
    with pytest.raises(TypeError, match="`attention`"):
        resnet18(attention=attention)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": (1, 1, 1)}, r"`layers` \(=\(1, 1, 1\)\) must be four positive numbers"),
        ({"layers": (1, 1, 0, 1)}, "`layers`"),
        ({"channels": (64, 128, 256)}, "`channels`"),
        ({"stem": "tiny"}, r"`stem` \(='tiny'\)"),
    ],
)
def test_impossible_shapes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet18(**arguments)


def test_a_width_too_small_for_the_reduction_is_refused():
    with pytest.raises(ValueError, match=r"`reduction` \(=16\) must not exceed `channels` \(=8\)"):
        se_resnet18(channels=(8, 16, 32, 64))
