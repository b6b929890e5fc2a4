"""Reads one DICOM image in the order of the standard's grayscale pipeline (PS3.4 section N.2)."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from seattn.data.codecs import check_encoded_frames
from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.errors import DecodeError, DicomError, HeaderError
from seattn.data.header import Header, refuse_many_samples
from seattn.data.last_file import LastFile
from seattn.data.limits import DicomLimits
from seattn.data.meta import DicomMeta, describe
from seattn.data.picture import Units, make_picture

__all__ = [
    "DicomImage",
    "DicomMeta",
    "Units",
    "check_choices",
    "check_units",
    "read_dicom",
    "read_image",
]

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class DicomImage:
    """Pixels, and what is known about them.

    Attributes:
        pixels: (C, H, W), or (F, C, H, W) if all frames were asked for; C is 1, or 3 for colour.
        meta: The facts of the header about the image; those that differ between frames are those
            of the frame that was read, or of the first.

    Examples:
        >>> from pydicom.data import get_testdata_file
        >>> from seattn.data import read_dicom
        >>> image = read_dicom(get_testdata_file("CT_small.dcm"), units="modality")
        >>> image.pixels.shape, image.pixels.min(), image.pixels.max()
        (torch.Size([1, 128, 128]), tensor(-896.), tensor(1167.))
        >>> image.meta.units, image.meta.applied
        ('HU', ('padding', 'rescale'))
    """

    pixels: torch.Tensor
    meta: DicomMeta


def read_dicom(
    path: str | os.PathLike[str],
    *,
    units: Units = "window",
    window: Sequence[float] | None = None,
    frame: int | None = 0,
    voi: int = 0,
    force: bool = False,
    limits: DicomLimits = DicomLimits(),  # noqa: B008
    redact_paths: bool = False,
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
            never inverted; "minmax", the range of each frame as 0..1, and "percentile", the range
            from the 1st to the 99th percentile of each frame, without padding, as 0..1, both
            inverted as in "window"; "stored", the numbers in the file, in its type. Colour is
            divided by its largest possible value in "window" and stretched in "minmax" and
            "percentile"; it has no modality values.
        window: (center, width) in modality units for every file alike, in the sense of the function
            LINEAR; None uses a window, or VOI LUT, that the file itself declares.
        frame: Which frame of the file, counted from 0; None reads all.
        voi: Which of the windows or VOI LUTs that the file declares, counted from 0.
        force: Also read a file without the prefix, or without the Transfer Syntax UID, of PS3.10
            section 7.1; its encoding is then found from its first element.
        limits: How much a file may ask for.
        redact_paths: Leave the path out of the texts of errors; folders are named after patients.

    Shape:
        Output: (C, H, W), or (F, C, H, W) with ``frame=None``.

    Returns:
        A ``DicomImage`` with float32 pixels, or with the file's type for "stored".

    Raises:
        DicomError: The file cannot be used; the subclass and the text say which file, at which
            stage and why. No exception of pydicom or of a decoder gets out, no warning and no line
            in a log, because their texts quote the header.
        TypeError: ``frame`` is not an int, or ``limits`` no ``DicomLimits``.
        ValueError: ``units``, ``window``, ``frame`` or ``voi`` is not possible.

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
    with LastFile() as file:
        return read_image(
            file,
            path,
            units=units,
            window=window,
            frame=frame,
            voi=voi,
            force=force,
            limits=limits,
            redact_paths=redact_paths,
        )


def read_image(
    file: LastFile,
    path: str | os.PathLike[str],
    *,
    units: Units,
    window: Sequence[float] | None = None,
    frame: int | None,
    voi: int = 0,
    force: bool = False,
    limits: DicomLimits = DicomLimits(),  # noqa: B008
    redact_paths: bool = False,
) -> DicomImage:
    """Read one image as ``read_dicom`` does; of the file that was the last, without its header."""
    if frame is not None and not isinstance(frame, int):
        raise TypeError(f"`frame` (={frame!r}) must be an int, or None for all frames.")
    window = check_units(units, window)
    check_choices(units, window, voi, limits)
    file_path = Path(path)
    name = "(path withheld)" if redact_paths else file_path
    with quiet_pydicom:
        header = file.header(file_path, name, force, limits)
        frames = _frames_to_read(header, frame, limits)
        stored = attempt(name, "decode", DecodeError, _decode, header, frame, limits)
        pictures = [
            attempt(name, "values", HeaderError, make_picture, header, i, image, units, window, voi)
            for i, image in zip(frames, stored, strict=True)
        ]
        meta = attempt(name, "meta", HeaderError, describe, header, frames[0], pictures[0])
        pixels = pictures[0].pixels
        if frame is None:
            pixels = attempt(name, "values", DicomError, np.stack, [p.pixels for p in pictures])
    return DicomImage(torch.from_numpy(pixels), meta)


def check_units(units: str, window: object) -> tuple[float, float] | None:
    """Return the window as two floats, or raise where it, or ``units``, is not possible."""
    if units not in get_args(Units):
        raise ValueError(f"`units` (={units!r}) must be one of {', '.join(get_args(Units))}.")
    if window is None:
        return None
    if units != "window":
        raise ValueError(f"`window` (={window!r}) has no meaning with `units`={units!r}.")
    try:
        center, width = map(float, window)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        center, width = math.nan, math.nan
    if not math.isfinite(center) or not 1 <= width < math.inf:
        raise ValueError(
            f"`window` (={window!r}) must be a (center, width) in modality units, width 1 or more; "
            "without it the file's own window is taken."
        )
    return center, width


def check_choices(units: str, window: object, voi: object, limits: object) -> None:
    """Raise where ``voi`` is not possible, or ``limits`` are none."""
    if not isinstance(voi, int) or voi < 0:
        raise ValueError(f"`voi` (={voi!r}) must be an int, 0 or more.")
    if voi and (units != "window" or window is not None):
        raise ValueError(f"`voi` (={voi}) chooses a window of the file, and none is used here.")
    if not isinstance(limits, DicomLimits):
        raise TypeError(f"`limits` (={limits!r}) must be a DicomLimits.")


def _frames_to_read(header: Header, frame: int | None, limits: DicomLimits) -> Sequence[int]:
    if frame is None:
        samples = header.frames * header.rows * header.columns * header.samples
        refuse_many_samples(header.path, samples, limits)
        return range(header.frames)
    if not 0 <= frame < header.frames:
        raise ValueError(
            f"`frame` (={frame}) must be in 0..{header.frames - 1}, the frames of {header.path}."
        )
    return [frame]


def _decode(header: Header, frame: int | None, limits: DicomLimits) -> Array:
    """Decode one frame, or all: (F, H, W, C) in the file's own type; it may be read-only."""
    from pydicom.pixels.decoders.base import get_decoder

    plugin = ""
    if header.syntax.is_encapsulated:
        plugin = check_encoded_frames(header, frame)
    # pydicom loses the last bits of a frame of single bits that begins within a byte.
    bits = header.rows * header.columns * header.samples
    whole = frame is not None and header.decoder_options["bits_allocated"] == 1 and bits % 8 > 0
    if whole:
        refuse_many_samples(header.path, header.frames * bits, limits)
    stored, _ = get_decoder(header.syntax).as_array(
        header.source,
        index=None if whole else frame,
        decoding_plugin=plugin,
        **header.decoder_options,
    )
    if whole and header.frames > 1:
        stored = stored[frame]
    frames = header.frames if frame is None else 1
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return stored.reshape(frames, header.rows, header.columns, header.samples)
