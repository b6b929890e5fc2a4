"""Rows of an index to what a cache stores: in this process, or in many that may crash."""

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Callable, Generator, Sequence
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from seattn.data.cache_files import StoredRow
from seattn.data.containment import attempt
from seattn.data.errors import DicomError
from seattn.data.index import IndexRow
from seattn.data.last_file import LastFile
from seattn.data.preprocess import Preprocessing

__all__ = ["CacheDtype", "Problem", "Worker", "decode_rows"]

CacheDtype = Literal["uint8", "float16", "float32"]

_AHEAD = 64  # rows per worker that may be decoded before the one whose turn it is


class Problem(NamedTuple):
    """Why a row has no image."""

    path: str
    stage: str
    reason: str


class Job(NamedTuple):
    """What all rows have in common."""

    root: Path
    preprocessing: Preprocessing
    dtype: CacheDtype


class Item(Protocol):
    """What a process is given at a time: something to do with one file."""

    @property
    def path(self) -> str:
        """The file, relative to a root that the process knows."""


def decode_rows(
    rows: Sequence[IndexRow],
    root: Path,
    preprocessing: Preprocessing,
    *,
    dtype: CacheDtype,
    workers: int,
) -> Generator[StoredRow | Problem, None, None]:
    """Decode rows, in their order.

    Args:
        rows: Rows of an index.
        root: The folder that their paths start from.
        preprocessing: How they are read and resized.
        dtype: How pixels are stored.
        workers: How many processes decode; 0 decodes in this one. They start as torch's DataLoader
            starts its own. The result is the same, but that a decoder that crashes takes its
            process along, and not this one: its row is a ``Problem``.

    Raises:
        RuntimeError: A process ends before its first row.
    """
    work = partial(_decode, job=Job(root, preprocessing, dtype))
    if workers == 0:
        with LastFile() as file:
            yield from (work(row, file) for row in rows)
        return
    finished: dict[int, StoredRow | Problem] = {}
    sent = 0
    pool = [Worker(work) for _ in range(min(workers, len(rows)))]
    try:
        for turn in range(len(rows)):
            while turn not in finished:
                for worker in pool:
                    if worker.idle and sent < min(len(rows), turn + _AHEAD * len(pool)):
                        worker.send(sent, rows[sent])
                        sent += 1
                busy = {worker.connection: worker for worker in pool if not worker.idle}
                for connection in multiprocessing.connection.wait(list(busy)):
                    finished.update(busy[connection].receive())
            yield finished.pop(turn)
    finally:
        for worker in pool:
            worker.stop()


class Worker:
    """A process that does one thing at a time, and is replaced when it dies.

    Args:
        work: Called there with an item and the file that was read last.
        context: How it starts; None starts it as torch's DataLoader starts its own.

    Attributes:
        idle: Whether it may be sent the next item.
        connection: Readable when there is something to receive.
    """

    def __init__(
        self, work: Callable[[Any, LastFile], Any], context: BaseContext | None = None
    ) -> None:
        self._work = work
        self._context: Any = context or multiprocessing
        self._start()

    def _start(self) -> None:
        self.connection, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(theirs, self.connection, self._work), daemon=True
        )
        self._process.start()
        theirs.close()
        self.idle = False  # until it says that it has started
        self._task: tuple[int, Item] | None = None

    def send(self, position: int, item: Item) -> None:
        """Give it something to do, if it is idle."""
        self.idle, self._task = False, (position, item)
        with contextlib.suppress(OSError):  # it has died; `receive` is going to find out
            self.connection.send(item)

    def receive(self) -> dict[int, Any]:
        """Wait for a result by its position, or for none if the process has just started.

        The result of an item that the process died of is a ``Problem``.

        Raises:
            RuntimeError: The process ended before its first item.
        """
        task = self._task
        try:
            result: Any = self.connection.recv()
        except (EOFError, OSError):
            return self._replace()
        self.idle, self._task = True, None
        if isinstance(result, Exception):
            raise result
        return {} if task is None else {task[0]: result}

    def _replace(self) -> dict[int, Any]:
        """Start a new process; the item that the old one died of has no result."""
        self.connection.close()
        self._process.join()
        code = self._process.exitcode or 0
        if self._task is None:
            raise RuntimeError(
                f"A process of `workers` ended with exit code {code} before its first file. Where "
                "processes are spawned, a script has to begin its work below "
                "`if __name__ == '__main__':`."
            )
        position, item = self._task
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._start()
        problem = Problem(item.path, "decode", f"the decoder crashed, or was killed ({how})")
        return {position: problem}

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.terminate()
        self._process.join()
        self.connection.close()


def _serve(connection: Any, other_end: Any, work: Callable[[Any, LastFile], Any]) -> None:
    """Work on what comes through a connection, until its other end closes."""
    other_end.close()  # a copy of it in this process would keep it open when its owner is killed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner of the process decides
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError), LastFile() as file:
        connection.send(None)
        while True:
            item = connection.recv()
            try:
                result: Any = work(item, file)
            except Exception as error:  # noqa: BLE001 - raised again where the rows come from
                result = error
            connection.send(result)


def _decode(row: IndexRow, file: LastFile, *, job: Job) -> StoredRow | Problem:
    try:
        _check_unchanged(job.root, row)
        image, mask = job.preprocessing(job.root, row, file)
        stored = _encode(row, image, job.dtype)
    except DicomError as error:
        return Problem(error.path, error.stage, error.reason)
    return StoredRow(stored, None if row.mask is None else mask.numpy())


def _check_unchanged(root: Path, row: IndexRow) -> None:
    status = attempt(row.path, "open", DicomError, (root / row.path).stat)
    if (status.st_size, status.st_mtime_ns) != (row.size, row.mtime_ns):
        raise DicomError(row.path, "open", "changed since it was indexed; index the folder again")


def _encode(row: IndexRow, image: torch.Tensor, dtype: CacheDtype) -> NDArray[np.generic]:
    if dtype == "uint8":
        return (255 * image).round().clamp(0, 255).to(torch.uint8).numpy()
    if dtype == "float16" and image.abs().max() > torch.finfo(torch.float16).max:
        reason = "values beyond 65504, the largest of float16; use `dtype`='float32'"
        raise DicomError(row.path, "store", reason)
    return image.numpy().astype(dtype)
