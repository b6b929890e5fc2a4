"""Networks of timm and torchvision, fused: the same logits, and what became of their blocks."""

import pytest
import timm
import torch
import torchvision
from timm.layers import EcaModule, EffectiveSEModule, SEModule
from timm.layers.cbam import CbamModule
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from seattn import fuse_for_inference, record_gates
from tests.peers.networks import randomise_norms

EARLY = "rebuilt, gate known before the last convolution"
LATE = "rebuilt, gate known after the last convolution"
PLAIN = "rebuilt, no gate"
IN_PLACE = ""  # norms folded where they are
# What every network's blocks become, without those that only have norms folded.
TIMM = {
    "resnet18": {PLAIN},
    "seresnet18": {LATE},
    "resnet26d": {PLAIN},
    "seresnet50": {EARLY},
    "ecaresnet26t": {EARLY},
    "seresnext26d_32x4d": {EARLY},
    "resnetaa50": {PLAIN},
    "legacy_seresnet18": set(),
    "legacy_seresnext26_32x4d": {EARLY},
    "efficientnet_b0": {"rebuilt"},
    "tf_efficientnet_b0": {"rebuilt"},
    "tf_efficientnetv2_b0": {"rebuilt", PLAIN},
    "mobilenetv2_035": {PLAIN},
    "mobilenetv3_small_050": {"rebuilt", PLAIN},
}
TORCHVISION = {
    "resnet18": {PLAIN},
    "resnext50_32x4d": {PLAIN},
    "efficientnet_b0": {"rebuilt"},
    "efficientnet_v2_s": {"rebuilt"},
    "mobilenet_v2": set(),
    "regnet_y_400mf": set(),
    "vgg11_bn": set(),
}


def randomise(network):
    return randomise_norms(network).eval()


def check(network, in_chans=3, size=(96, 64), leave_unknown=False):
    """Fuse, compare on odd and even sizes, and return the copy."""
    fused = fuse_for_inference(network, leave_unknown=leave_unknown)
    for images, (height, width) in ((1, size), (4, (size[0] + 32, size[1]))):
        x = torch.randn(images, in_chans, height, width)
        expected = network(x)
        assert ((fused(x) - expected).abs().max() / expected.abs().max()) < 1e-5
    return fused


def outcomes(fused):
    return {row.block for row in fused.report.fusions} - {IN_PLACE}


def norms(network):
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name):
    network = randomise(timm.create_model(name, num_classes=7))
    fused = check(network)
    assert outcomes(fused) == TIMM[name]
    assert fused.report.folded == len(norms(network))
    assert norms(fused) == []


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision(name):
    network = randomise(torchvision.models.get_model(name, num_classes=7))
    fused = check(network)
    assert outcomes(fused) == TORCHVISION[name]
    assert fused.report.folded == len(norms(network))
    assert norms(fused) == []


def test_odd_sizes_and_one_channel():
    network = randomise(timm.create_model("seresnet50", num_classes=7, in_chans=1))
    check(network, in_chans=1, size=(65, 47))
    network = randomise(timm.create_model("tf_efficientnet_b0", num_classes=7, in_chans=1))
    check(network, in_chans=1, size=(65, 47))


MEANS = {
    "se": "se",
    "ese": "ese",
    "eca": "eca",
    "se_norm": lambda channels, **kw: SEModule(
        channels, norm_layer=nn.BatchNorm2d, act_layer=nn.SiLU
    ),
    "eca_mlp": lambda channels, **kw: EcaModule(channels, use_mlp=True),
}


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("attention", MEANS)
def test_attention_of_timm_is_read_whole(block, attention):
    network = ResNet(
        block,
        (1, 1, 1, 1),
        channels=(16, 24, 32, 48),
        num_classes=5,
        act_layer=nn.SiLU,
        drop_path_rate=0.3,
        drop_block_rate=0.2,
        block_args={"attn_layer": MEANS[attention]},
    )
    network = randomise(network).double()
    fused = fuse_for_inference(network, leave_unknown=True)
    x = torch.randn(3, 3, 65, 47, dtype=torch.float64)
    torch.testing.assert_close(fused(x), network(x), rtol=1e-12, atol=1e-12)
    assert outcomes(fused) == {EARLY if block is Bottleneck else LATE}


MORE = {
    "cbam": "cbam",
    "se": lambda channels, **kw: SEModule(channels, add_maxpool=True),
    "ese": lambda channels, **kw: EffectiveSEModule(channels, add_maxpool=True),
}


