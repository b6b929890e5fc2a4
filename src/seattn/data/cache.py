"""Decoded images on disk: every file is decoded once, and from then on memory-mapped.

A cache folder holds a folder for each way of preprocessing, and in it a folder for each set of
rows, with ``images.npy``, ``masks.npy`` and ``cache.json``; a part of such a set needs none. Their
names are hashes, and nothing in them holds a path or a pseudonym. A folder appears under its name
when it is complete, and is never changed then.
"""

import importlib.metadata
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

from seattn.data.arguments import check_whole
from seattn.data.cache_build import CacheBuild, name_of, open_rows, scratch_folder
from seattn.data.cache_files import Cache
from seattn.data.decoding import CacheDtype, Problem
from seattn.data.errors import CacheError
from seattn.data.index import DicomIndex, Failure, IndexRow, OnError
from seattn.data.preprocess import Preprocessing

__all__ = ["Cache", "CacheDtype", "build_cache", "take_shard"]

# Raise this number when the same settings begin to give other pixels.
_FORMAT = 2
# What decides the values of a pixel besides the settings: this library, torch, and the decoders.
_DISTRIBUTIONS = (
    "seattn",
    "torch",
    "pydicom",
    "pillow",
    "pyjpegls",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "python-gdcm",
)


def build_cache(
    index: DicomIndex,
    preprocessing: Preprocessing,
    folder: str | os.PathLike[str],
    *,
    dtype: CacheDtype = "uint8",
    workers: int = 0,
    on_error: OnError = "raise",
    redact_paths: bool = False,
) -> tuple[Cache, DicomIndex]:
    """Decode the images of an index into a folder, or find them there.

    What is there already is not decoded again. A cache that holds all rows, and maybe others, is
    opened as it is: nothing is written for a part of it, such as a split, so the folder may be
    read-only. Else a new one takes over the rows that any other with the same preprocessing holds,
    if their checksums are right: after a change of one file only that is decoded. It also makes
    shards, see ``take_shard``, into one. Old caches are left to their owner to delete, which is
    safe while they are in use on a system like Linux.

    A row is known by its path, frame, size, time of change and the hash of its pixels, and by the
    path, size and time of change of its mask. The preprocessing counts with all its settings
    but ``limits``, ``dtype``, and the versions of this library, torch and the decoders.

    Args:
        index: The images.
        preprocessing: How they are read and resized.
        folder: Where caches are kept; made if it is not there.
        dtype: How pixels are stored. "uint8", for images in 0..1 alone, rounds by at most 0.002,
            which is a fifth of the noise that ``RandomNoise`` adds; "float16" by 0.00025 in 0..1.
        workers: How many processes decode, as in ``DicomDataset``; 0 decodes in this one.
        on_error: What to do when files cannot be used: "raise" an error that lists them all, or
            "skip" their rows with one warning that counts them. In either case the other rows are
            kept, and a new attempt decodes only what was mended.
        redact_paths: Whether errors say "row 7", for the position in ``index``, instead of a path.

    Returns:
        The cache, and the index of its rows. That is ``index``, or with "skip" what is left of it,
        with the other rows as ``Failure`` in its ``failures``.

    Raises:
        CacheError: Files cannot be used: all of them are listed, each with its reason. Or the cache
            is damaged, or cannot be written.
        ValueError: The index is empty, or an argument is not possible or does not fit the images.

    Examples:
        >>> from seattn.data import DicomIndex, make_ankle_phantom
        >>> from seattn.data.cache import build_cache
        >>> from seattn.data.preprocess import Preprocessing
        >>> _ = make_ankle_phantom("scans", patients=1, variant="roi", progress=False)
        >>> index = DicomIndex.scan("scans", key="a secret of the study", progress=False)
        >>> cache, used = build_cache(index, Preprocessing(size=(32, 32)), "cache")
        >>> len(cache), len(used), cache.images([0, 2]).shape, cache.images([0]).dtype
        (3, 3, torch.Size([2, 1, 32, 32]), torch.float32)
    """
    _check_arguments(index, preprocessing, dtype, workers, on_error)
    settings = asdict(preprocessing)
    del settings["limits"]  # no pixel depends on them
    settings |= {
        "format": _FORMAT,
        "dtype": dtype,
        "versions": {name: _version(name) for name in _DISTRIBUTIONS},
    }
    shelf = Path(folder) / name_of(settings)
    digests = [name_of(_identity(index.root, row)) for row in index.rows]
    build = CacheBuild(index, digests, preprocessing, dtype, workers, settings)
    cache, problems = _run(build, shelf, redact_paths)
    if problems:
        if on_error == "raise" or len(problems) == len(index):
            raise _failure(index, problems, redact_paths)
        index = _without(index, problems)
        warnings.warn(
            f"{len(problems)} of {len(digests)} images cannot be used and are left out; "
            "`report()` of the dataset's index says why.",
            stacklevel=3,
        )
    if cache is None:
        kept = [digest for i, digest in enumerate(digests) if i not in problems]
        cache = Cache(shelf / name_of(kept), redact_paths=redact_paths)
    return cache, index


