"""Parses the elements before the pixels, once, without allocating more than the file can fill."""

import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from seattn.data.errors import HeaderError, LimitError, NotDicomError
from seattn.data.limits import DicomLimits
from seattn.data.pixel_data import inflate

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["parse"]

_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_EXPLICIT_BIG = "1.2.840.10008.1.2.2"
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


def parse(
    path: str | os.PathLike[str],
    file: BinaryIO,
    tags: Sequence[str] | None,
    *,
    force: bool,
    limits: DicomLimits,
) -> tuple["Dataset", BinaryIO]:
    """Parse a file up to its pixels, with ``tags`` only those elements.

    Returns:
        The elements, with ``file_meta``, and what stands at the first byte of the pixels: the file,
        or the inflated copy of it.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag
    from pydicom.uid import UID

    size = file.seek(0, os.SEEK_END)
    if size > limits.file_bytes:
        raise LimitError(
            path, "limits", f"{size:,} bytes, more than the limit of {limits.file_bytes:,}"
        )
    file.seek(0)
    if file.read(132)[128:] != b"DICM":
        if not force:
            raise NotDicomError(path, "open", "no DICOM prefix in bytes 128 to 131")
        file.seek(0)
    prefix = cast(BinaryIO, _Bounded(file, size))
    meta = FileMetaDataset(
        read_dataset(prefix, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    )
    if not meta.get("TransferSyntaxUID"):
        if not force:
            raise HeaderError(path, "header", "no (0002,0010) Transfer Syntax UID")
        meta.TransferSyntaxUID = UID(_guess_syntax(file))
    syntax = meta.TransferSyntaxUID
    if syntax == _DEFLATED:
        file = inflate(path, file, limits)
        size = limits.inflated_bytes
    dataset = read_dataset(
        cast(BinaryIO, _Bounded(file, size)),
        syntax == _IMPLICIT_LITTLE,
        syntax != _EXPLICIT_BIG,
        stop_when=lambda tag, *_: tag in _PIXEL_TAGS,
        specific_tags=None if tags is None else [Tag(tag) for tag in tags],
    )
    dataset.file_meta = meta
    return dataset, file


def _guess_syntax(file: BinaryIO) -> str:
    """Tell the encoding from the first element (PS3.5 section 7.1), as pydicom does."""
    start = file.tell()
    element = file.read(6)
    file.seek(start)
    if not element[4:].isalpha():
        return _IMPLICIT_LITTLE
    (group,) = struct.unpack("<H", element[:2])
    # The groups of a header are below 0x0400 in the right order, at or above it in the other.
    return _EXPLICIT_BIG if group >= 0x400 else _EXPLICIT_LITTLE


class _Bounded:
    """A file that never reads more than there is: a read allocates what it is asked for."""

    __slots__ = ("_read", "_size", "name", "seek", "tell")

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._read, self._size = file.read, size
        self.seek, self.tell, self.name = file.seek, file.tell, ""

    def read(self, count: int) -> bytes:
        return self._read(count if count < self._size else self._size)
