"""Names of layers: the one that a user means, and the one that a network states itself."""

import difflib

from torch import nn

__all__ = ["find_layer", "stated_layer"]

_HEAD = (
    *(nn.Linear, nn.Flatten),
    *(nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd),
)


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
    name = _stated_name(model)
    if name in dict(model.named_modules()):
        return str(name)
    states = "states no layer" if name is None else f"states {name!r}, which is none of its modules"
    candidates = _candidates(model)
    perhaps = (
        f"perhaps one of {candidates}"
        if candidates
        else "none of its modules holds a convolution of more than one pixel"
    )
    raise ValueError(
        f"`target_layer` is missing, and this {type(model).__name__} {states} (`feature_info`); "
        f"give the last layer that returns a map: {perhaps}, see `list_layers(model, x)`"
    )


def _stated_name(model: nn.Module) -> str | None:
    try:
        return str(model.feature_info[-1]["module"])  # type: ignore[index]
    except (AttributeError, IndexError, KeyError, TypeError):
        return None


def _candidates(model: nn.Module, prefix: str = "") -> list[str]:
    """Return up to three parts that return a map: a stated layer, or what holds convolutions."""
    if prefix and (stated := _stated_name(model)) in dict(model.named_modules()):
        return [f"{prefix}{stated}"]
    spatial = {
        name: child
        for name, child in model.named_children()
        if any(map(_is_spatial, child.modules()))
    }
    stages = {name: child for name, child in spatial.items() if any(child.children())} or spatial
    found = []
    for name, child in stages.items():
        if _is_network(child):
            found += _candidates(child, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found[-3:]


def _is_network(module: nn.Module) -> bool:
    """Whether a part is a whole network, which returns scores or features without a place."""
    if _stated_name(module) is not None:
        return True
    children = list(module.children())
    if len(children) == 1:
        return _is_network(children[0])
    return any(isinstance(child, _HEAD) for child in children)


def _is_spatial(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.conv._ConvNd) and max(module.kernel_size) > 1