@pytest.mark.parametrize("attention", MORE)
def test_attention_that_reads_more_than_the_mean_stays(attention):
    network = ResNet(
        Bottleneck,
        (1, 1, 1, 1),
        channels=(16, 24, 32, 48),
        num_classes=5,
        block_args={"attn_layer": MORE[attention]},
    )
    fused = check(randomise(network), leave_unknown=True)
    assert {row.block.split(":")[0] for row in fused.report.left if row.block} == {"not rebuilt"}
    kinds = (CbamModule, SEModule, EffectiveSEModule)
    assert sum(isinstance(m, kinds) for m in fused.modules()) == 4


@pytest.mark.parametrize("block", [DepthwiseSeparableConv, InvertedResidual])
def test_space_to_depth_keeps_the_block(block):
    block = randomise(block(16, 24, stride=1, s2d=1)).double()
    x = torch.randn(2, 16, 8, 8, dtype=torch.float64)
    fused = fuse_for_inference(block, example=x)
    torch.testing.assert_close(fused(x), block(x), rtol=1e-12, atol=1e-12)
    assert fused.report.left[0].block == "not rebuilt: it has a space-to-depth convolution"
    assert norms(fused) == []


def test_a_norm_that_is_none_of_torch_stays():
    network = timm.create_model("resnet50_gn", num_classes=5)
    with pytest.raises(ValueError, match=r"`model` \(a ResNet\) has nothing that can be fused"):
        fuse_for_inference(network)


@pytest.mark.parametrize("name", ["densenet121", "skresnet18", "efficientnet_cc_b0_4e"])
def test_networks_with_unknown_blocks_are_refused_or_left_in_part(name):
    network = randomise(timm.create_model(name, num_classes=5))
    with pytest.raises(ValueError, match=r"cannot be folded.*`leave_unknown=True`"):
        fuse_for_inference(network)
    fused = check(network, leave_unknown=True)
    assert fused.report.folded > 0
    assert len(norms(fused)) == len(network_left(fused)) > 0


def network_left(fused):
    return [row for row in fused.report.left if row.left]


@pytest.mark.parametrize("name", ["efficientnet_b0", "seresnet18", "resnet26d"])
def test_feature_networks_of_timm(name):
    network = randomise(timm.create_model(name, features_only=True))
    fused = fuse_for_inference(network)
    x = torch.randn(2, 3, 64, 64)
    for ours, theirs in zip(fused(x), network(x), strict=True):
        assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-5
    assert norms(fused) == []


def test_segmentation_network_of_torchvision():
    network = torchvision.models.segmentation.fcn_resnet50(weights_backbone=None, num_classes=2)
    fused = fuse_for_inference(randomise(network))
    x = torch.randn(1, 3, 64, 64)
    ours, theirs = fused(x)["out"], network(x)["out"]
    assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-5
    assert norms(fused) == []


def test_frozen_norms_of_torchvision():
    network = torchvision.models.resnet18(num_classes=7, norm_layer=FrozenBatchNorm2d)
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    fused = check(network.eval())
    assert fused.report.folded == 20
    assert outcomes(fused) == {PLAIN}


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_gates_that_were_out_of_reach_are_recorded(library):
    if library == "timm":
        network, name = timm.create_model("seresnet50", num_classes=5), "layer2.0.se"
    else:
        network, name = torchvision.models.efficientnet_b0(num_classes=5), "features.2.0.se"
    fused = fuse_for_inference(randomise(network))
    seen = []
    source = network.layer2[0].se.gate if library == "timm" else (
        network.features[2][0].block[2].scale_activation
    )  # fmt: skip
    source.register_forward_hook(lambda module, args, out: seen.append(out))
    x = torch.randn(2, 3, 64, 64)
    network(x)
    with record_gates(fused) as gates:
        fused(x)
    torch.testing.assert_close(gates[name], seen[0].flatten(1), rtol=1e-4, atol=1e-5)


def test_export_of_a_fused_network_of_timm():
    network = randomise(timm.create_model("seresnet50", num_classes=7))
    fused = fuse_for_inference(network)
    x = torch.randn(2, 3, 64, 64)
    exported = torch.export.export(fused, (x,))
    targets = {str(n.target) for n in exported.graph.nodes if n.op == "call_function"}
    assert all(target.startswith("aten.") for target in targets)
    torch.testing.assert_close(exported.module()(x), fused(x))
