"""How a block hangs on its host: a child module, and a forward hook that applies it."""

from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

__all__ = ["CHILD", "attach", "attached", "detach"]

CHILD = "attention"  # the name of the block below its host, and so part of state-dict keys


def attach(host: nn.Module, attention: nn.Module) -> None:
    """Apply ``attention`` to everything that ``host`` returns from now on."""
    host.add_module(CHILD, attention)
    hook = _Apply()
    hook.handle = host.register_forward_hook(hook)


def detach(host: nn.Module) -> None:
    """Leave ``host`` as it was before ``attach``."""
    for hook in list(host._forward_hooks.values()):
        if isinstance(hook, _Apply):
            hook.handle.remove()
    delattr(host, CHILD)


def attached(model: nn.Module) -> dict[str, nn.Module]:
    """Return the hosts in ``model`` by their names."""
    return {
        name: module
        for name, module in model.named_modules()
        if any(isinstance(hook, _Apply) for hook in module._forward_hooks.values())
    }


class _Apply:
    """The hook. It holds no block, so that a copy of the host applies the copy of the block.

    It keeps its handle, which travels in the pickle of the host: where that is read, the handle
    reserves the hook's number. Without it the new process counts from 0, and sooner or later gives
    the number to another hook of this host, which would take the place of this one.
    """

    handle: RemovableHandle

    def __call__(self, host: Any, args: tuple[Any, ...], output: Any) -> Any:
        return host.get_submodule(CHILD)(output)
