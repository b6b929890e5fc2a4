"""Masks in DICOM segmentations (PS3.3 section A.51): the frame that belongs to an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seattn.data import geometry
from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.dicom import read_dicom
from seattn.data.errors import DicomError, HeaderError
from seattn.data.header import functional_group, open_regular, read_header
from seattn.data.index import IndexRow

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["read_segment"]

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SegmentationType",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_TOLERANCE = 0.01  # mm, and of direction cosines: writers round


@dataclass(frozen=True)
class _Plane:
    """Where a frame lies; None where the file does not say."""

    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None

    def contradicts(self, other: "_Plane") -> bool:
        pairs = ((self.orientation, other.orientation), (self.position, other.position))
        return any(
            one is not None and two is not None and not np.allclose(one, two, 0, _TOLERANCE)
            for one, two in pairs
        )


@dataclass(frozen=True)
class _Frame:
    """A frame of a segmentation: what is marked, and in which images."""

    number: int
    segment: int
    sources: frozenset[tuple[str, int | None]]  # SOP Instance UID, and frame or None for all
    plane: _Plane


def read_segment(root: Path, row: IndexRow, *, segment: int | None) -> NDArray[np.generic]:
    """Read the frame of a binary segmentation that belongs to a row: (H, W).

    It is the frame of the segment (0062,000B) whose (0008,2112) *Source Image Sequence* names the
    image by its SOP Instance UID and, of a multi-frame image, its frame. A segmentation that names
    no source for any of its frames has to have one frame of the segment.

    Args:
        root: The folder that the paths of the row start from.
        row: A row whose mask is a DICOM file.
        segment: The segment number, from 1; None if there is but one.

    Returns:
        The frame as it is stored, (H, W), 1 inside the segment.

    Raises:
        DicomError: The file is no binary segmentation, or damaged; none or several of its frames
            belong to the image; or the frame lies in another plane than the image.
    """
    path = root / str(row.mask)
    status = path.stat()
    frames = attempt(
        path, "mask", DicomError, _read_frames, path, status.st_size, status.st_mtime_ns
    )
    uid, plane = _read_image(root / row.path, row.frame)
    frame = _choose(path, frames, (uid, row.frame), segment)
    if frame.plane.contradicts(plane):
        raise DicomError(path, "mask", "the segmentation lies in another plane than its image")
    return read_dicom(path, units="stored", frame=frame.number).pixels[0].numpy()


def _choose(
    path: Path, frames: Sequence[_Frame], image: tuple[str, int], segment: int | None
) -> _Frame:
    segments = sorted({frame.segment for frame in frames})
    if segment is None and len(segments) > 1:
        reason = f"holds the segments {segments}; choose one with `segment`"
        raise DicomError(path, "mask", reason)
    frames = [frame for frame in frames if segment in (None, frame.segment)]
    if not frames:
        raise DicomError(path, "mask", f"holds the segments {segments}, and not {segment}")
    if any(frame.sources for frame in frames):
        uid, number = image
        wanted = {(uid, None), (uid, number)}
        frames = [frame for frame in frames if frame.sources & wanted]
        if not frames:
            reason = "no frame of the segment belongs to the image; list the image without a mask"
            raise DicomError(path, "mask", reason)
    if len(frames) > 1:
        reason = f"{len(frames)} frames of the segment may belong to the image"
        raise DicomError(path, "mask", reason)
    return frames[0]


@lru_cache(maxsize=4)
def _read_frames(path: Path, size: int, mtime_ns: int) -> tuple[_Frame, ...]:
    """Read what the frames are; a series of images asks the same file again and again."""
    with quiet_pydicom, open_regular(path) as file:
        header = attempt(path, "header", HeaderError, read_header, path, file, _TAGS)
        dataset = header.dataset
        if dataset.get("SOPClassUID") != _SEGMENTATION:
            raise DicomError(path, "mask", "a DICOM file, and not a segmentation")
        if dataset.get("SegmentationType") != "BINARY":
            raise DicomError(path, "mask", "not a binary segmentation")
        return tuple(_describe(dataset, number) for number in range(header.frames))


def _describe(dataset: "Dataset", number: int) -> _Frame:
    identified = functional_group(dataset, number, "SegmentIdentificationSequence")
    groups = [
        *(dataset.get("PerFrameFunctionalGroupsSequence") or [])[number : number + 1],
        *(dataset.get("SharedFunctionalGroupsSequence") or []),
    ]
    sources = [
        source
        for group in groups
        for derivation in group.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    ]
    return _Frame(
        number,
        int(identified.ReferencedSegmentNumber),
        frozenset(
            (str(source.ReferencedSOPInstanceUID), frame)
            for source in sources
            for frame in _frame_numbers(source)
        ),
        _plane(dataset, number),
    )


def _frame_numbers(source: "Dataset") -> Sequence[int | None]:
    """The frames of an image that an item refers to (0008,1160), counted from 0; None for all."""
    numbers = source.get("ReferencedFrameNumber")
    if numbers is None or numbers == "":
        return [None]
    return [int(number) - 1 for number in np.atleast_1d(numbers)]


def _read_image(path: Path, frame: int) -> tuple[str, _Plane]:
    with quiet_pydicom, open_regular(path) as file:
        header = attempt(path, "header", HeaderError, read_header, path, file, _TAGS)
        return str(header.dataset.get("SOPInstanceUID") or ""), _plane(header.dataset, frame)


def _plane(dataset: "Dataset", frame: int) -> _Plane:
    return _Plane(geometry.orientation(dataset, frame), geometry.position(dataset, frame))
