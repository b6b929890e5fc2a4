"""What a dataset yields and the transforms change: one sample, or a batch of them."""

from typing import NamedTuple

import torch

__all__ = ["Sample"]


class Sample(NamedTuple):
    """One image, or a batch of images, with what is known about it; every field is a tensor.

    It holds no path, name or number of a patient, so that whatever is printed, pickled or logged
    with it gives nobody away. ``DicomDataset.index.rows[row]`` leads back to the file.

    Attributes:
        image: float32 (C, H, W), or (N, C, H, W) in a batch; as its cache stores it, if the
            dataset was made with ``as_float=False``.
        label: int64, the position of the class in ``DicomIndex.classes``; -1 where there is no
            label.
        mask: uint8 (1, H, W): 1 inside the annotated region and 0 outside, or 255 everywhere where
            nobody has annotated the image. In a batch without any annotation all pixels may share
            one number in memory: make a copy before you write into it.
        row: int64, the position of the image in its dataset.

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
