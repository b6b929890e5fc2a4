"""What is read out of a residual block, whoever wrote it, before it is built anew."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

__all__ = ["Inverted", "Residual", "UnfitError"]


class UnfitError(Exception):
    """A block cannot be built anew; the text says why."""


class Residual(NamedTuple):
    """The parts of ``act(attention(tail(body(x))) + shortcut(x))``.

    The tail is a convolution and what was folded into it.
    """

    body: Sequence[nn.Module]
    tail: Sequence[nn.Module]
    attention: nn.Module | None
    shortcut: nn.Module | None
    act: nn.Module


class Inverted(NamedTuple):
    """The parts of ``tail(attention(body(x)))``, with ``x`` added where there is a shortcut."""

    body: Sequence[nn.Module]
    attention: nn.Module | None
    tail: Sequence[nn.Module]
    has_shortcut: bool
