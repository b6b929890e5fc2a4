"""The options that make one ResNet the many networks whose weights exist."""

from functools import partial

import pytest
import torch
from torch import nn

from seattn.attention import CBAMBlock, ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck, ResNet, resnet18, se_resnet50, senet154

TINY = {"layers": (1, 2, 1, 1), "channels": (16, 16, 24, 32), "in_chans": 1, "num_classes": 3}
WIDE = {"channels": (32, 32, 32, 32)}  # 64 groups want as many channels
BLOCKS = [BasicBlock, Bottleneck]


def tiny(block: type[nn.Module], **options: object) -> ResNet:
    return lively(ResNet(block, **TINY | options)).eval()


def lively(network: nn.Module) -> nn.Module:
    """Move every normalisation away from where it starts, so that no residual is zero."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


# ---- attention ------------------------------------------------------------------------------


def test_each_stage_has_the_attention_it_was_given():
    cbam = partial(CBAMBlock, kernel_size=3)
    network = tiny(BasicBlock, attention=(None, SEBlock, ECABlock, cbam))
    kinds = [[type(block.se) for block in stage] for stage in stages(network)]
    assert kinds == [[nn.Identity], [SEBlock] * 2, [ECABlock], [CBAMBlock]]
    assert network(torch.randn(2, 1, 32, 40)).shape == (2, 3)


@pytest.mark.parametrize("wrong", [(SEBlock,), (SEBlock,) * 5, []])
def test_attention_for_another_number_of_stages_is_refused(wrong):
    with pytest.raises(ValueError, match="must be one, or four"):
        tiny(BasicBlock, attention=wrong)


def test_an_instance_among_the_four_is_refused():
    with pytest.raises(TypeError, match=r"`attention` \(=SEBlock"):
        tiny(BasicBlock, attention=(None, SEBlock(16), None, None))


def residual(block, x):
    return block.last_norm(block.convolve(x))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity"])
@pytest.mark.parametrize("index", [0, 1])  # with and without a convolution on the shortcut
def test_attention_acts_where_figure_5_of_senet_draws_it(block, position, index):
    network = tiny(block, attention=SEBlock, attention_position=position)
    plain = tiny(block)
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if ".se." not in k})
    ours, bare = network.layer2[index], plain.layer2[index]
    x = torch.randn(2, 16 * block.expansion, 9, 7)
    se = ours.se
    if position == "standard":
        expected = (bare.downsample(x) + se(residual(bare, x))).relu()
    elif position == "pre":
        expected = (bare.downsample(x) + residual(bare, se(x))).relu()
    elif position == "post":
        expected = se((bare.downsample(x) + residual(bare, x)).relu())
    else:
        expected = (se(bare.downsample(x)) + residual(bare, x)).relu()
    assert torch.equal(ours(x), expected)
    assert not torch.equal(ours(x), bare(x))


def test_attention_before_the_residual_has_the_channels_that_enter():
    network = tiny(Bottleneck, attention=SEBlock, attention_position="pre")
    assert network.layer1[0].se.fc1.in_channels == 16
    assert network.layer2[0].se.fc1.in_channels == 64
    after = tiny(Bottleneck, attention=SEBlock, attention_position="post")
    assert after.layer1[0].se.fc1.in_channels == 64


# ---- stems, strides, dilation ---------------------------------------------------------------


def test_the_stride_of_a_bottleneck_can_sit_in_its_first_convolution():
    network = tiny(Bottleneck, stride_on="conv1")
    for stage in stages(network)[1:]:
        assert stage[0].conv1.stride == (2, 2)
        assert stage[0].conv2.stride == (1, 1)
    assert network.layer2[1].conv1.stride == (1, 1)
    other = tiny(Bottleneck)
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 1, 64, 64)
    assert network.forward_features(x).shape == other.forward_features(x).shape
    assert not torch.allclose(network(x), other(x))


def test_ceil_pooling_neither_pads_nor_loses_the_border():
    network = tiny(BasicBlock, stem_pool="ceil")
    x = torch.zeros(1, 1, 6, 7)
    x[..., -1, -1] = 1
    pooled = network.maxpool(x)
    assert pooled.shape == (1, 1, 3, 3)
    assert pooled[..., -1, -1] == 1
    negative = network.maxpool(torch.full((1, 1, 6, 7), -1.0))
    assert torch.equal(negative, torch.full_like(negative, -1))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("output_stride", "side"), [(32, 3), (16, 6), (8, 12)])
def test_output_stride_sets_the_size_of_the_last_map_and_changes_no_weight(
    block, output_stride, side
):
    network, usual = tiny(block, output_stride=output_stride), tiny(block)
    network.load_state_dict(usual.state_dict(), strict=True)
    assert network.forward_features(torch.randn(1, 1, 96, 96)).shape[2:] == (side, side)
    assert network.feature_info[-1]["reduction"] == output_stride


@pytest.mark.parametrize("block", BLOCKS)
def test_dilation_computes_at_every_pixel_what_the_stride_computed_at_some(block):
    """Away from the border a dilated network's map, taken at every other pixel, is the strided."""
    network, usual = tiny(block, output_stride=16), tiny(block)
    network.load_state_dict(usual.state_dict())
    x = torch.randn(1, 1, 640, 640)
    dense, strided = network.forward_features(x), usual.forward_features(x)
    torch.testing.assert_close(
        dense[..., ::2, ::2][..., 6:-6, 6:-6], strided[..., 6:-6, 6:-6], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("attention_position", "before", "'standard', 'pre', 'post' or 'identity'"),
        ("stem", "7x7", "'standard', 'deep' or 'small'"),
        ("stem_pool", "same", "'padded' or 'ceil'"),
        ("stride_on", "conv3", "'conv2' or 'conv1'"),
        ("output_stride", 4, "32, 16 or 8"),
        ("spatial_dims", 4, "1, 2 or 3"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(option, value, choices):
    with pytest.raises(ValueError, match=rf"`{option}` \(={value!r}\) must be {choices}"):
        tiny(Bottleneck, **{option: value})


@pytest.mark.parametrize(
    "options", [{"stride_on": "conv1"}, {"cardinality": 2}, {"base_width": 32}, {"reduce_first": 2}]
)
def test_basic_blocks_refuse_what_only_bottlenecks_have(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`.* is an option of bottlenecks"):
        tiny(BasicBlock, **options)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match=r"`channels` \(=16\) makes 32 .* `cardinality` \(=64\)"):
        senet154(**TINY)


def test_the_small_stem_refuses_an_output_stride():
    with pytest.raises(ValueError, match=r"`output_stride` \(=16\) counts a stem of stride 4"):
        tiny(BasicBlock, stem="small", output_stride=16)


# ---- one and three dimensions ---------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("stem", ["standard", "deep", "small"])
@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_images_of_one_to_three_dimensions(block, stem, spatial_dims):
    network = tiny(block, attention=SEBlock, stem=stem, spatial_dims=spatial_dims)
    x = torch.randn(2, 1, *(40, 33, 36)[:spatial_dims])
    assert network(x).shape == (2, 3)
    assert network.forward_features(x).ndim == 2 + spatial_dims
    network.train()(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    network.reset_classifier(2, "avgmax")
    assert network(x).shape == (2, 2)


def test_stochastic_depth_works_in_three_dimensions():
    network = tiny(BasicBlock, spatial_dims=3, drop_path_rate=0.9).train()
    assert network(torch.randn(2, 1, 16, 16, 16)).isfinite().all()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_volume_one_voxel_thin_is_an_image(block):
    flat = tiny(block, attention=SEBlock)
    thick = tiny(block, attention=SEBlock, spatial_dims=3)
    weights = flat.state_dict()
    for name, tensor in thick.state_dict().items():
        if tensor.ndim == 5:  # the image's kernel in the middle of the depth
            middle = torch.zeros_like(tensor)
            middle[:, :, tensor.shape[2] // 2] = weights[name]
            weights[name] = middle
    thick.load_state_dict(weights)
    x = torch.randn(2, 1, 48, 40)
    torch.testing.assert_close(thick(x[:, :, None]), flat(x), rtol=1e-4, atol=1e-5)


# ---- what a network says of itself ----------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        partial(resnet18, **TINY, drop_rate=0.1, attention=(None, SEBlock, None, ECABlock)),
        partial(se_resnet50, **TINY, stride_on="conv1", stem_pool="ceil", output_stride=8),
        partial(
            senet154, **TINY | WIDE, attention_position="post", global_pool="max", spatial_dims=3
        ),
    ],
)
def test_config_builds_the_same_network(build):
    network = build()
    network.reset_classifier(5, "avg")
    assert str(ResNet(**network.config)) == str(network)
    assert network.config["num_classes"] == 5


def test_senet154_halves_its_first_convolutions_and_widens_its_stem():
    network = senet154(**TINY | WIDE)
    block = network.layer2[0]
    assert block.conv1.out_channels * 2 == block.conv2.out_channels
    assert block.conv2.groups == 64
    assert block.downsample[0].kernel_size == (3, 3)
    assert network.layer1[0].downsample[0].kernel_size == (1, 1)
    assert network.bn1.num_features == 64


def stages(network: ResNet) -> list[nn.Module]:
    return [network.layer1, network.layer2, network.layer3, network.layer4]
