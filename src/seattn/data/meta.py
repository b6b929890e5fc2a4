"""The facts of a header about an image, and none of those about a patient."""

from dataclasses import dataclass

from seattn.data import geometry
from seattn.data.header import Header, burned_in, functional_group, numbers
from seattn.data.picture import Picture
from seattn.data.terms import (
    IMAGE_LATERALITIES,
    MODALITIES,
    RESCALE_TYPES,
    term,
)

__all__ = ["DicomMeta", "describe"]


@dataclass(frozen=True)
class DicomMeta:
    """What a header says about the image, and nothing it says about the patient.

    Texts are terms of the standard; a file that says anything else counts as one that says nothing.

    Attributes:
        modality: (0008,0060), such as "CT" or "DX".
        units: What modality values measure, "HU" for a CT; None if the file does not say.
        photometric_interpretation: (0028,0004), such as "MONOCHROME2".
        rows: Height in pixels.
        columns: Width in pixels.
        frames: Number of frames in the file.
        spacing: Distance in mm between the centres of (rows, columns), None if not known.
        spacing_source: The keyword of the element that gave ``spacing``. "ImagerPixelSpacing" is
            measured at the detector, where the body appears magnified.
        orientation: Direction cosines of a row and of a column in the patient, 6 numbers.
        position: x, y, z in mm of the centre of the first pixel.
        view: "axial", "coronal" or "sagittal"; "oblique" if more than 26 degrees off all three. Of
            a radiograph, which has no orientation, (0018,5101), such as "AP" or "LL"; else
            "unknown".
        window: The (center, width) in use, None if none or a VOI LUT was.
        transfer_syntax: The name of the transfer syntax.
        bits_stored: (0028,0101), the significant bits of a stored value.
        burned_in: (0028,0301), whether text is part of the picture; None if the file does not say.
        applied: What was done to the stored values, in order; of "padding", "rescale",
            "modality LUT", "palette", "VOI LUT", "window LINEAR", "window LINEAR_EXACT",
            "window SIGMOID", "window fixed", "full range", "minmax", "percentile", "inverted".
        voi: Which of the file's windows or VOI LUTs is in use, counted from 0; None for none.
        slice_position: Distance in mm from the origin along the normal, by which slices are in
            order; None without a position.
        laterality: "R", "L", "U" (unpaired) or "B" (both), None if the file does not say.

    Examples:
        >>> from pydicom.data import get_testdata_file
        >>> from seattn.data import read_dicom
        >>> meta = read_dicom(get_testdata_file("CT_small.dcm"), window=(40, 400)).meta
        >>> meta.modality, meta.view, meta.spacing, meta.window
        ('CT', 'axial', (0.661468, 0.661468), (40.0, 400.0))
        >>> meta.applied  # the modality LUT is a slope and an intercept in this file
        ('padding', 'rescale', 'window fixed')
    """

    modality: str | None
    units: str | None
    photometric_interpretation: str
    rows: int
    columns: int
    frames: int
    spacing: tuple[float, float] | None
    spacing_source: str | None
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    view: str
    window: tuple[float, float] | None
    transfer_syntax: str
    bits_stored: int
    burned_in: bool | None
    applied: tuple[str, ...] = ()
    voi: int | None = None
    slice_position: float | None = None
    laterality: str | None = None


def describe(header: Header, frame: int, picture: Picture) -> DicomMeta:
    """Collect what there is to know of one frame, and of what was made of it."""
    dataset = header.dataset
    spacing, spacing_source = geometry.spacing(dataset, frame)
    orientation = geometry.orientation(dataset, frame)
    position = geometry.position(dataset, frame)
    return DicomMeta(
        modality=term(dataset, "Modality", MODALITIES),
        units=_units(header, frame),
        photometric_interpretation=header.photometric_interpretation,
        rows=header.rows,
        columns=header.columns,
        frames=header.frames,
        spacing=spacing,
        spacing_source=spacing_source,
        orientation=orientation,
        position=position,
        view=geometry.image_view(dataset, orientation),
        window=picture.window,
        transfer_syntax=header.syntax.name,
        bits_stored=header.bits_stored,
        burned_in=burned_in(dataset),
        applied=picture.applied,
        voi=picture.voi,
        slice_position=geometry.slice_position(orientation, position),
        laterality=_laterality(header, frame),
    )


def _units(header: Header, frame: int) -> str | None:
    """What modality values measure; in a CT without another word it is HU (C.8.2.1.1.2)."""
    dataset = header.dataset
    if tables := dataset.get("ModalityLUTSequence"):
        return term(tables[0], "ModalityLUTType", RESCALE_TYPES)
    rescale = functional_group(dataset, frame, "PixelValueTransformationSequence")
    if not numbers(rescale, "RescaleSlope"):
        return None
    if rescale.get("RescaleType"):
        return term(rescale, "RescaleType", RESCALE_TYPES)
    localizer = "LOCALIZER" in (dataset.get("ImageType") or ())
    return "HU" if dataset.get("Modality") == "CT" and not localizer else None


def _laterality(header: Header, frame: int) -> str | None:
    """(0020,9072) of a frame, (0020,0062) of an image, or (0020,0060) of a series."""
    anatomy = functional_group(header.dataset, frame, "FrameAnatomySequence")
    for dataset, keyword in (
        (anatomy, "FrameLaterality"),
        (header.dataset, "ImageLaterality"),
        (header.dataset, "Laterality"),
    ):
        if side := term(dataset, keyword, IMAGE_LATERALITIES):
            return side
    return None
