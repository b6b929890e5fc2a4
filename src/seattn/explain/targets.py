"""What a map explains: from a model's output to one score per image and class."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Classes", "Target", "class_numbers", "scores_of"]

Target: TypeAlias = int | Sequence[int] | Tensor | Callable[..., Tensor] | None
Classes: TypeAlias = Sequence[int] | Tensor | None


def scores_of(
    output: object, *, target: Target, classes: Classes, n: int
) -> tuple[Tensor | None, tuple[Tensor, ...]]:
    """Return the explained classes, (N, K), and K scores of length N.

    The classes are ``None`` where ``target`` is a function; K is then 1.
    """
    if callable(target):
        return None, (_checked_score(target(output), n),)
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != n:
        raise ValueError(
            f"the model returned {_describe(output)}, not ({n}, classes); give `target` a function "
            "from that output to one score per image"
        )
    index = _class_index(output, target, classes)
    return index, output.gather(1, index).unbind(1)


def class_numbers(argument: str, chosen: object) -> Tensor:
    """Return ``target`` or ``classes`` as a tensor of integers."""
    try:
        index = torch.as_tensor(chosen)
    except (TypeError, RuntimeError, ValueError):  # of text, functions, None, ragged lists
        index = torch.zeros(1)
    if index.numel() == 0:
        raise ValueError(f"`{argument}` is empty; give at least one class number")
    if index.dtype == torch.bool or index.is_floating_point() or index.is_complex():
        raise TypeError(f"`{argument}` (={chosen!r}) must hold class numbers, which are integers")
    return index


def _checked_score(score: object, n: int) -> Tensor:
    if not isinstance(score, Tensor) or score.shape != (n,):
        raise ValueError(
            f"`target` returned {_describe(score)}; it must return one score for each of the {n} "
            "images, a tensor of that length"
        )
    return score


def _class_index(output: Tensor, target: object, classes: object) -> Tensor:
    """Return the classes to explain, (N, K)."""
    if target is None and classes is None:
        return output.argmax(1, keepdim=True)
    n, count = output.shape
    argument, chosen = ("target", target) if classes is None else ("classes", classes)
    index = class_numbers(argument, chosen)
    if classes is None and index.dim() == 0:
        index = index.expand(n)
    if index.dim() != 1 or (classes is None and len(index) != n):
        rule = f"one class, or one for each of the {n} images" if classes is None else "a list"
        raise ValueError(f"`{argument}` (shape {tuple(index.shape)}) must be {rule}")
    if ((index < 0) | (index >= count)).any():
        raise ValueError(
            f"`{argument}` (={chosen}) must lie in 0..{count - 1}, the model's classes"
        )
    index = index.to(output.device, torch.int64)
    return index.unsqueeze(1) if classes is None else index.expand(n, -1)


def _describe(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
