"""The classes that are known, by their full names: nothing is imported to compare with."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from seattn.fuse import of_seattn, of_timm, of_torchvision
from seattn.fuse.gates import Gate, OfBlock
from seattn.fuse.parts import Inverted, Residual, UnfitError

__all__ = ["NORM_PAIRS", "READERS", "STEMS", "class_path", "read_gate"]

_LIBRARIES = (of_seattn, of_timm, of_torchvision)

# Children that a class runs one after the other, as convolution and BatchNorm.
NORM_PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    path: pairs for library in _LIBRARIES for path, pairs in library.NORM_PAIRS.items()
}
# What takes the parts out of a residual block whose BatchNorms are folded.
READERS: Mapping[str, Callable[[Any], Residual | Inverted]] = {
    path: reader for library in _LIBRARIES for path, reader in library.READERS.items()
}
# What a class runs one after the other before its blocks: convolution, BatchNorm, ReLU, pooling.
STEMS: Mapping[str, tuple[str, str, str, str]] = {
    path: stem for library in _LIBRARIES for path, stem in library.STEMS.items()
}
_EXCITATIONS: Mapping[str, Callable[[Any], nn.Module]] = {
    path: excitation for library in _LIBRARIES for path, excitation in library.EXCITATIONS.items()
}


def class_path(module: nn.Module) -> str:
    """Return the full name of the class, as ``torchvision.ops.misc.SqueezeExcitation``."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def read_gate(attention: nn.Module | None) -> Gate | None:
    """Return the gate of an attention block, None where there is no attention.

    A class that is not in the table says of itself that its gate reads the means only. A subclass
    has to say so again, for it may have another gate.

    Raises:
        UnfitError: The gate is not known to be a function of the mean of every channel.
    """
    if attention is None or type(attention) is nn.Identity:
        return None
    if class_path(attention) in _EXCITATIONS:
        return Gate(_EXCITATIONS[class_path(attention)](attention))
    if vars(type(attention)).get("gate_reads_mean_only", False):
        return Gate(OfBlock(attention))
    raise UnfitError(
        f"its attention, {type(attention).__name__}, is not known to be a function of the means"
    )
