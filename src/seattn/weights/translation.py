"""A checkpoint's tensors by the keys of a network, whatever the layout of either."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from seattn.weights.conversion import Items, to_layout, to_timm
from seattn.weights.layouts import Layout, find_layout
from seattn.weights.layouts.timm import TIMM
from seattn.weights.reading import strip_prefix
from seattn.weights.structure import check_structure

__all__ = ["Translation", "translate"]


class Translation(NamedTuple):
    """Tensors by the network's keys, and what came up on the way."""

    layout: str  # that the tensors had
    items: Items
    foreign: dict[str, str]  # the reason for each that has no name in the network's layout
    expected: dict[str, str]  # what the tensors' layout calls the network's
    problems: list[str]  # of structure


def translate(
    model: nn.Module, items: Items, own: Mapping[str, Tensor], *, source: str
) -> Translation:
    """Bring tensors from their layout, by way of timm's, to that of a network.

    Args:
        model: The network.
        items: The tensors by their names, without prefix.
        own: The network's tensors by its keys.
        source: As in ``load_weights``.

    Raises:
        ValueError: The network of one layout cannot have weights of the other.
    """
    prefix, keys = strip_prefix(own)  # the network's keys by their names
    if source == "native":
        result = Translation(source, items, {}, {}, [])
    else:
        given = find_layout(items, name=None if source == "auto" else source)
        wanted = find_layout(keys)
        # The same library's network is the same network, save that many others use timm's names.
        if given.name == wanted.name and given is not TIMM:
            result = Translation(given.name, items, {}, {}, [])
        else:
            result = _between(model, items, keys, given, wanted)
    by_key = {keys.get(name, prefix + name): item for name, item in result.items.items()}
    return result._replace(items=by_key)


def _between(
    model: nn.Module, items: Items, keys: Mapping[str, str], given: Layout, wanted: Layout
) -> Translation:
    named, foreign = to_timm(items, given)
    tensors = {name: item.tensor for name, item in named.items()}
    own = {found[0]: key for name, key in keys.items() if (found := wanted.to_timm(name))}
    expected = {key: found[0] for name, key in own.items() if (found := given.from_timm(name))}
    wanted.structure(tensors)
    problems = check_structure(model, given.structure(tensors), keys=own, layout=given.name)
    result, unheld = to_layout(named, wanted)
    return Translation(given.name, result, foreign | unheld, expected, problems)
