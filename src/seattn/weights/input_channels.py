"""The first convolution for another number of channels than its weights were trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from seattn.weights.conversion import Items

__all__ = [
    "adapt_input",
    "check_adaptation",
    "differs_in_channels",
    "first_convolution",
    "gray_normalization",
]


def gray_normalization(mean: Sequence[float], std: Sequence[float]) -> tuple[float, float]:
    """Return the mean and standard deviation by which to normalise a grey image: the averages.

    ``load_weights(..., adapt_input="normalized")`` leaves a network that expects such images.

    Args:
        mean: Mean of each channel of the colour images of the training.
        std: Standard deviation of each channel.

    Returns:
        ``(mean, std)`` of the one channel.

    Examples:
        >>> from seattn.weights import gray_normalization
        >>> mean, std = gray_normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        >>> round(mean, 3), round(std, 3)
        (0.449, 0.226)
    """
    return sum(mean) / len(mean), sum(std) / len(std)


def check_adaptation(
    how: str | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> None:
    """Raise a ValueError for arguments of ``load_weights`` that do not go together."""
    if how not in (None, "sum", "mean", "normalized"):
        raise ValueError(f"`adapt_input` (={how!r}) must be 'sum', 'mean', 'normalized', or None")
    given = mean is not None and std is not None
    if how == "normalized" and not given:
        raise ValueError(
            "`adapt_input='normalized'` needs `mean` and `std`, by which the colour images were "
            "normalised that the weights were trained with"
        )
    if how != "normalized" and not (mean is None and std is None):
        raise ValueError("`mean` and `std` serve `adapt_input='normalized'` only")
    if mean is not None and std is not None and (len(mean) != len(std) or min(std) <= 0):
        raise ValueError(
            f"`mean` (={tuple(mean)}) and `std` (={tuple(std)}) must be of one length, and `std` "
            "positive"
        )


def first_convolution(model: nn.Module) -> tuple[str, str]:
    """Return the keys of the first convolution's weight and of what can take up a constant.

    That is its bias, else the running mean behind it; a key is empty where there is none.
    """
    key = ""
    for name, module in model.named_modules():
        if key and isinstance(module, _BatchNorm):
            return key, f"{name}.running_mean"
        if isinstance(module, _ConvNd | nn.Linear):
            if key or isinstance(module, nn.Linear):
                break
            key = f"{name}.weight"
            if module.bias is not None:
                return key, f"{name}.bias"
    return key, ""


def differs_in_channels(items: Items, own: Mapping[str, Tensor], key: str) -> bool:
    """Return whether a kernel and the network's differ in the number of input channels only."""
    if key not in items or items[key].tensor.dim() < 3:
        return False
    given, wanted = items[key].tensor.shape, own[key].shape
    return given[1] != wanted[1] and given[:1] + given[2:] == wanted[:1] + wanted[2:]


def adapt_input(
    items: Items,
    key: str,
    constant: str,
    channels: int,
    *,
    how: str,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Items:
    """Return the tensors with a first convolution that takes another number of channels.

    Args:
        items: Tensors by the network's keys.
        key: The first convolution's weight.
        constant: The bias or running mean that takes up a constant.
        channels: Number of channels wanted.
        how: As in ``load_weights``, as are the last two.
        mean: Of the colour images.
        std: Of the colour images.

    Raises:
        ValueError: ``mean`` is not of the number of the weights' channels, or nothing can take up
            what it shifts.
    """
    item = items[key]
    weight = item.tensor.double()  # (out, in, *kernel)
    result = dict(items)
    if mean is not None and std is not None:
        if len(mean) != weight.shape[1]:
            raise ValueError(
                f"`mean` has {len(mean)} values; the weights take {weight.shape[1]} channels"
            )
        # A grey image g comes as x = (g - gray_mean) / gray_std. The weights expect the channels
        # (g - mean) / std, which are x * scale + offset.
        gray_mean, gray_std = gray_normalization(mean, std)
        means, stds = _per_channel(mean, weight), _per_channel(std, weight)
        offset = (gray_mean - means) / stds
        shift = (weight * offset).flatten(1).sum(1)  # away from the border, which zeros pad
        result |= _shifted(items, constant, shift)
        weight = weight * (gray_std / stds)
    total = weight.sum(1, keepdim=True)
    shared = total / (weight.shape[1] if how == "mean" else channels)
    change = f"{weight.shape[1]} input channels to {channels}, {how!r}"
    result[key] = replace(
        item, tensor=shared.repeat_interleave(channels, 1).to(item.tensor.dtype), change=change
    )
    return result


def _per_channel(values: Sequence[float], weight: Tensor) -> Tensor:
    return weight.new_tensor(values).view(1, -1, *[1] * (weight.dim() - 2))


def _shifted(items: Items, constant: str, shift: Tensor) -> Items:
    if constant not in items:
        raise ValueError(
            "`adapt_input='normalized'` needs a bias or BatchNorm's running mean at the first "
            "convolution; use 'sum'"
        )
    item = items[constant]
    sign = 1 if constant.endswith("bias") else -1  # the mean is what BatchNorm takes away
    shifted = (item.tensor.double() + sign * shift).to(item.tensor.dtype)
    return {constant: replace(item, tensor=shifted, change="takes up the mean of each colour")}
