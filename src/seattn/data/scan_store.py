"""Keeps what a scan has read in a file, so that an interrupted one goes on where it was.

The file has a line of JSON for each file that was read. It holds what an index holds: pseudonyms,
paths, and no identity.
"""

import json
import os
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TextIO

from seattn.data.containment import attempt
from seattn.data.errors import DicomError
from seattn.data.file_rows import Outcome
from seattn.data.pseudonym import pseudonym
from seattn.data.records import Failure, IndexRow

__all__ = ["ScanStore"]

_FORMAT = "seattn scan 1"
_FAILURE = tuple(field.name for field in fields(Failure))
_ROW = tuple(field.name for field in fields(IndexRow))


class ScanStore(dict[str, Outcome]):
    """The outcomes of earlier scans by path; ``add`` writes another one down at once.

    Args:
        path: The file, made if it is not there; None keeps nothing.
        key: The key of the pseudonyms. A store of another key is refused.

    Raises:
        DicomError: ``path`` is another file, was made with another key, or cannot be written.
    """

    def __init__(self, path: Path | None, key: bytes) -> None:
        super().__init__()
        self._file: TextIO | None = None
        if path is None:
            return
        head = json.dumps({"format": _FORMAT, "key": pseudonym(_FORMAT, key)}) + "\n"
        if path.exists():
            self.update(attempt(path, "store", DicomError, _load, path, head))
        attempt(path, "store", DicomError, _write_anew, path, head, self)
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "ScanStore":
        """Start to use it."""
        return self

    def add(self, outcome: Outcome) -> None:
        """Keep one more outcome."""
        if self._file is not None:
            self._file.write(_to_line(outcome))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the last lines, after an interruption too."""
        if self._file is not None:
            self._file.close()


def _load(path: Path, head: str) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        if first != head:
            mine = first.startswith(f'{{"format": "{_FORMAT}"')
            reason = "was made with another key" if mine else "not a scan store of this version"
            raise DicomError(path, "store", f"{reason}; name another file as `store`")
        for line in file:
            if line.endswith("\n"):  # else an interruption cut it off
                outcome = _from_line(line)
                outcomes[outcome.path] = outcome
    return outcomes


def _write_anew(path: Path, head: str, outcomes: dict[str, Outcome]) -> None:
    """Leave out what a later line replaces, and a line that was cut off."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(head)
        file.writelines(map(_to_line, outcomes.values()))
    unfinished.replace(path)


def _to_line(outcome: Outcome) -> str:
    failure = outcome.failure
    return (
        json.dumps(
            {
                "path": outcome.path,
                "size": outcome.size,
                "mtime_ns": outcome.mtime_ns,
                "image": outcome.image,
                "rows": [[getattr(row, name) for name in _ROW] for row in outcome.rows],
                "failure": failure and [getattr(failure, name) for name in _FAILURE],
            }
        )
        + "\n"
    )


def _from_line(line: str) -> Outcome:
    record = json.loads(line)
    return Outcome(
        path=record["path"],
        size=record["size"],
        mtime_ns=record["mtime_ns"],
        image=record["image"],
        rows=tuple(IndexRow(*values) for values in record["rows"]),
        failure=record["failure"] and Failure(*record["failure"]),
    )
