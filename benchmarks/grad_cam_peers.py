"""Grad-CAM as ours and as each peer makes it, from images to maps at the size of the images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seattn
from benchmarks.peers import find
from seattn.explain import GradCAM

__all__ = ["CLASSES", "LAYERS", "NAMES", "PLAIN", "TARGET", "check", "contestant", "network"]

CLASSES, TARGET = 3, 1
LAYERS = {
    "se_resnet50": {"last": "layer4", "early": "layer1"},
    "resnet50": {"last": "layer4", "early": "layer1"},
    "efficientnet_b5": {"last": "bn2", "early": "blocks.1"},
}
PLAIN = "plain forward"

TOLERANCE = {"pytorch-grad-cam": 2e-2}  # its epsilons are large beside the maps of random weights

Maps = Callable[[], Any]


def network(name: str, *, device: str) -> nn.Module:
    """One of ours with three classes and seeded weights, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = seattn.create_model(name, num_classes=CLASSES)
        with torch.no_grad():  # else random weights leave blank maps, which compare with anything
            built.get_classifier().get_parameter("weight").abs_()
    return built.eval().to(device)


def contestant(name: str, net: nn.Module, layer: str, images: Tensor) -> Maps | None:
    """One turn of a contestant, on a network of its own; None where the peer is not installed."""
    return NAMES[name](copy.deepcopy(net), layer, images)


def check(maps: Mapping[str, Any], images: Tensor) -> dict[str, float]:
    """Largest difference of each contestant's maps from ours, relative to the largest value.

    Peers that scale their maps to 0..1 are compared with ours after the same scaling.

    Raises:
        RuntimeError: Maps differ, and no time is taken.
    """
    ours = maps["seattn"]
    differences = {}
    for name in maps.keys() - {PLAIN, "seattn"}:
        found, expected = torch.as_tensor(maps[name], device=images.device), ours
        if "three classes" in name:
            found = found[:, TARGET]
        elif name == "pytorch-grad-cam":  # scales twice: on the layer's grid, and at full size
            expected = _scaled(ours)
        elif name == "MONAI":  # its normaliser turns the scale round: most important is 0
            expected = 1 - _scaled(ours)
        gap = (found.reshape(expected.shape) - expected).abs().max() / expected.abs().max()
        differences[name] = float(gap)
        if not (gap < TOLERANCE.get(name, 1e-4) and expected.amax((-2, -1)).min() > 0):
            raise RuntimeError(f"{name}'s maps differ by {gap:.1e}: no time is taken")
    return differences


def _scaled(maps: Tensor) -> Tensor:
    low, high = (f(maps, dim=(-2, -1), keepdim=True) for f in (torch.amin, torch.amax))
    return (maps - low) / (high - low)


def _plain(net: nn.Module, layer: str, images: Tensor) -> Maps:
    return torch.no_grad()(partial(net, images))


def _ours(net: nn.Module, layer: str, images: Tensor) -> Maps:
    return partial(GradCAM(net, layer), images, target=TARGET)


def _ours_classes(net: nn.Module, layer: str, images: Tensor) -> Maps:
    return partial(GradCAM(net, layer), images, classes=range(CLASSES))


def _captum(net: nn.Module, layer: str, images: Tensor, *, frozen: bool = False) -> Maps | None:
    if (attr := find("captum.attr")) is None:
        return None
    cam = attr.LayerGradCam(net.requires_grad_(not frozen), net.get_submodule(layer))

    def maps(target: int = TARGET) -> Tensor:
        raw = cam.attribute(images, target=target, relu_attributions=True)
        return _upsampled(raw[:, 0].detach(), images)

    return maps


def _captum_classes(net: nn.Module, layer: str, images: Tensor) -> Maps | None:
    maps: Any = _captum(net, layer, images)
    return maps and (lambda: torch.stack([maps(k) for k in range(CLASSES)], dim=1))


def _torch_cam(net: nn.Module, layer: str, images: Tensor) -> Maps | None:
    if (methods := find("torchcam.methods")) is None:
        return None

    def maps() -> Tensor:
        with methods.GradCAM(net, layer) as extract:
            (raw,) = extract([TARGET] * len(images), net(images), normalized=False)
        return _upsampled(raw.detach(), images)

    return maps


def _grad_cam(net: nn.Module, layer: str, images: Tensor) -> Maps | None:
    if (library := find("pytorch_grad_cam")) is None:
        return None
    targets = [find("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget(TARGET)]

    def maps() -> Any:
        with library.GradCAM(model=net, target_layers=[net.get_submodule(layer)]) as cam:
            return cam(input_tensor=images, targets=targets * len(images))

    return maps


def _monai(net: nn.Module, layer: str, images: Tensor) -> Maps | None:
    if (visualize := find("monai.visualize")) is None:
        return None
    return partial(visualize.GradCAM(nn_module=net, target_layers=layer), images, class_idx=TARGET)


def _upsampled(raw: Tensor, images: Tensor) -> Tensor:
    size = images.shape[-2:]
    return F.interpolate(raw[:, None], size, mode="bilinear", align_corners=False)[:, 0]


NAMES: dict[str, Callable[[nn.Module, str, Tensor], Maps | None]] = {
    PLAIN: _plain,
    "seattn": _ours,
    "seattn, three classes": _ours_classes,
    "captum": _captum,
    "captum, frozen parameters": partial(_captum, frozen=True),
    "captum, three classes": _captum_classes,
    "torch-cam": _torch_cam,
    "pytorch-grad-cam": _grad_cam,
    "MONAI": _monai,
}
