"""From files to images, decoded ahead of the network, in the order of the files."""

import multiprocessing
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.decoding import Worker
from seattn.data.errors import DecodeError, DicomError, HeaderError
from seattn.data.file_rows import is_no_loss, pseudonyms, refuse_no_image
from seattn.data.last_file import LastFile
from seattn.data.preprocess import Preprocessing
from seattn.data.records import IndexRow

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Frame", "Piece", "Reader", "Task", "decode_ahead"]

_FRAMES = 8  # of one file that are decoded at once, which bounds what lies in memory


class Task(NamedTuple):
    """Frames of a file from ``first`` on, as many as a piece may have."""

    path: str
    first: int = 0
    has_rest: bool = True  # whether the later pieces of the file are to follow


class Frame(NamedTuple):
    """One image as the network takes it, (C, H, W), or why there is none."""

    number: int | None  # None for a file as a whole
    patient: str
    series: str
    pixels: NDArray[np.float32] | None
    error: str = ""


class Piece(NamedTuple):
    """What became of a task."""

    path: str
    frames: list[Frame]
    skipped: bool = False  # no image, and no loss
    rest: range = range(0)  # where the further pieces of the file begin


@dataclass(frozen=True)
class Reader:
    """Reads pieces of files; it travels to the processes that decode.

    Args:
        root: The folder that paths start from.
        preprocessing: That of the training.
        key: The secret of the pseudonyms.
        channels: How many the network takes; a grey image fits any number.
    """

    root: Path
    preprocessing: Preprocessing
    key: bytes
    channels: int

    def __call__(self, task: Task, file: LastFile) -> Piece:
        """Read one piece; what is wrong with a file is said in its frames."""
        path = self.root / task.path
        try:
            with quiet_pydicom:
                header = file.header(path, path, False, self.preprocessing.limits)
                patient, series = attempt(
                    path, "header", HeaderError, self._identify, path, header.dataset
                )
        except DicomError as error:
            if is_no_loss(error, task.path):
                return Piece(task.path, [], skipped=True)
            return Piece(task.path, [Frame(None, "", "", None, _say(error))])
        end = min(task.first - task.first % _FRAMES + _FRAMES, header.frames)
        frames = [
            self._read(
                IndexRow(
                    task.path, number, patient, "", series, "", header.rows, header.columns, 0, 0
                ),
                file,
            )
            for number in range(task.first, end)
        ]
        rest = range(end, header.frames if task.has_rest else 0, _FRAMES)
        return Piece(task.path, frames, rest=rest)

    def _identify(self, path: Path, dataset: "Dataset") -> tuple[str, str]:
        refuse_no_image(path, dataset)
        patient, _, series, _ = pseudonyms(path, dataset, self.key)
        return patient, series

    def _read(self, row: IndexRow, file: LastFile) -> Frame:
        try:
            image, _ = self.preprocessing(self.root, row, file)
            if len(image) not in (1, self.channels):
                reason = f"{len(image)} channels, where the network takes {self.channels}"
                raise DicomError(row.path, "channels", reason)
        except DicomError as error:
            return Frame(row.frame, row.patient, row.series, None, _say(error))
        return Frame(row.frame, row.patient, row.series, image.numpy())


def _say(error: DicomError) -> str:
    """Class, stage and reason, which hold no value of a header; the path stands beside it."""
    return f"{type(error).__name__}: {error.stage}: {error.reason}"


def decode_ahead(
    reader: Reader, tasks: Iterator[Task], *, workers: int, ahead: int
) -> Generator[Piece, None, None]:
    """Read files in their order, ahead of whoever takes them.

    Args:
        reader: What reads.
        tasks: What is to be read; a file with many frames is divided into more tasks.
        workers: How many processes decode; 0 decodes in a thread of this one. A file that crashes
            its decoder takes a process of them along, and is one bad file.
        ahead: How many tasks are under way or wait to be taken.
    """
    # Spawned: a fork of a process that runs threads, as torch and CUDA do, may hang.
    spawn = multiprocessing.get_context("spawn")
    pool = [Worker(reader, spawn) for _ in range(workers)]
    file = LastFile()
    free: queue.SimpleQueue[Callable[[Task], Piece]] = queue.SimpleQueue()
    for worker in pool:
        free.put(_There(worker))
    if not pool:
        free.put(lambda task: reader(task, file))

    def read(task: Task) -> Piece:
        reads = free.get()
        try:
            return reads(task)
        finally:
            free.put(reads)

    threads = ThreadPoolExecutor(workers or 1)
    try:
        yield from _in_order(lambda task: threads.submit(read, task), tasks, ahead)
    finally:
        threads.shutdown(cancel_futures=True)
        file.close()
        for worker in pool:
            worker.stop()


def _in_order(
    submit: Callable[[Task], "Future[Piece]"], tasks: Iterator[Task], ahead: int
) -> Iterator[Piece]:
    waiting: deque[Future[Piece]] = deque()
    while True:
        while len(waiting) < ahead and (task := next(tasks, None)) is not None:
            waiting.append(submit(task))
        if not waiting:
            return
        piece = waiting.popleft().result()
        yield piece
        rest = (Task(piece.path, first, has_rest=False) for first in piece.rest)
        yield from _in_order(submit, rest, ahead)


class _There:
    """Has a process read."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, task: Task) -> Piece:
        while not self._worker.idle:  # it is starting
            self._worker.receive()
        self._worker.send(0, task)
        result = self._worker.receive()[0]
        if isinstance(result, Piece):
            return result
        crash = DecodeError(result.path, result.stage, result.reason)
        return Piece(task.path, [Frame(None, "", "", None, _say(crash))])
