"""Walks a folder: every image becomes rows of an index, every other file a reason why not."""

import filecmp
import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seattn.data import geometry
from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.errors import DicomError, HeaderError, NoImageError, NotDicomError
from seattn.data.header import Header, burned_in, open_regular, read_header
from seattn.data.pseudonym import patient_pseudonym, pseudonym

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Failure", "IndexRow", "scan_folder"]

# What is read of a header, besides the layout of its pixels. No name, date or number of a patient
# or of an examination is on the list but those that become pseudonyms.
_TAGS = (
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
    "BurnedInAnnotation",
    "ImageType",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_NOT_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation, not an image",
    "1.2.840.10008.5.1.4.1.1.481.2": "a dose distribution, not an image",
}


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One frame of one file.

    Attributes:
        path: The file, relative to the root of the index, with ``/`` between folders.
        frame: Its frame, counted from 0.
        patient: Keyed pseudonym of the patient; of the study, if the file names no patient.
        study: Keyed pseudonym of the study, "" if the file names none.
        series: Keyed pseudonym of the series, "" if the file names none.
        view: "axial", "coronal", "sagittal", "oblique" or "unknown".
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
    """

    path: str
    stage: str
    reason: str
    skipped: bool
    same_as: str | None = None


def scan_folder(
    root: Path, key: bytes, *, progress: bool
) -> tuple[tuple[IndexRow, ...], tuple[Failure, ...]]:
    """Read every regular file below ``root``, whatever its name; links to folders are not followed.

    Returns:
        Rows in the order of (path, frame), and failures in the order of path.
    """
    from tqdm import tqdm

    rows: list[IndexRow] = []
    failures: list[Failure] = []
    first_with: dict[str, str] = {}  # SOP Instance UID -> path
    paths = sorted(_files_below(root, failures))
    with quiet_pydicom:
        for path in tqdm(paths, desc="headers", unit="file", disable=not progress):
            try:
                uid, frames = _read_rows(root, path, key)
            except DicomError as error:
                # A file that calls itself DICOM and is none has lost something.
                skipped = isinstance(error, NoImageError) or (
                    isinstance(error, NotDicomError) and not path.lower().endswith(".dcm")
                )
                failures.append(Failure(path, error.stage, error.reason, skipped))
                continue
            first = first_with.setdefault(uid or path, path)
            if first == path:
                rows.extend(frames)
            else:
                failures.append(_duplicate(root, path, first))
    return tuple(rows), tuple(sorted(failures, key=lambda failure: failure.path))


def _duplicate(root: Path, path: str, first: str) -> Failure:
    """A second file of one image is passed over only if nothing is lost with it."""
    if filecmp.cmp(root / path, root / first, shallow=False):
        reason = "the same file as an earlier one, byte for byte"
        return Failure(path, "duplicate", reason, skipped=True, same_as=first)
    reason = "the SOP Instance UID of an earlier file, with another content"
    return Failure(path, "duplicate", reason, skipped=False)


def _files_below(root: Path, failures: list[Failure]) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        path = Path(error.filename).relative_to(root).as_posix()
        failures.append(Failure(path, "open", error.strerror or "unreadable", skipped=False))

    for folder, _, names in os.walk(root, onerror=unreadable):
        for name in names:
            yield Path(folder, name).relative_to(root).as_posix()


def _read_rows(root: Path, name: str, key: bytes) -> tuple[str, list[IndexRow]]:
    path = root / name
    with attempt(path, "open", DicomError, open_regular, path) as file:
        return attempt(path, "header", HeaderError, _rows_of, path, file, name, key)


def _rows_of(path: Path, file: BinaryIO, name: str, key: bytes) -> tuple[str, list[IndexRow]]:
    """Return the SOP Instance UID of a file, and its rows."""
    header = read_header(path, file, _TAGS)
    dataset = header.dataset
    if (kind := dataset.get("SOPClassUID")) in _NOT_IMAGES:
        raise NoImageError(path, "header", _NOT_IMAGES[kind])
    if "LOCALIZER" in (dataset.get("ImageType") or ()):
        raise NoImageError(path, "header", "a localizer, not a slice")
    patient, study, series, frame_of_reference = _pseudonyms(path, dataset, key)
    pixels = _hash_pixels(header, key)
    status = os.fstat(file.fileno())
    return str(dataset.get("SOPInstanceUID") or ""), [
        IndexRow(
            path=name,
            frame=frame,
            patient=patient,
            study=study,
            series=series,
            view=geometry.view(geometry.orientation(dataset, frame)),
            rows=header.rows,
            columns=header.columns,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            frame_of_reference=frame_of_reference,
            pixels=pixels,
            burned_in=burned_in(dataset),
        )
        for frame in range(header.frames)
    ]


def _hash_pixels(header: Header, key: bytes) -> str:
    """HMAC (RFC 2104) of the encoded pixels, with SHA-256: 32 hexadecimal digits."""
    digest = hmac.new(key, digestmod="sha256")
    left = header.pixel_bytes
    while piece := header.source.read(min(left, 2**20)):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()[:32]


def _pseudonyms(path: Path, dataset: "Dataset", key: bytes) -> tuple[str, str, str, str]:
    """Patient, study, series, place; a file without a Patient ID counts as a patient per study."""
    tags = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    uids = (str(dataset.get(tag) or "") for tag in tags)
    study, series, frame_of_reference = (pseudonym(uid, key) if uid else "" for uid in uids)
    patient_id = str(dataset.get("PatientID") or "").strip()
    if not patient_id and not study:
        raise HeaderError(path, "header", "neither a Patient ID nor a Study Instance UID")
    issuer = str(dataset.get("IssuerOfPatientID") or "")
    patient = patient_pseudonym(patient_id, key, issuer=issuer) if patient_id else study
    return patient, study, series, frame_of_reference
