"""Weights of timm, torchvision, MONAI and two papers' repositories compute the same in ours."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from monai.networks import nets
from monai.networks.nets import senet as monai_senet
from timm.models import senet as legacy_senet
from torch import Tensor, nn

from seattn import backbones
from seattn.attention import SEBlock
from seattn.backbones import BasicBlock, Bottleneck, ResNet
from seattn.weights import convert, load_weights

CAFFE = {"stride_on": "conv1", "stem_pool": "ceil"}
CEIL = {"stem_pool": "ceil"}
DEEP = {
    "stem": "deep",
    "cardinality": 64,
    "base_width": 4,
    "reduce_first": 2,
    "shortcut_kernel_size": 3,
}


def legacy(block: str, layers: tuple[int, ...], **kwargs: object) -> nn.Module:
    """A network as timm's ``legacy_se*``, of any depth."""
    options = {"groups": 1, "reduction": 16, "num_classes": 10, "drop_rate": 0.0}
    return legacy_senet.SENet(getattr(legacy_senet, block), layers, **options | kwargs)


def monai(block: str, layers: tuple[int, ...], **kwargs: object) -> nn.Module:
    options = {"spatial_dims": 2, "in_channels": 3, "groups": 1, "reduction": 16, "inplanes": 64}
    options |= {"downsample_kernel_size": 1, "input_3x3": False, "num_classes": 10}
    return monai_senet.SENet(block=block, layers=layers, **options | kwargs)


class MoskomuleGate(nn.Module):
    """As senet.pytorch builds it: two linear layers without biases."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 16, bias=False),
            nn.ReLU(),
            nn.Linear(channels // 16, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


def moskomule(block: type[nn.Module], layers: tuple[int, ...]) -> nn.Module:
    """torchvision's ResNet with the gate before the addition."""
    network = torchvision.models.ResNet(block, list(layers), num_classes=10)
    last = "bn3" if block.expansion == 4 else "bn2"
    for module in list(network.modules()):
        if isinstance(module, block):
            norm = getattr(module, last)
            module.se = MoskomuleGate(norm.num_features)
            norm.register_forward_hook(partial(_gate, module.se))
    return network


