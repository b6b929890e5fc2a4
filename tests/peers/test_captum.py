"""Our Grad-CAM against captum's, on other libraries' networks.

captum records the whole network and keeps the layer's output by a hook of its own. The tolerance is
relative to the largest value of captum's signed map: 1e-5 in float32, 1e-10 in float64.
"""

import pytest
import timm
import torch
import torchvision
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from seattn import backbones
from seattn.explain import GradCAM


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


def vision(name):
    return lambda: torchvision.models.get_model(name, num_classes=3)


def image(name):
    return lambda: timm.create_model(name, num_classes=3)


def ours(name):
    return lambda: getattr(backbones, name)(num_classes=3)


# The layers marked "in place" are those whose output the next operation overwrites.
CASES = [
    ("torchvision resnet18", vision("resnet18"), "layer4", (3, 64, 80)),
    ("torchvision resnet50, in place", vision("resnet50"), "layer4.2.bn3", (3, 64, 64)),
    ("torchvision resnet50, runs three times", vision("resnet50"), "layer4.2.relu", (3, 64, 64)),
    ("torchvision vgg11_bn, in place", vision("vgg11_bn"), "features.26", (3, 64, 64)),
    ("torchvision densenet121, in place", vision("densenet121"), "features", (3, 64, 64)),
    ("torchvision convnext_tiny", vision("convnext_tiny"), "features.7", (3, 64, 64)),
    ("torchvision efficientnet_b0", vision("efficientnet_b0"), "features.8", (3, 64, 64)),
    ("torchvision r3d_18", vision("r3d_18"), "layer4", (3, 8, 32, 32)),
    ("timm resnet18", image("resnet18"), "layer3", (3, 65, 64)),
    ("timm seresnet50", image("seresnet50"), "layer4", (3, 64, 64)),
    ("timm seresnet50, in place", image("seresnet50"), "layer4.2.se", (3, 64, 64)),
    ("timm seresnet50, early", image("seresnet50"), "layer1", (3, 64, 64)),
    ("timm efficientnet_b0", image("efficientnet_b0"), "bn2", (3, 64, 64)),
    ("timm vgg11_bn, in place", image("vgg11_bn"), "features.26", (3, 64, 64)),
    ("timm densenet121, in place", image("densenet121"), "features", (3, 64, 64)),
    ("timm convnext_atto", image("convnext_atto"), "stages.3", (3, 64, 64)),
    ("seattn resnet34", ours("resnet34"), "layer4", (3, 80, 64)),
    ("seattn se_resnet18", ours("se_resnet18"), "layer4", (3, 64, 64)),
    ("seattn se_resnet50", ours("se_resnet50"), "layer4", (3, 64, 80)),
    ("seattn se_resnet50, attention block", ours("se_resnet50"), "layer4.2.se", (3, 64, 64)),
    ("seattn efficientnet_b0", ours("efficientnet_b0"), "bn2", (3, 64, 64)),
    ("three dimensions, in place", ThreeD, "4", (1, 8, 10, 9)),
    ("one dimension, in place", OneD, "1", (2, 50)),
]  # fmt: skip


def random_network(build, x):
    """The network with random BatchNorm statistics, so that no layer is the identity."""
    torch.manual_seed(0)
    net = build().eval()
    net(x)  # lazy layers
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net


def assert_equals_captum(net, layer, x, relative):
    logits = net(x)
    target = torch.stack([logits[0].argmax(), logits[1].argmin()])  # one map is surely not blank
    result = GradCAM(net, layer).explain(x, target=target)

    theirs = LayerGradCam(net, net.get_submodule(layer))
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
        pytest.param(image("efficientnet_b0"), "blocks.6", (3, 64, 64), id="timm efficientnet_b0"),
        pytest.param(ThreeD, "4", (1, 8, 10, 9), id="three dimensions"),
        pytest.param(OneD, "1", (2, 50), id="one dimension"),
    ],
)
def test_maps_equal_captum_s_in_float64(build, layer, shape):
    x = torch.randn(2, *shape)
    net = random_network(build, x).double()
    assert_equals_captum(net, layer, x.double(), relative=1e-10)
