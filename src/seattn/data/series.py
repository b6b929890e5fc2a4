"""Reads the slices of a series as one volume, in the order in which they lie in the patient."""

import math
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seattn.data.containment import attempt, quiet_pydicom
from seattn.data.dicom import DicomImage, Units, check_units, read_dicom
from seattn.data.errors import DicomError, GeometryError, HeaderError
from seattn.data.file_rows import read_rows
from seattn.data.header import open_regular, read_header
from seattn.data.index import DicomIndex
from seattn.data.limits import DicomLimits
from seattn.data.meta import DicomMeta, describe
from seattn.data.picture import Picture

__all__ = ["DicomVolume", "read_series"]

_ALIKE = 1e-3  # largest difference of direction cosines, and of spacings in mm, that are the same
_STEP = 0.01  # of the distance between slices: largest deviation from even steps
_ROUNDING = 0.01  # mm: what rounding of positions to two decimals does to a distance


@dataclass(frozen=True)
class DicomVolume:
    """A volume, and where it lies in the patient.

    Attributes:
        pixels: float32 (1, D, H, W), or the type of the file for units "stored".
        affine: float64 (4, 4): takes the index (d, h, w, 1) of a voxel to x, y, z in mm of its
            centre, in the patient's axes of DICOM: x to the left, y to the back, z to the head.
        spacing: Distance in mm between the centres of slices, rows and columns.
        slices: For each slice the path of its file and its frame, in the order of the volume.
        meta: What is known about the first slice.

    Examples:
        >>> import pathlib, tempfile
        >>> import pydicom
        >>> from pydicom.data import get_testdata_file
        >>> from seattn.data import read_series
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for k in range(3):  # a series of three slices, 5 mm apart
        ...     file = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        ...     file.ImagePositionPatient = [-40, -40, 5 * k]
        ...     file.SOPInstanceUID += f".{k}"
        ...     file.save_as(folder / f"{2 - k}.dcm")
        >>> volume = read_series(folder)
        >>> volume.pixels.shape, [round(step, 3) for step in volume.spacing]
        (torch.Size([1, 3, 128, 128]), [5.0, 0.661, 0.661])
        >>> volume.slices  # by position, whatever their names
        (('2.dcm', 0), ('1.dcm', 0), ('0.dcm', 0))
        >>> volume.affine[:3, 3]  # of the first voxel, in mm
        tensor([-40., -40.,   0.], dtype=torch.float64)
    """

    pixels: torch.Tensor
    affine: torch.Tensor
    spacing: tuple[float, float, float]
    slices: tuple[tuple[str, int], ...]
    meta: DicomMeta


def read_series(
    source: DicomIndex | str | os.PathLike[str],
    *,
    units: Units = "modality",
    window: Sequence[float] | None = None,
    redact_paths: bool = False,
) -> DicomVolume:
    """Read one series as a volume.

    Slices are put in order by (0020,0032) *Image Position Patient* along the normal of (0020,0037)
    *Image Orientation Patient* (PS3.3 section C.7.6.2.1.1), and never by (0020,0013) *Instance
    Number*, which need not follow it. They must be parallel, of one shape, and evenly spaced along
    a line. That line may be tilted against the normal, as with a tilted gantry: then ``affine``
    holds the shear.

    Args:
        source: The rows of one series, such as one value of ``index.group_by("series")``; or a
            folder that holds one series and nothing else of DICOM, or one file with many frames.
        units: As in ``read_dicom``.
        window: As in ``read_dicom``.
        redact_paths: Whether errors say "row 7", for the position in the index, instead of a path.
            The rows of a folder or a file are those that ``DicomIndex.scan`` would give it.

    Returns:
        The volume, its slices in the order of their positions.

    Raises:
        GeometryError: The slices make no volume; the text names two that do not fit, and how.
        DicomError: A file cannot be used, or has fewer frames than when it was indexed.
        ValueError: ``source`` is no file and no folder, or holds no image or two series or more; or
            as for ``read_dicom``.

    Examples:
        >>> import tempfile, pathlib
        >>> from seattn.data import DicomIndex, read_series
        >>> index = DicomIndex(pathlib.Path(tempfile.mkdtemp()), ())
        >>> read_series(index)
        Traceback (most recent call last):
        ValueError: `source` holds no image.
    """
    window = check_units(units, window)
    index = source if isinstance(source, DicomIndex) else _index_of(Path(source), redact_paths)
    if not index.rows:
        raise ValueError("`source` holds no image.")
    if (series := len({row.series for row in index.rows})) > 1:
        raise ValueError(
            f'`source` holds {series} series; take one of the values of `index.group_by("series")`.'
        )
    slices = [
        _Slice(row.path, row.frame, f"row {i}" if redact_paths else row.path)
        for i, row in enumerate(index.rows)
    ]
    facts = _facts(index.root, slices)
    order, step = _order(slices, facts)
    slices, facts = [slices[i] for i in order], [facts[i] for i in order]
    affine = torch.from_numpy(_affine(facts[0], step))
    first = _read(index.root, slices[0], slices[0].frame, units, window)
    pixels = first.pixels.new_empty(1, len(slices), *first.pixels.shape[1:])
    for depth, image in _images(index.root, slices, facts, units, window):
        if len(image) != 1 or image.dtype != pixels.dtype:
            reason = "colour, or stored in another type than the first"
            raise GeometryError(slices[depth].name, "series", reason)
        pixels[:, depth] = image
    spacing = tuple(affine[:3, :3].norm(dim=0).tolist())
    return DicomVolume(
        pixels, affine, spacing, tuple((each.path, each.frame) for each in slices), first.meta
    )


class _Slice(NamedTuple):
    """A row of the index; ``name`` stands for the path in errors."""

    path: str
    frame: int
    name: str


