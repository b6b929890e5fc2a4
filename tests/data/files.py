"""Small DICOM files for the tests of `seattn.data`."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}


def items(*groups: dict[str, Any]) -> Sequence:
    """A sequence of one item per group of elements."""
    return Sequence([dataset(**group) for group in groups])


def dataset(**elements: Any) -> Dataset:
    out = Dataset()
    for keyword, value in elements.items():
        if value is not None:
            out.add(element(keyword, value))
    return out


def element(keyword: str, value: Any) -> DataElement:
    """An element; text where a number should be is written as it stands."""
    texts = value if isinstance(value, list) else [value]
    malformed = dictionary_VR(keyword) in ("DS", "IS") and any(isinstance(x, str) for x in texts)
    return DataElement(keyword, dictionary_VR(keyword), value, already_converted=malformed)


def write_dicom(
    path: Path,
    stored: np.ndarray,
    *,
    bits: int | None = None,
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> Path:
    """Write (H, W), (F, H, W) or, for RGB, (H, W, 3) values; None leaves an element out."""
    colour = elements.get("PhotometricInterpretation") == "RGB"
    rows, columns = stored.shape[:2] if colour else stored.shape[-2:]
    frames = stored.shape[0] if stored.ndim == 3 and not colour else None
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "PatientID": "P1",
        "Modality": "CT",
        "Rows": rows,
        "Columns": columns,
        "NumberOfFrames": frames,
        "SamplesPerPixel": 3 if colour else 1,
        "PlanarConfiguration": 0 if colour else None,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": stored.itemsize * 8,
        "BitsStored": bits or stored.itemsize * 8,
        "HighBit": (bits or stored.itemsize * 8) - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "WindowCenter": 40,
        "WindowWidth": 400,
    }
    with disable_value_validation():
        ds = dataset(**(defaults | elements))
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax
        ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        big = ds.file_meta.TransferSyntaxUID.is_little_endian is False
        ds.PixelData = stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
        if len(ds.PixelData) % 2:
            ds.PixelData += b"\0"
        ds["PixelData"].VR = "OB" if stored.itemsize == 1 else "OW"
        ds.save_as(path, enforce_file_format=True)
    return path
