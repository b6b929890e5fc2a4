"""From the layouts of transformers to maps: what ``layout=`` of the class activation maps takes."""

import math
from collections.abc import Sequence

from torch import Tensor

__all__ = ["from_channels_last", "from_tokens"]


def from_channels_last(x: Tensor) -> Tensor:
    """Return ``(N, C, *grid)`` from ``(N, *grid, C)``, as the stages of a Swin transformer return.

    Args:
        x: What such a stage returns, ``(N, *grid, C)``.

    Returns:
        The same numbers as ``(N, C, *grid)``; a view.

    Examples:
        >>> import torch
        >>> from seattn.explain import from_channels_last
        >>> from_channels_last(torch.rand(2, 7, 9, 768)).shape
        torch.Size([2, 768, 7, 9])
    """
    return x.movedim(-1, 1)


def from_tokens(x: Tensor, *, prefix: int = 1, grid: Sequence[int] | None = None) -> Tensor:
    """Return ``(N, C, *grid)`` from the tokens ``(N, L, C)`` of a vision transformer.

    Args:
        x: The tokens, ``(N, L, C)``: first the prefix, then the patches, row by row.
        prefix: Number of tokens before the patches: the class token, and registers. In timm
            ``model.num_prefix_tokens``.
        grid: Number of patches along each side of the image, of any number of dimensions. A square
            by default; in timm ``model.patch_embed.grid_size``.

    Returns:
        The patches as a map, ``(N, C, *grid)``.

    Raises:
        ValueError: The patches do not fill ``grid``, or are no square without one.

    Examples:
        >>> from functools import partial
        >>> import torch
        >>> from seattn.explain import from_tokens
        >>> from_tokens(torch.rand(2, 1 + 196, 384)).shape
        torch.Size([2, 384, 14, 14])
        >>> layout = partial(from_tokens, prefix=5, grid=(10, 14))
        >>> layout(torch.rand(2, 5 + 140, 384)).shape
        torch.Size([2, 384, 10, 14])
    """
    if x.dim() != 3:
        raise ValueError(f"tokens must be (N, L, C), not {tuple(x.shape)}; choose another `layout`")
    patches = x.shape[1] - prefix
    if grid is None:
        grid = (math.isqrt(max(patches, 0)),) * 2
    if patches < 1 or math.prod(grid) != patches:
        raise ValueError(
            f"{x.shape[1]} tokens without `prefix` (={prefix}) do not fill `grid` {tuple(grid)}; "
            "`layout=functools.partial(from_tokens, prefix=..., grid=...)` sets both"
        )
    return x[:, prefix:].movedim(-1, 1).reshape(len(x), -1, *grid)
