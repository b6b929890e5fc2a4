"""One attempt to make a cache: what is known is taken over, what is new is decoded."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seattn.data.cache_files import Cache, CacheWriter, read_digests
from seattn.data.decoding import CacheDtype, Problem, decode_rows
from seattn.data.errors import CacheError
from seattn.data.index import DicomIndex
from seattn.data.preprocess import Preprocessing

__all__ = ["CacheBuild", "name_of", "scratch_folder"]


@dataclass(frozen=True)
class CacheBuild:
    """What is to be built.

    Attributes:
        index: The images.
        digests: The name of each row of the index.
        preprocessing: How images are read and resized.
        dtype: How pixels are stored.
        workers: How many processes decode.
        settings: What decides the values of the pixels, for the record.
    """

    index: DicomIndex
    digests: Sequence[str]
    preprocessing: Preprocessing
    dtype: CacheDtype
    workers: int
    settings: Mapping[str, Any]

    def run(self, shelf: Path, scratch: Path) -> dict[int, Problem]:
        """Put a cache of all rows that can be used on the shelf.

        Args:
            shelf: Where the caches of these settings stand.
            scratch: An empty folder on the same disk.

        Returns:
            Why the rows at some positions of the index cannot be used.
        """
        known = _intact_rows(sorted(shelf.glob("[!.]*")), set(self.digests))
        found = {i: known[digest][0] for i, digest in enumerate(self.digests) if digest in known}
        channels = next(iter(found.values())).channels if found else 0
        problems = {
            i: self._other_channels(i, cache.channels, channels)
            for i, cache in found.items()
            if cache.channels != channels
        }
        new = [i for i, digest in enumerate(self.digests) if digest not in known]
        draft = scratch / "decoded"
        problems |= self._decode(draft, new, channels)
        good = [i for i in range(len(self.digests)) if i not in problems]
        place = shelf / name_of([self.digests[i] for i in good])
        if good and not place.is_dir():
            if not found.keys().isdisjoint(good):
                known |= _intact_rows([draft], set(self.digests))
                draft = scratch / "gathered"
                self._gather(draft, good, known)
            _publish(draft, place)
        return dict(sorted(problems.items()))

    def _decode(self, folder: Path, positions: Sequence[int], channels: int) -> dict[int, Problem]:
        """Write a cache of some rows; ``channels`` is 0 if the first is to decide it."""
        from tqdm import tqdm

        problems: dict[int, Problem] = {}
        results = decode_rows(
            [self.index.rows[i] for i in positions],
            self.index.root,
            self.preprocessing,
            dtype=self.dtype,
            workers=self.workers,
        )
        with (
            closing(results),  # ends its processes at an interruption too
            CacheWriter(folder, self.settings) as writer,
            # `disable=None`: the bar is for a terminal, not for a log.
            tqdm(
                desc="preparing images",
                unit="image",
                total=len(positions),
                leave=False,
                disable=None,
            ) as bar,
        ):
            for i, result in zip(positions, results, strict=True):
                bar.update()
                if isinstance(result, Problem):
                    problems[i] = result
                elif len(result.image) != (channels := channels or len(result.image)):
                    problems[i] = self._other_channels(i, len(result.image), channels)
                else:
                    writer.add(result, self.digests[i])
        return problems

    def _gather(
        self, folder: Path, positions: Sequence[int], known: Mapping[str, tuple[Cache, int]]
    ) -> None:
        """Write a cache of some rows that other caches hold."""
        with CacheWriter(folder, self.settings) as writer:
            for i in positions:
                cache, row = known[self.digests[i]]
                writer.add(cache.stored_row(row), self.digests[i])

    def _other_channels(self, position: int, channels: int, others: int) -> Problem:
        reason = f"{channels} channels, where other images have {others}"
        return Problem(self.index.rows[position].path, "channels", reason)


def name_of(value: Any) -> str:
    """Hash what JSON can hold, into a name for a folder or a row."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@contextmanager
def scratch_folder(shelf: Path) -> Iterator[Path]:
    """A folder on the shelf that goes when the context ends; those of dead processes go first."""
    prefix = f".building-{name_of(platform.node())[:8]}-"
    if os.name == "posix":  # elsewhere signal 0 is not harmless
        for folder in shelf.glob(f"{prefix}*"):
            if not _lives(int(folder.name.removeprefix(prefix).partition("-")[0])):
                shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-", dir=shelf) as scratch:
        yield Path(scratch)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _intact_rows(folders: Iterable[Path], wanted: Collection[str]) -> dict[str, tuple[Cache, int]]:
    """Find rows in caches; a damaged row, or a cache that does not open, counts as none."""
    rows: dict[str, tuple[Cache, int]] = {}
    for folder in folders:
        with suppress(CacheError, OSError):
            cache = Cache(folder)
            for i, digest in enumerate(read_digests(folder)):
                if digest in wanted and digest not in rows and cache.is_intact(i):
                    rows[digest] = cache, i
    return rows


def _publish(draft: Path, place: Path) -> None:
    try:
        draft.replace(place)
    except OSError:
        if not place.is_dir():  # else another process was faster, and made the same
            raise
