"""A slice of the phantom as a CT Image Storage object (DICOM PS3.3 A.3), marked synthetic."""

from collections.abc import Sequence
from pathlib import Path

from seattn.data.phantom.plane import VIEWS
from seattn.data.phantom.render import AnkleSlice

__all__ = ["write_ct"]

_INTERCEPT = -1024


def write_ct(
    path: Path, image: AnkleSlice, *, patient_id: str, view: str, identity: Sequence[object]
) -> None:
    """Write one slice; nothing in the header tells the label.

    Elements of type 2 that a phantom cannot know (KVP, slice thickness) are present and empty.

    Args:
        path: The file to write.
        image: Pixels and plane.
        patient_id: (0010,0020) *Patient ID*.
        view: Name of the view; one series each.
        identity: All that the patient's pixels depend on; UIDs are derived from it.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
    from pydicom.valuerep import format_number_as_ds

    def uid(*what: str) -> str:
        return generate_uid(entropy_srcs=["seattn ankle phantom", *map(str, identity), *what])

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = uid("image", view)
    # Patient, study, series: C.7.1.1, C.7.2.1, C.7.3.1
    ds.PatientName = f"SYNTHETIC^{patient_id}"
    ds.PatientID = patient_id
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.StudyInstanceUID = uid("study")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20000101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.StudyID = patient_id
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyDescription = "SYNTHETIC ankle phantom"
    ds.Modality = "CT"
    ds.SeriesInstanceUID = uid("series", view)
    ds.SeriesNumber = 1 + list(VIEWS).index(view)
    ds.SeriesDescription = f"SYNTHETIC {view}"
    ds.Laterality = "L" if image.ankle.left else "R"
    ds.BodyPartExamined = "ANKLE"
    ds.PatientPosition = "FFS"
    ds.Manufacturer = "seattn synthetic phantom"
    # Frame of reference and plane: C.7.4.1, C.7.6.2; all views of a patient share the frame
    ds.FrameOfReferenceUID = uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.PixelSpacing = [format_number_as_ds(image.plane.spacing)] * 2
    ds.ImageOrientationPatient = [int(v) for v in (*image.plane.right, *image.plane.down)]
    ds.ImagePositionPatient = [format_number_as_ds(round(float(v), 4)) for v in image.plane.origin]
    ds.SliceThickness = None
    # Image and pixels: C.7.6.1, C.7.6.3, C.8.2.1, C.11.2
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if view == "axial" else "REFORMATTED"]
    ds.DerivationDescription = "Computed from a mathematical phantom; no patient was imaged"
    ds.ImageComments = "SYNTHETIC IMAGE - NOT FOR DIAGNOSTIC USE"
    ds.BurnedInAnnotation = "NO"
    ds.AcquisitionNumber = None
    ds.InstanceNumber = 1
    ds.KVP = None
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = image.hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth, ds.WindowCenterWidthExplanation = 400, 1800, "BONE"
    ds.PixelData = (image.hu - _INTERCEPT).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
