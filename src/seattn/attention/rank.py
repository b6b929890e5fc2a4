"""Blocks for maps of any rank, (N, C, L) to (N, C, D, H, W), with one state dict: 1x1 convolutions.

The rank of the input is not known to torch.fx while it traces: these functions stay calls in its
graph. That holds where they are called through this module, ``rank.squeeze(x, channels)``; a block
that imports their names has to repeat ``torch.fx.wrap``.
"""

import torch.fx
from torch import Tensor

__all__ = ["as_image", "check", "like_map", "match_rank", "of_dims", "squeeze"]


def squeeze(x: Tensor, channels: int) -> Tensor:
    """Average (N, C, *spatial) over space, into (N, C, 1, 1)."""
    check(x, channels)
    return x.mean(dim=tuple(range(2, x.ndim)))[:, :, None, None]


def match_rank(gate: Tensor, x: Tensor) -> Tensor:
    """Reshape (N, C) or (N, C, 1, 1) into (N, C, 1, ..., 1) of the rank of ``x``."""
    return gate.reshape(gate.shape[:2] + (1,) * (x.ndim - 2))


def as_image(x: Tensor, channels: int) -> Tensor:
    """Lay (N, C, *spatial) out as an image one pixel wide, (N, C, L, 1), for a 1x1 convolution."""
    check(x, channels)
    return x.flatten(2)[..., None]


def like_map(image: Tensor, x: Tensor) -> Tensor:
    """Undo ``as_image``: reshape (N, K, L, 1) into (N, K, *spatial) of ``x``."""
    return image.reshape(image.shape[:2] + x.shape[2:])


def check(x: Tensor, channels: int | None) -> None:
    """Refuse what is not (N, C, *spatial) with this many channels, or with any where None.

    Nothing comes back that torch.fx could keep in its graph: call it inside a wrapped function.
    """
    if x.ndim < 3 or (channels is not None and x.shape[1] != channels):
        raise ValueError(
            f"`x` has shape {tuple(x.shape)}; this block takes (N, {channels or 'C'}, *spatial) "
            "with one spatial dimension or more"
        )


def of_dims(
    x: Tensor, channels: int, spatial_dims: int, map_size: tuple[int, ...] | None = None
) -> Tensor:
    """Return ``x`` if it has these channels and dimensions and, where given, this size."""
    right = x.ndim == 2 + spatial_dims and x.shape[1] == channels
    if not right or (map_size is not None and x.shape[2:] != map_size):
        space = map_size or ("D", "H", "W")[-spatial_dims:]
        layout = ", ".join(map(str, ("N", channels, *space)))
        raise ValueError(
            f"`x` has shape {tuple(x.shape)}; with `spatial_dims` (={spatial_dims}) this block "
            f"takes ({layout})"
        )
    return x


for _name in ("as_image", "like_map", "match_rank", "of_dims", "squeeze"):
    torch.fx.wrap(_name)
