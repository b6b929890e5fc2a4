"""How well heat maps agree with an annotation, and what a map that saw no image would score.

Agreement says where a map is strong, not that it tells why the network decided. Report each measure
beside its chance level, beside the maps here that ignore the image, and beside a network with
random weights (``randomised_copy``).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["centre_map", "chance_level", "mass_in_mask", "mean_mask_map", "pointing_game"]


def pointing_game(cam: Tensor, mask: Tensor) -> Tensor:
    """Return, for each case, whether the strongest point of the map lies in the mask.

    Several equal maxima count by the fraction of them that lies in the mask. A blank map points
    nowhere and is a miss, 0.

    Differs from the paper: no tolerance around the mask (there 15 pixels).

    Args:
        cam: The maps, finite and not negative.
        mask: The annotated regions, bool or 0 and 1.

    Shape:
        - cam, mask: ``(N, *spatial)``, any number of spatial dimensions.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; nan where the mask is empty. ``chance_level(mask)`` is what a
        random point scores.

    Raises:
        ValueError: The shapes differ, ``cam`` is negative or not finite, or ``mask`` is not binary.

    References:
        Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016:
        the pointing game.

    Examples:
        >>> import torch
        >>> from seattn.explain import pointing_game
        >>> cam = torch.tensor([[[0.0, 3.0], [3.0, 1.0]]])
        >>> pointing_game(cam, mask=torch.tensor([[[0, 1], [0, 0]]]))
        tensor([0.5000], dtype=torch.float64)
    """
    cam, inside = _flat_pair(cam, mask)
    peak = (cam == cam.amax(1, keepdim=True)) & (cam > 0)
    hit = (peak & inside).sum(1) / peak.sum(1).clamp(min=1).double()
    return hit.masked_fill(~inside.any(1), math.nan)


def mass_in_mask(cam: Tensor, mask: Tensor) -> Tensor:
    """Return, for each case, the share of the map's sum that lies in the mask.

    Args:
        cam: The maps, finite and not negative. Not min-max scaled: that moves the zero, and the
            share with it.
        mask: The annotated regions, bool or 0 and 1.

    Shape:
        - cam, mask: ``(N, *spatial)``, any number of spatial dimensions.
        - output: (N,).

    Returns:
        A float64 tensor in 0..1; nan where the map is blank or the mask empty.
        ``chance_level(mask)`` is what a constant map scores.

    Raises:
        ValueError: The shapes differ, ``cam`` is negative or not finite, or ``mask`` is not binary.

    References:
        Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
        Networks", CVPR Workshops 2020: the energy-based pointing game.

    Examples:
        >>> import torch
        >>> from seattn.explain import mass_in_mask
        >>> cam = torch.tensor([[[0.0, 3.0], [4.0, 1.0]]])
        >>> mass_in_mask(cam, mask=torch.tensor([[[0, 1], [0, 1]]]))
        tensor([0.5000], dtype=torch.float64)
    """
    cam, inside = _flat_pair(cam, mask)
    share = (cam * inside).sum(1) / cam.sum(1)
    return share.masked_fill(~inside.any(1), math.nan)


def chance_level(mask: Tensor) -> Tensor:
    """Return the share of pixels that each mask covers.

    A point drawn at random scores it in ``pointing_game``, a constant map in ``mass_in_mask``.

    Args:
        mask: The annotated regions, bool or 0 and 1.

    Shape:
        - mask: ``(N, *spatial)``, any number of spatial dimensions.
        - output: (N,).

    Returns:
        A float64 tensor; nan where the mask is empty, as in the measures, so that the means of all
        three run over the same cases.

    Raises:
        ValueError: ``mask`` is not binary.

    Examples:
        >>> import torch
        >>> from seattn.explain import chance_level
        >>> chance_level(torch.tensor([[[0, 1], [0, 0]]]))
        tensor([0.2500], dtype=torch.float64)
    """
    inside = _flat_mask(mask)
    return inside.double().mean(1).masked_fill(~inside.any(1), math.nan)


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
        ValueError: ``masks`` is not binary, or holds no case.

    Examples:
        >>> import torch
        >>> from seattn.explain import mean_mask_map
        >>> mean_mask_map(torch.tensor([[[0, 1]], [[1, 1]]]))
        tensor([[0.5000, 1.0000]])
    """
    if len(masks) == 0:
        raise ValueError("`masks` holds no case; give the masks of the training set")
    return _flat_mask(masks).float().mean(0).reshape(masks.shape[1:])


def _flat_pair(cam: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    if cam.shape != mask.shape:
        raise ValueError(
            f"`cam` (shape {tuple(cam.shape)}) and `mask` (shape {tuple(mask.shape)}) must have "
            "one shape, (N, *spatial); compare at the size of the mask"
        )
    if not ((cam >= 0) & cam.isfinite()).all():
        raise ValueError("`cam` must be finite and not negative; rectify it first")
    inside = _flat_mask(mask)
    return cam.flatten(1).double(), inside


def _flat_mask(mask: Tensor) -> Tensor:
    if mask.dim() < 2:
        raise ValueError(f"`mask` (shape {tuple(mask.shape)}) must be (N, *spatial)")
    inside = mask != 0
    if not (inside == mask).all():
        raise ValueError("`mask` must hold 0 and 1 only; compare a label map with the label first")
    return inside.flatten(1)
