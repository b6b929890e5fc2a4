"""Where an image lies in the patient: spacing, orientation, position, anatomical view."""

import math
from typing import TYPE_CHECKING

from seattn.data.header import functional_group, numbers
from seattn.data.terms import VIEW_POSITIONS, term

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["image_view", "orientation", "position", "slice_position", "spacing", "view"]

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
    normal = _normal(orientation)
    if normal is None:
        return "unknown"
    sizes = [abs(component) for component in normal]
    if max(sizes) < _OBLIQUE_BELOW:
        return "oblique"
    return ("sagittal", "coronal", "axial")[sizes.index(max(sizes))]


def image_view(dataset: "Dataset", orientation: tuple[float, ...] | None) -> str:
    """The plane of a frame; of a radiograph, which has none, its (0018,5101) *View Position*."""
    plane = view(orientation)
    if plane != "unknown":
        return plane
    return term(dataset, "ViewPosition", VIEW_POSITIONS) or "unknown"


def slice_position(
    orientation: tuple[float, ...] | None, position: tuple[float, ...] | None
) -> float | None:
    """Distance in mm of a slice from the origin, along its normal: the order of slices.

    Examples:
        >>> from seattn.data.geometry import slice_position
        >>> slice_position((1, 0, 0, 0, 1, 0), (-120, -80, 45.5))
        45.5
    """
    normal = _normal(orientation)
    if normal is None or position is None:
        return None
    return sum(a * b for a, b in zip(normal, position, strict=True))


def _normal(orientation: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Row x column, of length 1; None without an orientation or if it makes no plane."""
    if orientation is None:
        return None
    a, b, c, d, e, f = orientation
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.hypot(*normal)
    if not 0 < length < math.inf:
        return None
    return tuple(component / length for component in normal)
