"""The maps of pytorch-grad-cam, torchcam and MONAI, remade from ours, and where they are wrong.

Each peer scales its maps in a way of its own. Those scalings are written here: ours keep their
units.
"""

import copy

import monai.visualize
import numpy as np
import pytest
import pytorch_grad_cam
import scipy.ndimage
import timm
import torch
import torch.nn.functional as F
import torchcam.methods
from captum.attr import LayerGradCam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from seattn import explain
from tests.peers.networks import randomise_norms

TARGETS = [2, 0, 1]


class Net(nn.Module):
    """``last`` is signed; what follows it overwrites it in place, or does not."""

    def __init__(self, dims=2, inplace=False):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.stem, self.last = conv(3, 8, 3, stride=2, padding=1), conv(8, 12, 3, padding=1)
        self.act, self.mix = nn.ReLU(inplace), conv(12, 6, 3)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        y = torch.tanh(self.mix(self.act(self.last(torch.relu(self.stem(x))))))
        return 20 * self.fc(y.flatten(2).mean(2))


@pytest.fixture
def net():
    return Net().eval()


@pytest.fixture
def x():
    return torch.randn(3, 3, 21, 30)


def scaled(maps, eps):
    """Map the range of each image to 0..1."""
    flat = maps.flatten(1)
    flat = flat - flat.amin(1, keepdim=True)
    return (flat / (eps + flat.amax(1, keepdim=True))).reshape(maps.shape)


def resized(maps, size):
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return F.interpolate(maps[:, None], tuple(size), mode=mode, align_corners=False)[:, 0]


def largest_difference(ours, theirs):
    return (ours - torch.as_tensor(theirs)).abs().max().item()


def correlation(ours, theirs):
    return np.corrcoef(ours.flatten().numpy(), torch.as_tensor(theirs).flatten().numpy())[0, 1]


# ---- pytorch-grad-cam: resize between two scalings to 0..1 ------------------------------------


def of_grad_cam(method, net, x, targets=TARGETS, layer="last"):
    targets = [ClassifierOutputTarget(target) for target in targets]
    with method(net, [net.get_submodule(layer)]) as cam:
        return torch.from_numpy(cam(x, targets))


def as_grad_cam(raw, size):
    return scaled(resized(scaled(raw.relu(), 1e-7), size).relu(), 1e-7)


@pytest.mark.parametrize("method", ["GradCAM", "HiResCAM", "LayerCAM"])
def test_grad_cam_in_two_dimensions(net, x, method):
    result = getattr(explain, method)(net, "last").explain(x, target=TARGETS)
    theirs = of_grad_cam(getattr(pytorch_grad_cam, method), net, x)
    assert largest_difference(as_grad_cam(result.raw, x.shape[2:]), theirs) < 1e-5


def test_grad_cam_in_three_dimensions_interpolates_by_splines():
    net, x = Net(dims=3).eval(), torch.randn(3, 3, 9, 12, 15)
    result = explain.GradCAM(net, "last").explain(x, target=TARGETS)
    theirs = of_grad_cam(pytorch_grad_cam.GradCAM, net, x)
    low = scaled(result.raw.relu(), 1e-7).numpy()
    factors = [new / old for new, old in zip(x.shape[2:], low.shape[1:], strict=True)]
    splines = torch.from_numpy(np.stack([scipy.ndimage.zoom(each, factors) for each in low]))
    assert largest_difference(scaled(splines.relu(), 1e-7), theirs) < 1e-5
    assert largest_difference(as_grad_cam(result.raw, x.shape[2:]), theirs) > 0.05


def test_grad_cam_plus_plus_is_ours_where_gradients_are_large(net, x):
    """Its 1e-6 under the fraction is larger than the square of a usual gradient."""
    net.act, net.last = nn.Identity(), nn.Sequential(net.last, nn.ReLU())

    def maps():
        result = explain.GradCAMPlusPlus(net, "last").explain(x, target=TARGETS)
        theirs = of_grad_cam(pytorch_grad_cam.GradCAMPlusPlus, net, x)
        g, a = result.gradient, result.activation
        total = a.sum((2, 3), keepdim=True)
        alpha = torch.where(g != 0, g**2 / (2 * g**2 + total * g**3 + 1e-6), 0)
        with_eps = ((g.relu() * alpha).sum((2, 3), keepdim=True) * a).sum(1)
        assert largest_difference(as_grad_cam(with_eps, x.shape[2:]), theirs) < 1e-4
        return largest_difference(as_grad_cam(result.raw, x.shape[2:]), theirs)

    small = maps()
    with torch.no_grad():
        net.fc.weight.mul_(1e4)
    assert maps() < 1e-4
    with torch.no_grad():
        net.fc.weight.mul_(1e-7)
    assert maps() > max(0.02, small)


# ---- torchcam: the layer's grid, scaled to 0..1 or as it is -----------------------------------


def of_torchcam(method, net, x, layer="last", **kwargs):
    with method(net, target_layer=layer) as cam:
        return cam(TARGETS, net(x), **kwargs)[0].detach()


@pytest.mark.parametrize("method", ["GradCAM", "LayerCAM"])
def test_torchcam(net, x, method):
    raw = getattr(explain, method)(net, "last").explain(x, target=TARGETS).raw.relu()
    theirs = getattr(torchcam.methods, method)
    as_is = of_torchcam(theirs, net, x, normalized=False)
    assert largest_difference(raw, as_is) <= 1e-5 * raw.max()
    assert largest_difference(scaled(raw, 1e-8), of_torchcam(theirs, net, x)) < 1e-4


