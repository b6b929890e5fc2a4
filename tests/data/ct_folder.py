"""A small folder of CT files with masks and labels, for the tests of the cache and the dataset."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from seattn.data.index import DicomIndex

SHAPE = (40, 30)
WINDOW = (400.0, 1800.0)


def write_ct(path: Path, *, seed: int, patient: str, colour: bool = False) -> None:
    """Write a CT image: air, soft tissue, a bone with marrow, and noise; or random colours."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(y - 20, x - 15)
    hu = np.select([radius < 4, radius < 8, radius < 14], [-50, 900, 60], -1000)
    stored = (hu + 1024 + chance.integers(-20, 20, SHAPE)).astype("<i2")
    if colour:
        stored = chance.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path), str(seed)])
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.PatientID = patient
    dataset.PatientName = "Marker^Name"
    dataset.Rows, dataset.Columns = SHAPE
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 if colour else 16
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(not colour)
    if colour:
        dataset.PlanarConfiguration = 0
    else:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.RescaleType = "HU"
    dataset.PixelData = stored.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def make_ct_folder(root: Path, *, patients: int = 4, images: int = 2) -> DicomIndex:
    """Write ``patients`` x ``images`` files with labels; the first image of each has a mask."""
    lines = ["path,label,mask"]
    for i in range(patients):
        for j in range(images):
            name = f"patient {i}/{j}.dcm"
            write_ct(root / name, seed=images * i + j, patient=f"MARKER-{i}")
            mask = ""
            if j == 0:
                mask = f"masks/{i}.npy"
                pixels = np.zeros(SHAPE, dtype=np.uint8)
                pixels[10 + i : 14 + i, 9:12] = 7
                (root / "masks").mkdir(exist_ok=True)
                np.save(root / mask, pixels)
            lines.append(f"{name},{('normal', 'fracture')[i % 2]},{mask}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return scan(root)


def scan(root: Path) -> DicomIndex:
    """Index the folder as it is now."""
    index = DicomIndex.scan(root, key="a key of the tests", progress=False)
    return index.with_labels(root / "labels.csv", classes=("normal", "fracture"))


def only(index: DicomIndex, position: int, **changes: object) -> DicomIndex:
    """An index of one of the rows, with some of its fields changed."""
    row = replace(index.rows[position], **changes)
    return replace(index, rows=(row,))
