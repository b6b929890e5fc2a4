"""Decoded images on disk: every file is decoded once, and from then on memory-mapped.

A cache folder holds a folder for each way of preprocessing, and in it a folder for each set of
rows, with ``images.npy``, ``masks.npy`` and ``cache.json``. Their names are hashes, and nothing in
them holds a path or a pseudonym. A folder appears under its name when it is complete, and is never
changed then.
"""

import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from seattn.data.errors import CacheError, DicomError
from seattn.data.index import DicomIndex, IndexRow
from seattn.data.preprocess import Preprocessing

__all__ = ["Cache", "CacheDtype", "build_cache"]

CacheDtype = Literal["uint8", "float16", "float32"]

# What decides the values of a pixel besides the settings: this library, torch, and the decoders.
_DISTRIBUTIONS = (
    "seattn",
    "torch",
    "pydicom",
    "pillow",
    "pyjpegls",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
)


class Cache:
    """Preprocessed images and masks in files that are memory-mapped, not loaded.

    A pickle of it holds the folder's name alone, and opens the files again where it is loaded.

    Args:
        folder: A folder that ``build_cache`` has completed.

    Raises:
        CacheError: A file is missing or cut short.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            facts = json.loads((folder / "cache.json").read_text())
            self.digests: list[str] = facts["rows"]
            self._annotated = np.array(facts["annotated"], dtype=np.bool_)
            self._images = np.load(folder / "images.npy", mmap_mode="r")
            self._masks = np.load(folder / "masks.npy", mmap_mode="r")
        except (OSError, ValueError, KeyError, EOFError) as error:
            reason = "damaged; delete this folder and the cache builds itself again"
            raise CacheError(folder, "open", reason) from error
        self._place = np.cumsum(self._annotated) - 1  # of an annotated row among the masks

    def __reduce__(self) -> tuple[type["Cache"], tuple[Path]]:
        """Pickle the name of the folder instead of its content."""
        return Cache, (self.folder,)

    def images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the images of some rows: float32 (N, C, H, W)."""
        stored = torch.from_numpy(self._images[rows])
        return stored.float() / 255 if stored.dtype == torch.uint8 else stored.float()

    def masks(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the masks of some rows: uint8 (N, 1, H, W), 255 where there is no annotation."""
        masks = np.full((len(rows), *self._masks.shape[1:]), 255, dtype=np.uint8)
        annotated = self._annotated[rows]
        masks[annotated] = self._masks[self._place[rows[annotated]]]
        return torch.from_numpy(masks)


def build_cache(
    index: DicomIndex,
    preprocessing: Preprocessing,
    folder: str | os.PathLike[str],
    *,
    dtype: CacheDtype = "uint8",
) -> Cache:
    """Decode the images of an index into a folder, or find them there.

    What is there already is not decoded again: a cache of the same rows is opened as it is, and a
    new one takes over the rows that any other with the same preprocessing holds. So after a change
    of one file, or another split of the same patients, only what is new is decoded. Old caches are
    left to their owner to delete.

    A row is known by its path, frame, size and time of change, and those of its mask. The
    preprocessing counts with all its settings, ``dtype``, and the versions of this library, torch
    and the decoders.

    Args:
        index: The images.
        preprocessing: How they are read and resized.
        folder: Where caches are kept; made if it is not there.
        dtype: How pixels are stored. "uint8", for images in 0..1 alone, rounds by at most 0.002,
            which is a fifth of the noise that ``RandomNoise`` adds; "float16" by 0.00025 in 0..1.

    Raises:
        CacheError: Files cannot be used: all of them are listed, each with its reason. Or a cache
            in the folder is damaged.
        ValueError: The index is empty, or ``dtype`` does not fit the images.
    """
    if not len(index):
        raise ValueError("`index` is empty: there is nothing to decode.")
    if dtype not in {"uint8", "float16", "float32"}:
        raise ValueError(f"`dtype` (={dtype!r}) must be 'uint8', 'float16' or 'float32'.")
    if dtype == "uint8" and not preprocessing.unit_range:
        raise ValueError(
            f"`dtype` (={dtype!r}) holds images in 0..1, not `units`={preprocessing.units!r}; "
            "use 'float32'."
        )
    settings = asdict(preprocessing) | {
        "dtype": dtype,
        "versions": {name: _version(name) for name in _DISTRIBUTIONS},
    }
    shelf = Path(folder) / _hash(settings)
    digests = [_hash(_identity(index.root, row)) for row in index.rows]
    place = shelf / _hash(digests)
    if not place.is_dir():
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=shelf) as scratch:
            draft = Path(scratch) / "draft"
            draft.mkdir()
            _write(draft, index, preprocessing, digests, np.dtype(dtype), _known_rows(shelf))
            facts = {
                "settings": settings,
                "rows": digests,
                "annotated": [row.mask is not None for row in index.rows],
            }
            (draft / "cache.json").write_text(json.dumps(facts))
            try:
                draft.replace(place)
            except OSError:
                if not place.is_dir():  # else another process was faster, and made the same
                    raise
    return Cache(place)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _identity(root: Path, row: IndexRow) -> list[str | int]:
    """What a cached row stands for; when this changes, the row is decoded again."""
    identity: list[str | int] = [row.path, row.frame, row.size, row.mtime_ns]
    if row.mask is not None:
        identity.append(row.mask)
        if (root / row.mask).is_file():  # else reading it is going to fail
            status = (root / row.mask).stat()
            identity += [status.st_size, status.st_mtime_ns]
    return identity


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _known_rows(shelf: Path) -> dict[str, tuple[Cache, int]]:
    """Find every row that is cached with this preprocessing."""
    caches = [Cache(folder) for folder in sorted(shelf.glob("[!.]*"))]
    return {digest: (cache, i) for cache in caches for i, digest in enumerate(cache.digests)}


def _write(
    folder: Path,
    index: DicomIndex,
    preprocessing: Preprocessing,
    digests: Sequence[str],
    dtype: np.dtype[Any],
    known: dict[str, tuple[Cache, int]],
) -> None:
    """Write ``images.npy`` and ``masks.npy``, or raise a CacheError that lists every bad file."""
    from tqdm import tqdm

    annotated = sum(row.mask is not None for row in index.rows)
    failures: list[DicomError] = []
    shape: torch.Size | None = None
    with (folder / "images.npy").open("wb") as images, (folder / "masks.npy").open("wb") as masks:
        # `disable=None`: the bar is for a terminal, not for a log.
        rows = tqdm(index.rows, desc="preparing images", unit="image", leave=False, disable=None)
        for row, digest in zip(rows, digests, strict=True):
            try:
                if digest in known:
                    cache, i = known[digest]
                    image, mask = cache.images(np.array([i]))[0], cache.masks(np.array([i]))[0]
                else:
                    _check_unchanged(index.root, row)
                    image, mask = preprocessing(index.root, row)
                if shape is None:
                    shape = image.shape
                    _write_header(images, (len(index), *shape), dtype)
                    _write_header(masks, (annotated, *mask.shape), np.dtype(np.uint8))
                if image.shape != shape:
                    reason = f"{len(image)} channels, and the first image has {shape[0]}"
                    raise DicomError(row.path, "channels", reason)
            except DicomError as error:
                failures.append(error)
                continue
            images.write(_encode(image, dtype))
            if row.mask is not None:
                masks.write(mask.numpy().tobytes())
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    if failures:
        lines = [f"{len(failures)} of {len(index)} images cannot be used", *map(str, failures)]
        raise CacheError(index.root, "build", "\n  ".join(lines))


def _check_unchanged(root: Path, row: IndexRow) -> None:
    path = root / row.path
    if not path.is_file():
        raise DicomError(row.path, "open", "the file is no longer there")
    if (path.stat().st_size, path.stat().st_mtime_ns) != (row.size, row.mtime_ns):
        raise DicomError(row.path, "open", "changed since it was indexed; index the folder again")


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _encode(image: torch.Tensor, dtype: np.dtype[Any]) -> bytes:
    if dtype == np.uint8:
        return (255 * image).round().clamp(0, 255).to(torch.uint8).numpy().tobytes()
    return image.numpy().astype(dtype).tobytes()
