"""Pictures to PNG files, in numpy and zlib: nothing else need be installed.

The format is the W3C's *Portable Network Graphics (PNG) Specification*: the signature (section
5.2), chunks (5.3), and of the filters of section 9 the one named Up.
"""

import os
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seattn.explain.outlines import Array, to_numpy

__all__ = ["encode_png", "save_pictures"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN = re.compile(r"\w(?:[\w. -]*[\w-])?")


def save_pictures(
    folder: str | os.PathLike[str],
    pictures: Array | Sequence[Array],
    *,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write pictures, such as those of ``overlay`` and ``montage``, as PNG files, without loss.

    The files are named by number, 000000.png and so on, because names of files get into logs,
    messages and backups. Names of your own must not be those of patients either: take the numbers
    of rows.

    Args:
        folder: Where to; made if it is not there.
        pictures: RGB, uint8, arrays or tensors: (N, H, W, 3), or a sequence of (H, W, 3) of any
            sizes.
        names: One for each picture, without ".png": letters, digits, "_" and "-", inside also "."
            and spaces.
        overwrite: Whether to replace files that are there.

    Returns:
        The paths of the files.

    Raises:
        ValueError: A picture is not RGB, a name is not plain, is there twice, or is missing. No
            file is written then.
        TypeError: A picture is not uint8.
        FileExistsError: A file is there, and ``overwrite`` is False. No file is written then.

    Examples:
        >>> import torch
        >>> from seattn.explain import overlay, save_pictures
        >>> pictures = overlay(torch.rand(2, 1, 64, 80), torch.rand(2, 64, 80), vmax=1.0)
        >>> [path.name for path in save_pictures("maps", pictures)]
        ['000000.png', '000001.png']
    """
    arrays = [to_numpy(picture) for picture in pictures]
    for number, picture in enumerate(arrays):
        if picture.dtype != np.uint8:
            raise TypeError(f"`pictures[{number}]` ({picture.dtype}) must be uint8")
        if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise ValueError(f"`pictures[{number}]` (shape {picture.shape}) must be (H, W, 3)")
    if names is None:
        names = [f"{number:06}" for number in range(len(arrays))]
    _check_names(names, len(arrays))
    paths = [Path(folder) / f"{name}.png" for name in names]
    for number, path in enumerate(paths):
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"the file of picture {number} is there already; give other `names`, another "
                "`folder`, or `overwrite=True`"
            )
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, picture in zip(paths, arrays, strict=True):
        path.write_bytes(encode_png(picture))
    return paths


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return an RGB picture, (H, W, 3), as the content of a PNG file."""
    height, width, _ = picture.shape
    lines = np.full((height, 1 + 3 * width), 2, dtype=np.uint8)  # 2 is the filter Up:
    # each value less the one above it, mod 256, where zeros are above the first line.
    lines[:, 1:] = np.diff(picture.reshape(height, -1), axis=0, prepend=np.uint8(0))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.data)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _check_names(names: Sequence[str], count: int) -> None:
    """Raise where names do not fit; their text stays out of the error."""
    if len(names) != count:
        raise ValueError(f"`names` has {len(names)} for {count} pictures; give one for each")
    seen: dict[str, int] = {}
    for number, name in enumerate(names):
        if not _PLAIN.fullmatch(name):
            raise ValueError(
                f"`names[{number}]` must be a plain file name, of letters, digits, '_' and '-', "
                "and inside also '.' and spaces"
            )
        if (first := seen.setdefault(name.casefold(), number)) != number:
            raise ValueError(f"`names[{first}]` and `names[{number}]` are the same file name")
