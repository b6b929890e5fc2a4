"""The region somebody annotated in an image: from a NumPy file, a picture, or a DICOM SEG."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seattn.data.containment import attempt
from seattn.data.errors import DicomError
from seattn.data.index import IndexRow
from seattn.data.segmentation import read_segment

__all__ = ["read_mask"]


def read_mask(
    root: Path, row: IndexRow, *, shape: tuple[int, ...], segment: int | None
) -> torch.Tensor:
    """Read the mask of a row: bool (H, W), true where the file is not 0.

    A file is NumPy's if its name ends in ``.npy``, DICOM if bytes 128 to 131 say so (PS3.10
    section 7.1), and else a picture, for Pillow.

    Args:
        root: The folder that the paths of the row start from.
        row: A row that has a mask.
        shape: Height and width of its image.
        segment: Which segment of a DICOM segmentation, see ``read_segment``.

    Returns:
        The mask, bool (H, W).

    Raises:
        DicomError: The file cannot be read, has another shape than the image, or marks no pixel: a
            mask says that the image is annotated, and an image in which nothing is marked is
            written without one.

    Examples:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from seattn.data import IndexRow
        >>> from seattn.data.mask_file import read_mask
        >>> np.save("a.npy", np.eye(8, dtype=np.uint8))
        >>> row = IndexRow("a.dcm", 0, "p", "", "", "axial", 8, 8, 128, 0, mask="a.npy")
        >>> mask = read_mask(Path("."), row, shape=(8, 8), segment=None)
        >>> mask.dtype, int(mask.sum())
        (torch.bool, 8)
    """
    path = str(row.mask)
    try:
        mask = _read(root, row, segment)
    except DicomError as problem:
        reason = problem.reason
    else:
        marked = mask != 0
        if mask.shape == tuple(shape) and marked.any():
            return torch.from_numpy(marked)
        reason = "marks no pixel; an image without annotation is listed without a mask"
        if mask.shape != tuple(shape):
            reason = f"the mask has shape {mask.shape} and its image {tuple(shape)}"
    raise DicomError(path, "mask", reason)  # out here it carries no other


def _read(root: Path, row: IndexRow, segment: int | None) -> NDArray[np.generic]:
    path = root / str(row.mask)
    if path.suffix.lower() == ".npy":
        return attempt(path, "mask", DicomError, _load_npy, path)
    if attempt(path, "mask", DicomError, _is_dicom, path):
        return read_segment(root, row, segment=segment)
    if importlib.util.find_spec("PIL") is None:
        reason = "needs Pillow: pip install 'seattn[compressed]', or keep masks as .npy"
        raise DicomError(path, "mask", reason)
    return attempt(path, "mask", DicomError, _load_picture, path)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _load_npy(path: Path) -> NDArray[np.generic]:
    return np.load(path, allow_pickle=False)


def _load_picture(path: Path) -> NDArray[np.generic]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture)