def test_torchcam_s_plus_plus_never_divides(net, x):
    net.act, net.last = nn.Identity(), nn.Sequential(net.last, nn.ReLU())
    result = explain.GradCAMPlusPlus(net, "last").explain(x, target=TARGETS)
    theirs = of_torchcam(torchcam.methods.GradCAMpp, net, x, normalized=False)
    cubes = (result.gradient.relu() ** 3).sum((2, 3), keepdim=True)
    wrong = (cubes * result.activation).sum(1)
    assert largest_difference(wrong, theirs) <= 1e-4 * wrong.max()
    assert largest_difference(scaled(result.raw, 1e-8), scaled(theirs, 1e-8)) > 0.05


# ---- MONAI: resized, then scaled to 1..0 ------------------------------------------------------


def of_monai(net, x, target, layer="last"):
    cam = monai.visualize.GradCAM(copy.deepcopy(net), layer)  # its hooks never come off
    return cam.compute_map(x, class_idx=target)[:, 0], cam(x, class_idx=target)[:, 0]


@pytest.mark.parametrize("dims", [2, 3])
def test_monai_with_one_class_for_all(dims):
    net, x = Net(dims).eval(), torch.randn(3, 3, *(9, 12, 15)[:dims])
    result = explain.GradCAM(net, "last").explain(x, target=1)
    low, high = of_monai(net, x, 1)
    assert largest_difference(result.raw.relu(), low) <= 1e-5 * low.max()
    # The most important place is 0.
    assert largest_difference(1 - scaled(result.maps, 0), high) < 1e-4


def test_monai_explains_each_image_by_the_sum_of_all_targets(net, x):
    target = torch.tensor(TARGETS)
    low, _ = of_monai(net, x, target)
    result = explain.GradCAM(net, "last").explain(x, target=lambda out: out[:, TARGETS].sum(1))
    assert largest_difference(result.raw.relu(), low) <= 1e-5 * low.max()
    right = explain.GradCAM(net, "last").explain(x, target=target).raw.relu()
    assert largest_difference(right, low) > 0.1 * right.max()
    alone = torch.cat([of_monai(net, x[i : i + 1], target[i : i + 1])[0] for i in range(3)])
    assert largest_difference(right, alone) <= 1e-5 * right.max()


def test_monai_leaves_its_hooks(net, x):
    explain.GradCAM(net, "last")(x)
    assert not net.last._forward_hooks
    monai.visualize.GradCAM(net, "last")(x)
    assert net.last._forward_hooks
    assert net.last._backward_hooks


# ---- the operation after the target overwrites it ---------------------------------------------


def captums(net, layer, x):
    net = net.get_submodule(""), net.get_submodule(layer)
    return LayerGradCam(*net).attribute(x, target=torch.tensor(TARGETS))[:, 0].detach()


@pytest.mark.parametrize("peer", ["grad-cam", "torchcam"])
def test_peers_are_wrong_where_the_next_operation_is_in_place(x, peer):
    def theirs(net):
        if peer == "grad-cam":
            return of_grad_cam(pytorch_grad_cam.GradCAM, net, x)
        return scaled(of_torchcam(torchcam.methods.GradCAM, net, x, normalized=False), 1e-8)

    def ours(net):
        raw = explain.GradCAM(net, "last").explain(x, target=TARGETS).raw
        assert largest_difference(raw, captums(net, "last", x)) <= 1e-5 * raw.abs().max()
        return as_grad_cam(raw, x.shape[2:]) if peer == "grad-cam" else scaled(raw.relu(), 1e-8)

    harmless, overwriting = Net(inplace=False).eval(), Net(inplace=True).eval()
    overwriting.load_state_dict(harmless.state_dict())
    assert torch.equal(harmless(x), overwriting(x))
    right = ours(overwriting)
    torch.testing.assert_close(right, ours(harmless))
    assert largest_difference(right, theirs(harmless)) < 1e-4
    assert largest_difference(right, theirs(overwriting)) > 0.3


@pytest.mark.parametrize("peer", ["grad-cam", "torchcam"])
def test_peers_are_wrong_at_the_attention_block_of_an_se_resnet(peer):
    net = randomise_norms(timm.create_model("seresnet50", num_classes=3).eval())
    x, layer = torch.randn(3, 3, 64, 97), "layer4.2.se"
    raw = explain.GradCAM(net, layer).explain(x, target=TARGETS).raw
    assert largest_difference(raw, captums(net, layer, x)) <= 1e-5 * raw.abs().max()
    if peer == "grad-cam":
        ours = as_grad_cam(raw, x.shape[2:])
        theirs = of_grad_cam(pytorch_grad_cam.GradCAM, net, x, layer=layer)
    else:
        ours = scaled(raw.relu(), 1e-8)
        theirs = scaled(
            of_torchcam(torchcam.methods.GradCAM, net, x, layer, normalized=False), 1e-8
        )
    assert largest_difference(ours, theirs) > 0.3


def test_monai_fails_where_the_next_operation_is_in_place(x):
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        of_monai(Net(inplace=True).eval(), x, 1)