def _gate(gate: nn.Module, module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
    return gate(output)


def radimagenet(network: nn.Module) -> nn.Module:
    """As the released files have it: without names and without the last layer."""
    holder = nn.Module()
    holder.backbone = nn.Sequential(*list(network.children())[:-1])
    holder.forward = lambda x: holder.backbone(x).flatten(1)
    return holder


def ours(block: type[nn.Module], layers: tuple[int, ...], **kwargs: object) -> ResNet:
    return ResNet(block, layers, **{"num_classes": 10} | kwargs)


vision = torchvision.models.resnet
SHORT, LONG = (1, 2, 1, 1), (1, 1, 12, 1)
se = {"attention": SEBlock}
CASES = {
    "legacy se_resnet": (
        "legacy",
        partial(legacy, "SEResNetBottleneck", SHORT, inplanes=64, input_3x3=False,
                downsample_kernel_size=1, downsample_padding=0),
        partial(ours, Bottleneck, SHORT, **se, **CAFFE),
    ),
    "legacy se_resnext": (
        "legacy",
        partial(legacy, "SEResNeXtBottleneck", SHORT, groups=32, inplanes=64, input_3x3=False,
                downsample_kernel_size=1, downsample_padding=0),
        partial(ours, Bottleneck, SHORT, cardinality=32, base_width=4, **se, **CEIL),
    ),
    "legacy senet": (
        "legacy",
        partial(legacy, "SEBottleneck", SHORT, groups=64, inplanes=128, input_3x3=True,
                downsample_kernel_size=3, downsample_padding=1),
        partial(ours, Bottleneck, SHORT, **DEEP, **se, **CEIL),
    ),
    "monai se_resnet of more than ten blocks": (
        "monai",
        partial(monai, "se_resnet_bottleneck", LONG),
        partial(ours, Bottleneck, LONG, **se, **CAFFE),
    ),
    "monai se_resnet of volumes": (
        "monai",
        partial(monai, "se_resnet_bottleneck", SHORT, spatial_dims=3, in_channels=1),
        partial(ours, Bottleneck, SHORT, spatial_dims=3, in_chans=1, **se, **CAFFE),
    ),
    "monai se_resnext": (
        "monai",
        partial(monai, "se_resnetxt_bottleneck", SHORT, groups=32),
        partial(ours, Bottleneck, SHORT, cardinality=32, base_width=4, **se, **CEIL),
    ),
    "monai senet": (
        "monai",
        partial(monai, "se_bottleneck", SHORT, groups=64, inplanes=128, input_3x3=True,
                downsample_kernel_size=3),
        partial(ours, Bottleneck, SHORT, **DEEP, **se, **CEIL),
    ),
    "moskomule se_resnet": (
        "moskomule",
        partial(moskomule, vision.Bottleneck, SHORT),
        partial(ours, Bottleneck, SHORT, **se),
    ),
    "moskomule se_resnet of basic blocks": (
        "moskomule",
        partial(moskomule, vision.BasicBlock, SHORT),
        partial(ours, BasicBlock, SHORT, **se),
    ),
    "radimagenet": (
        "radimagenet",
        lambda: radimagenet(vision.ResNet(vision.Bottleneck, list(SHORT))),
        partial(ours, Bottleneck, SHORT, num_classes=0),
    ),
    "torchvision resnet18": (
        "timm",
        partial(torchvision.models.resnet18, num_classes=10),
        partial(backbones.resnet18, num_classes=10),
    ),
    "torchvision resnet50": (
        "timm",
        partial(torchvision.models.resnet50, num_classes=10),
        partial(backbones.resnet50, num_classes=10),
    ),
    "torchvision efficientnet_b0": (
        "torchvision",
        partial(torchvision.models.efficientnet_b0, num_classes=10),
        partial(backbones.efficientnet_b0, num_classes=10),
    ),
    "torchvision efficientnet_b5": (
        "torchvision",
        partial(torchvision.models.efficientnet_b5, num_classes=10),
        partial(backbones.efficientnet_b5, num_classes=10, bn_eps=1e-3),
    ),
    "timm seresnet50": (
        "timm",
        partial(timm.create_model, "seresnet50", num_classes=10),
        partial(backbones.se_resnet50, num_classes=10),
    ),
    "timm senet154": (
        "timm",
        partial(timm.create_model, "senet154", num_classes=10, layers=SHORT),
        partial(ours, Bottleneck, SHORT, **DEEP, **se),
    ),
}  # fmt: skip


def random(network: nn.Module) -> nn.Module:
    """The network in eval mode, no BatchNorm the identity, no residual zero."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def empty(build: partial) -> nn.Module:
    """The network without numbers, so that a tensor that is not loaded shows."""
    with torch.device("meta"):
        network = build()
    network = network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.fill_(float("nan") if tensor.is_floating_point() else -1)
    return network.eval()


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def images(network: nn.Module, in_chans: int) -> Tensor:
    dims = 3 if any(isinstance(module, nn.Conv3d) for module in network.modules()) else 2
    return torch.randn(2, in_chans, *(64, 75, 48)[:dims])


@pytest.mark.parametrize(("layout", "build", "build_ours"), CASES.values(), ids=CASES)
@torch.inference_mode()
def test_logits_are_those_of_the_source(layout, build, build_ours):
    theirs, network = random(build()), empty(build_ours)
    state = theirs.state_dict()
    report = load_weights(network, state)
    assert report.source == layout
    assert report.loaded.keys() | report.filled.keys() | report.kept.keys() == (
        network.state_dict().keys()
    )
    assert set(report.loaded.values()) | report.ignored.keys() == state.keys()
    assert not report.kept
    assert not report.ignored
    x = images(network, network.in_chans)
    expected = theirs(x)
    assert expected.std() > 1e-3
    assert relative_error(network(x), expected) <= 1e-5


@pytest.mark.parametrize(("layout", "build", "build_ours"), CASES.values(), ids=CASES)
def test_conversion_to_timm_and_back_changes_no_bit(layout, build, build_ours):
    state = build().state_dict()
    converted = convert(state)
    with torch.device("meta"):
        wanted = build_ours().state_dict()
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in wanted.items()}
    back = convert(converted, to=layout)
    prefix = "backbone." if layout == "radimagenet" else ""
    assert [prefix + name for name in back] == list(state)
    for key, value in state.items():
        assert torch.equal(back[key.removeprefix(prefix)], value), key


# The released networks, of their full depth.
RELEASED = {
    "legacy_seresnet50": partial(backbones.se_resnet50, **CAFFE),
    "legacy_seresnext50_32x4d": partial(backbones.se_resnext50_32x4d, **CEIL),
    "legacy_senet154": partial(backbones.senet154, **CEIL),
}


@pytest.mark.parametrize(("name", "build"), RELEASED.items(), ids=RELEASED)
@torch.inference_mode()
def test_released_senets_compute_the_same_logits(name, build):
    theirs = random(timm.create_model(name))
    network = empty(build)
    load_weights(network, theirs.state_dict())
    x = torch.randn(2, 3, 65, 64)
    assert relative_error(network(x), theirs(x)) <= 1e-5


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("SEResNet50", partial(backbones.se_resnet50, **CAFFE)),
        ("SEResNet101", partial(backbones.se_resnet101, **CAFFE)),
        ("SEResNext50", partial(backbones.se_resnext50_32x4d, **CEIL)),
    ],
)
@torch.inference_mode()
def test_monais_networks_compute_the_same_logits(name, build):
    theirs = random(getattr(monai_senet, name)(spatial_dims=2, in_channels=3, num_classes=1000))
    network = empty(build)
    load_weights(network, theirs.state_dict())
    x = torch.randn(2, 3, 64, 65)
    assert relative_error(network(x), theirs(x)) <= 1e-5


def test_conversion_to_torchvision_keeps_a_resnet_and_refuses_gates():
    plain = timm.create_model("resnet18").state_dict()
    assert convert(plain, to="torchvision") == plain  # the very tensors
    with pytest.raises(ValueError, match="has no counterpart in layout 'torchvision'") as caught:
        convert(ours(Bottleneck, SHORT, **se).state_dict(), to="torchvision")
    assert str(caught.value).count("\n") == 4 * sum(SHORT)


# ---- into networks of other libraries -------------------------------------------------------


@torch.inference_mode()
def test_blocks_that_monais_own_loader_drops_load_into_its_network():
    """Cadene's file into MONAI's network: its patterns read one digit of the block's number."""
    full = {"inplanes": 64, "input_3x3": False, "downsample_kernel_size": 1}
    theirs = random(legacy("SEResNetBottleneck", LONG, downsample_padding=0, **full))
    network = empty(partial(monai, "se_resnet_bottleneck", LONG))
    report = load_weights(network, theirs.state_dict())
    assert report.loaded["layer3.11.conv1.conv.weight"] == "layer3.11.conv1.weight"
    x = torch.randn(2, 3, 64, 64)
    assert relative_error(network(x), theirs(x)) <= 1e-5


def test_a_network_that_cannot_hold_a_tensor_names_it():
    network = moskomule(vision.Bottleneck, SHORT)
    with pytest.raises(ValueError, match="do not fit") as caught:
        load_weights(network, ours(Bottleneck, SHORT, **se).state_dict())
    assert "unexpected: `layer1.0.se.fc1.bias` is not zero" in str(caught.value)
    assert str(caught.value).count("\n") == 2 * sum(SHORT)


@pytest.mark.parametrize(
    ("build", "last"),
    [
        (partial(nets.DenseNet121, spatial_dims=2, in_channels=3), "class_layers.out"),
        (partial(nets.EfficientNetBN, "efficientnet-b0", pretrained=False), "_fc"),
    ],
)
def test_the_classifiers_of_monais_networks_are_kept(build, last):
    classes = "out_channels" if last == "class_layers.out" else "num_classes"
    state = build(**{classes: 5}).state_dict()
    report = load_weights(build(**{classes: 2}), state, keep_classifier=True)
    assert report.kept.keys() == {f"{last}.weight", f"{last}.bias"}


@pytest.mark.parametrize("name", ["densenet121", "convnext_tiny", "efficientnet_b0", "r3d_18"])
def test_any_network_takes_a_checkpoint_of_its_own(name):
    network = torchvision.models.get_model(name, num_classes=2)
    state = {f"module.{k}": torch.ones_like(v) for k, v in network.state_dict().items()}
    report = load_weights(network, {"state_dict": state})
    assert all((value == 1).all() for value in network.state_dict().values())
    assert report.prefix == "module."


def test_timms_legacy_basic_blocks_load_into_timm_but_not_into_ours():
    theirs = timm.create_model("legacy_seresnet18")
    load_weights(timm.create_model("legacy_seresnet18"), theirs.state_dict())
    with pytest.raises(ValueError, match="rectify the residual once more"):
        load_weights(backbones.se_resnet18(), theirs.state_dict())
    with pytest.raises(ValueError, match="rectify the residual once more"):
        convert(theirs.state_dict())
    assert list(convert(theirs.state_dict(), to="legacy")) == list(theirs.state_dict())
    with pytest.raises(ValueError, match="rectify the residual once more"):
        load_weights(theirs, backbones.se_resnet18().state_dict())


# ---- structure that no tensor shows ---------------------------------------------------------


RESNEXT = {"cardinality": 32, "base_width": 4}
FAR = "monai se_resnet of more than ten blocks"
REFUSED = [
    ("legacy se_resnet", SHORT, {}, ['stride_on="conv1"', 'stem_pool="ceil"']),
    ("legacy se_resnet", SHORT, {"stride_on": "conv1"}, ['stem_pool="ceil"']),
    ("legacy se_resnext", SHORT, {**RESNEXT, **CAFFE}, ['stride_on="conv2"']),
    ("legacy se_resnext", SHORT, RESNEXT, ['stem_pool="ceil"']),
    (FAR, LONG, CEIL, ['stride_on="conv1"']),
    ("timm seresnet50", (3, 4, 6, 3), CAFFE, ['stride_on="conv2"', 'stem_pool="padded"']),
    ("moskomule se_resnet", SHORT, CEIL, ['stem_pool="padded"']),
    ("moskomule se_resnet", SHORT, {"attention_position": "post"}, ['position="standard"']),
]


@pytest.mark.parametrize(("case", "layers", "options", "remedies"), REFUSED)
def test_a_network_of_other_strides_pooling_or_position_is_refused(case, layers, options, remedies):
    network = ours(Bottleneck, layers, **se, **options)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="do not fit") as caught:
        load_weights(network, CASES[case][1]().state_dict())
    problems = str(caught.value).splitlines()[1:]
    assert len(problems) == len(remedies)
    for problem, remedy in zip(problems, remedies, strict=True):
        assert remedy in problem
        assert ("source='native'" in problem) == case.startswith("timm")
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_network_whose_later_strides_are_dilations_takes_the_same_weights():
    theirs = random(timm.create_model("resnet50", num_classes=10, output_stride=16))
    network = empty(partial(backbones.resnet50, num_classes=10, output_stride=16))
    load_weights(network, theirs.state_dict())
    x = torch.randn(2, 3, 65, 64)
    assert relative_error(network(x), theirs(x)) <= 1e-5


@pytest.mark.parametrize(
    ("name", "eps", "right"), [("efficientnet_b5", 1e-5, 1e-3), ("efficientnet_b0", 1e-3, 1e-5)]
)
def test_another_epsilon_than_torchvisions_is_refused(name, eps, right):
    with torch.device("meta"):
        state = getattr(torchvision.models, name)().state_dict()
    with torch.device("meta"):
        network = getattr(backbones, name)(bn_eps=eps)
    network = network.to_empty(device="cpu")
    with pytest.raises(ValueError, match=f"bn_eps={right}"):
        load_weights(network, state)


def test_weights_trained_in_a_caffe_style_network_of_ours_load_as_native():
    trained = ours(Bottleneck, SHORT, **se, **CAFFE)
    network = ours(Bottleneck, SHORT, **se, **CAFFE)
    report = load_weights(network, trained.state_dict(), source="native")
    assert report.source == "native"
    assert all(
        torch.equal(value, network.state_dict()[key]) for key, value in trained.state_dict().items()
    )


@pytest.mark.parametrize(("name", "eps"), [("efficientnet_b4", 1e-5), ("efficientnet_b5", 1e-3)])
def test_the_epsilons_asked_for_are_torchvisions(name, eps):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)()
    assert {m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)} == {eps}
