"""The list of images below a folder, with pseudonyms in place of identities."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from seattn.data.arguments import check_whole
from seattn.data.containment import attempt
from seattn.data.errors import DicomError, ScanError
from seattn.data.labels import join_labels
from seattn.data.pseudonym import resolve_key
from seattn.data.records import Failure, IndexRow
from seattn.data.scan import scan_folder

__all__ = ["DicomIndex", "Failure", "IndexRow"]

Group = Literal["patient", "study", "series", "view"]
Missing = Literal["error", "drop"]
OnError = Literal["raise", "skip"]
Record = TypeVar("Record", IndexRow, Failure)

_FORMAT = "seattn index 2"


@dataclass(frozen=True)
class DicomIndex:
    r"""An immutable list of images, made once from a folder and then cheap to load.

    Attributes:
        root: The folder that was scanned.
        rows: One ``IndexRow`` per image, in the order of (path, frame).
        failures: The files that gave no row, and why.
        classes: What the labels of the rows count; empty before labels are joined.

    Examples:
        >>> import tempfile, pathlib, shutil
        >>> from pydicom.data import get_testdata_file
        >>> from seattn.data import DicomIndex
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = shutil.copy(get_testdata_file("CT_small.dcm"), folder / "a.dcm")
        >>> _ = (folder / "labels.csv").write_text("path,label\na.dcm,fracture\n")
        >>> index = DicomIndex.scan(folder, key="a secret of the study", progress=False)
        >>> index = index.with_labels(folder / "labels.csv")
        >>> index.rows[0].path, index.rows[0].view, index.classes
        ('a.dcm', 'axial', ('fracture',))
        >>> print(index.report())
        1 image of 1 patient in 1 file
          axial           1
          class fracture  1
        1 file skipped
          1  open: no DICOM prefix in bytes 128 to 131, e.g. labels.csv
        0 files failed
    """

    root: Path
    rows: tuple[IndexRow, ...]
    failures: tuple[Failure, ...] = ()
    classes: tuple[str, ...] = ()

    @classmethod
    def scan(
        cls,
        root: str | os.PathLike[str],
        *,
        key: bytes | str | None = None,
        on_error: OnError = "raise",
        store: str | os.PathLike[str] | None = None,
        workers: int = 0,
        progress: bool = True,
        redact_paths: bool = False,
    ) -> "DicomIndex":
        """Read the headers of all files below a folder; pixels are hashed, and not decoded.

        A file is DICOM if it says so inside, whatever its name. What is no image is listed in
        ``failures`` as skipped: other files, objects without pixels, localizers, segmentations,
        dose. A damaged file never ends the scan: all of them are collected, with their reasons, as
        is the second of two files with the same (0008,0018) *SOP Instance UID*, unless it is a
        copy.

        Args:
            root: The folder. Links to files are followed; links to folders are not, and are listed
                as skipped.
            key: The secret under which identities become pseudonyms: the same key gives the same
                patients in every index. None takes this user's own, which is made at first use;
                see ``seattn.data.pseudonym.resolve_key``.
            on_error: What to do at the end about images that cannot be used: "raise" lists them in
                an error, "skip" goes on without them and leaves them in ``failures``.
            store: A file, made if it is not there, that keeps what was read. The next scan with
                it reads only files that are new, have changed, or could not be used; so does one
                after an interruption. One scan at a time may use it.
            workers: Number of processes that read; 0 reads in this one. As for a ``DataLoader``,
                a script that asks for some needs ``if __name__ == "__main__":``.
            progress: Whether to show a progress bar.
            redact_paths: Whether errors name no file: then the one about images that cannot be
                used counts them by their reason.

        Raises:
            ScanError: Images cannot be used, and ``on_error`` is "raise".
            DicomError: ``store`` is another file, was made with another key, or cannot be written.
            ValueError: ``root`` is not a folder, ``key`` is empty or too long, ``on_error`` is
                neither "raise" nor "skip", or ``workers`` is negative.

        Examples:
            ``DicomIndex.scan("archive", store="archive.scan", workers=8)`` reads a large archive.
        """
        folder = Path(root).absolute()
        if not folder.is_dir():
            shown = "(path withheld)" if redact_paths else os.fspath(root)
            raise ValueError(f"`root` (={shown!r}) is not a folder.")
        if on_error not in get_args(OnError):
            raise ValueError(f"`on_error` (={on_error!r}) must be 'raise' or 'skip'.")
        check_whole("workers", workers, least=0, note="0 is this process")
        rows, failures = scan_folder(
            folder,
            resolve_key(key),
            store=None if store is None else Path(store).absolute(),
            workers=workers,
            progress=progress,
        )
        failed = [failure for failure in failures if not failure.skipped]
        if failed and on_error == "raise":
            lines = [f"{_plural(len(failed), 'file')} cannot be used"]
            if redact_paths:
                lines += _reasons("failed", failed, skipped=False, redact_paths=True)[1:]
            else:
                lines += [f"  {each.path}: {each.stage}: {each.reason}" for each in failed]
            lines += ['Mend or remove them, or go on without them by `on_error="skip"`.']
            raise ScanError("(path withheld)" if redact_paths else folder, "scan", "\n".join(lines))
        return cls(folder, rows, failures)

    def with_labels(
        self,
        table: str | os.PathLike[str],
        *,
        classes: Sequence[str] | None = None,
        missing: Missing = "error",
        key: bytes | str | None = None,
        redact_paths: bool = False,
    ) -> "DicomIndex":
        """Join a CSV file with the columns ``path``, ``label`` and maybe ``patient`` and ``mask``.

        Args:
            table: The CSV file, UTF-8. Its paths are absolute or relative to ``root``, as those of
                the rows. Other columns are ignored.
            classes: The classes in order; None takes the labels that occur, in numerical order if
                all are numbers, else in alphabetical order.
            missing: What to do with an image that has no label: "error", or "drop" it from the
                rows. "drop" also passes over a label for a file that is among ``failures``; a
                label for a duplicate is passed over in any case, if it agrees.
            key: Where the table has patients, the secret that makes pseudonyms of them. Give the
                one that was given to ``scan``.
            redact_paths: Whether errors name lines of the table, and rows of the index by their
                position, instead of paths. Labels they name in any case.

        Returns:
            A new index, each of whose rows has a label.

        Raises:
            LabelError: An image has no label; a label has no image, is empty or is there twice; a
                patient is missing in a table with patients; a mask does not exist.
            ValueError: ``missing`` is neither "error" nor "drop", or ``classes`` repeats itself.
        """
        if missing not in get_args(Missing):
            raise ValueError(f"`missing` (={missing!r}) must be 'error' or 'drop'.")
        rows, order = join_labels(
            self.rows,
            self.failures,
            root=self.root,
            table=Path(table),
            classes=classes,
            drop_missing=missing == "drop",
            key=key,
            redact_paths=redact_paths,
        )
        return replace(self, rows=rows, classes=order)

    def subset(self, positions: Iterable[int]) -> "DicomIndex":
        """Take the rows at ``positions``, in that order; all else stays."""
        return replace(self, rows=tuple(self.rows[position] for position in positions))

    def filter(self, keep: Callable[[IndexRow], bool]) -> "DicomIndex":
        """Take the rows of which ``keep`` is true, in their order; all else stays.

        Examples:
            ``index.filter(lambda row: row.view == "axial" and not row.burned_in)``
        """
        return replace(self, rows=tuple(row for row in self.rows if keep(row)))

    def group_by(self, field: Group) -> dict[str, "DicomIndex"]:
        """Divide the rows by patient, study, series or view.

        Args:
            field: "patient", "study", "series" or "view".

        Returns:
            An index for each value, by the value, in the order of the first row of each.

        Raises:
            ValueError: ``field`` is another one.
        """
        if field not in get_args(Group):
            raise ValueError(f"`field` (={field!r}) must be one of {', '.join(get_args(Group))}.")
        groups: dict[str, list[IndexRow]] = {}
        for row in self.rows:
            groups.setdefault(getattr(row, field), []).append(row)
        return {value: replace(self, rows=tuple(rows)) for value, rows in groups.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file: rows, failures and classes, and the way from there to ``root``.

        A file that is there already stays as it is until the new one is complete.

        Raises:
            DicomError: The file cannot be written.
        """
        path = Path(path).absolute()
        content = {
            "format": _FORMAT,
            "root": Path(os.path.relpath(self.root, path.parent)).as_posix(),
            "classes": self.classes,
            "rows": _to_columns(IndexRow, self.rows),
            "failures": _to_columns(Failure, self.failures),
        }
        attempt(path, "save", DicomError, _save, path, json.dumps(content))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DicomIndex":
        """Read what ``save`` has written.

        Raises:
            DicomError: ``path`` is not such a file.
        """
        path = Path(path).absolute()
        return cls(*attempt(path, "load", DicomError, _load, path))

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def report(self, *, redact_paths: bool = False) -> str:
        """Count images, patients, views and classes, and files without an image by their reason.

        Args:
            redact_paths: Whether to leave out the paths, of which each reason has an example.
        """
        patients = {row.patient for row in self.rows}
        files = {row.path for row in self.rows}
        views = Counter(row.view for row in self.rows)
        labels = Counter(row.label for row in self.rows)
        counts = sorted(views.items()) + [
            (f"class {name}", labels[label]) for label, name in enumerate(self.classes)
        ]
        if burned_in := sum(row.burned_in is True for row in self.rows):
            counts.append(("with burned-in text", burned_in))
        width = max((len(name) for name, _ in counts), default=0)
        text = "\n".join(
            [
                f"{_plural(len(self.rows), 'image')} of {_plural(len(patients), 'patient')} "
                f"in {_plural(len(files), 'file')}",
                *(f"  {name:{width}}  {count}" for name, count in counts),
                *_reasons("skipped", self.failures, skipped=True, redact_paths=redact_paths),
                *_reasons("failed", self.failures, skipped=False, redact_paths=redact_paths),
            ]
        )
        return text.encode("utf-8", "backslashreplace").decode()  # file names need not be Unicode


