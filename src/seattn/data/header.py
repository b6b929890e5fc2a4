"""Opens a DICOM file and checks its header, before a byte of its pixels is decoded."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from seattn.data.codecs import check_decoder
from seattn.data.errors import HeaderError, LimitError, NotDicomError
from seattn.data.limits import DicomLimits
from seattn.data.parse import parse
from seattn.data.pixel_data import check_pixels, find_pixels
from seattn.data.terms import PHOTOMETRIC_INTERPRETATIONS, term

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

__all__ = [
    "Header",
    "burned_in",
    "functional_group",
    "numbers",
    "open_regular",
    "read_header",
    "refuse_many_samples",
]

_PER_FRAME, _SHARED = 0x52009230, 0x52009229  # what `dataset.get` would look for by their names
_DECODER_OPTIONS = {  # of pydicom, by the keyword of their element
    "Rows": "rows",
    "Columns": "columns",
    "SamplesPerPixel": "samples_per_pixel",
    "BitsAllocated": "bits_allocated",
    "BitsStored": "bits_stored",
    "NumberOfFrames": "number_of_frames",
    "PixelRepresentation": "pixel_representation",
    "PlanarConfiguration": "planar_configuration",
}
_PIXEL_TAGS = (*_DECODER_OPTIONS, "PhotometricInterpretation", "SOPClassUID")


@dataclass(frozen=True)
class Header:
    """A checked header, with what pydicom's decoder wants to know about the pixels."""

    path: str | os.PathLike[str]  # for the texts of errors
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

    @property
    def syntax(self) -> "UID":
        """Return the transfer syntax."""
        return self.dataset.file_meta.TransferSyntaxUID


def open_regular(path: Path, shown: str | os.PathLike[str] | None = None) -> BinaryIO:
    """Open a regular file; opening a pipe would wait for ever. Errors name it as ``shown``."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotDicomError(path if shown is None else shown, "open", "not a regular file")
    return path.open("rb")


def read_header(
    path: str | os.PathLike[str],
    file: BinaryIO,
    tags: Sequence[str] | None = None,
    force: bool = False,
    limits: DicomLimits = DicomLimits(),  # noqa: B008
) -> Header:
    """Parse and check everything up to the pixels, with ``tags`` only those and what pixels need.

    Raises:
        NotDicomError: The prefix of PS3.10 section 7.1 is missing, and ``force`` is False.
        NoImageError: The object has no pixels.
        UnsupportedSyntaxError: No decoder is installed for its transfer syntax.
        HeaderError: A required element is missing or impossible.
        DecodeError: There are fewer bytes of pixels than the header promises.
        LimitError: One frame, the file, or the inflated file exceeds the limits.
    """
    wanted = None if tags is None else [*tags, *_PIXEL_TAGS]
    dataset, source = parse(path, file, wanted, force=force, limits=limits)
    syntax = dataset.file_meta.TransferSyntaxUID
    pixels, available = find_pixels(path, source, dataset)
    check_decoder(path, syntax)
    values = {keyword: _value(dataset, keyword) for keyword in _DECODER_OPTIONS}
    rows, columns, samples, allocated = (
        _count(path, keyword, values[keyword])
        for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    )
    refuse_many_samples(path, rows * columns * samples, limits)
    frames = values["NumberOfFrames"] = _count(path, "NumberOfFrames", values["NumberOfFrames"], 1)
    photometric_interpretation = _photometric_interpretation(path, dataset)
    options = {
        name: values[keyword]
        for keyword, name in _DECODER_OPTIONS.items()
        if values[keyword] is not None
    }
    if "ExtendedOffsetTable" in dataset:
        options["extended_offsets"] = (
            dataset.ExtendedOffsetTable,
            dataset.ExtendedOffsetTableLengths,
        )
    header = Header(
        path=path,
        dataset=dataset,
        source=source,
        decoder_options={
            **options,
            **pixels,
            "photometric_interpretation": photometric_interpretation,
            "allow_excess_frames": False,
            "view_only": True,
        },
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        bits_stored=_count(path, "BitsStored", values["BitsStored"], allocated),
        photometric_interpretation=photometric_interpretation,
        pixel_bytes=available,
    )
    expected = -(-rows * columns * samples * header.frames * allocated // 8)
    if header.photometric_interpretation == "YBR_FULL_422":  # PS3.3 section C.7.6.3.1.2
        expected = expected // 3 * 2
    check_pixels(path, source, syntax, frames=header.frames, expected=expected, available=available)
    return header


def refuse_many_samples(path: str | os.PathLike[str], samples: int, limits: DicomLimits) -> None:
    """Raise LimitError where ``samples`` numbers are more than the limit."""
    if samples > limits.samples:
        raise LimitError(
            path,
            "limits",
            f"{samples:,} samples to decode, more than the limit of {limits.samples:,}",
        )


def functional_group(dataset: "Dataset", frame: int, macro: str) -> "Dataset":
    """Find the part of a header that holds the attributes of ``macro`` for one frame.

    An enhanced object says them for the frame, or once for all frames (PS3.3 section C.7.6.16); a
    classic one says them at its root.
    """
    if _PER_FRAME not in dataset and _SHARED not in dataset:
        return dataset
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
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    element = None if tag is None else dataset.get_item(tag)
    if element is None:
        return ()
    if element.VR == "DS" and isinstance(element.value, bytes):
        # Not parsed before; float() does it in a tenth of the time of pydicom's number type.
        text = element.value.decode("ascii").strip(" \0")
        return tuple(map(float, text.split("\\"))) if text else ()
    value = dataset[element.tag].value
    if value is None or value == "":
        return ()
    if isinstance(value, int | float | str):
        return (float(value),)
    return tuple(map(float, value))


def burned_in(dataset: "Dataset") -> bool | None:
    """Whether text is part of the picture (0028,0301); None if the file does not say."""
    said = str(dataset.get("BurnedInAnnotation") or "").strip()
    return {"YES": True, "NO": False}.get(said)


def _photometric_interpretation(path: str | os.PathLike[str], dataset: "Dataset") -> str:
    known = term(dataset, "PhotometricInterpretation", PHOTOMETRIC_INTERPRETATIONS)
    if known is None:
        said = "an unknown" if dataset.get("PhotometricInterpretation") else "no"
        raise HeaderError(path, "header", f"{said} Photometric Interpretation")
    return known


def _value(dataset: "Dataset", keyword: str) -> Any:
    """The value of an element, None if it is absent or empty."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    element = None if tag is None else dataset.get_item(tag)
    if element is None:
        return None
    if element.VR == "US" and isinstance(element.value, bytes) and len(element.value) == 2:
        # Not parsed before; so it takes a tenth of pydicom's time.
        return int.from_bytes(element.value, "little" if dataset.original_encoding[1] else "big")
    value = dataset[element.tag].value
    return None if value == "" else value


def _count(
    path: str | os.PathLike[str], keyword: str, value: Any, default: int | None = None
) -> int:
    if value is None:
        if default is None:
            raise HeaderError(path, "header", f"no {keyword}")
        return default
    if int(value) < 1:
        raise HeaderError(path, "header", f"{keyword} is less than 1")
    return int(value)