def _index_of(path: Path, redact_paths: bool) -> DicomIndex:
    key = secrets.token_bytes(32)  # nobody sees the pseudonyms
    if path.is_dir():
        return DicomIndex.scan(path, key=key, progress=False, redact_paths=redact_paths)
    name = "(path withheld)" if redact_paths else str(path)
    if not path.is_file():
        raise ValueError(f"`source` (={name!r}) is neither a file nor a folder.")
    outcome = read_rows(path.parent, key, path.name)
    if outcome.failure is not None:
        raise DicomError(name, outcome.failure.stage, outcome.failure.reason)
    return DicomIndex(path.parent, outcome.rows)


def _by_file(slices: Sequence[_Slice]) -> dict[str, list[int]]:
    """The positions of the slices of each file."""
    places: dict[str, list[int]] = {}
    for i, each in enumerate(slices):
        places.setdefault(each.path, []).append(i)
    return places


def _facts(root: Path, slices: Sequence[_Slice]) -> list[DicomMeta]:
    """Describe each slice; the header of a file holds what is said of all its frames."""
    facts: dict[int, DicomMeta] = {}
    undecoded = Picture(np.empty(0))
    for path, places in _by_file(slices).items():
        name = slices[places[0]].name
        with (
            quiet_pydicom,
            attempt(name, "open", DicomError, open_regular, root / path, name) as file,
        ):
            header = attempt(name, "header", HeaderError, read_header, name, file)
            for i in places:
                frame = slices[i].frame
                if frame >= header.frames:
                    reason = "fewer frames than when it was indexed; index the folder again"
                    raise DicomError(slices[i].name, "header", reason)
                facts[i] = attempt(name, "meta", HeaderError, describe, header, frame, undecoded)
    return [facts[i] for i in range(len(slices))]


def _read(
    root: Path, which: _Slice, frame: int | None, units: Units, window: Sequence[float] | None
) -> DicomImage:
    try:
        return read_dicom(
            root / which.path, frame=frame, units=units, window=window, redact_paths=True
        )
    except DicomError as problem:
        error = type(problem)(which.name, problem.stage, problem.reason)
    raise error  # out here, it carries no other


def _images(
    root: Path,
    slices: Sequence[_Slice],
    facts: Sequence[DicomMeta],
    units: Units,
    window: Sequence[float] | None,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Read the slices, with their positions; many of one file at once, which parses it once."""
    for places in _by_file(slices).values():
        fact = facts[places[0]]
        samples = fact.rows * fact.columns * fact.frames
        if len(places) > 1 and samples <= DicomLimits().samples:
            images = _read(root, slices[places[0]], None, units, window).pixels
            yield from ((i, images[slices[i].frame]) for i in places)
        else:
            yield from (
                (i, _read(root, slices[i], slices[i].frame, units, window).pixels) for i in places
            )


def _order(
    slices: Sequence[_Slice], facts: Sequence[DicomMeta]
) -> tuple[list[int], NDArray[np.float64]]:
    """Sort the slices along their normal; return their order and the step between neighbours."""
    _check_alike(slices, facts)
    position = np.array([each.position for each in facts])
    orientation = np.array(facts[0].orientation)
    depth = position @ np.cross(orientation[:3], orientation[3:])
    order = np.argsort(depth, kind="stable").tolist()
    distances = np.diff(depth[order])
    usual = float(np.median(distances))
    tolerance = max(_STEP * usual, _ROUNDING)
    for i, distance in enumerate(distances):
        below, above = slices[order[i]], slices[order[i + 1]]
        if distance <= tolerance:
            raise _misfit(above, f"lies at the same place as {_named(below)}")
        if abs(distance - usual) > tolerance:
            raise _misfit(
                above,
                f"lies {distance:.4g} mm from {_named(below)}, where others are {usual:.4g} mm "
                "apart: a slice is missing, or the distances vary",
            )
    step = (position[order[-1]] - position[order[0]]) / (len(slices) - 1)
    line = position[order[0]] + np.arange(len(slices))[:, None] * step
    aside = np.linalg.norm(position[order] - line, axis=1)
    if aside.max() > tolerance * len(slices):
        raise _misfit(slices[order[int(aside.argmax())]], "lies beside the line of the others")
    return order, step


def _check_alike(slices: Sequence[_Slice], facts: Sequence[DicomMeta]) -> None:
    first = facts[0]
    for which, each in zip(slices, facts, strict=True):
        if each.position is None or each.orientation is None:
            raise _misfit(which, "has no position or no orientation in the patient")
        if each.spacing is None or each.spacing_source != "PixelSpacing":
            raise _misfit(which, "has no Pixel Spacing")
        for what, values, wanted in (
            ("shape", (each.rows, each.columns), (first.rows, first.columns)),
            ("Pixel Spacing", each.spacing, first.spacing),
            ("orientation", each.orientation, first.orientation),
        ):
            if not np.allclose(values, wanted or (), rtol=0, atol=_ALIKE):
                raise _misfit(which, f"has another {what} than {_named(slices[0])}")
    if len(slices) == 1:
        raise _misfit(slices[0], "is a single slice, and a volume has two or more")


def _misfit(which: _Slice, reason: str) -> GeometryError:
    return GeometryError(which.name, "series", f"frame {which.frame} {reason}")


def _named(which: _Slice) -> str:
    return f"frame {which.frame} of {which.name}"


def _affine(first: DicomMeta, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns: one slice, one row, one column further; the centre of the first voxel."""
    row, column = first.spacing or (math.nan, math.nan)  # None was refused
    orientation = np.array(first.orientation)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = orientation[3:] * row
    affine[:3, 2] = orientation[:3] * column
    affine[:3, 3] = first.position
    return affine