def _reasons(
    word: str, failures: Sequence[Failure], *, skipped: bool, redact_paths: bool
) -> list[str]:
    paths_of: dict[str, list[str]] = {}
    for failure in failures:
        if failure.skipped == skipped:
            paths_of.setdefault(f"{failure.stage}: {failure.reason}", []).append(failure.path)
    lines = [
        f"  {len(paths)}  {reason}" + ("" if redact_paths else f", e.g. {paths[0]}")
        for reason, paths in paths_of.items()
    ]
    return [f"{_plural(sum(map(len, paths_of.values())), 'file')} {word}", *lines]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _to_columns(kind: type[IndexRow | Failure], records: Sequence[Any]) -> dict[str, list[Any]]:
    return {
        field.name: [getattr(record, field.name) for record in records] for field in fields(kind)
    }


def _from_columns(kind: type[Record], columns: dict[str, list[Any]]) -> tuple[Record, ...]:
    return tuple(
        kind(**dict(zip(columns, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    )


def _save(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)  # there only if something went wrong


def _load(
    path: Path,
) -> tuple[Path, tuple[IndexRow, ...], tuple[Failure, ...], tuple[str, ...]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise DicomError(path, "load", "not an index of this version; scan the folder again")
    return (
        Path(os.path.normpath(path.parent / content["root"])),
        _from_columns(IndexRow, content["rows"]),
        _from_columns(Failure, content["failures"]),
        tuple(content["classes"]),
    )
