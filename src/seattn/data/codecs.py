"""Which decoder reads a compressed frame, and what is checked before it may allocate memory."""

import struct
from collections.abc import Iterator
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING

from seattn.data.errors import DecodeError, LimitError, UnsupportedSyntaxError

if TYPE_CHECKING:
    from pydicom.uid import UID

    from seattn.data.header import Header

__all__ = ["check_decoder", "check_encoded_frames", "choose_plugin"]

_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
# The extra leaves these two out: GDCM is their only decoder under a permissive licence.
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_RLE = "1.2.840.10008.1.2.5"
# pyjpegls refuses damaged JPEG-LS that others decode into something. Below "pylibjpeg" JPEG 2000
# and RLE are MIT, JPEG is under the GPL. GDCM comes last: it reads memory that is not its own when
# a file is damaged. Both count only where nothing else is installed.
_PREFERRED = ("pyjpegls", "pillow", "pylibjpeg", "pydicom", "gdcm")
_PREFERRED_JPEG2000_RLE = ("pylibjpeg", "pillow", "pydicom", "gdcm")

# A frame that takes more than this decoded, and more than so many times its encoded bytes, is made
# to fill the memory. RLE at its best is 64 : 1, on an image without content.
_SUSPICIOUS_BYTES = 2**25
_EXPANSION, _EXPANSION_RLE = 200, 32


def check_decoder(path: str | PathLike[str], syntax: "UID") -> None:
    """Raise UnsupportedSyntaxError where no decoder of a transfer syntax is installed."""
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


def choose_plugin(syntax: "UID", *, precision: int = 8) -> str:
    """Name the plugin of pydicom that decodes a transfer syntax, "" for one without codec.

    Args:
        syntax: An encapsulated transfer syntax of which a decoder is installed.
        precision: Bits of a sample in the code stream; of a JPEG Pillow reads 8 only.
    """
    from pydicom.pixels.decoders.base import get_decoder

    available = get_decoder(syntax).available_plugins
    jpeg = syntax in _JPEG or syntax in _JPEG_LOSSLESS or syntax in _JPEG_LS
    order: tuple[str, ...] = _PREFERRED if jpeg else _PREFERRED_JPEG2000_RLE
    if syntax in _JPEG and precision > 8:
        order = tuple(name for name in order if name != "pillow")
    return next((name for name in order if name in available), "")


def check_encoded_frames(header: "Header", frame: int | None) -> str:
    """Check the encoded frames that are to be decoded, and name the plugin that is to decode them.

    Raises:
        LimitError: The frame would grow without proportion.
        DecodeError: The code stream holds an image of another size than the header says, or more
            or less than one image of that size can need.
        UnsupportedSyntaxError: The decoder of a 12-bit JPEG is not installed.
    """
    syntax = header.syntax
    precision = 8
    for encoded in _encoded_frames(header, frame):
        _check_expansion(header, len(encoded))
        if syntax == _RLE:
            continue
        shape = _frame_shape(encoded)
        if shape is None:
            raise DecodeError(header.path, "decode", "no image in the code stream")
        if shape[:3] != (header.rows, header.columns, header.samples):
            raise DecodeError(
                header.path,
                "decode",
                "the code stream holds an image of another size than the header says",
            )
        precision = max(precision, shape[3])
    plugin = choose_plugin(syntax, precision=precision)
    if not plugin:
        raise UnsupportedSyntaxError(
            header.path,
            "decode",
            "JPEG of more than 8 bits; pylibjpeg-libjpeg, which is under the GPL, decodes it",
        )
    return plugin


def _encoded_frames(header: "Header", frame: int | None) -> Iterator[bytes]:
    """One frame, or all; the source stands where it stood when they are through."""
    from pydicom.encaps import generate_frames, get_frame

    start = header.source.tell()
    offsets = header.decoder_options.get("extended_offsets")
    if frame is not None:
        yield get_frame(
            header.source, frame, number_of_frames=header.frames, extended_offsets=offsets
        )
    else:
        frames = generate_frames(
            header.source, number_of_frames=header.frames, extended_offsets=offsets
        )
        yield from islice(frames, header.frames)
    header.source.seek(start)


def _check_expansion(header: "Header", encoded: int) -> None:
    allocated = header.decoder_options["bits_allocated"]
    decoded = -(-header.rows * header.columns * header.samples * allocated // 8)
    rle = header.syntax == _RLE
    expansion = _EXPANSION_RLE if rle else _EXPANSION
    if decoded > _SUSPICIOUS_BYTES and decoded > expansion * encoded:
        raise LimitError(
            header.path,
            "limits",
            f"{encoded:,} bytes that decode to {decoded:,}, more than {expansion} times as many",
        )
    # PS3.5 section G.3.1: 2 bytes give 1 to 128. Twice the pixels is more than any encoder writes.
    if rle and not decoded <= 64 * encoded <= 64 * (2 * decoded + 1024):
        raise DecodeError(
            header.path, "decode", f"{encoded:,} bytes of RLE cannot be {decoded:,} bytes of pixels"
        )


def _frame_shape(code: bytes) -> tuple[int, int, int, int] | None:
    """Rows, columns, samples and bits of the image in a code stream of JPEG, JPEG-LS, JPEG 2000."""
    if code[:4] == b"\xff\x4f\xff\x51" or code[4:8] == b"jP  ":
        return _shape_of_jpeg2000(code)
    place = 2
    while code[:2] == b"\xff\xd8" and place + 10 <= len(code) and code[place] == 0xFF:
        marker = code[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, rows, columns, samples = struct.unpack_from(">BHHB", code, place + 4)
            return rows, columns, samples, bits
        place += 2 + int.from_bytes(code[place + 2 : place + 4], "big")
    return None


def _shape_of_jpeg2000(code: bytes) -> tuple[int, int, int, int] | None:
    """Read the SIZ marker (ISO/IEC 15444-1 section A.5.1)."""
    place = code.find(b"\xff\x4f\xff\x51")
    if place < 0 or place + 43 > len(code):
        return None
    right, bottom, left, top = struct.unpack_from(">4L", code, place + 8)
    samples, bits = struct.unpack_from(">HB", code, place + 40)
    return bottom - top, right - left, samples, (bits & 0x7F) + 1
