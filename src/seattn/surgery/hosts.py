"""Where attention goes: the modules that ``at`` stands for, checked against one forward pass."""

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch import nn

from seattn.surgery.attachment import CHILD, attached
from seattn.surgery.watching import Output, first_convolution, watch

__all__ = ["Host", "Place", "find_hosts"]

Place = str | re.Pattern[str] | Sequence[str] | Callable[[str, nn.Module], bool]


class Host(NamedTuple):
    """A module to whose output attention is applied, and what it returned."""

    name: str
    module: nn.Module
    output: Output


def find_hosts(model: nn.Module, at: Place, inputs: tuple[Any, ...]) -> list[Host]:
    """Return the modules that ``at`` stands for, in the order of the network's modules.

    Raises:
        ValueError: ``at`` matches nothing, or something that cannot be a host.
    """
    watched = watch(model, inputs)
    modules = dict(model.named_modules(remove_duplicate=False))
    if isinstance(at, str) and at == "auto":
        chosen = watched.branches
        if not chosen:
            raise ValueError(
                "`at` (='auto') found no convolutional branch that is added to its shortcut or "
                "concatenated to its input; name the modules whose outputs the blocks are for"
            )
    else:
        chosen = _select(modules, at)
    names = dict.fromkeys(_last(modules, name) for name in modules if name in chosen)
    hosts = []
    for name in names:
        _check_free(model, modules, name)
        output = _only_output(watched.outputs, name)
        _check_map(model, name, output)
        hosts.append(Host(name, modules[name], output))
    return hosts


def _select(modules: dict[str, nn.Module], at: Place) -> set[str]:
    """Return the names of the modules that ``at`` names, matches or accepts."""
    if isinstance(at, re.Pattern):
        chosen = {name for name in modules if at.fullmatch(name)}
    elif callable(at):
        chosen = {name for name, module in modules.items() if name and at(name, module)}
    else:
        given: Any = at  # whatever a caller without type checks passes
        several = isinstance(given, Iterable) and not isinstance(given, str)
        patterns = list(given) if several else [given]
        if not all(isinstance(pattern, str) for pattern in patterns):
            raise TypeError(
                f"`at` (={at!r}) must be 'auto', a name or pattern, several of these, a compiled "
                "regular expression, or a function of name and module"
            )
        chosen = {name for pattern in patterns for name in _matches(modules, pattern)}
    if not chosen:
        raise ValueError(f"`at` (={at!r}) matches no module; see `model.named_modules()`")
    return chosen


def _matches(modules: dict[str, nn.Module], pattern: str) -> list[str]:
    names = [name for name in modules if name and fnmatch.fnmatchcase(name, pattern)]
    if not names:
        close = difflib.get_close_matches(pattern, filter(None, modules), n=1)
        remedy = f"did you mean {close[0]!r}?" if close else "see `model.named_modules()`"
        raise ValueError(f"`at` {pattern!r} matches no module; {remedy}")
    return names


def _last(modules: dict[str, nn.Module], name: str) -> str:
    """Return ``name``, or the last module of the Sequential of that name.

    Both return the same; but a child of a Sequential would run as one more of its layers.
    """
    while type(modules[name]).forward is nn.Sequential.forward and modules[name]._modules:
        name = f"{name}.{next(reversed(modules[name]._modules))}"
    return name


def _check_free(model: nn.Module, modules: dict[str, nn.Module], name: str) -> None:
    """Refuse a module that has a block, belongs to one, or sits in several places."""
    for host in attached(model):
        if name == host or f"{name}.".startswith(f"{host}.{CHILD}."):
            raise ValueError(
                f"`at` {name!r}: {host!r} has a block already; `remove_attention(model)` takes all "
                "blocks out"
            )
    aliases = [other for other, module in modules.items() if module is modules[name]]
    if len(aliases) > 1:
        raise ValueError(
            f"`at` {name!r} is one module in {len(aliases)} places, {', '.join(aliases)}, which "
            "would share the block; give each place its own module, or choose another"
        )
    if hasattr(modules[name], CHILD):
        raise ValueError(
            f"`at` {name!r} ({type(modules[name]).__name__}) has an attribute `{CHILD}` of its "
            "own, the name that the block needs; choose another module"
        )


def _only_output(outputs: dict[str, list[Output | None]], name: str) -> Output:
    """Return what the module returned, if it ran once and returned one tensor."""
    calls = outputs.get(name, [])
    if len(calls) != 1:
        ran = f"ran {len(calls)} times" if calls else "did not run"
        raise ValueError(
            f"`at` {name!r} {ran} in a forward pass; a block needs a module that runs exactly once"
        )
    if calls[0] is None:
        raise ValueError(f"`at` {name!r} does not return one tensor; a block needs a feature map")
    return calls[0]


def _check_map(model: nn.Module, name: str, output: Output) -> None:
    """Refuse what is no feature map with as many spatial dimensions as the network has."""
    convolution = first_convolution(model)
    rank = len(output.shape)
    expected = rank >= 3 if convolution is None else rank == 2 + len(convolution.kernel_size)
    if not (expected and output.dtype.is_floating_point):
        raise ValueError(
            f"`at` {name!r} returns {tuple(output.shape)} of {output.dtype}; a block needs a "
            "feature map (N, C, *spatial)"
        )
