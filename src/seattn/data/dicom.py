"""Reads one DICOM image in the order of the standard's grayscale pipeline (PS3.4 section N.2)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.errors import DecodeError, DicomError, HeaderError
from seattn.data.grayscale import apply_file_voi, apply_window, modality_values, padding_mask
from seattn.data.header import Header, open_regular, read_header, refuse_many_samples
from seattn.data.meta import DicomMeta, describe

__all__ = ["DicomImage", "DicomMeta", "Units", "read_dicom"]

Units = Literal["window", "modality", "stored", "minmax"]
Array = npt.NDArray[np.generic]

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class DicomImage:
    """Pixels, and what is known about them.

    Attributes:
        pixels: (C, H, W), or (F, C, H, W) if all frames were asked for; C is 1, or 3 for colour.
        meta: The facts of the header about the image; those that differ between frames are those
            of the frame that was read, or of the first.
    """

    pixels: torch.Tensor
    meta: DicomMeta


def read_dicom(
    path: str | os.PathLike[str],
    *,
    units: Units = "window",
    window: Sequence[float] | None = None,
    frame: int | None = 0,
) -> DicomImage:
    """Read one image from a DICOM file.

    The steps are those of the standard, in its order: stored values; modality LUT or rescale
    (PS3.3 section C.11.1); VOI LUT or window (C.11.2); inversion, if (0028,0004) *Photometric
    Interpretation* is MONOCHROME1 or (2050,0020) *Presentation LUT Shape* is INVERSE (C.7.6.3.1.2).
    In an enhanced object they take the values of their frame (C.7.6.16).

    Pixels outside the field of view, marked by (0028,0120) *Pixel Padding Value* (C.7.5.1.1.2),
    count as the darkest: 0 in 0..1 units, the value of the darkest other pixel in modality units.

    Args:
        path: The file.
        units: "window", the window's range as 0..1; "modality", the scanner's units, HU for a CT,
            never inverted; "minmax", the range of each image as 0..1, inverted as in "window";
            "stored", the numbers in the file, in its type. Colour is divided by its largest
            possible value in "window" and stretched in "minmax"; it has no modality values.
        window: (center, width) in modality units for every file alike, in the sense of the function
            LINEAR; None uses the first window, or VOI LUT, that the file itself declares.
        frame: Which frame of the file, counted from 0; None reads all.

    Shape:
        Output: (C, H, W), or (F, C, H, W) with ``frame=None``.

    Returns:
        A ``DicomImage`` with float32 pixels, or with the file's type for "stored".

    Raises:
        DicomError: The file cannot be used; the subclass and the text say which file, at which
            stage and why. No exception of pydicom or of a decoder gets out, no warning and no line
            in a log, because their texts quote the header.
        TypeError: ``frame`` is not an int.
        ValueError: ``units``, ``window`` or ``frame`` is not possible.

    Examples:
        >>> from pydicom.data import get_testdata_file
        >>> from seattn.data import read_dicom
        >>> image = read_dicom(get_testdata_file("CT_small.dcm"), units="modality")
        >>> image.pixels.shape, image.meta.units, image.meta.view
        (torch.Size([1, 128, 128]), 'HU', 'axial')
        >>> bone = read_dicom(get_testdata_file("CT_small.dcm"), window=(400, 1800))
        >>> bone.pixels.min() >= 0, bone.pixels.max() <= 1
        (tensor(True), tensor(True))
    """
    window = _check_arguments(units, window, frame)
    file_path = Path(path)
    with quiet_pydicom, attempt(file_path, "open", DicomError, open_regular, file_path) as file:
        header = attempt(file_path, "header", HeaderError, read_header, file_path, file)
        frames = _frames_to_read(header, frame)
        stored = attempt(file_path, "decode", DecodeError, _decode, header, frame)
        pictures, windows = zip(
            *(
                attempt(file_path, "values", HeaderError, _picture, header, i, image, units, window)
                for i, image in zip(frames, stored, strict=True)
            ),
            strict=True,
        )
        meta = attempt(file_path, "meta", HeaderError, describe, header, frames[0], windows[0])
    pixels = torch.from_numpy(np.stack(pictures))
    return DicomImage(pixels if frame is None else pixels[0], meta)


def _check_arguments(
    units: str, window: Sequence[float] | None, frame: int | None
) -> tuple[float, float] | None:
    if units not in get_args(Units):
        raise ValueError(f"`units` (={units!r}) must be one of {', '.join(get_args(Units))}.")
    if frame is not None and not isinstance(frame, int):
        raise TypeError(f"`frame` (={frame!r}) must be an int, or None for all frames.")
    if window is None:
        return None
    if units != "window":
        raise ValueError(f"`window` (={window!r}) has no meaning with `units`={units!r}.")
    if len(window) != 2 or not np.isfinite(window).all() or window[1] < 1:
        raise ValueError(
            f"`window` (={window!r}) must be a (center, width) in modality units, width 1 or more."
        )
    return float(window[0]), float(window[1])


def _frames_to_read(header: Header, frame: int | None) -> Sequence[int]:
    if frame is None:
        refuse_many_samples(
            header.path, header.frames * header.rows * header.columns * header.samples
        )
        return range(header.frames)
    if not 0 <= frame < header.frames:
        raise ValueError(
            f"`frame` (={frame}) must be in 0..{header.frames - 1}, the frames of {header.path}."
        )
    return [frame]


def _decode(header: Header, frame: int | None) -> Array:
    """Decode one frame, or all: (F, H, W, C) in the file's own type."""
    from pydicom.pixels.decoders.base import get_decoder

    decoder = get_decoder(header.dataset.file_meta.TransferSyntaxUID)
    stored, _ = decoder.as_array(header.source, index=frame, **header.decoder_options)
    frames = header.frames if frame is None else 1
    return stored.reshape(frames, header.rows, header.columns, header.samples)


