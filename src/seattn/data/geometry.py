"""Where an image lies in the patient: spacing, orientation, position, anatomical view."""

from typing import TYPE_CHECKING

import numpy as np

from seattn.data.header import functional_group, numbers

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["orientation", "position", "spacing", "view"]

_OBLIQUE_BELOW = 0.9  # cosine of 26 degrees between the normal and the nearest axis


def spacing(dataset: "Dataset", frame: int) -> tuple[tuple[float, float] | None, str | None]:
    """Find the distance in mm between rows and between columns (PS3.3 section 10.7.1.3).

    Returns:
        (row, column) and the keyword it comes from, or (None, None) if the file does not say.
        ``ImagerPixelSpacing`` is measured at the detector, where a body is magnified.
    """
    measures = functional_group(dataset, frame, "PixelMeasuresSequence")
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        values = numbers(measures, keyword)
        if len(values) == 2 and min(values) > 0:
            return (values[0], values[1]), keyword
    return None, None


def orientation(dataset: "Dataset", frame: int) -> tuple[float, ...] | None:
    """Direction cosines of a row and of a column (PS3.3 section C.7.6.2.1.1), 6 numbers."""
    item = functional_group(dataset, frame, "PlaneOrientationSequence")
    values = numbers(item, "ImageOrientationPatient")
    return values if len(values) == 6 else None


def position(dataset: "Dataset", frame: int) -> tuple[float, ...] | None:
    """x, y, z in mm of the centre of the first pixel (PS3.3 section C.7.6.2.1.1)."""
    item = functional_group(dataset, frame, "PlanePositionSequence")
    values = numbers(item, "ImagePositionPatient")
    return values if len(values) == 3 else None


def view(orientation: tuple[float, ...] | None) -> str:
    """Name the plane of an image after the axis of the patient that is nearest to its normal.

    Returns:
        "sagittal", "coronal" or "axial"; "oblique" if the cosine of the angle to that axis is below
        0.9, "unknown" without an orientation, as radiographs are.

    Examples:
        >>> from seattn.data.geometry import view
        >>> view((1, 0, 0, 0, 1, 0))
        'axial'
        >>> view((0, 1, 0, 0, 0, -1))
        'sagittal'
    """
    if orientation is None:
        return "unknown"
    normal = np.abs(np.cross(orientation[:3], orientation[3:]))
    length = np.linalg.norm(normal)
    if not length > 0:
        return "unknown"
    axis = int(normal.argmax())
    if normal[axis] / length < _OBLIQUE_BELOW:
        return "oblique"
    return ("sagittal", "coronal", "axial")[axis]
