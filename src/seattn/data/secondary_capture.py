"""A picture as a Secondary Capture Image (DICOM PS3.3 A.8.1), marked as derived, for a PACS."""

import io
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seattn.data.arguments import check_whole
from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.errors import DicomError, HeaderError
from seattn.data.header import burned_in, open_regular
from seattn.data.limits import DicomLimits
from seattn.data.parse import parse
from seattn.data.terms import term

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["NOT_FOR_DIAGNOSIS", "write_secondary_capture"]

_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
_PATIENT = (  # C.7.1.1
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
)
_STUDY = (  # C.7.2.1
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_NEEDED_IF_EMPTY = (  # of type 2: present, and empty where nothing is known
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_LOSSY = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_OTHER = ("BurnedInAnnotation", "Laterality", "NumberOfFrames")
NOT_FOR_DIAGNOSIS = ", not for diagnosis"
_LONGEST = 64 - len(NOT_FOR_DIAGNOSIS)  # characters of a Series Description (PS3.5 section 6.2, LO)


def write_secondary_capture(
    path: str | os.PathLike[str],
    pixels: NDArray[np.uint8] | Tensor,
    *,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    frame: int | None = None,
    description: str = "Grad-CAM overlay",
    burned_in_annotation: bool | None = None,
    series_instance_uid: str | None = None,
    instance_number: int = 1,
    overwrite: bool = False,
) -> None:
    """Write a picture, such as one of ``overlay``, as a DICOM file that viewers show as it is.

    It is a Secondary Capture Image (PS3.3 section A.8.1; C.8.6.1, C.8.6.2): RGB, not compressed,
    with (0008,0008) *Image Type* DERIVED and SECONDARY, and "not for diagnosis" in (0008,2111)
    *Derivation Description*, in (0008,103E) *Series Description* and in (0020,4000) *Image
    Comments*. Its (0008,0060) *Modality* is OT: it is not an image of the scanner, and
    ``DicomIndex.scan`` passes over it.

    Args:
        path: The file to write.
        pixels: RGB, uint8, (H, W, 3).
        source: The DICOM file that the picture was made from, or the files, of one study. The new
            file then belongs to the same patient and study, and **names the patient** as the source
            does: name, id, birth date, sex, accession number, referring physician. Nothing else
            of the library carries these. The source is referenced (C.12.4) and not changed.
            Without it the file names nobody, in a study of its own.
        frame: The frame of the source, counted from 0; by default the reference is to all.
        description: What the picture is; at most 45 characters.
        burned_in_annotation: Whether text in the picture tells who the patient is; by default
            what the source says.
        series_instance_uid: The series that the file belongs to, a new one by default.
            ``pydicom.uid.generate_uid()`` makes one for several files.
        instance_number: The number of the file in its series.
        overwrite: Whether to replace a file that is there, which is never a source.

    Raises:
        DicomError: A source cannot be read, lacks an identifier, or is of another study than the
            first.
        FileExistsError: There is a file at ``path``, and ``overwrite`` is False.
        TypeError: ``pixels`` is not uint8, or ``burned_in_annotation`` neither a bool nor None.
        ValueError: Another argument is not possible.

    Examples:
        >>> import torch
        >>> from seattn.data import read_dicom, write_secondary_capture
        >>> from seattn.explain import overlay
        >>> picture = overlay(torch.rand(1, 64, 80), torch.rand(64, 80))
        >>> write_secondary_capture("overlay.dcm", picture)
        >>> read_dicom("overlay.dcm", units="stored").pixels.shape
        torch.Size([3, 64, 80])
    """
    target = Path(path)
    values = _check_pixels(pixels)
    _check_description(description)
    check_whole("instance_number", instance_number, least=0)
    if not isinstance(burned_in_annotation, bool | None):
        raise TypeError(
            f"`burned_in_annotation` (={burned_in_annotation!r}) must be True, False, or None for "
            "what the source says."
        )
    if source is None:
        sources = []
    else:
        sources = [source] if isinstance(source, str | os.PathLike) else list(source)
        if not sources:
            raise ValueError("`source` is an empty list; pass None for a picture of no patient.")
    if frame is not None and len(sources) != 1:
        raise ValueError(f"`frame` (={frame}) belongs to one source, and there are {len(sources)}.")
    with quiet_pydicom:
        headers = [attempt(each, "source", HeaderError, _read_source, each) for each in sources]
        for each, header in zip(sources, headers, strict=True):
            _check_source(each, header, headers[0], frame)
        if target.exists():
            if any(target.samefile(each) for each in sources):
                raise ValueError("`path` is a source, which is never replaced; choose another.")
            if not overwrite:
                raise FileExistsError(f"{target} is there already; `overwrite=True` replaces it.")
        ds = attempt(target, "write", DicomError, _describe, headers, frame)
        if burned_in_annotation is not None:
            ds.BurnedInAnnotation = "YES" if burned_in_annotation else "NO"
        _set_series(ds, description, series_instance_uid, instance_number)
        _set_pixels(ds, values)
        content = io.BytesIO()
        attempt(target, "write", DicomError, _save, ds, content)
    target.write_bytes(content.getvalue())


def _check_pixels(pixels: NDArray[np.uint8] | Tensor) -> NDArray[np.uint8]:
    values = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else np.asarray(pixels)
    if values.dtype != np.uint8:
        raise TypeError(f"`pixels` ({values.dtype}) must be uint8.")
    if values.ndim != 3 or values.shape[2] != 3 or not all(0 < n < 2**16 for n in values.shape):
        raise ValueError(f"`pixels` (shape {values.shape}) must be (H, W, 3), at most 65535 long.")
    return values


def _check_description(description: str) -> None:
    if not 1 <= len(description) <= _LONGEST or not description.isprintable():
        raise ValueError(
            f"`description` (={description!r}) must be 1 to {_LONGEST} characters in one line."
        )
    if "\\" in description:
        raise ValueError(f"`description` (={description!r}) must be without a backslash.")


def _read_source(path: str | os.PathLike[str]) -> "Dataset":
    """Read what the new file needs, as text whose character set does not matter any more."""
    tags = (*_REQUIRED, *_PATIENT, *_STUDY, *_LOSSY, *_OTHER)
    with open_regular(Path(path), path) as file:
        header, _ = parse(path, file, tags, force=False, limits=DicomLimits())
        header.decode()
    header.NumberOfFrames = int(header.get("NumberOfFrames") or 1)
    return header


def _check_source(
    path: str | os.PathLike[str], header: "Dataset", first: "Dataset", frame: int | None
) -> None:
    for keyword in _REQUIRED:
        if not header.get(keyword):
            raise HeaderError(path, "source", f"no {keyword}")
    if any(header.get(each) != first.get(each) for each in ("StudyInstanceUID", "PatientID")):
        raise HeaderError(path, "source", "of another study or patient than the first source")
    if frame is not None and not 0 <= frame < header.NumberOfFrames:
        raise ValueError(
            f"`frame` (={frame}) must be in 0..{header.NumberOfFrames - 1}, the frames of `source`."
        )


def _describe(headers: Sequence["Dataset"], frame: int | None) -> "Dataset":
    """Say whose image it is and what it was made of: C.7.1.1, C.7.2.1, C.12.4, C.7.6.1."""
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    if headers:
        for keyword in (*_PATIENT, *_STUDY):
            if keyword in headers[0]:
                ds[keyword] = headers[0][keyword]
        ds.SourceImageSequence = [_reference(header, frame) for header in headers]
    else:
        ds.PatientName = ds.PatientID = "ANONYMOUS"
        ds.StudyInstanceUID = generate_uid()
    for keyword in _NEEDED_IF_EMPTY:
        if keyword not in ds:
            setattr(ds, keyword, "")
    sides = {term(header, "Laterality", frozenset("LR")) for header in headers}
    ds.Laterality = sides.pop() if len(sides) == 1 else None
    said = [burned_in(header) for header in headers]
    if True in said:
        ds.BurnedInAnnotation = "YES"
    elif said and None not in said:
        ds.BurnedInAnnotation = "NO"
    # C.7.6.1.1.5: what was lossy once stays so.
    lossy = [header for header in headers if header.get("LossyImageCompression") == "01"]
    for keyword in _LOSSY if lossy else ():
        if keyword in lossy[0]:
            ds[keyword] = lossy[0][keyword]
    if headers and all(header.get("LossyImageCompression") == "00" for header in headers):
        ds.LossyImageCompression = "00"
    return ds


def _reference(header: "Dataset", frame: int | None) -> "Dataset":
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if frame is not None and header.NumberOfFrames > 1:
        item.ReferencedFrameNumber = frame + 1  # the standard counts from 1
    return item


def _set_series(ds: "Dataset", description: str, series: str | None, number: int) -> None:
    """Say what the image is: C.7.3.1, C.8.6.1, C.7.6.1, C.8.6.2, C.12.1."""
    from pydicom.uid import UID, SecondaryCaptureImageStorage, generate_uid

    if series is not None and not UID(series).is_valid:
        raise ValueError(f"`series_instance_uid` (={series!r}) must be a UID; see `generate_uid`.")
    now = datetime.now()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.Modality = "OT"
    ds.SeriesInstanceUID = series or generate_uid()
    ds.SeriesNumber = None
    ds.SeriesDescription = ds.DerivationDescription = description + NOT_FOR_DIAGNOSIS
    ds.ConversionType = "WSD"
    ds.SecondaryCaptureDeviceManufacturer = "seattn"
    ds.InstanceNumber = int(number)
    ds.PatientOrientation = None
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ImageComments = "DERIVED IMAGE - NOT FOR DIAGNOSTIC USE"
    ds.DateOfSecondaryCapture = now.strftime("%Y%m%d")
    ds.TimeOfSecondaryCapture = now.strftime("%H%M%S")


def _set_pixels(ds: "Dataset", values: NDArray[np.uint8]) -> None:
    """C.7.6.3, in colour by pixel."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = values.shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = values.tobytes()  # pydicom makes the length even
    ds["PixelData"].VR = "OB"


def _save(ds: "Dataset", content: io.BytesIO) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds.save_as(content, enforce_file_format=True)
