"""Networks by name."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable
from typing import Any

from seattn import backbones
from seattn.backbones import EfficientNet, ResNet

__all__ = ["create_model", "list_models"]

_BUILDERS: dict[str, Callable[..., ResNet | EfficientNet]] = {
    "efficientnet_b0": backbones.efficientnet_b0,
    "efficientnet_b1": backbones.efficientnet_b1,
    "efficientnet_b2": backbones.efficientnet_b2,
    "efficientnet_b3": backbones.efficientnet_b3,
    "efficientnet_b4": backbones.efficientnet_b4,
    "efficientnet_b5": backbones.efficientnet_b5,
    "resnet18": backbones.resnet18,
    "resnet34": backbones.resnet34,
    "resnet50": backbones.resnet50,
    "resnet101": backbones.resnet101,
    "resnet152": backbones.resnet152,
    "se_resnet18": backbones.se_resnet18,
    "se_resnet34": backbones.se_resnet34,
    "se_resnet50": backbones.se_resnet50,
    "se_resnet101": backbones.se_resnet101,
    "se_resnet152": backbones.se_resnet152,
}


def create_model(name: str, **kwargs: Any) -> ResNet | EfficientNet:
    """Build a network with random weights by its name.

    Args:
        name: One of ``list_models()``.
        **kwargs: Arguments of the builder of that name in ``seattn.backbones``.

    Returns:
        The network, in training mode, on the default device.

    Raises:
        ValueError: No network has this name.
        TypeError: The builder has no such argument.

    Examples:
        >>> from seattn.zoo import create_model
        >>> network = create_model("se_resnet18", in_chans=1, num_classes=2)
        >>> network.num_features
        512
    """
    if name not in _BUILDERS:
        close = difflib.get_close_matches(name, _BUILDERS, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see `list_models()`"
        raise ValueError(f"`name` (={name!r}) is no network: {hint}")
    builder = _BUILDERS[name]
    accepted = inspect.signature(builder).parameters
    unknown = [keyword for keyword in kwargs if keyword not in accepted]
    if unknown:
        raise TypeError(
            f"{name!r} takes no {', '.join(f'`{keyword}`' for keyword in unknown)}; "
            f"it takes {', '.join(f'`{keyword}`' for keyword in accepted)}"
        )
    return builder(**kwargs)


def list_models(pattern: str = "*") -> list[str]:
    """List the names that ``create_model`` knows, in alphabetical order.

    Args:
        pattern: Shell-style wildcards, case-sensitive.

    Returns:
        The names that match, none if there are none.

    Examples:
        >>> from seattn.zoo import list_models
        >>> list_models("se_resnet1*")
        ['se_resnet101', 'se_resnet152', 'se_resnet18']
    """
    return sorted(name for name in _BUILDERS if fnmatch.fnmatchcase(name, pattern))
