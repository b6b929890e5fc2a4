"""Networks by name."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

from seattn import backbones
from seattn.backbones import Backbone, FeatureNet
from seattn.pretrained import PretrainedConfig, download, get_pretrained_cfg
from seattn.weights import load_weights

__all__ = ["create_model", "list_models"]

_BUILDERS: dict[str, Callable[..., Backbone]] = {
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
    "resnext50_32x4d": backbones.resnext50_32x4d,
    "resnext101_32x4d": backbones.resnext101_32x4d,
    "se_resnet18": backbones.se_resnet18,
    "se_resnet34": backbones.se_resnet34,
    "se_resnet50": backbones.se_resnet50,
    "se_resnet101": backbones.se_resnet101,
    "se_resnet152": backbones.se_resnet152,
    "se_resnext50_32x4d": backbones.se_resnext50_32x4d,
    "se_resnext101_32x4d": backbones.se_resnext101_32x4d,
    "senet154": backbones.senet154,
}


@overload
def create_model(
    name: str,
    *,
    pretrained: bool | str | PretrainedConfig = False,
    adapt_input: str = "normalized",
    features_only: Literal[False] = False,
    out_indices: None = None,
    **kwargs: Any,
) -> Backbone: ...
@overload
def create_model(
    name: str,
    *,
    pretrained: bool | str | PretrainedConfig = False,
    adapt_input: str = "normalized",
    features_only: Literal[True],
    out_indices: Sequence[int] | None = None,
    **kwargs: Any,
) -> FeatureNet: ...
def create_model(
    name: str,
    *,
    pretrained: bool | str | PretrainedConfig = False,
    adapt_input: str = "normalized",
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    **kwargs: Any,
) -> Backbone | FeatureNet:
    """Build a network by its name, with random or with pretrained weights.

    Args:
        name: One of ``list_models()``.
        pretrained: True for the network's default weights, or the tag of others (see
            ``seattn.pretrained.list_pretrained``), or a configuration of your own. They are
            fetched once (see ``seattn.pretrained.download``). With another number of classes the
            last layer keeps its random weights.
        adapt_input: For pretrained weights and another ``in_chans`` than theirs, as in
            ``load_weights``. ``"normalized"`` belongs with ``input_transform(cfg, in_chans)``: on a
            gray image the network then computes what it computes on that image in colour; timm's
            way is ``"sum"``.
        features_only: Return the trunk alone, whose output is a list of feature maps.
        out_indices: Which feature maps the trunk returns, as ``FeatureNet`` takes them.
        **kwargs: Arguments of the builder of that name in ``seattn.backbones``.

    Returns:
        The network, in training mode, on the default device. Its ``pretrained_cfg`` says where its
        weights come from, and which images they expect; it is None for random weights.

    Raises:
        ValueError: No network has this name; it has no such pretrained weights, or cannot take
            them; ``out_indices`` without ``features_only``.
        TypeError: The builder has no such argument.
        FileNotFoundError, RuntimeError, ModuleNotFoundError: As ``download`` does.

    Examples:
        >>> from seattn.zoo import create_model
        >>> network = create_model("se_resnet18", in_chans=1, num_classes=2)
        >>> network.num_features
        512
        >>> encoder = create_model("se_resnet18", features_only=True, out_indices=(2, 3, 4))
        >>> encoder.feature_info.reduction()
        [8, 16, 32]
    """
    if name not in _BUILDERS:
        close = difflib.get_close_matches(name, _BUILDERS, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see `list_models()`"
        raise ValueError(f"`name` (={name!r}) is no network: {hint}")
    if out_indices is not None and not features_only:
        raise ValueError(f"`out_indices` (={out_indices}) needs `features_only=True`")
    if adapt_input not in ("normalized", "sum", "mean"):
        raise ValueError(f"`adapt_input` (={adapt_input!r}) must be 'normalized', 'sum' or 'mean'")
    builder = _BUILDERS[name]
    accepted = inspect.signature(builder).parameters
    unknown = [keyword for keyword in kwargs if keyword not in accepted]
    if unknown:
        raise TypeError(
            f"{name!r} takes no {', '.join(f'`{keyword}`' for keyword in unknown)}; "
            f"it takes {', '.join(f'`{keyword}`' for keyword in accepted)}"
        )
    cfg = _find_pretrained(name, pretrained)
    network = builder(**kwargs)
    if cfg is not None:
        _load_pretrained(network, cfg, adapt_input)
    return FeatureNet(network, out_indices=out_indices) if features_only else network


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


def _find_pretrained(
    name: str, pretrained: bool | str | PretrainedConfig
) -> PretrainedConfig | None:
    if isinstance(pretrained, PretrainedConfig):
        return pretrained
    if isinstance(pretrained, str):
        return get_pretrained_cfg(name, pretrained)
    if not isinstance(pretrained, bool):
        raise TypeError(
            f"`pretrained` (={pretrained!r}) must be True, False, a tag, or a `PretrainedConfig`"
        )
    return get_pretrained_cfg(name) if pretrained else None


def _load_pretrained(network: Backbone, cfg: PretrainedConfig, adapt_input: str) -> None:
    normalized = adapt_input == "normalized"
    load_weights(
        network,
        download(cfg),
        adapt_input=adapt_input,
        mean=cfg.mean if normalized else None,
        std=cfg.std if normalized else None,
        keep_classifier=network.num_classes != cfg.num_classes,
    )
    network.pretrained_cfg = cfg
