"""Files to rows: decoded ahead, in batches through the network, written as they come back."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seattn.predict.classifier import Classifier
from seattn.predict.images import Frame, Piece, Reader, Task, decode_ahead
from seattn.predict.summary import PredictionSummary
from seattn.predict.table import Table

__all__ = ["classify_files"]

_Row = tuple[str, Frame]


def classify_files(
    paths: Sequence[str],
    reader: Reader,
    classifier: Classifier,
    place: Path,
    *,
    batch: int,
    workers: int,
    name: Callable[[str], str],
    progress: bool,
) -> PredictionSummary:
    """Classify files into a table, from where it ends.

    Args:
        paths: The files, relative to the root of ``reader``.
        reader: Makes images of them.
        classifier: Makes probabilities of images.
        place: The CSV file.
        batch: Images that go through the network at once.
        workers: How many processes decode, as in ``decode_ahead``.
        name: What stands for a path in the table.
        progress: Whether to show a bar, on a terminal.
    """
    from tqdm import tqdm

    scores = [f"probability:{each}" for each in classifier.classes]
    columns = ["path", "frame", "patient", "series", *scores, "predicted", "error"]
    summary = PredictionSummary()
    disable = None if progress else True  # None: where there is no terminal
    with (
        closing(Table(place, columns, batch)) as table,
        tqdm(desc="predicting", unit="file", total=len(paths), disable=disable) as bar,
    ):
        tasks = [Task(path) for path in paths]
        if table.kept.rows:  # the rest of the file of the last row, and those after it
            last = [name(path) for path in paths].index(table.kept.path)
            tasks = [Task(paths[last], table.kept.frame + 1), *tasks[last + 1 :]]
            summary.resumed = table.kept.rows
            bar.update(last)
        ahead = batch + 2 * max(workers, 1)
        with closing(decode_ahead(reader, iter(tasks), workers=workers, ahead=ahead)) as pieces:
            clock = _Clock()
            for rows, probabilities in _through_network(
                _batches(_watch(pieces, summary, clock, bar), batch), classifier, clock
            ):
                table.add(_lines(rows, probabilities, classifier, name))
                summary.images += len(probabilities)
                summary.failed += len(rows) - len(probabilities)
        summary.seconds, summary.decoder, summary.network = clock.read()
    return summary


class _Clock:
    """Where the time of this thread goes; it starts with the first image that is there."""

    def __init__(self) -> None:
        self._begin = self._decoder = self._network = 0.0

    def decoder(self, since: float) -> None:
        now = time.perf_counter()
        if self._begin:
            self._decoder += now - since
        self._begin = self._begin or now

    def network(self, since: float) -> None:
        self._network += time.perf_counter() - since

    def read(self) -> tuple[float, float, float]:
        seconds = time.perf_counter() - self._begin if self._begin else 0.0
        return seconds, self._decoder, self._network


def _watch(
    pieces: Iterator[Piece], summary: PredictionSummary, clock: _Clock, bar: Any
) -> Iterator[Piece]:
    """Count files, and the time that passes until they are there."""
    path = ""
    while True:
        since = time.perf_counter()
        piece = next(pieces, None)
        clock.decoder(since)
        if piece is None:
            return
        if piece.path != path:  # not a further piece of the same file
            path = piece.path
            summary.files += 1
            summary.skipped += piece.skipped
            bar.update()
        yield piece


def _batches(
    pieces: Iterator[Piece], size: int
) -> Iterator[tuple[list[_Row], list[NDArray[np.float32]]]]:
    """Collect the images of a batch, and the rows up to the last of them."""
    rows: list[_Row] = []
    images: list[NDArray[np.float32]] = []
    for piece in pieces:
        for frame in piece.frames:
            rows.append((piece.path, frame._replace(pixels=None)))
            if frame.pixels is not None:
                images.append(frame.pixels)
            if len(images) == size:
                yield rows, images
                rows, images = [], []
    yield rows, images


def _through_network(
    batches: Iterator[tuple[list[_Row], list[NDArray[np.float32]]]],
    classifier: Classifier,
    clock: _Clock,
) -> Iterator[tuple[list[_Row], NDArray[np.float64]]]:
    """Send each batch into the network before the one before it is waited for: a GPU goes on."""
    before: tuple[list[_Row], Tensor] | None = None
    for rows, images in batches:
        since = time.perf_counter()
        logits = classifier.start(images)
        done = before and (before[0], classifier.finish(before[1]))
        clock.network(since)
        before = rows, logits
        if done:
            yield done
    if before:
        since = time.perf_counter()
        done = before[0], classifier.finish(before[1])
        clock.network(since)
        yield done


def _lines(
    rows: Sequence[_Row],
    probabilities: NDArray[np.float64],
    classifier: Classifier,
    name: Callable[[str], str],
) -> Iterator[list[Any]]:
    images = iter(probabilities)
    for path, frame in rows:
        who = [name(path), "" if frame.number is None else frame.number]
        who += [frame.patient, frame.series]
        if frame.error:
            yield [*who, *[""] * (len(classifier.classes) + 1), frame.error]
        else:
            scores = next(images)
            # All digits: fewer would tie what differs.
            yield [*who, *map(repr, scores.tolist()), classifier.predict(scores), ""]
