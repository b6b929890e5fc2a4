"""Whether a network strides, pools and normalises as the network did that weights come from."""

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.pooling import _MaxPoolNd

from seattn.weights.layouts import Structure
from seattn.weights.layouts.layout import matches

__all__ = ["check_structure"]


def check_structure(
    model: nn.Module, needed: Structure, *, keys: Mapping[str, str], layout: str
) -> list[str]:
    """Compare a network's modules with what weights need.

    Args:
        model: The network.
        needed: What the weights need.
        keys: The network's keys by timm's names.
        layout: The weights' layout, for the messages.

    Returns:
        One message for each difference, with the remedy.
    """
    problems = []
    remedy = "build the network with `{}`"
    if layout == "timm":  # many a network that is not timm's uses its names
        remedy += "; if they were trained in this very network, pass `source='native'`"
    strides = {place for place in _strides(model, keys) if needed.stride_on not in (None, place)}
    if strides:
        problems.append(
            f"weights of layout {layout!r} were trained with the stride of each bottleneck in "
            f"{needed.stride_on}, the network strides in {strides.pop()}: "
            + remedy.format(f'stride_on="{needed.stride_on}"')
        )
    pool = _pool(model) if "layer1.0.conv1.weight" in keys else None
    if None not in (pool, needed.stem_pool) and pool != needed.stem_pool:
        problems.append(
            f"weights of layout {layout!r} were trained with the stem's max pooling "
            f"{_POOLS[str(needed.stem_pool)]}, the network's is {_POOLS[str(pool)]}: "
            + remedy.format(f'stem_pool="{needed.stem_pool}"')
        )
    places = {getattr(module, "attention_position", "standard") for module in model.modules()}
    if places != {"standard"} and any(".se." in key for key in keys):
        problems.append(
            f"weights of layout {layout!r} were trained with attention on the residual: "
            + remedy.format('attention_position="standard"')
        )
    eps = {m.eps for m in model.modules() if isinstance(m, _BatchNorm)} - {needed.bn_eps}
    if needed.bn_eps is not None and eps:
        problems.append(
            f"weights of layout {layout!r} were trained with {needed.bn_eps} as BatchNorm's `eps`, "
            f"the network has {eps.pop()}: " + remedy.format(f"bn_eps={needed.bn_eps}")
        )
    return problems


_POOLS = {
    "padded": "padded by 1",
    "ceil": "not padded, its size rounded up",
    "other": "neither padded by 1 nor of a size rounded up",
}


def _strides(model: nn.Module, keys: Mapping[str, str]) -> set[str]:
    """Return in which convolutions the bottlenecks stride."""
    places = set()
    for name in keys:
        if not matches(name, "layer*.*.conv3.weight"):
            continue
        for place in ("conv1", "conv2"):
            strided = keys.get(name.replace("conv3", place))
            convolution = model.get_submodule(strided.rpartition(".")[0]) if strided else None
            if max(getattr(convolution, "stride", (1,))) > 1:
                places.add(place)
    return places


def _pool(model: nn.Module) -> str | None:
    """Return the kind of the first max pooling; None without any."""
    for module in model.modules():
        if isinstance(module, _MaxPoolNd):
            paddings = {module.padding} if isinstance(module.padding, int) else {*module.padding}
            kinds = {(1, False): "padded", (0, True): "ceil"}
            return kinds.get((max(paddings), module.ceil_mode), "other")
    return None
