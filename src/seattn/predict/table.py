"""The table of a run on disk: whole lines only, so that a killed run goes on where it was."""

import csv
import glob
import io
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Kept", "Table", "begin", "count_rows", "finish", "printable"]

_FORMAT = "seattn predictions 1"


class Kept(NamedTuple):
    """What a table holds already: its rows, and the path and frame of the last."""

    rows: int
    path: str
    frame: int


class Table:
    """A CSV file that grows by whole lines, the last of whose columns is ``error``.

    Args:
        path: The file, made if it is not there.
        columns: The names of its columns.
        batch: Images that go through the network at once. The file is cut back to the end of the
            last whole batch, so that the same images meet in a batch again: other batches round
            otherwise.

    Raises:
        ValueError: The file is there and has other columns.
    """

    def __init__(self, path: Path, columns: Sequence[str], batch: int) -> None:
        self._head = _lines([columns])
        self.kept = Kept(0, "", -1)
        path.touch()
        keep = self._find_end(path, batch)
        self._file = path.open("r+b", buffering=0)
        self._file.truncate(keep)
        self._file.seek(keep)
        if not keep:
            self._file.write(self._head)

    def _find_end(self, path: Path, batch: int) -> int:
        keep = end = rows = images = 0
        with path.open("rb") as file:
            head = file.readline()
            if not self._head.startswith(head):
                raise ValueError(f"`out` (='{path}') has not the columns of this run.")
            if head == self._head:
                keep = end = len(head)
            for line in file:
                if not line.endswith(b"\n"):  # an interruption cut it off
                    break
                end, rows = end + len(line), rows + 1
                fields = next(csv.reader([line.decode()]))
                if not fields[-1]:
                    images += 1
                    if images % batch == 0:
                        keep, self.kept = end, Kept(rows, fields[0], int(fields[1]))
        return keep

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows at once."""
        self._file.write(_lines(rows))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def begin(out: Path, settings: Mapping[str, Any]) -> bool:
    """Write down the settings of a new run, or compare them with those of the one that is there.

    Args:
        out: The CSV file of the run; its settings lie beside it with the ending ``.json``.
        settings: What the rows depend on.

    Returns:
        Whether the run is finished.

    Raises:
        ValueError: There is a run with other settings, or another file.
    """
    place = out.with_suffix(".json")
    before = _load(place)
    parts = list(out.parent.glob(glob.escape(out.name) + ".part-*"))
    if out.exists() or parts:
        if before is None:
            raise ValueError(
                f"`out` (='{out}') is there, without '{place.name}' in which a run says how it was "
                "made, so it cannot be gone on with. Name another file, or remove it."
            )
        now = json.loads(json.dumps(settings))
        changed = [
            f"`{name}` was {before['settings'].get(name)!r}, now {now.get(name)!r}"
            for name in {**before["settings"], **now}
            if before["settings"].get(name) != now.get(name)
            and not (name == "processes" and before["finished"])
        ]
        if changed:
            raise ValueError(
                f"`out` (='{out}') holds a run with other settings: {'; '.join(changed)}. Name "
                "another file, or remove it together with its '.json'."
            )
        if before["finished"]:
            _remove(parts)  # of a run that was killed right then
        return bool(before["finished"])
    if before is None and place.exists():
        raise ValueError(f"`out` (='{out}') needs '{place}', which is another file: rename it.")
    _save(place, {"format": _FORMAT, "settings": settings, "finished": False})
    return False


def finish(out: Path, parts: Sequence[Path]) -> None:
    """Join the parts of several processes to one file, and write down that the run is finished."""
    if [*parts] != [out]:
        with _beside(out).open("wb") as whole:
            for number, part in enumerate(parts):
                with part.open("rb") as file:
                    head = file.readline()
                    whole.write(b"" if number else head)
                    shutil.copyfileobj(file, whole)
        _beside(out).replace(out)
    place = out.with_suffix(".json")
    _save(place, {**(_load(place) or {}), "finished": True})
    _remove(part for part in parts if part != out)


def count_rows(out: Path) -> int:
    """Count the rows of a finished table."""
    with out.open("rb") as file:
        return sum(1 for _ in file) - 1


def printable(path: str) -> str:
    """A path on one line; file names may hold line ends, and need not be Unicode."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        part.unlink()


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _load(place: Path) -> dict[str, Any] | None:
    """The settings of a run; None where there are none, or another file."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and content.get("format") == _FORMAT
    return content if ours else None


def _save(place: Path, content: Mapping[str, Any]) -> None:
    _beside(place).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _beside(place).replace(place)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")
