"""The one tensor that is explained, in a layer's output of any shape."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor

__all__ = ["Select", "pick", "replaced"]

Select: TypeAlias = str | int | Callable[[Any], Tensor] | None


def pick(output: object, select: Select, *, layer: str) -> Tensor:
    """Return the tensor of ``output`` that ``select`` names.

    A function is always asked; a key or an index is not, where ``output`` is a tensor itself.

    Raises:
        TypeError: There is no floating-point tensor, or ``select`` is missing.
        ValueError: ``select`` is not a key or index of ``output``, or returns a tensor of its own.
    """
    chosen: object = output
    if callable(select):
        chosen = select(output)
    elif not isinstance(output, Tensor):
        if select is None:
            raise TypeError(
                f"layer {layer!r} returned {_describe(output)}, not one tensor; choose another "
                "layer, or give `select` the key or index of its tensor, or a function that takes "
                "it from that output"
            )
        chosen = _item(output, select, layer)
    if not isinstance(chosen, Tensor) or not chosen.is_floating_point():
        raise TypeError(
            f"layer {layer!r} returned {_describe(chosen)}, not a floating-point tensor"
        )
    if not any(tensor is chosen for tensor in _tensors(output)):
        raise ValueError(
            f"`select` made a new tensor from the output of layer {layer!r}; it must return one of "
            "the output's own, in tuples, lists and mappings (`layout=` rearranges it)"
        )
    return chosen


def replaced(output: Any, old: Tensor, new: Tensor) -> Any:
    """Return ``output`` with ``new`` for ``old``, in copies of its tuples, lists and mappings."""
    if output is old:
        return new
    if isinstance(output, Mapping):
        changed: Any = copy.copy(output)
        for key, value in output.items():
            changed[key] = replaced(value, old, new)
        return changed
    if isinstance(output, tuple | list):
        items = [replaced(item, old, new) for item in output]
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    return output


def _item(output: Any, key: str | int, layer: str) -> object:
    try:
        return output[key]
    except (LookupError, TypeError) as error:
        raise ValueError(
            f"`select` (={key!r}) not found: layer {layer!r} returned {_describe(output)}"
        ) from error


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with the keys {list(value)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
