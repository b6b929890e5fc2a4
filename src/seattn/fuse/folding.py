"""BatchNorm folded into the convolution before it, wherever the order of the two is known."""

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seattn.fuse.hooks import check_hooks
from seattn.fuse.known import NORM_PAIRS, class_path

__all__ = ["fold", "fold_norms", "unfolded_norms"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_CONVOLUTION_CLASSES = ("timm.layers.conv2d_same.Conv2dSame",)
_NORM_CLASSES = ("torchvision.ops.misc.FrozenBatchNorm2d",)
_NORM_ACT_CLASSES = ("timm.layers.norm_act.BatchNormAct2d",)  # a norm and its activation, `act`


def fold_norms(network: nn.Module) -> dict[str, int]:
    """Fold in place; return how many BatchNorms went, by the name of the module that had them.

    Raises:
        ValueError: A module that would change has a hook.
    """
    counts: dict[str, int] = {}
    for name, owner in list(network.named_modules()):
        for first, second in _pairs(owner):
            above, key = _last(owner, first)
            conv, norm = above.get_submodule(key), owner.get_submodule(second)
            if not _foldable(conv, norm):
                continue
            prefix = f"{name}." if name else ""
            check_hooks(prefix + first, conv, owner.get_submodule(first))
            check_hooks(prefix + second, norm)
            above.add_module(key, fold(conv, norm))
            owner.add_module(second, norm.act if _acts(norm) else nn.Identity())
            counts[name] = counts.get(name, 0) + 1
    return counts


def unfolded_norms(network: nn.Module) -> dict[str, str]:
    """Return the BatchNorms that are there, by name, and why."""
    left: dict[str, str] = {}
    for name, norm in network.named_modules():
        if isinstance(norm, _BatchNorm) or class_path(norm) in _NORM_CLASSES:
            owner = network.get_submodule(name.rpartition(".")[0])
            left[name] = f"it is not known to follow a convolution in {type(owner).__name__}"
            if norm.running_mean is None:
                left[name] = "it has no running statistics"
    return left


def fold(conv: Any, norm: Any) -> nn.Module:
    """Return a convolution that does what ``conv`` and then ``norm`` do in evaluation.

    The numbers are multiplied in float64 and rounded once, to the dtype of ``conv``.
    """

    def exact(values: Tensor) -> Tensor:
        return values.detach().to("cpu", torch.float64)

    scale = (exact(norm.running_var) + norm.eps).rsqrt()  # (C)
    if norm.weight is not None:
        scale = scale * exact(norm.weight)
    bias = -scale * exact(norm.running_mean)
    if norm.bias is not None:
        bias = bias + exact(norm.bias)
    if conv.bias is not None:
        bias = bias + scale * exact(conv.bias)
    weight = exact(conv.weight) * scale.reshape(-1, *[1] * (conv.weight.ndim - 1))

    folded = copy.copy(conv)  # its options and, where it has one, its own `forward`
    folded._parameters = {
        "weight": nn.Parameter(weight.to(conv.weight), requires_grad=False),
        "bias": nn.Parameter(bias.to(conv.weight), requires_grad=False),
    }
    return folded


def _pairs(owner: nn.Module) -> Iterator[tuple[str, str]]:
    """Return the children that ``owner`` runs as convolution and norm, one after the other."""
    if type(owner).forward is nn.Sequential.forward:
        yield from pairwise(owner._modules)
    for first, second in NORM_PAIRS.get(class_path(owner), ()):
        if getattr(owner, first, None) is not None and getattr(owner, second, None) is not None:
            yield first, second


def _last(owner: nn.Module, key: str) -> tuple[nn.Module, str]:
    """Return where the last module lives that runs in the child ``key``."""
    child = owner.get_submodule(key)
    while type(child).forward is nn.Sequential.forward and child._modules:
        owner, key = child, next(reversed(child._modules))
        child = owner.get_submodule(key)
    return owner, key


def _foldable(conv: Any, norm: Any) -> bool:
    convolves = type(conv) in _CONVOLUTIONS or class_path(conv) in _CONVOLUTION_CLASSES
    normalises = type(norm) in _NORMS or class_path(norm) in _NORM_CLASSES or _acts(norm)
    if not convolves or not normalises or norm.running_mean is None:
        return False
    return conv.out_channels == len(norm.running_mean)


def _acts(norm: nn.Module) -> bool:
    return class_path(norm) in _NORM_ACT_CLASSES
