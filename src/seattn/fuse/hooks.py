"""Hooks on modules that a fused network no longer runs."""

from typing import Any

from torch import nn

__all__ = ["check_hooks", "has_hooks", "hook_tables"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hook_tables(*modules: nn.Module) -> list[Any]:
    """Return the dicts in which the modules keep their hooks."""
    return [getattr(module, kind) for module in modules for kind in _HOOKS]


def has_hooks(*modules: nn.Module) -> bool:
    """Return whether one of the modules has a hook."""
    return any(hook_tables(*modules))


def check_hooks(name: str, *modules: nn.Module) -> None:
    """Refuse what sits at ``name`` if it has hooks.

    Raises:
        ValueError: One has a hook.
    """
    for module in modules:
        if has_hooks(module):
            raise ValueError(
                f"`model` has a hook on {name!r} (a {type(module).__name__}), which the fused copy "
                "does not run as it is: fuse first and put the hook on the copy. Attention of "
                "`insert_attention` is such a hook: load the state dict of `fold_attention(model)` "
                "into a network that has the blocks, and fuse that"
            )
