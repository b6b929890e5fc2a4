"""What a dataset yields and the transforms change: one sample, or a batch of them."""

from typing import NamedTuple

import torch

__all__ = ["Sample", "to_float", "to_unit_range"]


class Sample(NamedTuple):
    """One image, or a batch of images, with what is known about it; every field is a tensor.

    It holds no path, name or number of a patient, so that whatever is printed, pickled or logged
    with it gives nobody away. ``DicomDataset.index.rows[row]`` leads back to the file.

    Attributes:
        image: float32 (C, H, W), or (N, C, H, W) in a batch; as its cache stores it, if the
            dataset was made with ``as_float=False``.
        label: int64 (), in a batch (N,), the position of the class in ``DicomIndex.classes``; -1
            where there is no label.
        mask: uint8 (1, H, W), in a batch (N, 1, H, W): 1 inside the annotated region and 0 outside,
            or 255 everywhere where nobody has annotated the image. In a batch without any
            annotation all pixels may share one number in memory: make a copy before you write into
            it.
        row: int64 (), in a batch (N,), the position of the image in its dataset.

    Examples:
        >>> import torch
        >>> from seattn.data.sample import Sample
        >>> mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
        >>> sample = Sample(torch.zeros(1, 8, 8), torch.tensor(1), mask, torch.tensor(0))
        >>> sample._asdict().keys()
        dict_keys(['image', 'label', 'mask', 'row'])
    """

    image: torch.Tensor
    label: torch.Tensor
    mask: torch.Tensor
    row: torch.Tensor


def to_float(batch: Sample) -> Sample:
    """Make float32 of the images of a dataset with ``as_float=False``: grey levels become 0..1.

    Args:
        batch: A sample, or a batch of them, on any device. It is not changed.

    Returns:
        The same with an image in float32, on the same device.

    Examples:
        >>> import torch
        >>> from seattn.data.sample import Sample, to_float
        >>> image = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
        >>> sample = Sample(image, torch.tensor(1), torch.zeros_like(image), torch.tensor(0))
        >>> to_float(sample).image
        tensor([[[0.0000, 0.2000, 1.0000]]])
    """
    image = batch.image
    return batch._replace(
        image=to_unit_range(image) if image.dtype == torch.uint8 else image.float()
    )


def to_unit_range(image: torch.Tensor) -> torch.Tensor:
    """Map 0..255 to 0..1 in float32."""
    return image.float().div_(255)  # in two steps is faster than in one
