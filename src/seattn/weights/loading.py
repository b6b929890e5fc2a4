"""Loading of a checkpoint into a network, every tensor of both accounted for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from seattn.weights.conversion import Item, Items, check_source
from seattn.weights.input_channels import adapt_input as adapt
from seattn.weights.input_channels import check_adaptation, differs_in_channels, first_convolution
from seattn.weights.layouts import NAMES
from seattn.weights.mismatch import describe_mismatch
from seattn.weights.reading import read_checkpoint, strip_prefix
from seattn.weights.report import LoadReport
from seattn.weights.translation import translate

__all__ = ["load_weights"]

_CLASSIFIERS = (
    "fc", "classifier", "head", "heads", "last_linear",
    "class_layers", "_fc",  # MONAI's DenseNet and EfficientNet
)  # fmt: skip


def load_weights(
    model: nn.Module,
    weights: str | Path | Mapping[str, Any],
    *,
    source: str = "auto",
    container: str | None = None,
    adapt_input: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    keep_classifier: bool = False,
) -> LoadReport:
    """Load weights into a network, every tensor of both accounted for; else change nothing.

    Takes the weights of timm, torchvision, Cadene's pretrained-models (timm's ``legacy_se*``),
    MONAI, moskomule's senet.pytorch and RadImageNet into a network of any of these layouts: ours,
    or the library's own. Names are converted, prefixes such as ``module.`` removed, and a network
    that strides or pools elsewhere than the one the weights come from is refused.

    ``num_batches_tracked`` of BatchNorm may be absent from a checkpoint altogether. TensorFlow's
    EfficientNets (timm's ``tf_efficientnet_*``) pad otherwise under the names of
    ``efficientnet_*``: nothing in their weights shows it.

    Args:
        model: The network; its weights change in place, and keep their dtype and device.
        weights: A safetensors file, a torch file (read with ``weights_only=True``: nothing is
            unpickled but tensors and containers), or a state dict, also within a dict.
        source: Layout of the weights: ``"timm"``, ``"torchvision"``, ``"legacy"``, ``"monai"``,
            ``"moskomule"``, ``"radimagenet"``; ``"auto"`` tells it by the names; ``"native"`` for
            weights of this very network: names are its own, strides and pooling not asked about.
        container: Entry of the checkpoint to load, where it has several, as ``"state_dict_ema"``.
        adapt_input: What to do where the first convolution takes another number of channels:
            ``"sum"`` gives what the weights give for a grey image repeated over their channels;
            ``"mean"`` is that divided by their number; ``"normalized"`` is for a grey image
            normalised by ``gray_normalization(mean, std)`` and gives, away from the border that
            zeros pad, what the weights give for the repeated image normalised by ``mean`` and
            ``std`` (in training too, since BatchNorm takes out constants). Several channels share
            the weights equally. None is an error.
        mean: Mean of each colour channel in the training of the weights, for ``"normalized"``.
        std: Standard deviation of each colour channel, for ``"normalized"``.
        keep_classifier: Leave the network its own last layer, whatever the checkpoint has there.

    Returns:
        What became of each tensor.

    Raises:
        ValueError: Tensors are missing, left over, or of another shape, all of them named; the
            network differs where no tensor shows it; the file is damaged, holds no tensors, or more
            than tensors; the arguments do not go together.
        FileNotFoundError: There is no such file.
        TypeError: ``weights`` is neither a path nor a mapping.

    Examples:
        >>> from seattn.attention import SEBlock
        >>> from seattn.backbones import Bottleneck, ResNet
        >>> from seattn.weights import convert, load_weights
        >>> caffe = {"attention": SEBlock, "stride_on": "conv1", "stem_pool": "ceil"}
        >>> trained = ResNet(Bottleneck, (1, 1, 1, 1), **caffe)
        >>> checkpoint = {"state_dict": convert(trained.state_dict(), to="monai"), "epoch": 7}
        >>> network = ResNet(Bottleneck, (1, 1, 1, 1), **caffe, in_chans=1, num_classes=2)
        >>> print(load_weights(network, checkpoint, adapt_input="sum", keep_classifier=True))
        loaded 118 tensors from a state dict (layout 'monai', entry 'state_dict')
          changed conv1.weight: 3 input channels to 1, 'sum'
          changed layer1.0.se.fc1.weight and 7 more: reshaped
          kept fc.weight and 1 more: the network keeps its classifier
          ignored epoch: is beside the weights
          ignored last_linear.weight and 1 more: the network keeps its classifier
    """
    check_source("source", source, (*NAMES, "auto", "native"))
    check_adaptation(adapt_input, mean, std)
    checkpoint = read_checkpoint(weights, container=container)
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    if any(tensor.is_meta for tensor in own.values()):
        raise ValueError("`model` is on the meta device: call `model.to_empty(device='cpu')` first")
    prefix, names = strip_prefix(checkpoint.tensors)
    items = {name: Item(checkpoint.tensors[key], key) for name, key in names.items()}
    translated = translate(model, items, own, source=source)
    items = translated.items

    ignored = dict.fromkeys(checkpoint.beside, "is beside the weights")
    kept: dict[str, str] = {}
    heads = _classifiers(model)
    _set_aside(items, own, kept, ignored, heads=heads if keep_classifier else ())
    hints = dict.fromkeys(
        (key for key in (*own, *items) if key.startswith(heads)),
        "; `keep_classifier=True` leaves the network its own",
    )
    convolution, norm = first_convolution(model)
    if differs_in_channels(items, own, convolution):
        hints[convolution] = "; `adapt_input` converts between numbers of channels"
        if adapt_input is not None:
            items = adapt(
                items,
                convolution,
                norm,
                own[convolution].shape[1],
                how=adapt_input,
                mean=mean,
                std=std,
            )
    problems = translated.problems + describe_mismatch(
        items,
        {key: tensor for key, tensor in own.items() if key not in kept},
        foreign=translated.foreign,
        expected=translated.expected,
        hints=hints,
    )
    if problems:
        raise ValueError(
            f"`weights`, of layout {translated.layout!r}, do not fit the network, which is left as "
            "it was:\n" + "\n".join(f"  {problem}" for problem in problems)
        )
    # Not copied tensor by tensor: a network may hand out copies of its own.
    state = model.state_dict()
    state.update({key: item.tensor for key, item in items.items()})
    model.load_state_dict(state)
    origins = {key: item.origin for key, item in items.items()}
    return LoadReport(
        source=translated.layout,
        file=checkpoint.file,
        container=checkpoint.container,
        prefix=prefix,
        loaded={key: origin for key, origin in origins.items() if origin is not None},
        changed={
            key: change
            for key, item in items.items()
            if item.origin is not None
            and (change := _change(item, checkpoint.tensors[item.origin], own[key]))
        },
        filled={key: item.change for key, item in items.items() if item.origin is None},
        kept=kept,
        ignored=ignored,
    )


def _set_aside(
    items: Items,
    own: Mapping[str, Tensor],
    kept: dict[str, str],
    ignored: dict[str, str],
    *,
    heads: tuple[str, ...],
) -> None:
    """Move what need not fit from ``items`` to ``ignored``, and enter the network's in ``kept``."""
    if not any(key.endswith("num_batches_tracked") for key in items):
        counters = [key for key in own if key.endswith("num_batches_tracked")]
        kept |= dict.fromkeys(counters, "the checkpoint counts no batches")
    for key in [key for key, item in items.items() if item.origin == "n_averaged"]:
        if key not in own:
            ignored[str(items.pop(key).origin)] = "counts the networks that were averaged"
    kept |= {key: "the network keeps its classifier" for key in own if key.startswith(heads)}
    for key in [key for key in items if key.startswith(heads)]:
        ignored[str(items.pop(key).origin)] = "the network keeps its classifier"


def _classifiers(model: nn.Module) -> tuple[str, ...]:
    """Return how the keys of the last layer begin."""
    if callable(get := getattr(model, "get_classifier", None)):
        found = get()
        heads = found if isinstance(found, tuple) else (found,)  # timm's distilled ones have two
        return tuple(
            f"{name}." for name, module in model.named_modules() if any(module is h for h in heads)
        )
    prefix, _ = strip_prefix(model.state_dict())
    return tuple(f"{prefix}{name}." for name in _CLASSIFIERS)


def _change(item: Item, origin: Tensor, target: Tensor) -> str:
    """Return what was done to a tensor on its way, empty for nothing."""
    change = item.change or ("" if item.tensor.shape == origin.shape else "reshaped")
    cast = "" if origin.dtype == target.dtype else f"from {origin.dtype} to {target.dtype}"
    return ", ".join(filter(None, (change, cast)))
