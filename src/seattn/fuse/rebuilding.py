"""Residual blocks of known classes, replaced by blocks that know their gates early."""

from torch import nn
from torch.nn.modules.conv import _ConvNd

from seattn.fuse.blocks import FusedInverted, FusedResidual
from seattn.fuse.hooks import check_hooks
from seattn.fuse.known import READERS, class_path, read_gate
from seattn.fuse.parts import Inverted, Residual, UnfitError

__all__ = ["rebuild_blocks"]


def rebuild_blocks(network: nn.Module) -> tuple[nn.Module, dict[str, str]]:
    """Replace in place; return the network and what became of each block of a known class.

    The network is another one only if it is itself such a block.

    Raises:
        ValueError: A module that would go has a hook.
    """
    outcomes: dict[str, str] = {}
    for name, block in list(network.named_modules(remove_duplicate=False)):
        if class_path(block) not in READERS:
            continue
        try:
            fused = _build(READERS[class_path(block)](block))
        except UnfitError as reason:
            outcomes[name] = f"not rebuilt: {reason}"
            continue
        for inside, module in block.named_modules(prefix=name):
            check_hooks(inside, module)
        outcomes[name] = fused.describe()
        if not name:
            return fused, outcomes
        parent, _, key = name.rpartition(".")
        network.get_submodule(parent).add_module(key, fused)
    return network, outcomes


def _build(parts: Residual | Inverted) -> FusedResidual | FusedInverted:
    body = [module for module in parts.body if type(module) is not nn.Identity]
    conv, *folded = parts.tail
    if not isinstance(conv, _ConvNd) or any(type(module) is not nn.Identity for module in folded):
        raise UnfitError("its last convolution has something behind it that does not fold")
    gate = read_gate(parts.attention)
    if isinstance(parts, Residual):
        return FusedResidual(body, conv, gate, parts.shortcut, parts.act)
    return FusedInverted(body, gate, conv, parts.has_shortcut)
