"""The files of one cache: written once, then memory-mapped, each row with its checksum."""

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seattn.data.errors import CacheError
from seattn.data.sample import to_unit_range

__all__ = ["Cache", "CacheWriter", "StoredRow", "read_digests"]

_FACTS = "cache.json"
_REMEDY = "delete this folder, and the cache builds itself again"
_DAMAGES = (OSError, ValueError, KeyError, TypeError, EOFError)  # what a damaged file leads to


class StoredRow(NamedTuple):
    """One row as it lies in the files: (C, H, W), and (1, H, W) or None without annotation."""

    image: NDArray[np.generic]
    mask: NDArray[np.uint8] | None


class Cache:
    """Preprocessed images and masks in files that are memory-mapped, not loaded.

    It shows all rows of a folder, or those that it is asked for in their order; the numbers of
    rows that its methods take and name count what it shows. A pickle of it holds the folder's name
    and which rows, and opens the files again where it is loaded.

    Args:
        folder: A folder that ``build_cache`` has completed.
        rows: Which rows of the folder, (rows,); None shows them all.
        redact_paths: Whether errors name no folder.

    Raises:
        CacheError: A file is missing, or has not the size it was written with.

    Examples:
        >>> from seattn.data import DicomIndex, make_ankle_phantom
        >>> from seattn.data.cache import Cache, build_cache
        >>> from seattn.data.preprocess import Preprocessing
        >>> _ = make_ankle_phantom("study", patients=1, variant="roi", progress=False)
        >>> index = DicomIndex.scan("study", key="a secret of the study", progress=False)
        >>> built, _ = build_cache(index, Preprocessing(size=(32, 32)), "kept")
        >>> cache = Cache(built.folder)  # later, in another process
        >>> cache.verify()  # raises where a byte has changed
        >>> len(cache)
        3
    """

    def __init__(
        self,
        folder: Path,
        *,
        rows: NDArray[np.int64] | None = None,
        redact_paths: bool = False,
    ) -> None:
        self.folder = folder
        self._asked = rows
        self._redact_paths = redact_paths
        try:
            facts = _read_facts(folder)
            image_checksums = np.array(facts["images"], dtype=np.uint32)
            self._mask_checksums = np.array(facts["masks"], dtype=np.uint32)
            annotated = np.array(facts["annotated"], dtype=np.bool_)
            self._images = _map(folder / "images.npy", len(image_checksums))
            self._masks = _map(folder / "masks.npy", len(self._mask_checksums))
        except _DAMAGES:
            damaged = True
        else:
            damaged = False
        if damaged:  # raised out here, the error carries no other whose text names the folder
            raise self._error("open", f"damaged; {_REMEDY}")
        self._rows = np.arange(len(image_checksums)) if rows is None else rows
        self._image_checksums = image_checksums[self._rows]
        self._annotated = annotated[self._rows]
        # Of an annotated row among the masks.
        self._place = (np.cumsum(annotated) - 1)[self._rows]

    def __reduce__(self) -> tuple["partial[Cache]", tuple[Path]]:
        """Pickle the name of the folder instead of its content."""
        return partial(Cache, rows=self._asked, redact_paths=self._redact_paths), (self.folder,)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._rows)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self._images.shape[1]

    def images(self, rows: NDArray[np.int64], *, as_float: bool = True) -> torch.Tensor:
        """Return the images of some rows: float32, or as they are stored; (N, C, H, W)."""
        stored = torch.from_numpy(self._images[self._rows[rows]])
        if not as_float:
            return stored
        return to_unit_range(stored) if stored.dtype == torch.uint8 else stored.float()

    def masks(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the masks of some rows: uint8 (N, 1, H, W), 255 where there is no annotation.

        Where no row is annotated, all pixels of the result share one number in memory.
        """
        shape = (len(rows), *self._masks.shape[1:])
        annotated = self._annotated[rows]
        if not annotated.any():
            return torch.full((1,) * len(shape), 255, dtype=torch.uint8).expand(shape)
        masks = np.full(shape, 255, dtype=np.uint8)
        masks[annotated] = self._masks[self._place[rows[annotated]]]
        return torch.from_numpy(masks)

    def stored_row(self, row: int) -> StoredRow:
        """Return one row as it lies in the files, without a copy."""
        mask = self._masks[self._place[row]] if self._annotated[row] else None
        return StoredRow(self._images[self._rows[row]], mask)

    def is_intact(self, row: int) -> bool:
        """Compare one row with its checksums."""
        image, mask = self.stored_row(row)
        if zlib.crc32(image.data) != self._image_checksums[row]:
            return False
        return mask is None or zlib.crc32(mask.data) == self._mask_checksums[self._place[row]]

    def verify(self) -> None:
        """Read every row that it shows, and compare it with the checksums of when it was written.

        Raises:
            CacheError: Rows are damaged. Their numbers are listed, which are positions in the
                index.
        """
        damaged = [row for row in range(len(self)) if not self.is_intact(row)]
        if damaged:
            reason = f"{len(damaged)} of {len(self)} rows are damaged ({_some(damaged)}); {_REMEDY}"
            raise self._error("verify", reason)

    def _error(self, stage: str, reason: str) -> CacheError:
        return CacheError("cache" if self._redact_paths else self.folder, stage, reason)


class CacheWriter:
    """Writes a cache row by row, one or more, as a context; their number need not be known before.

    Args:
        folder: A folder that is not there yet.
        settings: What the rows have in common, for the record.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._settings = settings
        self._digests: list[str] = []
        self._annotated: list[bool] = []
        self._files: list[_ArrayFile] = []

    def __enter__(self) -> "CacheWriter":
        """Make the folder and the files."""
        self._folder.mkdir()
        self._files = [_ArrayFile(self._folder / name) for name in ("images.npy", "masks.npy")]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete and close the files; after an error, close them as they are."""
        try:
            if kind is None:
                self._complete()
        finally:
            for file in self._files:
                file.close()

    def add(self, row: StoredRow, digest: str) -> None:
        """Append a row; the first decides the shape and the type of all."""
        images, masks = self._files
        if not self._digests:
            images.begin(row.image.shape, row.image.dtype)
            masks.begin((1, *row.image.shape[1:]), np.dtype(np.uint8))
        images.append(row.image)
        if row.mask is not None:
            masks.append(row.mask)
        self._digests.append(digest)
        self._annotated.append(row.mask is not None)

    def _complete(self) -> None:
        for file in self._files:
            file.complete()
        facts = {
            "settings": self._settings,
            "rows": self._digests,
            "annotated": self._annotated,
            "images": self._files[0].checksums,
            "masks": self._files[1].checksums,
        }
        content = {"checksum": _checksum(facts), "facts": facts}
        with (self._folder / _FACTS).open("w") as text:
            text.write(json.dumps(content))
            _sync(text)


class _ArrayFile:
    """An array of the format .npy that grows along its first axis."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._header: dict[str, Any] = {}
        self.checksums: list[int] = []

    def begin(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        descr = np.lib.format.dtype_to_descr(dtype)
        self._header = {"descr": descr, "fortran_order": False, "shape": (0, *shape)}
        np.lib.format.write_array_header_1_0(self._file, self._header)

    def append(self, row: NDArray[Any]) -> None:
        row = np.ascontiguousarray(row)
        self._file.write(row.data)
        self.checksums.append(zlib.crc32(row.data))

    def complete(self) -> None:
        """Write the number of rows into the header, which has room for any."""
        self._header["shape"] = (len(self.checksums), *self._header["shape"][1:])
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, self._header)
        _sync(self._file)

    def close(self) -> None:
        self._file.close()


def read_digests(folder: Path) -> Sequence[str]:
    """Read which rows a folder holds; a ``Cache`` does not keep them, since they need memory.

    Raises:
        CacheError: The record of the cache is missing or damaged.
    """
    with suppress(*_DAMAGES):
        digests: list[str] = _read_facts(folder)["rows"]
        return digests
    raise CacheError(folder, "open", f"damaged; {_REMEDY}")


def _read_facts(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / _FACTS).read_text())
    facts: dict[str, Any] = content["facts"]
    if content["checksum"] != _checksum(facts):
        raise ValueError
    return facts


def _checksum(facts: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts).encode())


def _map(path: Path, rows: int) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r")
    if len(array) != rows or path.stat().st_size != array.offset + array.nbytes:
        raise ValueError
    return np.asarray(array)  # the plain type is faster to index


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _some(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:10]))
    return f"row{'s' if len(rows) > 1 else ''} {shown}{', ...' if len(rows) > 10 else ''}"
