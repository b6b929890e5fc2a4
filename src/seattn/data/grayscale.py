"""The grayscale pipeline: stored values, modality values, 0..1 for display (PS3.4 section N.2).

Written out, because pydicom's functions know neither per-frame values nor a fixed output range, and
wrap around where a lookup table has more entries than its output type has values.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seattn.data.errors import HeaderError
from seattn.data.header import Header, functional_group, numbers

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["apply_file_voi", "apply_window", "modality_values", "padding_mask"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Stored = npt.NDArray[np.generic]


def padding_mask(header: Header, stored: Stored) -> Mask | None:
    """Find the pixels out of the field of view, if declared (PS3.3 section C.7.5.1.1.2)."""
    value = numbers(header.dataset, "PixelPaddingValue")[:1]
    if not value:
        return None
    limit = numbers(header.dataset, "PixelPaddingRangeLimit")[:1] or value
    # A negative padding value is often written under the unsigned VR: this cast wraps it back.
    ends = np.array(value + limit).astype(np.int64).astype(stored.dtype)
    return (stored >= ends.min()) & (stored <= ends.max())


def modality_values(header: Header, frame: int, stored: Stored) -> Array:
    """Apply the modality LUT, or the rescale slope and intercept (PS3.3 section C.11.1)."""
    if header.dataset.get("ModalityLUTSequence"):
        table, first = _lookup_table(header, header.dataset.ModalityLUTSequence[0])
        return table[_clip(stored, first, table.size)]
    rescale = functional_group(header.dataset, frame, "PixelValueTransformationSequence")
    slope, intercept = numbers(rescale, "RescaleSlope"), numbers(rescale, "RescaleIntercept")
    values = stored.astype(np.float64)
    if not slope and not intercept:
        return values
    if len(slope) != 1 or len(intercept) != 1:
        raise HeaderError(
            header.path, "modality", "Rescale Slope and Rescale Intercept must have one value each"
        )
    if slope[0] == 0 or not np.isfinite(slope + intercept).all():
        raise HeaderError(
            header.path, "modality", "Rescale Slope is 0, or it or the intercept is not a number"
        )
    values *= slope[0]
    values += intercept[0]
    return values


def apply_file_voi(
    header: Header, frame: int, values: Array
) -> tuple[Array, tuple[float, float] | None]:
    """Apply what the file itself declares to be of interest (PS3.3 section C.11.2), 0..1.

    The first of several alternatives counts, and a VOI LUT before a window, as in pydicom.

    Returns:
        The values in 0..1, and the (center, width) in use, None for a VOI LUT.

    Raises:
        HeaderError: The file has neither, or one that makes no sense.
    """
    tables = header.dataset.get("VOILUTSequence")
    if tables and tables[0].get("LUTData") is not None:
        table, first = _lookup_table(header, tables[0])
        depth = int(tables[0].LUTDescriptor[2])
        return table[_clip(np.rint(values), first, table.size)] / (2**depth - 1), None
    voi = functional_group(header.dataset, frame, "FrameVOILUTSequence")
    center, width = numbers(voi, "WindowCenter")[:1], numbers(voi, "WindowWidth")[:1]
    if not center and not width:
        raise HeaderError(
            header.path,
            "window",
            'the file declares no window; pass `window=(center, width)` or `units="minmax"`',
        )
    function = str(voi.get("VOILUTFunction") or "LINEAR").strip().upper()
    smallest = 1 if function == "LINEAR" else np.nextafter(0, 1)
    if not center or not width or not np.isfinite(center + width).all() or width[0] < smallest:
        raise HeaderError(header.path, "window", "Window Center and Window Width make no window")
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise HeaderError(header.path, "window", "an unknown VOI LUT Function")
    return apply_window(values, center[0], width[0], function), (center[0], width[0])


def apply_window(values: Array, center: float, width: float, function: str = "LINEAR") -> Array:
    """Map a window of modality values onto 0..1, in place where it can.

    Source: PS3.3 section C.11.2.1.2.1 (LINEAR) and C.11.2.1.3 (SIGMOID and LINEAR_EXACT), with the
    output range y_min = 0, y_max = 1.
    """
    if function == "SIGMOID":
        # 1 / (1 + exp(-4 z)), in the form that cannot overflow.
        return 0.5 + 0.5 * np.tanh(2 * (values - center) / width)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    values -= center
    if width == 0:
        return (values > 0).astype(np.float64)
    values /= width
    values += 0.5
    return np.clip(values, 0, 1, out=values)


def _lookup_table(header: Header, item: "Dataset") -> tuple[Array, int]:
    """Read a LUT (PS3.3 section C.11.1.1): its entries, and the value that maps to the first."""
    entries, first, _ = (int(value) for value in item.LUTDescriptor)
    entries = entries or 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if header.dataset.original_encoding[1] else ">"
        data = np.frombuffer(data, dtype="u1" if len(data) < 2 * entries else f"{order}u2")
    table = np.atleast_1d(np.asarray(data, dtype=np.float64))[:entries]
    if table.size != entries:
        raise HeaderError(header.path, "lookup table", "fewer LUT Data than the descriptor says")
    return table, first


def _clip(values: npt.NDArray[np.generic], first: int, entries: int) -> npt.NDArray[np.int64]:
    """Positions in a table whose first and last entries also stand for all that is beyond them."""
    return np.clip(values.astype(np.int64) - first, 0, entries - 1)
