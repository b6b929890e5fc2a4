"""What an index records: a row for each image, and a reason for each file without one."""

from dataclasses import dataclass

__all__ = ["Failure", "IndexRow"]


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One frame of one file.

    Attributes:
        path: The file, relative to the root of the index, with ``/`` between folders.
        frame: Its frame, counted from 0.
        patient: Keyed pseudonym of the patient; of the study, if the file names no patient.
        study: Keyed pseudonym of the study, "" if the file names none.
        series: Keyed pseudonym of the series, "" if the file names none.
        view: "axial", "coronal", "sagittal" or "oblique"; of a radiograph its (0018,5101) *View
            Position*, such as "AP"; else "unknown".
        rows: Height in pixels.
        columns: Width in pixels.
        size: Size of the file in bytes, which with ``mtime_ns`` tells whether it has changed.
        mtime_ns: Time of its last change.
        label: The position of its class in ``DicomIndex.classes``, None before labels are joined.
        mask: The file of its mask, relative to the root or absolute; None if there is none.
        frame_of_reference: Keyed pseudonym of (0020,0052) *Frame of Reference UID*, "" if the file
            has none. Images that share it were made without the patient having moved away.
        pixels: Keyed hash of the pixels of the file as they are encoded: equal ones, equal images.
        burned_in: (0028,0301), whether the picture shows text, which may name the patient; None if
            the file does not say, which proves nothing.

    Examples:
        >>> from seattn.data import DicomIndex, make_ankle_phantom
        >>> labels = make_ankle_phantom("scans", patients=1, variant="roi", progress=False)
        >>> index = DicomIndex.scan("scans", key="a secret of the study", progress=False)
        >>> row = index.with_labels(labels).rows[0]
        >>> row.path, row.view, row.rows, row.columns, row.label, len(row.patient)
        ('SYN-0001/axial.dcm', 'axial', 64, 64, 0, 32)
    """

    path: str
    frame: int
    patient: str
    study: str
    series: str
    view: str
    rows: int
    columns: int
    size: int
    mtime_ns: int
    label: int | None = None
    mask: str | None = None
    frame_of_reference: str = ""
    pixels: str = ""
    burned_in: bool | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that gave no row.

    Attributes:
        path: The file, relative to the root of the index.
        stage: The step that ended its reading.
        reason: Why, without a value of its header.
        skipped: True for what is no image, or a copy of another file, and no loss; False for an
            image that cannot be used.
        same_as: The path of the file of which this one is a copy, None for all others.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data import DicomIndex
        >>> folder = Path("mixed")
        >>> folder.mkdir()
        >>> _ = (folder / "notes.txt").write_text("no image")
        >>> index = DicomIndex.scan(folder, key="a secret of the study", progress=False)
        >>> failure = index.failures[0]
        >>> failure.path, failure.reason, failure.skipped
        ('notes.txt', 'no DICOM prefix in bytes 128 to 131', True)
    """

    path: str
    stage: str
    reason: str
    skipped: bool
    same_as: str | None = None
