"""From one layout's names and shapes to another's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from seattn.weights.layouts import LAYOUTS, NAMES, Layout, find_layout
from seattn.weights.layouts.layout import matches
from seattn.weights.reading import read_checkpoint, strip_prefix

__all__ = ["Item", "Items", "check_source", "convert", "to_layout", "to_timm"]


@dataclass(frozen=True)
class Item:
    """A tensor on its way, with its name in the checkpoint."""

    tensor: Tensor
    origin: str | None  # None for one that the checkpoint does not hold
    change: str = ""


Items = dict[str, Item]


def convert(
    state_dict: Mapping[str, Any], *, source: str = "auto", to: str = "timm"
) -> dict[str, Tensor]:
    """Rename and reshape the tensors of one library's network as another library has them.

    Only names and shapes change. Where a network strides and how it pools, and BatchNorm's epsilon,
    are not in a state dict: ``load_weights`` checks these, so prefer it to load a checkpoint.

    Args:
        state_dict: Tensors by name; containers and prefixes are removed as by ``load_weights``.
        source: Its layout: ``"timm"``, ``"torchvision"``, ``"legacy"`` (Cadene's), ``"monai"``,
            ``"moskomule"`` or ``"radimagenet"``; ``"auto"`` tells it by the names.
        to: The layout wanted, one of the same.

    Returns:
        Tensors that share their memory with those given, in the same order.

    Raises:
        ValueError: A name is foreign to ``source`` or has no counterpart in ``to``, or ``to``
            cannot hold a tensor (moskomule's gates have no biases). Each is named.
        TypeError: ``state_dict`` is no mapping.

    Examples:
        >>> from seattn.backbones import se_resnet50
        >>> from seattn.weights import convert
        >>> monai = convert(se_resnet50().state_dict(), to="monai")
        >>> monai["layer1.0.se_layer.fc.0.weight"].shape
        torch.Size([16, 256])
        >>> convert(monai)["layer1.0.se.fc1.weight"].shape
        torch.Size([16, 256, 1, 1])
    """
    check_source("source", source, (*NAMES, "auto"))
    check_source("to", to, NAMES)
    checkpoint = read_checkpoint(state_dict)
    _, named = strip_prefix(checkpoint.tensors)
    given = find_layout(named, name=None if source == "auto" else source)
    items, foreign = to_timm(
        {name: Item(checkpoint.tensors[key], key) for name, key in named.items()}, given
    )
    if not foreign:
        wanted = [layout for layout in LAYOUTS if layout.name == to]
        if given.name != to:
            for layout in (given, *wanted):
                layout.structure({name: item.tensor for name, item in items.items()})
        attempts = [to_layout(items, layout) for layout in wanted]
        items, foreign = min(attempts, key=_count_foreign)
    if foreign:
        raise ValueError(
            f"cannot convert {given.name!r} to {to!r}:\n"
            + "\n".join(f"  `{name}` {reason}" for name, reason in foreign.items())
        )
    return {name: item.tensor for name, item in items.items()}


def check_source(argument: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise a ValueError for a layout that is not known."""
    if value not in allowed:
        raise ValueError(
            f"`{argument}` (={value!r}) must be one of {', '.join(map(repr, allowed))}"
        )


def to_timm(items: Items, layout: Layout) -> tuple[Items, dict[str, str]]:
    """Return tensors by timm's names, and the reason for each that has none, by its origin."""
    named, foreign = {}, {}
    for key, item in items.items():
        found = layout.to_timm(key)
        if found is None:
            foreign[str(item.origin)] = f"is no name of layout {layout.name!r}"
            continue
        name, rule = found
        pointwise = rule.linear and item.tensor.dim() == 2
        named[name] = replace(item, tensor=item.tensor[:, :, None, None]) if pointwise else item
        if layout.without_bias is not None and matches(name, layout.without_bias):
            zeros = Item(
                item.tensor.new_zeros(item.tensor.shape[0]),
                origin=None,
                change=f"zero, for layout {layout.name!r} has none",
            )
            named.setdefault(name.removesuffix("weight") + "bias", zeros)
    return named, foreign


def to_layout(items: Items, layout: Layout) -> tuple[Items, dict[str, str]]:
    """Return tensors by a layout's names, and the reason for each that it cannot hold."""
    named, foreign = {}, {}
    for key, item in items.items():
        if _is_absent_bias(key, layout):
            if item.tensor.any():
                foreign[str(item.origin)] = f"is not zero, and layout {layout.name!r} has none"
            continue
        found = layout.from_timm(key)
        if found is None:
            foreign[str(item.origin)] = f"has no counterpart in layout {layout.name!r}"
            continue
        name, rule = found
        linear = rule.linear and item.tensor.shape[2:] == (1, 1)
        named[name] = replace(item, tensor=item.tensor.flatten(1)) if linear else item
    return named, foreign


def _is_absent_bias(key: str, layout: Layout) -> bool:
    if layout.without_bias is None or not key.endswith("bias"):
        return False
    return matches(key.removesuffix("bias") + "weight", layout.without_bias)


def _count_foreign(attempt: tuple[Items, dict[str, str]]) -> int:
    return len(attempt[1])
