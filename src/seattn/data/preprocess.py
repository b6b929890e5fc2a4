"""From one row of an index to what a network sees: read, mask the bones, resize."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from seattn.data import roi
from seattn.data.arguments import check_whole
from seattn.data.dicom import Units, check_choices, check_units, read_image
from seattn.data.errors import DicomError
from seattn.data.index import IndexRow
from seattn.data.last_file import LastFile
from seattn.data.limits import DicomLimits
from seattn.data.mask_file import read_mask

__all__ = ["Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image is read and resized; two equal ones make equal images.

    The order is fixed: values, window, bones, size. To resize first and apply the window then would
    give other images, since a window cuts values off.

    Attributes:
        size: Height and width of the result, in pixels.
        units: As in ``read_dicom``.
        window: As in ``read_dicom``.
        bone_mask: Whether what ``bone_mask`` leaves out becomes 0. For images in 0..1 only.
        segment: Which segment of a mask that is a DICOM segmentation, as in ``read_mask``.
        voi: As in ``read_dicom``.
        force: As in ``read_dicom``.
        limits: As in ``read_dicom``; they decide whether there is an image, not what it is.

    Raises:
        DicomError: In a call, a file cannot be used.
        TypeError: ``limits`` is no ``DicomLimits``.
        ValueError: ``size`` or ``segment`` is not positive, ``units``, ``window`` or ``voi`` is not
            possible, or ``bone_mask`` is asked for where 0 is not black.

    Examples:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from seattn.data import IndexRow
        >>> from seattn.data.preprocess import Preprocessing
        >>> file = Path(get_testdata_file("CT_small.dcm"))
        >>> row = IndexRow(file.name, 0, "p", "", "", "axial", 128, 128, 39206, 0)
        >>> read = Preprocessing(size=(64, 64), window=(400, 1800))
        >>> read(file.parent, row)[0].shape
        torch.Size([1, 64, 64])
    """

    size: tuple[int, int]
    units: Units = "window"
    window: Sequence[float] | None = None
    bone_mask: bool = False
    segment: int | None = None
    voi: int = 0
    force: bool = False
    limits: DicomLimits = field(default_factory=DicomLimits)

    def __post_init__(self) -> None:
        """Check what can be checked without an image."""
        if len(self.size) != 2:
            raise ValueError(f"`size` (={self.size}) must be a height and a width in pixels.")
        for side in self.size:
            check_whole("size", side, least=1)
        if self.segment is not None:
            check_whole("segment", self.segment, least=1)
        check_choices(self.units, self.window, self.voi, self.limits)
        # One spelling for equal settings, since they name a cache.
        object.__setattr__(self, "size", tuple(map(int, self.size)))
        object.__setattr__(self, "window", check_units(self.units, self.window))
        object.__setattr__(self, "force", bool(self.force))
        if self.bone_mask and not self.unit_range:
            raise ValueError(
                "`bone_mask` sets the background to 0, which is not black in "
                f"`units`={self.units!r}; use `units='window'`."
            )

    @property
    def unit_range(self) -> bool:
        """Whether the images lie in 0..1."""
        return self.units in {"window", "minmax", "percentile"}

    def __call__(
        self, root: Path, row: IndexRow, file: LastFile | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the image and the mask of a row.

        Args:
            root: The folder that the paths of the row start from.
            row: A row of an index.
            file: The file that was read last, which is to stay open; None closes it again.

        Returns:
            The image, float32 (C, H, W), resized bilinearly with antialiasing, and the mask, uint8
            (1, H, W), as ``Sample`` describes it. A pixel of the resized mask is set if any part of
            it is annotated, so that no annotation is too small to survive.

        Raises:
            DicomError: The file, or that of its mask, cannot be used; named as in the row.
        """
        image = self._named(root, row, file)
        mask = torch.full((1, *self.size), 255, dtype=torch.uint8)
        if row.mask is not None:
            annotated = read_mask(root, row, shape=image.shape[-2:], segment=self.segment)
            mask = F.adaptive_max_pool2d(annotated[None].float(), self.size).to(torch.uint8)
        size = list(self.size)
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        return image, mask

    def _named(self, root: Path, row: IndexRow, file: LastFile | None) -> torch.Tensor:
        """Read the image; an error names it as the row does."""
        try:
            if file is not None:
                return self._read(file, root / row.path, row.frame)
            with LastFile() as own:
                return self._read(own, root / row.path, row.frame)
        except DicomError as problem:
            error = type(problem)(row.path, problem.stage, problem.reason)
        except ValueError:
            if row.frame == 0:  # every file has it, so it is another argument that is wrong
                raise
            reason = "the file has fewer frames than the index says; index the folder again"
            error = DicomError(row.path, "frame", reason)
        raise error  # out here, it carries no other whose text names the file

    def _read(self, file: LastFile, path: Path, frame: int) -> torch.Tensor:
        read = partial(read_image, file, path, frame=frame, force=self.force, limits=self.limits)
        image = read(units=self.units, window=self.window, voi=self.voi)
        if not self.bone_mask:
            return image.pixels.float()
        hu = read(units="modality")
        if hu.meta.units != "HU":
            raise DicomError(path, "bone mask", "the values are not in Hounsfield units")
        return image.pixels.float() * roi.bone_mask(hu.pixels)
