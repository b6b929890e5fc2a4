"""From the stored values of one frame to what was asked for, and a record of what was done."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from seattn.data.errors import HeaderError
from seattn.data.grayscale import (
    apply_file_voi,
    apply_window,
    modality_values,
    padding_mask,
    stretch,
)
from seattn.data.header import Header
from seattn.data.levels import Levels

__all__ = ["PERCENTILES", "Picture", "Units", "make_picture"]

Units = Literal["window", "modality", "stored", "minmax", "percentile"]
Array = npt.NDArray[np.generic]

PERCENTILES = (1.0, 99.0)
"""What ``units="percentile"`` maps to 0 and to 1: the ends are metal, markers and noise."""

_TOLERANCE = 5e-7  # on 0..1, half of what a result in float32 is held to
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


class Picture(NamedTuple):
    """One frame (C, H, W); what was applied to it, in order; the window and which it was."""

    pixels: Array
    applied: tuple[str, ...] = ()
    window: tuple[float, float] | None = None
    voi: int | None = None


def make_picture(
    header: Header,
    frame: int,
    stored: Array,
    units: Units,
    window: tuple[float, float] | None,
    voi: int,
) -> Picture:
    """Turn the stored values (H, W, C) of one frame into what was asked for, (C, H, W)."""
    photometric_interpretation = header.photometric_interpretation
    if units == "stored":
        return Picture(np.require(np.moveaxis(stored, -1, 0), requirements=["C", "W"]))
    if photometric_interpretation in _MONOCHROME and header.samples == 1:
        return _grayscale(header, frame, stored[None, ..., 0], units, window, voi)
    if units == "modality":
        raise HeaderError(header.path, "modality", "a colour image has no modality values")
    steps: tuple[str, ...] = ()
    if photometric_interpretation == "PALETTE COLOR" and header.samples == 1:
        steps = ("palette",)
        stored, largest = _palette_colour(header, stored[..., 0])
    elif photometric_interpretation in _COLOUR and header.samples == 3:
        largest = 2**header.bits_stored - 1
    else:
        raise HeaderError(
            header.path, "values", "Photometric Interpretation and samples do not go together"
        )
    return _colour(np.moveaxis(stored, -1, 0), largest, units, steps)


def _colour(stored: Array, largest: int, units: Units, steps: tuple[str, ...]) -> Picture:
    levels = Levels(stored)
    values = levels.values.astype(np.float64)
    if units == "window":
        values, step = values / largest, "full range"
    else:
        values, step = stretch(values, levels.counts, _percentiles(units)), units
    return Picture(levels.image(values, tolerance=_TOLERANCE), (*steps, step))


def _grayscale(
    header: Header,
    frame: int,
    stored: Array,
    units: Units,
    window: tuple[float, float] | None,
    voi: int,
) -> Picture:
    levels = Levels(stored)
    padding = padding_mask(header, levels.values)
    values, step = modality_values(header, frame, levels.values)
    applied = ["padding"] * (padding is not None) + [step] * bool(step)
    if not np.isfinite(values).all():
        raise HeaderError(header.path, "modality", "some values are infinite or not numbers")
    inverted = header.photometric_interpretation == "MONOCHROME1" or (
        str(header.dataset.get("PresentationLUTShape") or "").strip().upper() == "INVERSE"
    )
    index = None
    if units == "modality":
        if padding is not None:
            inside = values[~padding & (levels.counts > 0)]
            if inside.size:
                values[padding] = inside.max() if inverted else inside.min()
        return Picture(levels.image(values), tuple(applied))
    if units == "window" and window is None:
        values, step, window = apply_file_voi(header, frame, values, voi)
        index = voi
    elif units == "window" and window is not None:
        values, step = apply_window(values, *window), "window fixed"
    else:
        # After a rescale the ends are those of the pixels, so that minmax need not count them.
        ends_suffice = units == "minmax" and padding is None and step != "modality LUT"
        counts = np.ones(values.size, np.int64) if ends_suffice else levels.counts
        counts = counts if padding is None else np.where(padding, 0, counts)
        values, step = stretch(values, counts, _percentiles(units)), units
    applied.append(step)
    if inverted:
        values = 1 - values
        applied.append("inverted")
    if padding is not None:
        values[padding] = 0
    image = levels.image(values, tolerance=_TOLERANCE)
    return Picture(image, tuple(applied), window, index)


def _percentiles(units: Units) -> tuple[float, float]:
    return PERCENTILES if units == "percentile" else (0, 100)


def _palette_colour(header: Header, stored: Array) -> tuple[Array, int]:
    """Look up red, green and blue (PS3.3 section C.7.9), and the largest possible value."""
    from pydicom.pixels.processing import apply_color_lut

    colour = apply_color_lut(stored, header.dataset)[..., :3]
    largest = 2 ** int(header.dataset.RedPaletteColorLookupTableDescriptor[2]) - 1
    if colour.max() > largest:
        raise HeaderError(header.path, "values", "palette entries exceed the depth of the palette")
    return colour, largest
