"""Writes the leg radiographs of FracAtlas as a folder of DICOM files that the study reads.

FracAtlas: Abedeen et al., Scientific Data 10, 521, 2023, doi 10.1038/s41597-023-02432-4, CC BY 4.0.
The set publishes JPEG files, and neither patients nor pixel spacings nor sides. A Digital X-Ray
Image (PS3.3 A.26) has to state Imager Pixel Spacing, Image Laterality and Pixel Intensity
Relationship, which would have to be invented. So the files are Secondary Capture Images (PS3.3
A.8.1), made for images that come from outside DICOM, with the modality of their source, DX.

    python -m examples.fracatlas_to_dicom --data FRACATLAS --out FOLDER [--without-implants]
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["COPIES", "convert"]

# Each shows the exposure of an image of another part again (2792, 2793, 2783, 4383); the one in
# training goes.
COPIES = frozenset({4148, 4149, 4155, 4036})
BOX = ("path", "x0", "y0", "x1", "y1")
VIEWS = ("frontal", "lateral", "oblique")
COMMENT = (
    "FracAtlas publishes no patients: the Patient ID names a block of 8 consecutive file numbers, "
    "which may hold several patients, and a patient may be in two blocks."
)
README = f"""\
Radiographs of FracAtlas (Abedeen et al., Scientific Data 10, 521, 2023,
doi 10.1038/s41597-023-02432-4), licence CC BY 4.0, here as DICOM Secondary Capture Images.
Changed: the container; sizes as in the folder they were made from; some images are left out.
{COMMENT}
"""


def convert(data: Path, out: Path, *, without_implants: bool = False) -> Counter[str]:
    """Write images, masks, boxes.csv and labels.csv, as ``DicomIndex.with_labels`` reads it.

    Args:
        data: Folder with labels.csv, boxes.csv, images and masks.
        out: A new or empty folder.
        without_implants: Leave out images with ``hardware`` 1: nearly all of them are fractured, so
            that a network may look for metal instead.

    Returns:
        How many images were written and left out, and why.

    Raises:
        ValueError: ``out`` is in use, ``data`` is not such a folder, or an image is not grey.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"`out` (='{out}') must be new or empty: nothing is overwritten.")
    if not (data / "labels.csv").is_file():
        raise ValueError(f"`data` (='{data}') holds no labels.csv; give the folder of the set.")
    counts: Counter[str] = Counter()
    rows, names = [], {}
    for entry in _read(data / "labels.csv"):
        stem = Path(entry["path"]).stem
        if int(stem.removeprefix("IMG")) in COPIES:
            counts["copies of an image in another part, left out"] += 1
            continue
        if without_implants and entry["hardware"] == "1":
            counts["with implants, left out"] += 1
            continue
        counts[f"{entry['split']}: {entry['class']}"] += 1
        names[entry["path"]] = path = f"images/{stem}.dcm"
        patient = f"FRAC-{entry['group']}"
        _write(out / path, _grey(data / entry["path"]), stem, patient)
        if entry["mask"]:
            (out / "masks").mkdir(exist_ok=True)
            shutil.copyfile(data / entry["mask"], out / "masks" / f"{stem}.png")
        rows.append(
            {
                "path": path,
                "label": entry["label"],
                "class": entry["class"],
                "patient": patient,
                "mask": f"masks/{stem}.png" if entry["mask"] else "",
                "split": entry["split"],
                "view": "+".join(view for view in VIEWS if entry[f"view_{view}"] == "1"),
                "region": entry["region"],
                "hardware": entry["hardware"],
            }
        )
    if not rows:
        raise ValueError(f"`data` (='{data}') has no image that would be kept.")
    _save(out / "labels.csv", list(rows[0]), rows)
    boxes = [box for box in _read(data / "boxes.csv") if box["path"] in names]
    _save(out / "boxes.csv", BOX, [box | {"path": names[box["path"]]} for box in boxes])
    (out / "README.txt").write_text(README, encoding="utf-8")
    return counts


def _grey(path: Path) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        if picture.mode != "L":
            raise ValueError(f"{path} has the mode {picture.mode}; an 8-bit grey image is needed.")
        return np.array(picture)


def _write(path: Path, pixels: NDArray[np.uint8], name: str, patient: str) -> None:
    """Write one Secondary Capture Image; nothing in its header tells the label or the part."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    def uid(what: str) -> str:
        return generate_uid(entropy_srcs=["seattn fracatlas", name, what])

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, uid("image")
    # Patient, study, series: C.7.1.1, C.7.2.1, C.7.3.1; what nobody knows is empty
    ds.PatientName, ds.PatientID = f"FRACATLAS^{patient}", patient
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientComments = COMMENT
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Published without identifiers by FracAtlas"
    ds.StudyInstanceUID, ds.StudyID = uid("study"), name
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyDescription = "FracAtlas, doi 10.1038/s41597-023-02432-4, CC BY 4.0"
    ds.Modality, ds.SeriesInstanceUID, ds.SeriesNumber = "DX", uid("series"), 1
    ds.Laterality, ds.BodyPartExamined = "", "LEG"
    # Image, equipment, pixels: C.7.6.1, C.8.6.1, C.7.6.3, C.11.2
    ds.ConversionType = "WSD"
    ds.InstanceNumber, ds.PatientOrientation = 1, None
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = "JPEG file of the set, scaled down"
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.WindowCenter, ds.WindowWidth = 128, 256  # all 256 grey levels, C.11.2.1.2.1
    ds.PixelData = pixels.tobytes()  # pydicom makes the length even
    ds["PixelData"].VR = "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def _read(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _save(table: Path, columns: Sequence[str], rows: list[dict[str, str]]) -> None:
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Convert, and count; or say in one line why not."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.fracatlas_to_dicom",
        description="Write the leg radiographs of FracAtlas as DICOM, with masks, boxes, labels.",
    )
    parser.add_argument("--data", type=Path, required=True, help="the set: labels.csv, images, ...")
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument(
        "--without-implants", action="store_true", help="leave out images that show metal"
    )
    try:
        counts = convert(**vars(parser.parse_args()))
    except (ValueError, KeyError, OSError) as error:
        sys.exit(f"error: {error}")
    print(*(f"{count:5} {what}" for what, count in sorted(counts.items())), sep="\n")


if __name__ == "__main__":
    main()