def _picture(
    header: Header, frame: int, stored: Array, units: Units, window: tuple[float, float] | None
) -> tuple[Array, tuple[float, float] | None]:
    """Turn the stored values (H, W, C) of one frame into what was asked for, (C, H, W)."""
    photometric_interpretation = header.photometric_interpretation
    if units == "stored":
        return np.moveaxis(stored, -1, 0), None
    if photometric_interpretation in _MONOCHROME and header.samples == 1:
        values, window = _grayscale(header, frame, stored[..., 0], units, window)
        return values[None].astype(np.float32), window
    if units == "modality":
        raise HeaderError(header.path, "modality", "a colour image has no modality values")
    if photometric_interpretation == "PALETTE COLOR" and header.samples == 1:
        colour = _palette_colour(header, stored[..., 0])
    elif photometric_interpretation in _COLOUR and header.samples == 3:
        colour = stored.astype(np.float64) / (2**header.bits_stored - 1)
    else:
        raise HeaderError(
            header.path, "values", "Photometric Interpretation and samples do not go together"
        )
    if units == "minmax":
        colour = _stretch(colour)
    return np.moveaxis(colour, -1, 0).astype(np.float32), None


def _grayscale(
    header: Header,
    frame: int,
    stored: Array,
    units: Units,
    window: tuple[float, float] | None,
) -> tuple[npt.NDArray[np.float64], tuple[float, float] | None]:
    values = modality_values(header, frame, stored)
    if not np.isfinite(values).all():
        raise HeaderError(header.path, "modality", "some values are infinite or not numbers")
    padding = padding_mask(header, stored)
    inverted = header.photometric_interpretation == "MONOCHROME1" or (
        str(header.dataset.get("PresentationLUTShape") or "").strip().upper() == "INVERSE"
    )
    if padding is not None and not padding.all():
        inside = values[~padding]
        values[padding] = inside.max() if inverted else inside.min()
    if units == "modality":
        return values, None
    if units == "minmax":
        values = _stretch(values)
    elif window is None:
        values, window = apply_file_voi(header, frame, values)
    else:
        values = apply_window(values, *window)
    if inverted:
        values = 1 - values
    if padding is not None:
        values[padding] = 0
    return values, window


def _stretch(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Map the range of the values to 0..1, a constant image to 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low if high > low else 1)


def _palette_colour(header: Header, stored: Array) -> npt.NDArray[np.float64]:
    """Look up red, green and blue (PS3.3 section C.7.9), scaled to 0..1."""
    from pydicom.pixels.processing import apply_color_lut

    colour = apply_color_lut(stored, header.dataset)[..., :3]
    largest = 2 ** int(header.dataset.RedPaletteColorLookupTableDescriptor[2]) - 1
    if colour.max() > largest:
        raise HeaderError(header.path, "values", "palette entries exceed the depth of the palette")
    return colour / largest
