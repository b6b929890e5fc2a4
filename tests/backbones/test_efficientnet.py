import pytest
import torch
from torch import nn

from seattn.backbones import EfficientNet, efficientnet_b0


def test_b0_is_table_1_of_the_paper():
    network = efficientnet_b0().eval()
    maps = [network.conv_stem(torch.randn(1, 3, 64, 64))]
    for stage in network.blocks:
        maps.append(stage(maps[-1]))
    assert [(m.shape[1], 64 // m.shape[2], 64 // m.shape[3]) for m in maps] == [
        (32, 2, 2),
        (16, 2, 2),
        (24, 4, 4),
        (40, 8, 8),
        (80, 16, 16),
        (112, 16, 16),
        (192, 32, 32),
        (320, 32, 32),
    ]
    kernels = [stage[0].conv_dw.kernel_size for stage in network.blocks]
    assert kernels == [(k, k) for k in (3, 3, 5, 3, 5, 5, 3)]
    assert [len(stage) for stage in network.blocks] == [1, 2, 2, 3, 3, 4, 1]
    assert network.num_features == 1280


@pytest.mark.parametrize(
    ("width", "stem"),
    [(0.1, 8), (0.35, 16), (1.0, 32), (1.1, 32), (1.2, 40), (1.4, 48), (1.6, 48)],  # 11.2: up
)
def test_width_is_rounded_to_eights_and_never_down_by_more_than_a_tenth(width, stem):
    with torch.device("meta"):
        network = EfficientNet(width=width)
    assert network.conv_stem.out_channels == stem


def test_depth_is_rounded_up():
    with torch.device("meta"):
        network = EfficientNet(width=0.25, depth=1.1)
    assert [len(stage) for stage in network.blocks] == [2, 3, 3, 4, 4, 5, 2]


def test_hidden_width_of_the_gate_is_a_quarter_of_the_blocks_input():
    with torch.device("meta"):
        network = efficientnet_b0()
    assert network.blocks[0][0].se.conv_reduce.weight.shape == (8, 32, 1, 1)
    assert network.blocks[1][0].se.conv_reduce.weight.shape == (4, 96, 1, 1)


def test_inverted_bottleneck_is_expand_filter_excite_project_add():
    block = EfficientNet(width=0.25, depth=1.0).blocks[3][1].eval()
    x = torch.randn(2, 24, 9, 7)
    expanded = torch.nn.functional.silu(block.bn1(block.conv_pw(x)))
    filtered = torch.nn.functional.silu(block.bn2(block.conv_dw(expanded)))
    projected = block.bn3(block.conv_pwl(filtered * block.se.gate(filtered)))
    torch.testing.assert_close(block(x), x + projected)


def test_a_shortcut_needs_equal_shapes():
    network = EfficientNet(width=0.25, depth=1.0)
    assert [block.has_shortcut for block in network.blocks[3]] == [False, True, True]
    assert not network.blocks[0][0].has_shortcut or network.conv_stem.out_channels == 8


def test_every_batchnorm_has_the_epsilon_asked_for():
    network = EfficientNet(width=0.25, depth=0.3, bn_eps=1e-3)
    assert {m.eps for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    assert str(EfficientNet(**network.config)) == str(network)


def test_an_output_stride_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"`output_stride` \(=4\) must be 32, 16 or 8"):
        EfficientNet(output_stride=4)
