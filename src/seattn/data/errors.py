"""What can go wrong between a folder of files and a dataset: one family of errors.

The text of every one of them is ``<path>: <stage>: <reason>``. It never holds a value of the
header, because values name patients.
"""

import os

__all__ = [
    "CacheError",
    "DecodeError",
    "DicomError",
    "GeometryError",
    "HeaderError",
    "LabelError",
    "LimitError",
    "NoImageError",
    "NotDicomError",
    "ScanError",
    "SplitError",
    "UnsupportedSyntaxError",
]


class DicomError(Exception):
    """A file, or a table beside the files, that cannot be used.

    Args:
        path: The file the error is about, or what stands for it where paths are hidden, such as
            "row 7"; of a ``SplitError`` the argument.
        stage: The step that failed, such as ``"header"`` or ``"decode"``.
        reason: Why, and what helps, without any value of the header.

    Examples:
        >>> from seattn.data import DicomError
        >>> error = DicomError("knee/a.dcm", "decode", "the pixel data ends early")
        >>> print(error)
        knee/a.dcm: decode: the pixel data ends early
        >>> error.stage
        'decode'
    """

    # `stage` and `reason` may be absent because torch's DataLoader raises a worker's error again,
    # in the main process, as `type(error)(text)`: so the class survives, and the text says it all.
    def __init__(self, path: str | os.PathLike[str], stage: str = "", reason: str = "") -> None:
        self.path = os.fspath(path)
        self.stage = stage
        self.reason = reason
        text = ": ".join(part for part in (self.path, stage, reason) if part)
        # A file name need not be Unicode; a text that cannot be printed would hide the error.
        super().__init__(text.encode("utf-8", "backslashreplace").decode())


class NotDicomError(DicomError):
    """Not a DICOM file (PS3.10 section 7.1), or not a regular file at all."""


class NoImageError(DicomError):
    """A DICOM object that holds no image to learn from, such as a structured report."""


class UnsupportedSyntaxError(DicomError):
    """Pixels in a transfer syntax for which no decoder is installed."""


class HeaderError(DicomError):
    """A header that is damaged, incomplete, or lacks what the requested units need."""


class DecodeError(DicomError):
    """Pixel data that is damaged or ends early."""


class LimitError(DicomError):
    """A file that asks for more memory than this library is ready to give."""


class GeometryError(DicomError):
    """Slices that do not make a volume."""


class ScanError(DicomError):
    """A folder in which files cannot be used."""


class LabelError(DicomError):
    """A table of labels that contradicts itself or the index."""


class SplitError(DicomError):
    """A split that is not possible, or not safe, as asked."""


class CacheError(DicomError):
    """A cache that cannot be built or does not belong to its index."""
