"""The grayscale pipeline: stored values, modality values, 0..1 for display (PS3.4 section N.2).

Written out, because pydicom's functions know neither per-frame values nor a fixed output range, and
wrap around where a lookup table has more entries than its output type has values.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from seattn.data.errors import HeaderError
from seattn.data.header import Header, functional_group, numbers

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["apply_file_voi", "apply_window", "modality_values", "padding_mask", "stretch"]

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Item = TypeVar("Item")
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


def modality_values(header: Header, frame: int, stored: Stored) -> tuple[Array, str]:
    """Apply the modality LUT, or the rescale slope and intercept (PS3.3 section C.11.1).

    Returns:
        The values, and which of the two was applied, "" for neither.
    """
    if header.dataset.get("ModalityLUTSequence"):
        table, first = _lookup_table(header, header.dataset.ModalityLUTSequence[0])
        return table[_clip(stored, first, table.size)], "modality LUT"
    rescale = functional_group(header.dataset, frame, "PixelValueTransformationSequence")
    slope, intercept = numbers(rescale, "RescaleSlope"), numbers(rescale, "RescaleIntercept")
    values = stored.astype(np.float64)
    if not slope and not intercept:
        return values, ""
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
    return values, "rescale"


def apply_file_voi(
    header: Header, frame: int, values: Array, voi: int
) -> tuple[Array, str, tuple[float, float] | None]:
    """Apply what the file itself declares to be of interest (PS3.3 section C.11.2), 0..1.

    Of several alternatives number ``voi`` counts, and a VOI LUT before a window, as in pydicom.

    Returns:
        The values in 0..1, what was applied, and the (center, width) in use, None for a VOI LUT.

    Raises:
        HeaderError: The file has neither, or not so many, or one that makes no sense.
    """
    tables = header.dataset.get("VOILUTSequence")
    if tables and tables[0].get("LUTData") is not None:
        item = _choose(header, tables, voi)
        table, first = _lookup_table(header, item)
        largest = 2 ** int(item.LUTDescriptor[2]) - 1
        if largest < 1 or table.max() > largest:
            raise HeaderError(header.path, "window", "VOI LUT entries exceed the depth of the LUT")
        return table[_clip(np.rint(values), first, table.size)] / largest, "VOI LUT", None
    macro = functional_group(header.dataset, frame, "FrameVOILUTSequence")
    centers, widths = numbers(macro, "WindowCenter"), numbers(macro, "WindowWidth")
    if not centers and not widths:
        raise HeaderError(
            header.path,
            "window",
            'the file declares no window; pass `window=(center, width)` or `units="minmax"`',
        )
    function = str(macro.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise HeaderError(header.path, "window", "an unknown VOI LUT Function")
    windows = list(zip(centers, widths, strict=False))
    center, width = _choose(header, windows, voi) if windows else (np.nan, np.nan)
    smallest = 1 if function == "LINEAR" else np.nextafter(0, 1)
    if not np.isfinite([center, width]).all() or width < smallest:
        raise HeaderError(header.path, "window", "Window Center and Window Width make no window")
    return apply_window(values, center, width, function), f"window {function}", (center, width)


def _choose(header: Header, alternatives: Sequence[Item], voi: int) -> Item:
    if voi >= len(alternatives):
        raise HeaderError(
            header.path,
            "window",
            f"`voi` (={voi}) must be in 0..{len(alternatives) - 1}, the windows or VOI LUTs there",
        )
    return alternatives[voi]


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


def stretch(values: Array, counts: Counts, percentiles: tuple[float, float]) -> Array:
    """Map two percentiles of a population to 0 and 1, what is beyond them too; a constant one to 0.

    Args:
        values: The values that occur.
        counts: How often each does; a value that never does is clipped like one beyond the ends.
        percentiles: In percent; each stands for the smallest value that so many do not exceed.
    """
    total = int(counts.sum())
    if total == 0:
        return np.zeros_like(values)
    if percentiles == (0.0, 100.0):
        inside = values[counts > 0]
        low, high = inside.min(), inside.max()
    else:
        order = np.argsort(values, kind="stable")
        ranks = np.ceil(np.array(percentiles) / 100 * total)
        places = order[np.searchsorted(np.cumsum(counts[order]), ranks)]
        low, high = values[places[0]], values[places[1]]
    return np.clip((values - low) / (high - low if high > low else 1), 0, 1)


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
