"""Slices become a volume in the order in which they lie in the patient, or an error says why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seattn.data import (
    DicomError,
    DicomIndex,
    DicomLimits,
    DicomVolume,
    GeometryError,
    ScanError,
    read_dicom,
    read_series,
)
from seattn.data import header as header_module
from seattn.data import series as series_module
from tests.data.files import items, write_dicom

AXIAL = (1.0, 0, 0, 0, 1, 0)
SAGITTAL = (0.0, 1, 0, 0, 0, -1)
TILTED = (1.0, 0, 0, 0, 0.8, 0.6)


def normal(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def write_slice(path: Path, depth: float, value: int, **elements: Any) -> None:
    """A slice of 2 x 3 pixels of one value, ``depth`` mm along the normal."""
    orientation = elements.pop("orientation", AXIAL)
    shift = elements.pop("shift", (0, 0, 0))
    position = np.array([10.0, 20, 30]) + depth * normal(orientation) + shift
    defaults = {
        "ImageOrientationPatient": list(orientation),
        "ImagePositionPatient": np.round(position, 4).tolist(),
        "PixelSpacing": [0.5, 0.25],
        "RescaleSlope": 1,
        "RescaleIntercept": -1000,
    }
    write_dicom(path, np.full((2, 3), value, np.int16), **(defaults | elements))


def values(volume: DicomVolume) -> list[int]:
    return [int(slice.unique()) for slice in volume.pixels[0]]


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, TILTED], ids=["axial", "sagittal", "40"])
@pytest.mark.parametrize("numbers", [None, (3, 1, 2, 0)], ids=["no numbers", "misleading numbers"])
def test_slices_are_in_the_order_of_their_positions(
    tmp_path: Path, orientation: Sequence[float], numbers: Sequence[int] | None
) -> None:
    for i, depth in enumerate((4, -2, 0, 2)):
        write_slice(
            tmp_path / "dcab"[i],
            depth,
            1000 + depth,
            orientation=orientation,
            InstanceNumber=None if numbers is None else numbers[i],
        )
    volume = read_series(tmp_path)
    assert values(volume) == [-2, 0, 2, 4]
    assert [path for path, _ in volume.slices] == ["c", "a", "b", "d"]
    assert volume.pixels.shape == (1, 4, 2, 3)
    assert volume.pixels.dtype == torch.float32
    assert volume.spacing == pytest.approx((2, 0.5, 0.25), abs=1e-4)
    assert volume.meta.units == "HU"


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, TILTED])
def test_the_affine_takes_every_voxel_where_the_header_puts_it(
    tmp_path: Path, orientation: Sequence[float]
) -> None:
    for i in range(3):
        write_slice(tmp_path / str(i), 1.5 * i, i, orientation=orientation, shift=(0, 0.2 * i, 0))
    volume = read_series(tmp_path)
    for d, (path, _) in enumerate(volume.slices):
        meta = read_dicom(tmp_path / path, units="stored").meta
        row, column = np.array(orientation[3:]), np.array(orientation[:3])
        for h, w in ((0, 0), (1, 0), (0, 2), (1, 2)):
            expected = np.array(meta.position) + 0.5 * h * row + 0.25 * w * column
            found = volume.affine @ torch.tensor([d, h, w, 1.0], dtype=torch.float64)
            np.testing.assert_allclose(found[:3], expected, atol=2e-4)
            assert found[3] == 1


def test_frames_of_one_file_and_rows_of_an_index_make_a_volume(tmp_path: Path) -> None:
    frames = items(
        *({"PlanePositionSequence": items({"ImagePositionPatient": [0, 0, z]})} for z in (3, 1, 2))
    )
    shared = items(
        {
            "PlaneOrientationSequence": items({"ImageOrientationPatient": list(AXIAL)}),
            "PixelMeasuresSequence": items({"PixelSpacing": [1, 1]}),
        }
    )
    path = write_dicom(
        tmp_path / "enhanced",
        np.arange(3, dtype=np.int16)[:, None, None] + np.zeros((3, 2, 2), np.int16),
        PerFrameFunctionalGroupsSequence=frames,
        SharedFunctionalGroupsSequence=shared,
    )
    volume = read_series(path, units="stored")
    assert values(volume) == [1, 2, 0]
    assert volume.slices == (("enhanced", 1), ("enhanced", 2), ("enhanced", 0))
    assert volume.pixels.dtype == torch.int16
    write_dicom(tmp_path / "other", np.zeros((2, 2), np.int16), SeriesInstanceUID="9")
    groups = DicomIndex.scan(tmp_path, key="k", progress=False).group_by("series")
    assert torch.equal(
        read_series(next(iter(groups.values())), units="stored").pixels, volume.pixels
    )
    with pytest.raises(ValueError, match=r"`source` holds 2 series; take one of the values"):
        read_series(tmp_path)


def test_a_file_of_many_frames_is_parsed_no_oftener_than_one_of_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.arange(24, dtype=np.int16).reshape(4, 2, 3)
    write_dicom(
        tmp_path / "a",
        frames,
        SharedFunctionalGroupsSequence=items(
            {
                "PlaneOrientationSequence": items({"ImageOrientationPatient": list(AXIAL)}),
                "PixelMeasuresSequence": items({"PixelSpacing": [1, 1]}),
            }
        ),
        PerFrameFunctionalGroupsSequence=items(
            *(
                {"PlanePositionSequence": items({"ImagePositionPatient": [0, 0, -i]})}
                for i in range(4)
            )
        ),
    )
    parsed = []
    parse = header_module.parse
    monkeypatch.setattr(header_module, "parse", lambda *a, **k: parsed.append(a) or parse(*a, **k))
    volume = read_series(tmp_path / "a")
    assert len(parsed) == 4  # to index, to describe, the first, and all
    assert volume.slices == tuple(("a", i) for i in (3, 2, 1, 0))
    assert torch.equal(volume.pixels[0], torch.from_numpy(frames[::-1].astype(np.float32)))

    # Frames that are too many to be decoded at once are read one by one.
    monkeypatch.setattr(series_module, "DicomLimits", lambda: DicomLimits(samples=23))
    alone = read_series(tmp_path / "a")
    assert torch.equal(volume.pixels, alone.pixels)
    assert len(parsed) == 4 + 3 + 4


def test_window_and_minmax_are_those_of_read_dicom(tmp_path: Path) -> None:
    for i in range(2):
        write_slice(tmp_path / str(i), i, 1000 + 100 * i)
    volume = read_series(tmp_path, units="window", window=(50, 201))
    for i in range(2):
        expected = read_dicom(tmp_path / str(i), window=(50, 201)).pixels
        assert torch.equal(volume.pixels[:, i], expected)


GOOD = [{"depth": float(i), "value": i} for i in range(6)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0.0}, r"^c: series: frame 0 lies at the same place as frame 0 of a$"),
        ({"depth": 9.0}, r"^d: series: frame 0 lies 2 mm from frame 0 of b, where others are 1 mm"),
        ({"depth": 2.3}, r"mm apart: a slice is missing, or the distances vary$"),
        (
            {"orientation": TILTED},
            r"^c: series: frame 0 has another orientation than frame 0 of a$",
        ),
        ({"PixelSpacing": [0.5, 0.3]}, r"has another Pixel Spacing than"),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.5, 0.25]}, r"has no Pixel Spacing$"),
        ({"ImagePositionPatient": None}, r"has no position or no orientation"),
        ({"ImageOrientationPatient": None}, r"has no position or no orientation"),
        ({"shift": (3, 0, 0)}, r"lies beside the line of the others$"),
        ({"PixelRepresentation": 0}, r"colour, or stored in another type than the first$"),
    ],
)
def test_slices_that_do_not_fit_are_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for name, good in zip("abcdef", GOOD, strict=True):
        write_slice(tmp_path / name, **(good | (changes if name == "c" else {})))
    with pytest.raises(GeometryError, match=message):
        read_series(tmp_path, units="stored")


def test_another_shape_and_a_lonely_slice_are_refused(tmp_path: Path) -> None:
    write_slice(tmp_path / "a", 0, 0)
    with pytest.raises(GeometryError, match="is a single slice, and a volume has two or more"):
        read_series(tmp_path)
    place = {"ImagePositionPatient": [10, 20, 31], "ImageOrientationPatient": list(AXIAL)}
    write_dicom(tmp_path / "b", np.zeros((3, 2), np.int16), PixelSpacing=[0.5, 0.25], **place)
    with pytest.raises(
        GeometryError, match="b: series: frame 0 has another shape than frame 0 of a"
    ):
        read_series(tmp_path)


def test_a_damaged_slice_is_named_and_a_scout_is_left_out(tmp_path: Path) -> None:
    for i in range(3):
        write_slice(tmp_path / f"{i}.dcm", i, i)
    write_slice(tmp_path / "scout", 1, 9, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert len(read_series(tmp_path).slices) == 3
    (tmp_path / "1.dcm").write_bytes((tmp_path / "1.dcm").read_bytes()[:-2])
    with pytest.raises(ScanError, match=r"1\.dcm: header: 10 bytes of pixels"):
        read_series(tmp_path)


def test_the_real_ankle_is_one_volume_of_one_millimetre(real_images: Path) -> None:
    volume = read_series(real_images / "vhf_ankle")
    assert volume.pixels.shape == (1, 150, 512, 512)
    assert volume.spacing[0] == pytest.approx(1, abs=1e-6)
    files = sorted((real_images / "vhf_ankle").glob("*.dcm"))
    z = [read_dicom(path, units="stored").meta.position[2] for path in files]
    assert [path for path, _ in volume.slices] == [files[i].name for i in np.argsort(z)]


SECRET = "Smith Anna"


def hidden(source: Any, **options: Any) -> str:
    """The error of a series whose paths are to be hidden; they are there otherwise."""
    with pytest.raises((DicomError, ValueError)) as open_text:
        read_series(source, **options)
    with pytest.raises(type(open_text.value)) as caught:
        read_series(source, **options, redact_paths=True)
    assert SECRET in str(open_text.value)
    assert SECRET not in str(caught.value) + repr(vars(caught.value))
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.fixture
def named_series(tmp_path: Path) -> Path:
    for i in range(4):
        write_slice(tmp_path / f"{SECRET} {i}.dcm", i, i)
    return tmp_path


def test_hidden_paths_are_rows_where_slices_do_not_fit(named_series: Path) -> None:
    write_slice(named_series / f"{SECRET} 2.dcm", 0.0, 1)
    assert hidden(named_series) == (
        "row 2: series: frame 0 lies at the same place as frame 0 of row 0"
    )
    index = DicomIndex.scan(named_series, key="k", progress=False).subset([3, 2, 0])
    assert hidden(index) == "row 2: series: frame 0 lies at the same place as frame 0 of row 1"
    write_slice(named_series / f"{SECRET} 2.dcm", 2, 1, PixelRepresentation=0)
    assert hidden(named_series, units="stored").startswith("row 2: series: colour, or stored in")


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "row 1: open: No such file"), (b"", "row 1: open: "), (-2, "row 1: header: ")],
    ids=["gone", "empty", "short"],
)
def test_hidden_paths_are_rows_where_a_file_cannot_be_used(
    named_series: Path, content: bytes | int | None, text: str
) -> None:
    index = DicomIndex.scan(named_series, key="k", progress=False)
    path = named_series / f"{SECRET} 1.dcm"
    data = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(data[:content] if isinstance(content, int) else content)
    assert hidden(index).startswith(text)


def test_hidden_paths_are_rows_where_a_folder_took_the_place_of_a_file(named_series: Path) -> None:
    index = DicomIndex.scan(named_series, key="k", progress=False)
    (named_series / f"{SECRET} 1.dcm").unlink()
    (named_series / f"{SECRET} 1.dcm").mkdir()
    assert hidden(index).startswith("row 1: open: ")


def test_hidden_paths_are_rows_where_pixels_cannot_be_used(named_series: Path) -> None:
    write_slice(named_series / f"{SECRET} 1.dcm", 1, 1, WindowCenter=None, WindowWidth=None)
    assert hidden(named_series, units="window").startswith("row 1: window: ")


def test_hidden_paths_of_a_folder_and_a_file_are_withheld(named_series: Path) -> None:
    path = named_series / f"{SECRET} 1.dcm"
    path.write_bytes(path.read_bytes()[:-2])
    assert hidden(path).startswith("(path withheld): header: ")
    assert hidden(named_series).startswith("(path withheld): scan: 1 file cannot be used")
    assert hidden(named_series / SECRET) == (
        "`source` (='(path withheld)') is neither a file nor a folder."
    )


@pytest.mark.parametrize("left", [1, 2])
def test_a_file_with_fewer_frames_than_its_index_says_is_an_error_of_ours(
    tmp_path: Path, left: int
) -> None:
    shared = items(
        {
            "PlaneOrientationSequence": items({"ImageOrientationPatient": list(AXIAL)}),
            "PixelMeasuresSequence": items({"PixelSpacing": [1, 1]}),
        }
    )

    def write(frames: int) -> None:
        planes = [
            {"PlanePositionSequence": items({"ImagePositionPatient": [0, 0, z]})}
            for z in range(frames)
        ]
        write_dicom(
            tmp_path / SECRET,
            np.zeros((frames, 2, 2), np.int16),
            PerFrameFunctionalGroupsSequence=items(*planes),
            SharedFunctionalGroupsSequence=shared,
        )

    write(3)
    index = DicomIndex.scan(tmp_path, key="k", progress=False)
    write(left)
    text = "header: fewer frames than when it was indexed; index the folder again"
    assert hidden(index) == f"row {left}: {text}"
    with pytest.raises(DicomError, match=f"^{SECRET}: {text}$"):
        read_series(index)
