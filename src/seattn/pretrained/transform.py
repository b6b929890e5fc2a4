"""From an image to what pretrained weights expect: resize, central crop, normalisation."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seattn.weights import gray_normalization
from seattn.weights.pretrained_config import PretrainedConfig

__all__ = ["InputTransform", "input_transform"]


def input_transform(
    cfg: PretrainedConfig,
    in_chans: int = 3,
    *,
    size: int | None = None,
    crop: float | None = None,
) -> "InputTransform":
    """Make the transform that pretrained weights were evaluated with.

    For one channel it normalises with the average of the three means and of the three standard
    deviations: the numbers that ``create_model(name, pretrained=True, in_chans=1)`` folds into the
    weights, so that a grey image gives the features of the same image in colour.

    Args:
        cfg: ``model.pretrained_cfg``, or a row of the table.
        in_chans: Channels of the image. Other numbers than 3 have the one-channel mean and
            standard deviation in every channel.
        size: Side of the result in pixels; ``cfg.size`` by default.
        crop: Part of the resized shorter side that the central crop keeps; ``cfg.crop`` by default.
            For the numbers that timm publishes give ``size=cfg.test_size, crop=cfg.test_crop``.

    Returns:
        The transform, a module without parameters.

    Raises:
        ValueError: ``crop`` is not in (0, 1], or ``size`` or ``in_chans`` is not positive.

    Examples:
        >>> import torch
        >>> from seattn.pretrained import get_pretrained_cfg, input_transform
        >>> transform = input_transform(get_pretrained_cfg("se_resnet50"), in_chans=1)
        >>> transform(torch.rand(1, 300, 400)).shape
        torch.Size([1, 224, 224])
        >>> transform.mean, transform.std
        ((0.449,), (0.226,))
    """
    if in_chans < 1:
        raise ValueError(f"`in_chans` (={in_chans}) must be positive")
    mean: tuple[float, ...] = cfg.mean
    std: tuple[float, ...] = cfg.std
    if in_chans != 3:
        gray_mean, gray_std = gray_normalization(mean, std)
        mean, std = (gray_mean,) * in_chans, (gray_std,) * in_chans
    return InputTransform(
        size=cfg.size if size is None else size,
        crop=cfg.crop if crop is None else crop,
        keep_aspect=cfg.keep_aspect,
        interpolation=cfg.interpolation,
        mean=mean,
        std=std,
    )


class InputTransform(nn.Module):
    """Resize, crop the centre, normalise. Made by ``input_transform``.

    The arithmetic is that of torchvision's ``Resize`` (with antialiasing), ``CenterCrop`` and
    ``Normalize`` on tensors of floats; what bicubic interpolation overshoots is cut off, as it is
    in the images of bytes that the weights were trained on.

    Args:
        size: Side of the result in pixels.
        crop: Part of the resized shorter side that the central crop keeps, in (0, 1].
        keep_aspect: Resize the shorter side; if False both sides, which squashes the image.
        interpolation: ``"bicubic"`` or ``"bilinear"``.
        mean: One for each channel, for values in 0..1.
        std: Standard deviations, likewise.

    Shape:
        - Input: (..., C, H, W), floats in 0..1; on a CPU not of half precision, which PyTorch does
          not resize there.
        - Output: (..., C, size, size), of the same dtype, on the same device.

    Raises:
        ValueError: ``size`` is not positive or ``crop`` not in (0, 1]; in a call, an image has
            another number of channels.
        TypeError: In a call, an image is not of floats.

    Examples:
        >>> import torch
        >>> from seattn.pretrained import get_pretrained_cfg, input_transform
        >>> transform = input_transform(get_pretrained_cfg("efficientnet_b0"))
        >>> transform.size, transform.crop, transform.interpolation
        (224, 0.875, 'bicubic')
        >>> images = torch.full((2, 3, 300, 400), 0.5)
        >>> transform(images).shape, transform(images)[0, :, 0, 0]
        (torch.Size([2, 3, 224, 224]), tensor([0.0655, 0.1964, 0.4178]))
    """

    def __init__(
        self,
        *,
        size: int,
        crop: float,
        keep_aspect: bool,
        interpolation: str,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"`size` (={size}) must be positive")
        if not 0 < crop <= 1:
            raise ValueError(f"`crop` (={crop}) must be in (0, 1]: a part of the shorter side")
        self.size = size
        self.crop = crop
        self.keep_aspect = keep_aspect
        self.interpolation = interpolation
        self.mean = tuple(mean)
        self.std = tuple(std)

    def forward(self, image: Tensor) -> Tensor:
        """Return the image, or each image of a batch, as the network expects it."""
        if not image.is_floating_point():
            raise TypeError(
                f"`image` is of {image.dtype}; divide it by its largest possible value, so that "
                "it is float and in 0..1"
            )
        if image.ndim < 3 or image.shape[-3] != len(self.mean):
            raise ValueError(
                f"`image` of shape {tuple(image.shape)} must be (..., {len(self.mean)}, H, W); "
                "`input_transform` takes the number of channels as `in_chans`"
            )
        *batch, C, H, W = image.shape
        short = math.floor(self.size / self.crop)
        height = width = short
        if self.keep_aspect:
            height, width = (int(short * side / min(H, W)) for side in (H, W))
        resized = F.interpolate(
            image.reshape(-1, C, H, W),
            size=(height, width),
            mode=self.interpolation,
            antialias=True,
        ).clamp(0, 1)
        top, left = (round((side - self.size) / 2) for side in (height, width))
        cropped = resized[..., top : top + self.size, left : left + self.size]
        mean, std = (
            torch.tensor(values, dtype=image.dtype, device=image.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        return ((cropped - mean) / std).reshape(*batch, C, self.size, self.size)

    def extra_repr(self) -> str:
        """Show the numbers."""
        return ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in ("size", "crop", "keep_aspect", "interpolation", "mean", "std")
        )
