"""How a block hangs on its host: a child module, and a forward hook that applies it."""

from typing import Any

from torch import nn

__all__ = ["CHILD", "attach", "attached", "detach"]

CHILD = "attention"  # the name of the block below its host, and so part of state-dict keys


def attach(host: nn.Module, attention: nn.Module) -> None:
    """Apply ``attention`` to everything that ``host`` returns from now on."""
    host.add_module(CHILD, attention)
    host.register_forward_hook(_apply)


def detach(host: nn.Module) -> None:
    """Leave ``host`` as it was before ``attach``."""
    for key, hook in list(host._forward_hooks.items()):
        if hook is _apply:
            del host._forward_hooks[key]
    delattr(host, CHILD)


def attached(model: nn.Module) -> dict[str, nn.Module]:
    """Return the hosts in ``model`` by their names."""
    return {
        name: module
        for name, module in model.named_modules()
        if _apply in module._forward_hooks.values()
    }


def _apply(host: Any, args: tuple[Any, ...], output: Any) -> Any:
    # A function of this module that holds no reference, so that a copy of the host, pickled or
    # deep, applies the copy of the block.
    return host.get_submodule(CHILD)(output)