def take_shard(index: DicomIndex, *, rank: int, world_size: int) -> DicomIndex:
    """Take every ``world_size``-th row of an index, so that many can build one cache.

    Each process or machine builds the cache of its own shard; afterwards one builds the cache of
    the whole index in the same folder, which takes the rows over and decodes only what is missing.
    The result is, byte for byte, the cache that one process would have built. Machines that share
    no folder copy the content of theirs into one. The shards may be deleted then.

    Args:
        index: The whole index, the same in every process: save it, and load it there.
        rank: Which shard, in 0..world_size - 1.
        world_size: How many shards.

    Returns:
        The index of the shard, which may be empty if ``world_size`` exceeds the number of rows.

    Raises:
        ValueError: ``rank`` or ``world_size`` is out of range.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data import DicomIndex, IndexRow, take_shard
        >>> names = [f"{i}.dcm" for i in range(5)]
        >>> rows = tuple(IndexRow(n, 0, "p", "s", "s", "axial", 8, 8, 64, 0) for n in names)
        >>> index = DicomIndex(Path("scans"), rows)
        >>> [row.path for row in take_shard(index, rank=1, world_size=2).rows]
        ['1.dcm', '3.dcm']
    """
    check_whole("world_size", world_size, least=1)
    check_whole("rank", rank, least=0)
    if rank >= world_size:
        raise ValueError(f"`rank` (={rank}) must be below `world_size` (={world_size}).")
    return index.subset(range(rank, len(index), world_size))


def _run(
    build: CacheBuild, shelf: Path, redact_paths: bool
) -> tuple[Cache | None, dict[int, Problem]]:
    """Open a cache that is there; or build one, with the rows that cannot be used."""
    try:
        cache = open_rows(shelf, build.digests, redact_paths=redact_paths)
        if cache is not None:
            return cache, {}
        shelf.mkdir(parents=True, exist_ok=True)
        with scratch_folder(shelf) as scratch:
            return None, build.run(shelf, scratch)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
    raise CacheError(
        "cache" if redact_paths else shelf.parent, "write", reason
    )  # out here it carries no text that names a file


def _check_arguments(
    index: DicomIndex,
    preprocessing: Preprocessing,
    dtype: CacheDtype,
    workers: int,
    on_error: OnError,
) -> None:
    if not len(index):
        raise ValueError("`index` is empty: there is nothing to decode.")
    if dtype not in get_args(CacheDtype):
        raise ValueError(f"`dtype` (={dtype!r}) must be 'uint8', 'float16' or 'float32'.")
    if dtype == "uint8" and not preprocessing.unit_range:
        raise ValueError(
            f"`dtype` (={dtype!r}) holds images in 0..1, not `units`={preprocessing.units!r}; "
            "use 'float32'."
        )
    check_whole("workers", workers, least=0, note="0 is this process")
    if on_error not in get_args(OnError):
        raise ValueError(f"`on_error` (={on_error!r}) must be 'raise' or 'skip'.")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _identity(root: Path, row: IndexRow) -> list[str | int]:
    """What a cached row stands for; when this changes, the row is decoded again."""
    identity: list[str | int] = [row.path, row.frame, row.size, row.mtime_ns, row.pixels]
    if row.mask is not None:
        identity.append(row.mask)
        with suppress(OSError):  # then reading it is going to fail
            status = (root / row.mask).stat()
            identity += [status.st_size, status.st_mtime_ns]
    return identity


def _failure(index: DicomIndex, problems: Mapping[int, Problem], redact_paths: bool) -> CacheError:
    remedy = "mend or remove them, or go on without them by `on_error`='skip'"
    lines = [f"{len(problems)} of {len(index)} images cannot be used; {remedy}"]
    for position, (path, stage, reason) in problems.items():
        where = f"row {position}" if redact_paths else path
        lines.append(f"{where}: {stage}: {reason}")
    return CacheError("cache" if redact_paths else index.root, "build", "\n  ".join(lines))


def _without(index: DicomIndex, problems: Mapping[int, Problem]) -> DicomIndex:
    """Move the rows at some positions to the failures."""
    left = index.subset(i for i in range(len(index)) if i not in problems)
    failures = list(index.failures)
    for position, (_, stage, reason) in problems.items():
        row = index.rows[position]
        where = f" (frame {row.frame})" if row.frame else ""
        failures.append(Failure(row.path, stage, reason + where, skipped=False))
    return replace(left, failures=tuple(sorted(failures, key=lambda failure: failure.path)))
