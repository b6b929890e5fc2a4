"""One file becomes the rows of its frames, or the reason why it has none."""

import hmac
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seattn.data import geometry
from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.errors import DicomError, HeaderError, NoImageError, NotDicomError
from seattn.data.header import Header, burned_in, open_regular, read_header
from seattn.data.pseudonym import patient_pseudonym, pseudonym
from seattn.data.records import Failure, IndexRow
from seattn.data.secondary_capture import NOT_FOR_DIAGNOSIS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Outcome", "file_state", "is_no_loss", "pseudonyms", "read_rows", "refuse_no_image"]

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
    "DerivationDescription",
    "ImageType",
    "ImageOrientationPatient",
    "ViewPosition",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
# Frames of reference that images of many patients share (PS3.6 table A-2).
_ATLASES = "1.2.840.10008.1.4."
_NOT_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation, not an image",
    "1.2.840.10008.5.1.4.1.1.481.2": "a dose distribution, not an image",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        path: The file, relative to the root of the index.
        size: Its size in bytes, -1 where it cannot be told.
        mtime_ns: Time of its last change.
        image: Keyed pseudonym of its (0008,0018) *SOP Instance UID*, "" if it has none.
        rows: One row for each frame.
        failure: Why there are none.
    """

    path: str
    size: int
    mtime_ns: int
    image: str
    rows: tuple[IndexRow, ...]
    failure: Failure | None


def read_rows(root: Path, key: bytes, path: str) -> Outcome:
    """Read the header of one file, and hash its pixels."""
    size, mtime_ns = file_state(root / path)
    try:
        with (
            quiet_pydicom,
            attempt(root / path, "open", DicomError, open_regular, root / path) as file,
        ):
            image, rows = attempt(
                root / path, "header", HeaderError, _rows_of, root / path, file, path, key
            )
    except DicomError as error:
        failure = Failure(path, error.stage, error.reason, skipped=is_no_loss(error, path))
        return Outcome(path, size, mtime_ns, "", (), failure)
    return Outcome(path, size, mtime_ns, image, tuple(rows), None)


def is_no_loss(error: DicomError, path: str) -> bool:
    """Whether a file with this error is no image, and not one that cannot be used."""
    # A file that calls itself DICOM and is none has lost something.
    return isinstance(error, NoImageError) or (
        isinstance(error, NotDicomError) and not path.lower().endswith(".dcm")
    )


def file_state(path: Path) -> tuple[int, int]:
    """Size and time of change, by which a file is taken to be the one that was read."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _rows_of(path: Path, file: BinaryIO, name: str, key: bytes) -> tuple[str, list[IndexRow]]:
    """Return the pseudonym of the SOP Instance UID of a file, and its rows."""
    header = read_header(path, file, _TAGS)
    dataset = header.dataset
    refuse_no_image(path, dataset)
    patient, study, series, frame_of_reference = pseudonyms(path, dataset, key)
    pixels = _hash_pixels(header, key)
    status = os.fstat(file.fileno())
    uid = str(dataset.get("SOPInstanceUID") or "")
    return pseudonym(uid, key) if uid else "", [
        IndexRow(
            path=name,
            frame=frame,
            patient=patient,
            study=study,
            series=series,
            view=geometry.image_view(dataset, geometry.orientation(dataset, frame)),
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


def refuse_no_image(path: Path, dataset: "Dataset") -> None:
    """Raise NoImageError for an object whose pixels are no image to learn from."""
    if (kind := dataset.get("SOPClassUID")) in _NOT_IMAGES:
        raise NoImageError(path, "header", _NOT_IMAGES[kind])
    if "LOCALIZER" in (dataset.get("ImageType") or ()):
        raise NoImageError(path, "header", "a localizer, not a slice")
    if str(dataset.get("DerivationDescription") or "").endswith(NOT_FOR_DIAGNOSIS):
        raise NoImageError(path, "header", "a picture made for people, not for diagnosis")


def _hash_pixels(header: Header, key: bytes) -> str:
    """HMAC (RFC 2104) of the encoded pixels, with SHA-256: 32 hexadecimal digits."""
    digest = hmac.new(key, digestmod="sha256")
    left = header.pixel_bytes
    while piece := header.source.read(min(left, 2**20)):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()[:32]


def pseudonyms(path: Path, dataset: "Dataset", key: bytes) -> tuple[str, str, str, str]:
    """Patient, study, series, place; a file without a Patient ID counts as a patient per study."""
    tags = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    uids = (str(dataset.get(tag) or "") for tag in tags)
    study, series, frame_of_reference = (
        "" if uid.startswith(_ATLASES) else uid and pseudonym(uid, key) for uid in uids
    )
    patient_id = str(dataset.get("PatientID") or "").strip()
    if not patient_id and not study:
        raise HeaderError(path, "header", "neither a Patient ID nor a Study Instance UID")
    issuer = str(dataset.get("IssuerOfPatientID") or "")
    patient = patient_pseudonym(patient_id, key, issuer=issuer) if patient_id else study
    return patient, study, series, frame_of_reference
