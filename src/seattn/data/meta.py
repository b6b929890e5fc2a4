"""The facts of a header about an image, and none of those about a patient."""

from dataclasses import dataclass

from seattn.data import geometry
from seattn.data.header import Header, burned_in, functional_group

__all__ = ["DicomMeta", "describe"]

_KNOWN_UNITS = ("HU", "HU_MOD", "OD", "PCT", "MGML", "Z_EFF", "ED", "EDW")


@dataclass(frozen=True)
class DicomMeta:
    """What a header says about the image, and nothing it says about the patient.

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
        view: "axial", "coronal" or "sagittal"; "oblique" if more than 26 degrees off all three;
            "unknown" without an orientation.
        window: The (center, width) in use, None if none or a VOI LUT was.
        transfer_syntax: The name of the transfer syntax.
        bits_stored: (0028,0101), the significant bits of a stored value.
        burned_in: (0028,0301), whether text is part of the picture; None if the file does not say.
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


def describe(header: Header, frame: int, window: tuple[float, float] | None) -> DicomMeta:
    """Collect what there is to know of one frame; ``window`` is the one in use."""
    dataset = header.dataset
    spacing, spacing_source = geometry.spacing(dataset, frame)
    orientation = geometry.orientation(dataset, frame)
    return DicomMeta(
        modality=dataset.get("Modality") or None,
        units=_units(header, frame),
        photometric_interpretation=header.photometric_interpretation,
        rows=header.rows,
        columns=header.columns,
        frames=header.frames,
        spacing=spacing,
        spacing_source=spacing_source,
        orientation=orientation,
        position=geometry.position(dataset, frame),
        view=geometry.view(orientation),
        window=window,
        transfer_syntax=dataset.file_meta.TransferSyntaxUID.name,
        bits_stored=header.bits_stored,
        burned_in=burned_in(dataset),
    )


def _units(header: Header, frame: int) -> str | None:
    """What modality values measure; in a CT without another word it is HU (C.8.2.1.1.2)."""
    rescale = functional_group(header.dataset, frame, "PixelValueTransformationSequence")
    declared = rescale.get("RescaleType")
    if not declared and header.dataset.get("Modality") == "CT" and "RescaleSlope" in rescale:
        return "HU"
    return declared if declared in _KNOWN_UNITS else None
