"""Synthetic CT files, written with pydicom alone, and the answers a reader must give for a file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

__all__ = ["SYNTAXES", "WINDOW", "Answers", "answers", "comparable", "write_ct", "write_folder"]

SYNTAXES = {
    "uncompressed": ExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG-LS": JPEGLSLossless,
    "deflated": DeflatedExplicitVRLittleEndian,
}
WINDOW = (400.0, 1800.0)
"""Center and width of a bone window, in HU."""

_INTERCEPT = -1024


@dataclass(frozen=True)
class Answers:
    """What is in a file, computed here with numpy from what pydicom decodes.

    Attributes:
        stored: The stored values, int64 (H, W).
        modality: Stored values times slope plus intercept, float64.
        window: ``WINDOW`` applied to them, 0..1, as PS3.3 section C.11.2.1.2.1 says.
        counts: Which pixels are compared: padding is not, since readers differ there by intent.
        full_scale: The largest number of ``BitsStored`` bits.
    """

    stored: NDArray[np.int64]
    modality: NDArray[np.float64]
    window: NDArray[np.float64]
    counts: NDArray[np.bool_]
    full_scale: int


def answers(path: Path) -> Answers:
    """Decode a file once, the plain way."""
    dataset = dcmread(path)
    stored = dataset.pixel_array.astype(np.int64)
    slope, intercept = (
        float(dataset.get(keyword, default))
        for keyword, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    modality = (slope * stored + intercept).astype(np.float64)
    center, width = WINDOW
    return Answers(
        stored=stored,
        modality=modality,
        window=np.clip((modality - (center - 0.5)) / (width - 1) + 0.5, 0, 1),
        counts=stored != dataset.get("PixelPaddingValue", 2**31),
        full_scale=2**dataset.BitsStored - 1,
    )


def comparable(folder: Path) -> list[Path]:
    """Files of which all readers speak alike: one frame, MONOCHROME2, at most a linear rescale."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote the header
            try:
                dataset = dcmread(path, stop_before_pixels=True)
                plain = (
                    dataset.PhotometricInterpretation == "MONOCHROME2"
                    and int(dataset.get("NumberOfFrames") or 1) == 1
                    and "PixelPaddingRangeLimit" not in dataset
                    and "ModalityLUTSequence" not in dataset
                    and "SharedFunctionalGroupsSequence" not in dataset
                    and dataset.get("PresentationLUTShape", "IDENTITY") == "IDENTITY"
                    and dcmread(path).pixel_array.ndim == 2
                )
            except Exception:  # noqa: BLE001 - what pydicom cannot read is not compared
                continue
        if plain:
            found.append(path)
    return found


def write_folder(folder: Path, *, images: int, size: int, syntax: str) -> list[Path]:
    """Write a folder of different images."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    paths = [folder / f"{number:05}.dcm" for number in range(images)]
    for path in paths:
        write_ct(path, _body(size, chance), syntax=syntax)
    return paths


def write_ct(path: Path, hu: NDArray[np.int16], *, syntax: str) -> None:
    """Write Hounsfield units as int16, below a header as long as that of a CT scanner."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    plain = syntax in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    ds.file_meta.TransferSyntaxUID = UID(syntax) if plain else ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20000101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000.000000"
    ds.AccessionNumber = ds.StudyID = "1"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "SYNTHETIC", "BENCHMARK"
    ds.InstitutionName = ds.StationName = ds.ReferringPhysicianName = "SYNTHETIC"
    ds.StudyDescription = ds.SeriesDescription = ds.ProtocolName = "SYNTHETIC"
    ds.PatientName, ds.PatientID = "SYNTHETIC^BENCHMARK", "BENCHMARK"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19500101", "O", "050Y"
    ds.BodyPartExamined, ds.PatientPosition = "ANKLE", "FFS"
    ds.ScanOptions, ds.FilterType, ds.ConvolutionKernel = "HELICAL", "0", "B60s"
    ds.SliceThickness, ds.KVP, ds.DataCollectionDiameter = 1.0, 120, 500
    ds.SoftwareVersions = "1"
    ds.ReconstructionDiameter, ds.GantryDetectorTilt, ds.TableHeight = 250, 0, 150
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = 1000, 500
    ds.RotationDirection, ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = "CW", 1000, 200, 200
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = (
        generate_uid(entropy_srcs=["seattn benchmark", part])
        for part in ("study", "series", "frame")
    )
    ds.SeriesNumber = ds.AcquisitionNumber = ds.InstanceNumber = 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-125, -125, 10], [1, 0, 0, 0, 1, 0]
    ds.PositionReferenceIndicator, ds.SliceLocation = "", 10
    ds.PixelSpacing = [0.488281, 0.488281]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.WindowCenter, ds.WindowWidth = WINDOW
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _INTERCEPT, 1, "HU"
    ds.PixelData = (hu - _INTERCEPT).astype("<i2").tobytes()
    ds["PixelData"].VR = "OW"
    if not plain:
        ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)


def _body(size: int, chance: np.random.Generator) -> NDArray[np.int16]:
    """Soft tissue with bones and marrow in air, with a scanner's noise: HU (size, size)."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    hu = np.where(np.hypot(x, y / 0.8) < chance.uniform(0.6, 0.9), 50.0, -1000.0)
    for _ in range(3):
        center_x, center_y, radius = *chance.uniform(-0.3, 0.3, 2), chance.uniform(0.1, 0.25)
        distance = np.hypot(x - center_x, y - center_y) / radius
        hu = np.select([distance < 0.7, distance < 1], [-50.0, 1100.0], hu)
    return np.clip(hu + chance.normal(0, 18, hu.shape), _INTERCEPT, 3071).astype(np.int16)
