"""Our Grad-CAM against captum's, on other libraries' networks.

captum records the whole network and keeps the layer's output by a hook of its own. The tolerance is
relative to the largest value of captum's signed map: 1e-5 in float32, 1e-10 in float64.
"""

import monai.networks.nets
import pytest
import timm
import torch
import torchvision
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from seattn import backbones
from seattn.explain import GradCAM
from tests.peers.networks import randomise_norms


class ThreeD(nn.Sequential):
    """A small 3D network whose target is followed by an operation in place."""

    def __init__(self):
        super().__init__(
            nn.Conv3d(1, 6, 3, stride=2, padding=1),
            nn.BatchNorm3d(6),
            nn.ReLU(inplace=True),
            nn.Conv3d(6, 8, 3, padding=1),
            nn.BatchNorm3d(8),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.LazyLinear(3),
        )


class OneD(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv1d(2, 6, 5, stride=3), nn.BatchNorm1d(6), nn.ReLU(inplace=True),
            nn.Flatten(), nn.LazyLinear(3),
        )  # fmt: skip


GOOGLENET = {"aux_logits": False, "init_weights": False}
VOLUMES = {"spatial_dims": 3, "in_chans": 1, "layers": (1, 1, 1, 1)}


def vision(name, **kwargs):
    return lambda: torchvision.models.get_model(name, num_classes=3, **kwargs)


def image(name):
    return lambda: timm.create_model(name, num_classes=3)


def ours(name, **kwargs):
    return lambda: getattr(backbones, name)(num_classes=3, **kwargs)


def volume(name, **kwargs):
    return lambda: getattr(monai.networks.nets, name)(spatial_dims=3, in_channels=1, **kwargs)


# The layers marked "in place" are those whose output the next operation overwrites.
CASES = [
    ("torchvision resnet18", vision("resnet18"), "layer4", (3, 64, 80)),
    ("torchvision resnet50, in place", vision("resnet50"), "layer4.2.bn3", (3, 64, 64)),
    ("torchvision resnet50, runs three times", vision("resnet50"), "layer4.2.relu", (3, 64, 64)),
    ("torchvision vgg11_bn, in place", vision("vgg11_bn"), "features.26", (3, 64, 64)),
    ("torchvision densenet121, in place", vision("densenet121"), "features", (3, 97, 65)),
    ("torchvision googlenet", vision("googlenet", **GOOGLENET), "inception5b", (3, 97, 65)),
    ("torchvision mobilenet_v3_small", vision("mobilenet_v3_small"), "features.12", (3, 97, 65)),
    ("torchvision convnext_tiny", vision("convnext_tiny"), "features.7", (3, 64, 64)),
    ("torchvision efficientnet_b0", vision("efficientnet_b0"), "features.8", (3, 97, 65)),
    ("torchvision r3d_18", vision("r3d_18"), "layer4", (3, 8, 32, 32)),
    ("timm resnet18", image("resnet18"), "layer3", (3, 65, 64)),
    ("timm seresnet50", image("seresnet50"), "layer4", (3, 97, 65)),
    ("timm seresnet50, in place", image("seresnet50"), "layer4.2.se", (3, 64, 64)),
    ("timm seresnet50, early", image("seresnet50"), "layer1", (3, 64, 64)),
    ("timm efficientnet_b0", image("efficientnet_b0"), "bn2", (3, 97, 65)),
    ("timm regnety_002", image("regnety_002"), "s4", (3, 97, 65)),
    ("timm densenet121, in place", image("densenet121"), "features", (3, 64, 64)),
    ("timm convnext_atto", image("convnext_atto"), "stages.3", (3, 97, 65)),
    ("seattn resnet34", ours("resnet34"), "layer4", (3, 80, 64)),
    ("seattn se_resnet18", ours("se_resnet18"), "layer4", (3, 64, 64)),
    ("seattn se_resnet50", ours("se_resnet50"), "layer4", (3, 97, 65)),
    ("seattn se_resnet50, attention block", ours("se_resnet50"), "layer4.2.se", (3, 64, 64)),
    ("seattn efficientnet_b0", ours("efficientnet_b0"), "blocks.6", (3, 97, 65)),
    ("seattn se_resnet18, 3D", ours("se_resnet18", **VOLUMES), "layer3", (1, 33, 32, 40)),
    ("MONAI DenseNet121", volume("DenseNet121", out_channels=3), "features", (1, 33, 32, 40)),
    ("MONAI SEResNet50", volume("SEResNet50", num_classes=3), "layer4", (1, 33, 32, 40)),
    ("three dimensions, in place", ThreeD, "4", (1, 8, 10, 9)),
    ("one dimension, in place", OneD, "1", (2, 50)),
]  # fmt: skip

