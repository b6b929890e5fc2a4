"""Keeps to itself what pydicom and its decoders say, since their messages quote the header.

A warning such as ``Invalid value for VR DA: '1970-13-01'`` is a birth date in a log file. So, while
a file is read, warnings and pydicom's log are off, and an exception of any kind leaves as one of
``seattn.data``'s own errors, which names the file, the stage and the class of the exception.
"""

import logging
import threading
import warnings
from collections.abc import Callable
from os import PathLike
from types import TracebackType
from typing import TypeVar

from seattn.data.errors import DicomError

__all__ = ["attempt", "quiet_pydicom"]

Result = TypeVar("Result")


def attempt(
    path: str | PathLike[str],
    stage: str,
    error: type[DicomError],
    function: Callable[..., Result],
    *args: object,
) -> Result:
    """Call ``function(*args)``; whatever goes wrong in it becomes ``error(path, stage, ...)``.

    Raises:
        DicomError: One that ``function`` itself raises passes; every other exception is replaced.
            This covers StopIteration (pydicom's answer to missing frames, which would silently end
            a loop over a DataLoader) and what compiled decoders derive from BaseException.
    """
    try:
        return function(*args)
    except (DicomError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except OSError as problem:
        reason = problem.strerror or _withheld(problem)
    except BaseException as problem:  # noqa: BLE001 - pyo3's PanicException is a BaseException
        reason = _withheld(problem)
    # Raised out here, the new error carries no `__context__` whose text a traceback would print.
    raise error(path, stage, reason)


def _withheld(problem: BaseException) -> str:
    return f"{type(problem).__name__} (its text is withheld, it may quote the file)"


class _Quiet:
    """A context in which warnings, and the loggers below "pydicom", are silent.

    Threads share one state: the first to enter saves it, the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._log: tuple[bool, list[logging.Handler]] = (True, [])
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                # Not by its level: each change of a level costs time for every logger there is.
                logger = logging.getLogger("pydicom")
                self._log = logger.propagate, logger.handlers
                logger.propagate, logger.handlers = False, [logging.NullHandler()]
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._warnings.__exit__(kind, error, traceback)
                logger = logging.getLogger("pydicom")
                logger.propagate, logger.handlers = self._log


quiet_pydicom = _Quiet()
