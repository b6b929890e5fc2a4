"""What a layout of weights is: names that map to timm's both ways, and the network they imply."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["RESIDUAL", "Layout", "Rule", "Structure", "matches", "rename"]

_HOLE = re.compile(r"\*\*|\*")


@dataclass(frozen=True)
class Rule:
    """Two names of one tensor; ``*`` stands for a part without dots, ``**`` for any rest.

    The holes of both names correspond in order. With ``linear`` theirs is the weight (R, C) of a
    linear layer where timm's is that of a 1x1 convolution, (R, C, 1, 1).
    """

    theirs: str
    timm: str
    linear: bool = False


@dataclass(frozen=True)
class Structure:
    """What weights imply that no name and no shape shows; None where they do not say."""

    stride_on: str | None = None  # the strided convolution of a bottleneck: "conv1" or "conv2"
    stem_pool: str | None = None  # the max pooling: "padded" (by 1) or "ceil" (Caffe's)
    bn_eps: float | None = None


@dataclass(frozen=True)
class Layout:
    """The names that one library gives to the tensors of a network.

    ``structure`` is asked with timm's names. It raises a ValueError for weights that timm's names
    would misrepresent.
    """

    name: str
    signature: tuple[str, ...]  # patterns, each found among the keys of this layout only
    rules: tuple[Rule, ...]
    structure: Callable[[Mapping[str, Tensor]], Structure]
    without_bias: str | None = None  # weights, by timm's names, whose biases are absent: zero

    def fits(self, keys: Iterable[str]) -> bool:
        """Return whether keys show this layout."""
        keys = list(keys)
        return all(any(matches(key, part) for key in keys) for part in self.signature)

    def to_timm(self, key: str) -> tuple[str, Rule] | None:
        """Return timm's name and the rule that gave it, None for a foreign key."""
        for rule in self.rules:
            name = rename(key, rule.theirs, rule.timm)
            if name is not None:
                return name, rule
        return None

    def from_timm(self, key: str) -> tuple[str, Rule] | None:
        """Return this layout's name and the rule that gave it, None where it has none."""
        for rule in self.rules:
            name = rename(key, rule.timm, rule.theirs)
            if name is not None:
                return name, rule
        return None


def matches(key: str, pattern: str) -> bool:
    """Return whether a key fits a pattern with holes."""
    return _regex(pattern).fullmatch(key) is not None


def rename(key: str, pattern: str, result: str) -> str | None:
    """Return ``result`` with what fills the holes of ``pattern`` in ``key``; None without a fit."""
    match = _regex(pattern).fullmatch(key)
    return _HOLE.sub("{}", result).format(*match.groups()) if match else None


@functools.cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    holes = {"*": r"([^.]+)", "**": r"(.+)"}
    return re.compile("".join(holes.get(part, re.escape(part)) for part in parts))


# What torchvision and timm, and those who started from them, call the same.
RESIDUAL = (
    Rule("layer*.*.conv*.weight", "layer*.*.conv*.weight"),
    Rule("layer*.*.bn*.*", "layer*.*.bn*.*"),
    Rule("layer*.*.downsample.*.*", "layer*.*.downsample.*.*"),
)
