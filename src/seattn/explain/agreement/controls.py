"""Maps that saw no image: what a map of the network must beat."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_mask
from seattn.explain.arguments import check_tensor

__all__ = ["centre_map", "mean_mask_map"]


def centre_map(shape: Sequence[int]) -> Tensor:
    """Return a map that says "the middle" of every image: a round Gaussian bump.

    A control for annotations that lie in the middle of the image. The standard deviation is a
    quarter of the shorter side; the maximum of an even side is shared by its two middle pixels.

    Args:
        shape: The size of the image, in any number of dimensions.

    Returns:
        A float32 tensor of ``shape``, at most 1. ``.expand_as(mask)`` makes it a batch.

    Examples:
        >>> from seattn.explain import centre_map
        >>> centre_map((64, 80)).shape
        torch.Size([64, 80])
    """
    deviation = min(shape) / 4
    axes = [torch.arange(size) - (size - 1) / 2 for size in shape]
    squares = torch.stack(torch.meshgrid(*(axis.square() for axis in axes), indexing="ij"))
    return torch.exp(-squares.sum(0) / (2 * deviation**2))


def mean_mask_map(masks: Tensor) -> Tensor:
    """Return the mean of the masks: where annotations usually lie.

    The strongest control that ignores the image. Take the masks from the training set.

    Args:
        masks: Annotated regions, bool or 0 and 1, ``(N, *spatial)``, of at least one case.

    Returns:
        A float32 tensor ``(*spatial)`` in 0..1. ``.expand_as(mask)`` makes it a batch.

    Raises:
        TypeError: An argument is no tensor.
        ValueError: ``masks`` is not binary, or holds no case.

    Examples:
        >>> import torch
        >>> from seattn.explain import mean_mask_map
        >>> mean_mask_map(torch.tensor([[[0, 1]], [[1, 1]]]))
        tensor([[0.5000, 1.0000]])
    """
    check_tensor("masks", masks)
    if len(masks) == 0:
        raise ValueError("`masks` holds no case; give the masks of the training set")
    return flat_mask(masks, name="masks").float().mean(0).reshape(masks.shape[1:])