# Every family, and layers of all depths, at the size of a real image.
FULL = {
    (
        "timm",
        "seresnet50",
    ): "layer4 layer4.2.bn3 layer4.2.se layer4.2.act3 layer3 layer1",
    ("timm", "resnet50"): "layer4 layer4.2.bn3 layer4.1.conv2 layer3 layer1",
    ("timm", "efficientnet_b5"): "conv_head bn2 blocks.6 blocks.6.2.conv_pw blocks.3",
    ("timm", "convnext_tiny"): "stages.3 stages.3.blocks.2 stages.1",
    ("timm", "regnety_032"): "s4 s4.b1.se s3 s1",
    ("torchvision", "resnet50"): "layer4 layer4.2.bn3 layer4.2.relu layer3 layer1",
    ("torchvision", "vgg16_bn"): "features features.41 features.20",
    (
        "torchvision",
        "densenet121",
    ): "features features.denseblock4 features.denseblock2",
    ("torchvision", "googlenet"): "inception5b inception4a",
    ("torchvision", "mobilenet_v3_large"): "features features.16 features.6",
    ("torchvision", "convnext_tiny"): "features features.7.2 features.3",
    ("torchvision", "efficientnet_v2_s"): "features features.7 features.4 features.2",
    ("seattn", "resnet50"): "layer4 layer4.2.bn3 layer3 layer1",
    ("seattn", "se_resnet50"): "layer4 layer4.2.se layer4.2.bn3 layer3 layer1",
    ("seattn", "se_resnext50_32x4d"): "layer4 layer2",
    ("seattn", "senet154"): "layer4 layer2",
    ("seattn", "efficientnet_b0"): "act2 bn2 conv_head blocks.6 blocks.3 blocks.1",
    ("seattn", "efficientnet_b5"): "act2 blocks.6 blocks.3",
}


def random_network(build, x):
    """The network with random BatchNorm statistics, so that no layer is the identity."""
    torch.manual_seed(0)
    net = build().eval()
    net(x)  # lazy layers
    return randomise_norms(net)


class ForAndAgainst(nn.Module):
    """Twice the classes, so that a map or its negative has something above 0."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        logits = self.net(x)
        return torch.cat([logits, -logits], 1)


def assert_equals_captum(net, layer, x, relative):
    module, net = net.get_submodule(layer), ForAndAgainst(net)
    cam = GradCAM(net, module)
    classes = cam.explain(x, classes=range(6)).raw
    target = classes.flatten(2).amax(2).argmax(1)  # those whose maps are least blank
    result = cam.explain(x, target=target)

    theirs = LayerGradCam(net, module)
    signed = theirs.attribute(x, target=target).detach()
    rectified = theirs.attribute(x, target=target, relu_attributions=True).detach()
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[x.dim() - 2]
    # captum's `interpolate` with align_corners left out, which is align_corners=False
    maps = LayerAttribution.interpolate(rectified, tuple(x.shape[2:]), mode)

    largest = signed.abs().max()
    assert largest > 0
    assert (result.raw - signed[:, 0]).abs().max() <= relative * largest
    assert result.maps.shape == x.shape[:1] + x.shape[2:]
    assert (result.maps - maps[:, 0]).abs().max() <= relative * largest
    assert result.maps.max() > 0


@pytest.mark.parametrize(
    ("build", "layer", "shape"), [pytest.param(*case, id=name) for name, *case in CASES]
)
def test_maps_equal_captum_s(build, layer, shape):
    x = torch.randn(2, *shape)
    assert_equals_captum(random_network(build, x), layer, x, relative=1e-5)


@pytest.mark.parametrize(
    ("build", "layer", "shape"),
    [
        pytest.param(image("resnet18"), "layer4", (3, 64, 64), id="timm resnet18"),
        pytest.param(image("efficientnet_b0"), "blocks.6", (3, 33, 33), id="timm efficientnet_b0"),
        pytest.param(ours("se_resnet18"), "layer4.1.se", (3, 65, 33), id="seattn se_resnet18"),
        pytest.param(vision("densenet121"), "features", (3, 65, 33), id="torchvision densenet121"),
        pytest.param(ours("se_resnet18", **VOLUMES), "layer3", (1, 17, 16, 24), id="seattn 3D"),
        pytest.param(ThreeD, "4", (1, 8, 10, 9), id="three dimensions"),
        pytest.param(OneD, "1", (2, 50), id="one dimension"),
    ],
)
def test_maps_equal_captum_s_in_float64(build, layer, shape):
    x = torch.randn(2, *shape)
    net = random_network(build, x).double()
    assert_equals_captum(net, layer, x.double(), relative=1e-10)


@pytest.mark.full
@pytest.mark.parametrize(("source", "name"), FULL)
def test_every_family_and_depth(source, name):
    options = GOOGLENET if name == "googlenet" else {}
    build = {"torchvision": vision, "timm": image, "seattn": ours}[source](name, **options)
    x = torch.randn(2, 3, 224, 192)
    net = random_network(build, x)
    for layer in FULL[source, name].split():
        assert_equals_captum(net, layer, x, relative=1e-5)
