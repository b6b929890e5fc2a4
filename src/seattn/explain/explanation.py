"""What an explanation holds, beside the map."""

from dataclasses import dataclass, fields
from typing import Literal

from torch import Tensor

__all__ = ["Explanation"]


@dataclass(frozen=True)
class Explanation:
    """The maps of one layer, and what they were made of. K is the number of ``classes``.

    Attributes:
        maps: The class activation maps, ``(N, *spatial)``, with ``classes`` ``(N, K, *spatial)``.
        raw: The signed maps on the layer's own grid, before the rectifier, ``(N, *grid)`` or
            ``(N, K, *grid)``.
        output: What the model returned.
        target: The explained classes, (N,) or (N, K); ``None`` where a function gave the score.
        activation: What the layer returned, ``(N, C, *grid)``.
        gradient: The gradient of the score with respect to it, ``(N, C, *grid)`` or
            ``(N, K, C, *grid)``.
        layer: The layer's dotted name.
        mode: What autograd recorded: ``"head"``, from the layer on, or ``"full"``, the whole
            network, where the head alone was not enough.

    Examples:
        >>> import torch
        >>> from seattn import GradCAM, se_resnet18
        >>> result = GradCAM(se_resnet18(num_classes=2)).explain(torch.rand(4, 3, 64, 64))
        >>> result.layer, result.mode, result.target.shape
        ('layer4', 'head', torch.Size([4]))
        >>> result.maps.shape, result.raw.shape, result.activation.shape
        (torch.Size([4, 64, 64]), torch.Size([4, 2, 2]), torch.Size([4, 512, 2, 2]))
    """

    maps: Tensor
    raw: Tensor
    output: object
    target: Tensor | None
    activation: Tensor
    gradient: Tensor
    layer: str
    mode: Literal["head", "full"]

    def __repr__(self) -> str:
        """The shapes of the tensors, in place of their values."""
        parts = [f"{field.name}={_shown(getattr(self, field.name))}" for field in fields(self)]
        return f"Explanation({', '.join(parts)})"


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    return repr(value) if isinstance(value, str | None) else type(value).__name__
