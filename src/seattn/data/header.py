"""Opens a DICOM file and checks its header, before a byte of its pixels is decoded."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from seattn.data.errors import (
    HeaderError,
    LimitError,
    NotDicomError,
    UnsupportedSyntaxError,
)
from seattn.data.pixel_data import check_pixels, find_pixels, inflate

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

__all__ = [
    "MAX_SAMPLES",
    "Header",
    "burned_in",
    "functional_group",
    "numbers",
    "open_regular",
    "read_header",
    "refuse_many_samples",
]

MAX_SAMPLES = 2**28
"""Rows x columns x frames x samples that are decoded at once: 1 GiB of float32."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXEL_TAGS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "SOPClassUID",
)
# The extra leaves these two out: GDCM is their only decoder under a permissive licence.
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")


@dataclass(frozen=True)
class Header:
    """A checked header, with what pydicom's decoder wants to know about the pixels."""

    path: Path
    dataset: "Dataset"
    source: BinaryIO  # stands at the first byte of the pixels
    decoder_options: dict[str, Any]
    rows: int
    columns: int
    frames: int
    samples: int
    bits_stored: int
    photometric_interpretation: str
    pixel_bytes: int  # of the encoded pixels; up to the end of the file where that is not said


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; opening a pipe would wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotDicomError(path, "open", "not a regular file")
    return path.open("rb")


def read_header(path: Path, file: BinaryIO, tags: Sequence[str] | None = None) -> Header:
    """Parse and check everything up to the pixels, with ``tags`` only those and what pixels need.

    Raises:
        NotDicomError: The prefix of PS3.10 section 7.1 is missing.
        NoImageError: The object has no pixels.
        UnsupportedSyntaxError: No decoder is installed for its transfer syntax.
        HeaderError: A required element is missing or impossible.
        DecodeError: There are fewer bytes of pixels than the header promises.
        LimitError: One frame, or the inflated file, exceeds the limits of this module.
    """
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info
    from pydicom.pixels.utils import as_pixel_options

    if file.read(132)[128:] != b"DICM":
        raise NotDicomError(path, "open", "no DICOM prefix in bytes 128 to 131")
    meta = read_file_meta_info(path)
    syntax = meta.get("TransferSyntaxUID")
    if not syntax:
        raise HeaderError(path, "header", "no (0002,0010) Transfer Syntax UID")
    source = inflate(path, file) if syntax == _DEFLATED else file
    source.seek(0)
    dataset = dcmread(
        source,
        stop_before_pixels=True,
        force=syntax == _DEFLATED,  # what was inflated has no prefix
        specific_tags=None if tags is None else [*tags, *_PIXEL_TAGS],
    )
    dataset.file_meta = meta

    pixels, available = find_pixels(path, source, dataset)
    _check_decoder(path, syntax)
    rows, columns, samples, allocated = (_count(path, dataset, tag) for tag in _PIXEL_TAGS[:4])
    refuse_many_samples(path, rows * columns * samples)
    header = Header(
        path=path,
        dataset=dataset,
        source=source,
        decoder_options={**as_pixel_options(dataset), **pixels},
        rows=rows,
        columns=columns,
        frames=_count(path, dataset, "NumberOfFrames", default=1),
        samples=samples,
        bits_stored=_count(path, dataset, "BitsStored", default=allocated),
        photometric_interpretation=str(dataset.get("PhotometricInterpretation") or "").strip(),
        pixel_bytes=available,
    )
    check_pixels(path, source, dataset, header.frames, available)
    return header


def refuse_many_samples(path: Path, samples: int) -> None:
    """Raise LimitError where ``samples`` numbers are more than ``MAX_SAMPLES``."""
    if samples > MAX_SAMPLES:
        raise LimitError(
            path, "limits", f"{samples:,} samples to decode, more than the limit of {MAX_SAMPLES:,}"
        )


def functional_group(dataset: "Dataset", frame: int, macro: str) -> "Dataset":
    """Find the part of a header that holds the attributes of ``macro`` for one frame.

    An enhanced object says them for the frame, or once for all frames (PS3.3 section C.7.6.16); a
    classic one says them at its root.
    """
    for groups, position in (
        (dataset.get("PerFrameFunctionalGroupsSequence"), frame),
        (dataset.get("SharedFunctionalGroupsSequence"), 0),
    ):
        if groups and position < len(groups) and groups[position].get(macro):
            item: Dataset = groups[position][macro].value[0]
            return item
    return dataset


def numbers(dataset: "Dataset", keyword: str) -> tuple[float, ...]:
    """All values of a numeric element, none if it is absent or empty."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return ()
    return tuple(np.atleast_1d(np.asarray(value, dtype=np.float64)).tolist())


def burned_in(dataset: "Dataset") -> bool | None:
    """Whether text is part of the picture (0028,0301); None if the file does not say."""
    said = str(dataset.get("BurnedInAnnotation") or "").strip()
    return {"YES": True, "NO": False}.get(said)


def _count(path: Path, dataset: "Dataset", keyword: str, *, default: int | None = None) -> int:
    value = dataset.get(keyword)
    if value is None or value == "":
        if default is None:
            raise HeaderError(path, "header", f"no {keyword}")
        return default
    if int(value) < 1:
        raise HeaderError(path, "header", f"{keyword} is less than 1")
    return int(value)


def _check_decoder(path: Path, syntax: "UID") -> None:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None:
        raise UnsupportedSyntaxError(
            path, "decode", "pydicom has no decoder for this transfer syntax"
        )
    if not decoder.is_available:
        package = "python-gdcm" if syntax in _JPEG_LOSSLESS else '"seattn[compressed]"'
        raise UnsupportedSyntaxError(
            path,
            "decode",
            f"no decoder for {syntax.name} is installed; `pip install {package}`",
        )
