"""Fits a fused network to a GPU: modules that join what belongs together, each in its best way."""

import importlib.util
from itertools import pairwise

import torch
from torch import Tensor, nn

from seattn.fuse.blocks import FusedResidual
from seattn.fuse.chosen import Chosen, choose_ways
from seattn.fuse.epilogue import Epilogue
from seattn.fuse.gpu_parts import FusedGate, FusedPool
from seattn.fuse.hooks import has_hooks
from seattn.fuse.known import STEMS, class_path
from seattn.fuse.verification import outputs

__all__ = ["fit_to_gpu", "put_epilogues", "runs_kernels"]


def runs_kernels(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether the kernels are for this device and dtype."""
    return (
        device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and torch.version.hip is None
        and importlib.util.find_spec("triton") is not None
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def fit_to_gpu(network: nn.Module, example: Tensor, *, recorded: bool) -> dict[str, str]:
    """Let the network join what belongs together, in place; return each such module's way.

    Args:
        network: A fused network on a CUDA device, in half precision.
        example: The batch that the ways are timed on.
        recorded: Whether the network will run as a CUDA graph, where launches cost nothing.
    """
    put_epilogues(network)
    with torch.cuda.device_of(next(network.parameters())):  # type: ignore[no-untyped-call]
        choose_ways(network, lambda: outputs(network, example), recorded=recorded)
    return {
        name: module.way for name, module in network.named_modules() if isinstance(module, Chosen)
    }


def put_epilogues(network: nn.Module) -> None:
    """Join convolutions and what follows them, in place."""
    for module in list(network.modules()):
        if class_path(module) in STEMS:
            _join_stem(module, *STEMS[class_path(module)])
        elif isinstance(module, FusedResidual):
            _join_block(module)


def _join_stem(network: nn.Module, conv: str, norm: str, act: str, pool: str) -> None:
    first, between, last = (network.get_submodule(name) for name in (conv, norm, act))
    if type(between) is nn.Identity and _joins(first, last) and not has_hooks(first, between, last):
        network.add_module(conv, Epilogue(first, relu=True))
        network.add_module(act, nn.Identity())
    pooling = network.get_submodule(pool)
    if FusedPool.takes(pooling) and not has_hooks(pooling):
        network.add_module(pool, FusedPool(pooling))


def _join_block(block: FusedResidual) -> None:
    body = list(block.body)
    for number, (conv, act) in enumerate(pairwise(list(block.body))):
        if _joins(conv, act):
            body[number], body[number + 1] = Epilogue(conv, relu=True), nn.Identity()
    block.body = nn.Sequential(*(module for module in body if type(module) is not nn.Identity))
    if isinstance(block.downsample, nn.Sequential):
        for name, conv in list(block.downsample.named_children()):
            if _has_bias(conv):
                block.downsample.add_module(name, Epilogue(conv, relu=False))
    if block.se is not None and FusedGate.takes(block.se):
        block.se = FusedGate(block.se.excitation)
    if _joins(block.conv, block.act) and (block.se is None or block.gate_is_early):
        block.add_module("conv", Epilogue(block.conv, relu=True))
        block.act = nn.Identity()


def _joins(conv: nn.Module, act: nn.Module) -> bool:
    return _has_bias(conv) and type(act) is nn.ReLU


def _has_bias(conv: nn.Module) -> bool:
    return type(conv) is nn.Conv2d and conv.bias is not None and conv.padding_mode == "zeros"
