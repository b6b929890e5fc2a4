"""Where in a file the pixels lie, and whether all are there (PS3.5 sections 8 and A)."""

import os
import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from seattn.data.errors import DecodeError, HeaderError, LimitError, NoImageError
from seattn.data.limits import DicomLimits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

__all__ = ["check_pixels", "find_pixels", "inflate"]

_PIECE = 2**16
# Deflate reaches 1032 : 1, and images 10 : 1.
_SUSPICIOUS_BYTES, _EXPANSION = 2**25, 200

_UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXEL_ELEMENTS = {
    (0x7FE0, 0x0008): "FloatPixelData",
    (0x7FE0, 0x0009): "DoubleFloatPixelData",
    (0x7FE0, 0x0010): "PixelData",
}


def inflate(path: str | os.PathLike[str], file: BinaryIO, limits: DicomLimits) -> BinaryIO:
    """Inflate what follows the file meta information (PS3.5 section A.5), up to the limits."""
    inflated, inflator = BytesIO(), zlib.decompressobj(-zlib.MAX_WBITS)
    used = 0
    while not inflator.eof and (piece := inflator.unconsumed_tail or file.read(_PIECE)):
        inflated.write(inflator.decompress(piece, 16 * _PIECE))
        used += len(piece) - len(inflator.unconsumed_tail)
        if inflated.tell() > limits.inflated_bytes:
            raise LimitError(
                path, "limits", f"inflates to more than {limits.inflated_bytes:,} bytes"
            )
        if inflated.tell() > _SUSPICIOUS_BYTES and inflated.tell() > _EXPANSION * used:
            raise LimitError(path, "limits", f"inflates to more than {_EXPANSION} times its size")
    inflated.seek(0)
    return inflated


def find_pixels(
    path: str | os.PathLike[str], source: BinaryIO, dataset: "Dataset"
) -> tuple[dict[str, str], int]:
    """Move ``source`` to the pixels; return decoder options and the number of bytes there."""
    order = "<" if dataset.original_encoding[1] else ">"
    element = source.read(8)  # PS3.5 section 7.1.2 and 7.1.3
    # An implicit length that reads like one of these would be odd, and lengths are even: so the VR
    # is told apart even where the file is not encoded as its transfer syntax says.
    explicit = element[4:6] in (b"OB", b"OW", b"OF", b"OD", b"UN")
    length_field = source.read(4) if explicit else element[4:]
    complete = len(length_field) == 4
    if not complete or (tag := struct.unpack(f"{order}HH", element[:4])) not in _PIXEL_ELEMENTS:
        raise _no_pixels(path, dataset)
    (length,) = struct.unpack(f"{order}L", length_field)
    if length == _UNDEFINED_LENGTH and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        raise HeaderError(path, "header", "compressed pixels, and a transfer syntax without them")
    start = source.tell()
    remaining = source.seek(0, os.SEEK_END) - start
    source.seek(start)
    options = {"pixel_keyword": _PIXEL_ELEMENTS[tag]}
    if explicit:
        options["pixel_vr"] = element[4:6].decode()
    return options, min(length, remaining)


def check_pixels(
    path: str | os.PathLike[str],
    source: BinaryIO,
    syntax: "UID",
    *,
    frames: int,
    expected: int,
    available: int,
) -> None:
    """Find pixels that are cut short; a decoder may well paint something from what is left."""
    if syntax.is_encapsulated:
        start = source.tell()
        fragments, complete = _count_fragments(source)
        source.seek(start)
        if not complete:
            raise DecodeError(path, "header", "the file ends within its pixels")
        if fragments < frames:
            raise DecodeError(path, "header", "there are fewer frames than the header says")
    elif available < expected:
        raise DecodeError(
            path, "header", f"{available:,} bytes of pixels, and {expected:,} are needed"
        )


def _no_pixels(path: str | os.PathLike[str], dataset: "Dataset") -> NoImageError | DecodeError:
    """A file cut short before its pixels is damaged; a structured report never had any."""
    # The file meta information says it too, should the file end before it says it itself.
    kinds = (dataset.get("SOPClassUID"), dataset.file_meta.get("MediaStorageSOPClassUID"))
    if any("Image" in getattr(kind, "name", "") for kind in kinds) or "Rows" in dataset:
        return DecodeError(path, "header", "the file ends before its pixels")
    return NoImageError(path, "header", "an object without pixels")


def _count_fragments(source: BinaryIO) -> tuple[int, bool]:
    """Walk over encapsulated pixels: offset table, fragments, delimiter (PS3.5 section A.4)."""
    items = 0
    while (item := source.read(8))[:4] == b"\xfe\xff\x00\xe0":
        source.seek(int.from_bytes(item[4:], "little"), os.SEEK_CUR)
        items += 1
    return items - 1, item[:4] == b"\xfe\xff\xdd\xe0"
