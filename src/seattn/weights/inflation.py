"""From the weights of a 2D network to those of the same network in 3D."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["inflate"]


def inflate(
    state_dict: Mapping[str, Tensor], model: nn.Module, *, mode: str = "center"
) -> dict[str, Tensor]:
    """Give every 2D kernel the depth that the same network in 3D wants.

    Carreira & Zisserman 2017 (arXiv:1705.07750, section 3) repeat a kernel along the new axis and
    divide it by its depth, so that a volume of equal slices gives what the slice gives. That is
    ``"mean"``, and holds away from the first and last slices, which zeros pad. With ``"center"``
    the kernel stands in the middle slice between zeros: a convolution sees every slice as in 2D, so
    the network starts as the exact 2D one on a volume of one slice or of equal slices, and learns
    what lies between slices in training. Where slices differ, strides skip some of them, and
    pooling and gates mix them, from the start.

    What has the same shape in both networks is taken as it is: biases, BatchNorm, classifiers, and
    the 1x1 convolutions inside channel attention, which are the same for every rank.

    Args:
        state_dict: Tensors of the 2D network, by the names that ``model`` has.
        model: The 3D network; it is looked at, not changed.
        mode: ``"center"`` or ``"mean"``.

    Returns:
        Tensors for ``load_weights(model, ...)``, in the order given; those that ``model`` has not,
        or has in a shape that depth alone does not explain, as they were given.

    Raises:
        ValueError: ``mode`` is none of the two, or no kernel of ``model`` is deeper than the one
            given.

    Examples:
        >>> from seattn.backbones import se_resnet18
        >>> from seattn.weights import inflate, load_weights
        >>> flat = se_resnet18(in_chans=1, num_classes=2)
        >>> volumes = se_resnet18(in_chans=1, num_classes=2, spatial_dims=3)
        >>> report = load_weights(volumes, inflate(flat.state_dict(), volumes))
    """
    if mode not in ("center", "mean"):
        raise ValueError(f"`mode` (={mode!r}) must be 'center' or 'mean'")
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    inflated = {
        key: _inflate(tensor, shapes.get(key, tensor.shape), mode)
        for key, tensor in state_dict.items()
    }
    if all(inflated[key] is tensor for key, tensor in state_dict.items()):
        raise ValueError(
            "`model` has no 3D kernel for any 2D kernel of `state_dict`: its names must be the "
            "same, and it must have been built with `spatial_dims=3`"
        )
    return inflated


def _inflate(kernel: Tensor, shape: torch.Size, mode: str) -> Tensor:
    """Return a kernel (K, C, H, W) as (K, C, D, H, W), anything else as it is."""
    if kernel.ndim != 4 or len(shape) != 5 or kernel.shape[2:] != shape[3:]:
        return kernel
    depth = shape[2]
    if mode == "mean":
        return kernel[:, :, None].expand(-1, -1, depth, -1, -1) / depth
    deep = kernel.new_zeros((*kernel.shape[:2], depth, *kernel.shape[2:]))
    deep[:, :, depth // 2] = kernel
    return deep
