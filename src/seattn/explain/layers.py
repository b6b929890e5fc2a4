"""Names of layers: the one that a user means, and the one that a network states itself."""

import difflib

from torch import nn

__all__ = ["find_layer", "stated_layer"]


def find_layer(model: nn.Module, layer: nn.Module | str, *, argument: str) -> tuple[str, nn.Module]:
    """Return the dotted name and the module of ``layer``; a ``ValueError`` names ``argument``."""
    named = dict(model.named_modules(remove_duplicate=False))
    if isinstance(layer, str):
        if layer in named:
            return layer, named[layer]
        level = [name for name in named if name.count(".") == layer.count(".")]
        close = difflib.get_close_matches(layer, level, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else "see `model.named_modules()`"
        raise ValueError(f"`{argument}` {layer!r} not found; {remedy}")
    for name, module in named.items():
        if module is layer:
            return name, module
    raise ValueError(
        f"`{argument}` {type(layer).__name__} is not a module of this model; "
        "take it from `model.named_modules()`"
    )


def stated_layer(model: nn.Module) -> str:
    """Return the layer that a network states as its last feature map, ``feature_info[-1]``.

    timm's networks and ours do. Nothing is guessed: a network's last convolution may well be the
    1x1 convolution of a gate.

    Raises:
        ValueError: The network states no layer of its own; candidates are named.
    """
    try:
        name = model.feature_info[-1]["module"]  # type: ignore[index]
    except (AttributeError, IndexError, KeyError, TypeError):
        name = None
    if name in dict(model.named_modules()):
        return str(name)
    states = "states no layer" if name is None else f"states {name!r}, which is none of its modules"
    raise ValueError(
        f"`target_layer` is missing, and this {type(model).__name__} {states} (`feature_info`); "
        f"give the last layer that returns a map: perhaps one of {_candidates(model)}, see "
        "`list_layers(model, x)`"
    )


def _candidates(model: nn.Module) -> list[str]:
    """Return the last three parts of a network that hold a convolution of more than one pixel."""
    children = dict(model.named_children())
    spatial = {
        name: child for name, child in children.items() if any(map(_is_spatial, child.modules()))
    }
    stages = [name for name, child in spatial.items() if any(child.children())]
    return (stages or list(spatial) or list(children))[-3:]


def _is_spatial(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.conv._ConvNd) and max(module.kernel_size) > 1
