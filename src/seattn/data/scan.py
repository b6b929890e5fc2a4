"""Walks a folder: every image becomes rows of an index, every other file a reason why not."""

import filecmp
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from seattn.data.file_rows import Outcome, file_state, read_rows
from seattn.data.records import Failure, IndexRow
from seattn.data.scan_store import ScanStore

__all__ = ["files_below", "scan_folder"]

_CHUNK = 32  # files that a process is given at once


def scan_folder(
    root: Path, key: bytes, *, store: Path | None, workers: int, progress: bool
) -> tuple[tuple[IndexRow, ...], tuple[Failure, ...]]:
    """Read every regular file below ``root``, whatever its name; links to folders are not followed.

    Returns:
        Rows in the order of (path, frame), and failures in the order of path.
    """
    from tqdm import tqdm

    failures: list[Failure] = []
    paths = sorted(path for path in files_below(root, failures) if root / path != store)
    with ScanStore(store, key) as known:
        outcomes = {path: known[path] for path in paths if _unchanged(root, known.get(path))}
        unread = [path for path in paths if path not in outcomes]
        with tqdm(
            total=len(paths),
            initial=len(outcomes),
            desc="headers",
            unit="file",
            disable=not progress,
        ) as bar:
            for outcome in _read(root, key, unread, workers):
                outcomes[outcome.path] = outcome
                known.add(outcome)
                bar.update()
    rows: list[IndexRow] = []
    first_with: dict[str, str] = {}  # image -> path
    for path in paths:
        outcome = outcomes[path]
        if outcome.failure is not None:
            failures.append(outcome.failure)
            continue
        first = first_with.setdefault(outcome.image or path, path)
        if first == path:
            rows.extend(outcome.rows)
        else:
            failures.append(_duplicate(root, path, first))
    return tuple(rows), tuple(sorted(failures, key=lambda failure: failure.path))


def _unchanged(root: Path, outcome: Outcome | None) -> bool:
    """Whether a file is as it was; what could not be used is tried again in any case."""
    if outcome is None or (outcome.failure is not None and not outcome.failure.skipped):
        return False
    return (outcome.size, outcome.mtime_ns) == file_state(root / outcome.path)


def _read(root: Path, key: bytes, paths: Sequence[str], workers: int) -> Iterator[Outcome]:
    read = partial(read_rows, root, key)
    if not workers:
        yield from map(read, paths)
        return
    # "spawn": a fork of a process that runs threads, as torch does, may hang.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(read, paths, chunksize=_CHUNK)


def _duplicate(root: Path, path: str, first: str) -> Failure:
    """A second file of one image is passed over only if nothing is lost with it."""
    try:
        alike = filecmp.cmp(root / path, root / first, shallow=False)
    except OSError as error:  # one of them went, or cannot be read any more
        return Failure(path, "duplicate", error.strerror or "unreadable", skipped=False)
    if alike:
        reason = "the same file as an earlier one, byte for byte"
        return Failure(path, "duplicate", reason, skipped=True, same_as=first)
    reason = "the SOP Instance UID of an earlier file, with another content"
    return Failure(path, "duplicate", reason, skipped=False)


def files_below(root: Path, failures: list[Failure]) -> Iterator[str]:
    """Name the files relative to the root; folders not gone into are added to ``failures``."""

    def unreadable(error: OSError) -> None:
        path = Path(error.filename).relative_to(root).as_posix()
        failures.append(Failure(path, "open", error.strerror or "unreadable", skipped=False))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        below = Path(folder).relative_to(root)
        for name in folders:
            if Path(folder, name).is_symlink():
                path = (below / name).as_posix()
                reason = "a link to a folder, which is not followed"
                failures.append(Failure(path, "open", reason, skipped=True))
        for name in names:
            yield (below / name).as_posix()
