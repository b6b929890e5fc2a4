"""One attempt to make a cache: what is known is taken over, what is new is decoded."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seattn.data.cache_files import Cache, CacheWriter, read_digests
from seattn.data.decoding import CacheDtype, Problem, decode_rows
from seattn.data.errors import CacheError
from seattn.data.index import DicomIndex
from seattn.data.preprocess import Preprocessing

__all__ = ["CacheBuild", "name_of", "open_rows", "scratch_folder"]


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
        found = {i for i, digest in enumerate(self.digests) if digest in known}
        new = [i for i in range(len(self.digests)) if i not in found]
        channels, problems = self._decode(scratch, new)
        channels |= {i: known[self.digests[i]][0].channels for i in found}
        # Most images decide how many channels all have to have; of equally many, the first.
        usual = Counter(channels[i] for i in sorted(channels)).most_common(1)
        for i, number in channels.items():
            if number != usual[0][0]:
                reason = f"{number} channels, where other images have {usual[0][0]}"
                problems[i] = Problem(self.index.rows[i].path, "channels", reason)
        good = [i for i in range(len(self.digests)) if i not in problems]
        place = shelf / name_of([self.digests[i] for i in good])
        if good and not place.is_dir():
            draft = scratch / f"decoded-{usual[0][0]}"
            if not found.isdisjoint(good):
                known |= _intact_rows([draft], set(self.digests))
                draft = scratch / "gathered"
                self._gather(draft, good, known)
            _publish(draft, place)
        return dict(sorted(problems.items()))

    def _decode(
        self, scratch: Path, positions: Sequence[int]
    ) -> tuple[dict[int, int], dict[int, Problem]]:
        """Decode some rows into one cache for each number of channels, ``decoded-<channels>``.

        Returns:
            The channels of the rows that can be used, and why the others cannot.
        """
        from tqdm import tqdm

        channels: dict[int, int] = {}
        problems: dict[int, Problem] = {}
        writers: dict[int, CacheWriter] = {}
        results = decode_rows(
            [self.index.rows[i] for i in positions],
            self.index.root,
            self.preprocessing,
            dtype=self.dtype,
            workers=self.workers,
        )
        with (
            closing(results),  # ends its processes at an interruption too
            ExitStack() as stack,
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
                    continue
                channels[i] = number = len(result.image)
                if number not in writers:
                    folder = scratch / f"decoded-{number}"
                    writers[number] = stack.enter_context(CacheWriter(folder, self.settings))
                writers[number].add(result, self.digests[i])
        return channels, problems

    def _gather(
        self, folder: Path, positions: Sequence[int], known: Mapping[str, tuple[Cache, int]]
    ) -> None:
        """Write a cache of some rows that other caches hold."""
        with CacheWriter(folder, self.settings) as writer:
            for i in positions:
                cache, row = known[self.digests[i]]
                writer.add(cache.stored_row(row), self.digests[i])


def open_rows(shelf: Path, digests: Sequence[str], *, redact_paths: bool) -> Cache | None:
    """Open the cache of some rows, or one that holds them among others; None if there is none."""
    place = shelf / name_of(digests)
    if place.is_dir():
        return Cache(place, redact_paths=redact_paths)
    for folder in sorted(shelf.glob("[!.]*")):
        with suppress(CacheError):
            places = {digest: row for row, digest in enumerate(read_digests(folder))}
            if places.keys() >= set(digests):
                rows = np.array([places[digest] for digest in digests])
                return Cache(folder, rows=rows, redact_paths=redact_paths)
    return None


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
