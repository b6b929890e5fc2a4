"""What the layers of a network return for one input, to choose a target layer from."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seattn.explain.recording import evaluating, unwrap

__all__ = ["LayerInfo", "LayerList", "list_layers"]


@dataclass(frozen=True)
class LayerInfo:
    """A layer that returns a tensor.

    Attributes:
        name: Its dotted name, as ``target_layer`` takes it.
        kind: The name of its class.
        shape: The shape of its output; with several calls, of the last.
        stride: Size of the input over size of the map, for each dimension; ``None`` where the
            output is not ``(N, C, *grid)``, as the tokens of a transformer are not.
        calls: How many times it ran.

    Examples:
        >>> import torch
        >>> from seattn import resnet18
        >>> from seattn.explain import list_layers
        >>> list_layers(resnet18(), torch.rand(1, 3, 64, 64), depth=1)[-3]
        LayerInfo(name='layer2', kind='Stage', shape=(1, 128, 8, 8), stride=(8.0, 8.0), calls=1)
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    stride: tuple[float, ...] | None
    calls: int


class LayerList(tuple[LayerInfo, ...]):
    """The layers in the order in which they return; ``print`` shows them as a table.

    Examples:
        >>> import torch
        >>> from seattn import resnet18
        >>> from seattn.explain import list_layers
        >>> layers = list_layers(resnet18(), torch.rand(1, 3, 64, 64), depth=1)
        >>> [layer.name for layer in layers if layer.kind == "Stage"]
        ['layer1', 'layer2', 'layer3', 'layer4']
        >>> for line in str(layers).splitlines()[:3]:
        ...     print(line)
        layer    class        output      stride  calls
        conv1    Conv2d       1x64x32x32  2x2     1
        bn1      BatchNorm2d  1x64x32x32  2x2     1
    """

    __slots__ = ()

    def __str__(self) -> str:
        """Return a table with a line per layer."""
        rows = [
            ("layer", "class", "output", "stride", "calls"),
            *(
                (
                    layer.name,
                    layer.kind,
                    "x".join(map(str, layer.shape)),
                    "-" if layer.stride is None else "x".join(f"{s:.3g}" for s in layer.stride),
                    str(layer.calls),
                )
                for layer in self
            ),
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def list_layers(model: nn.Module, x: Tensor, *, depth: int = 2) -> LayerList:
    """List the layers that return a map, to choose a target layer from.

    Runs the model once on ``x``, in eval mode and without recording, and leaves it as it was.
    Layers whose map has one cell only are left out: they show no place.

    Args:
        model: Any module.
        x: One batch, ``(N, C, *spatial)``; a single image is enough.
        depth: How many parts a layer's name may have: 1 for ``"layer4"``, 2 for ``"layer4.0"``.

    Returns:
        A tuple of ``LayerInfo`` in the order in which the layers return.

    Raises:
        ValueError: ``depth`` is less than 1.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import list_layers
        >>> features = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU())
        >>> model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> print(list_layers(model, torch.rand(1, 1, 32, 40)))
        layer  class       output     stride  calls
        0.0    Conv2d      1x8x16x20  2x2     1
        0.1    ReLU        1x8x16x20  2x2     1
        0      Sequential  1x8x16x20  2x2     1
    """
    if depth < 1:
        raise ValueError(f"`depth` (={depth}) must be at least 1")
    model = unwrap(model)
    found: dict[str, LayerInfo] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(module: nn.Module, args: tuple[object, ...], output: object) -> None:
            if isinstance(output, Tensor) and output.dim() > 2:
                calls = found.pop(name).calls + 1 if name in found else 1
                shape = tuple(output.shape)
                kind = type(module).__name__
                found[name] = LayerInfo(name, kind, shape, _stride(x, shape), calls)

        return hook

    with contextlib.ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for name, module in model.named_modules():
            if name and name.count(".") < depth:
                stack.callback(module.register_forward_hook(note(name)).remove)
        with torch.no_grad():
            model(x.clone() if x.is_inference() else x)
    return LayerList(layer for layer in found.values() if any(s > 1 for s in layer.shape[2:]))


def _stride(x: Tensor, shape: tuple[int, ...]) -> tuple[float, ...] | None:
    if len(shape) != x.dim():
        return None
    stride = tuple(size / cells for size, cells in zip(x.shape[2:], shape[2:], strict=True))
    return stride if min(stride) >= 1 else None  # else the channels are last
