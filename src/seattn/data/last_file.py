"""The file that was read last, still open: frames of one file, read in a row, share its header."""

import os
from pathlib import Path
from typing import BinaryIO

from seattn.data.containment import attempt
from seattn.data.errors import DicomError, HeaderError
from seattn.data.header import Header, open_regular, read_header
from seattn.data.limits import DicomLimits

__all__ = ["LastFile"]


class LastFile:
    """Opens files one after the other; the last stays open, as a context until its end.

    Asked for the same file again, it gives the header that it has: who wants to know whether the
    file has changed since has to look.
    """

    def __init__(self) -> None:
        self._asked: tuple[object, ...] | None = None
        self._file: BinaryIO | None = None
        self._header: tuple[Header, int] | None = None

    def __enter__(self) -> "LastFile":
        """Start without a file."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def header(
        self, path: Path, name: str | os.PathLike[str], force: bool, limits: DicomLimits
    ) -> Header:
        """Open a file and parse its header, if it is not the last.

        Args:
            path: The file.
            name: What errors call it.
            force: As in ``read_header``.
            limits: As in ``read_header``.
        """
        asked = (path, name, force, limits)
        if self._header is None or asked != self._asked:
            self.close()
            self._file = attempt(name, "open", DicomError, open_regular, path, name)
            header = attempt(
                name, "header", HeaderError, read_header, name, self._file, None, force, limits
            )
            self._asked, self._header = asked, (header, header.source.tell())
        header, start = self._header
        header.source.seek(start)  # a frame that could not be decoded may have left it elsewhere
        return header

    def close(self) -> None:
        """Close the file, and forget its header."""
        self._header = None
        if self._file is not None:
            self._file.close()
