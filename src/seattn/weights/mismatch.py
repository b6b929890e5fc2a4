"""What keeps weights from fitting a network: each tensor by its name, and what may be meant."""

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor

from seattn.weights.conversion import Items

__all__ = ["describe_mismatch"]


def describe_mismatch(
    items: Items,
    own: Mapping[str, Tensor],
    *,
    foreign: Mapping[str, str],
    expected: Mapping[str, str],
    hints: Mapping[str, str],
) -> list[str]:
    """Compare tensors with those of a network.

    Args:
        items: Tensors by the network's keys.
        own: The network's tensors that the weights must bring.
        foreign: Tensors that have no name in the network's layout, and why, by their origin.
        expected: What the weights' layout calls the network's tensors.
        hints: What to do about some of the network's tensors.

    Returns:
        One line for each tensor that is missing, left over or different.
    """
    missing = [key for key in own if key not in items]
    surplus = {str(item.origin): key for key, item in items.items() if key not in own}
    lines = []
    for key in missing:
        name = expected.get(key, key)
        line = f"missing: `{key}`" + (f", there `{name}`" if name != key else "")
        if close := difflib.get_close_matches(name, [*surplus, *foreign], n=1, cutoff=0.8):
            line += f"; is it `{close[0]}`?"
        lines.append(line + hints.get(key, ""))
    lines += [f"unexpected: `{origin}` {reason}" for origin, reason in foreign.items()]
    for origin, key in surplus.items():
        here = f", here `{key}`" if key != origin else ""
        lines.append(f"unexpected: `{origin}`{here}, is not in the network{hints.get(key, '')}")
    for key, item in items.items():
        if key in own and (difference := _difference(item.tensor, own[key])):
            lines.append(f"different: `{item.origin or key}` {difference}{hints.get(key, '')}")
    return lines


def _difference(given: Tensor, wanted: Tensor) -> str:
    if given.shape != wanted.shape:
        shapes = f"is {tuple(given.shape)}, the network's {tuple(wanted.shape)}"
        if given.dim() >= 2 and given.transpose(0, 1).shape == wanted.shape:
            shapes += ": looks transposed"
        elif given.dim() == 4 and wanted.dim() == 5:
            shapes += ": `inflate` makes 2D kernels 3D"
        return shapes
    if given.is_meta:
        return "is on the meta device: it has a shape and no numbers"
    if given.layout is not torch.strided:
        return f"is of layout {given.layout}: `.to_dense()` makes it an ordinary tensor"
    if given.is_floating_point() != wanted.is_floating_point() and not _is_count(given, wanted):
        return f"is of {given.dtype}, the network's of {wanted.dtype}"
    return ""


def _is_count(given: Tensor, wanted: Tensor) -> bool:
    """Return whether a float holds an integer, as where a whole state dict was made half."""
    if wanted.is_floating_point():
        return False
    return torch.equal(given.to(wanted.dtype).to(given.dtype), given)
