"""How much one file may ask for; checked before the memory is allocated."""

from dataclasses import dataclass

__all__ = ["DicomLimits"]


@dataclass(frozen=True)
class DicomLimits:
    """What one file may cost; beyond it a file is refused with ``LimitError``.

    Two bounds hold whatever the limits are, against files that are small and grow without end:
    deflated data may not exceed both 32 MiB and 200 times what was inflated, and one frame may not
    exceed both 32 MiB and 200 times its encoded bytes (32 times for RLE).

    Attributes:
        samples: Rows x columns x samples of the frames that are decoded at once.
        file_bytes: Size of the file.
        inflated_bytes: Size of a file of the deflated transfer syntax once inflated.

    Raises:
        ValueError: A limit is no whole number, or below 1.

    Examples:
        >>> from seattn.data import DicomLimits, LimitError, read_dicom
        >>> from pydicom.data import get_testdata_file
        >>> try:
        ...     read_dicom(get_testdata_file("CT_small.dcm"), limits=DicomLimits(samples=100))
        ... except LimitError as error:
        ...     print(error.reason)
        16,384 samples to decode, more than the limit of 100
    """

    samples: int = 2**28
    file_bytes: int = 2**32
    inflated_bytes: int = 2**30

    def __post_init__(self) -> None:  # noqa: D105
        for name, value in vars(self).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` (={value!r}) must be an int, 1 or more.")
