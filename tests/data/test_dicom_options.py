"""The options of `read_dicom` beyond units and windows, and the record of what was done."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from seattn.data import DicomError, HeaderError, NotDicomError, read_dicom
from tests.data.files import items, write_dicom
from tests.references import window_value

RAMP = np.arange(-60, 60, dtype=np.int16).reshape(10, 12)
RESCALE = {"RescaleSlope": 1, "RescaleIntercept": 0}


# percentiles


@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from([np.uint8, np.int16, np.uint16]),
    spread=st.integers(1, 250),
    padding=st.sampled_from([None, 3]),
)
def test_percentiles_are_those_of_numpy_over_all_pixels_but_padding(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: Any, spread: int, padding: int | None
) -> None:
    stored = np.random.default_rng(seed).integers(0, spread, (17, 13)).astype(kind)
    path = write_dicom(
        tmp_path_factory.getbasetemp() / "percentile",
        stored,
        PixelPaddingValue=padding,
        RescaleSlope=-2,
        RescaleIntercept=5,
    )
    values = 5.0 - 2 * stored.astype(float)
    inside = np.ones(stored.shape, bool) if padding is None else stored != padding
    pixels = read_dicom(path, units="percentile").pixels[0].numpy()
    assert (pixels[~inside] == 0).all()
    if inside.any():
        low, high = np.percentile(values[inside], [1, 99], method="inverted_cdf")
        expected = np.clip((values - low) / (high - low if high > low else 1), 0, 1)
        assert np.allclose(pixels[inside], expected[inside], rtol=0, atol=1e-6)


def test_percentiles_are_inverted_and_work_on_colour(tmp_path: Path) -> None:
    plain = write_dicom(tmp_path / "a", RAMP)
    inverse = write_dicom(tmp_path / "b", RAMP, PhotometricInterpretation="MONOCHROME1")
    one, other = (read_dicom(path, units="percentile").pixels for path in (plain, inverse))
    assert torch.allclose(one, 1 - other, rtol=0, atol=1e-6)
    colours = np.random.default_rng(0).integers(0, 200, (20, 9, 3)).astype(np.uint8)
    path = write_dicom(tmp_path / "c", colours, PhotometricInterpretation="RGB")
    low, high = np.percentile(colours, [1, 99], method="inverted_cdf")
    expected = np.clip((colours - float(low)) / (float(high) - float(low)), 0, 1)
    pixels = read_dicom(path, units="percentile").pixels.movedim(0, -1)
    assert np.allclose(pixels, expected, rtol=0, atol=1e-6)


def test_minmax_knows_which_entries_of_a_lut_the_pixels_use(tmp_path: Path) -> None:
    lut = items({"LUTDescriptor": [4, 0, 16], "ModalityLUTType": "US"})
    lut[0].add_new("LUTData", "US", [5, 9000, 0, 7])
    path = write_dicom(
        tmp_path / "a", np.array([[0, 3, 3, 0, 3]], np.uint16), ModalityLUTSequence=lut
    )
    assert read_dicom(path, units="minmax").pixels.flatten().tolist() == [0, 1, 1, 0, 1]


# windows


@pytest.mark.parametrize("voi", [0, 1, 2])
def test_one_of_several_windows(tmp_path: Path, voi: int) -> None:
    windows = {"WindowCenter": [0, 20, -10], "WindowWidth": [50, 30, 100]}
    image = read_dicom(write_dicom(tmp_path / "a", RAMP, **windows), voi=voi)
    center, width = windows["WindowCenter"][voi], windows["WindowWidth"][voi]
    expected = [window_value(float(x), center, width, "LINEAR") for x in RAMP.flat]
    assert image.pixels.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert (image.meta.window, image.meta.voi) == ((center, width), voi)


def test_one_of_several_voi_luts(tmp_path: Path) -> None:
    luts = items({"LUTDescriptor": [120, 0, 8]}, {"LUTDescriptor": [120, 0, 8]})
    for lut in luts:
        lut["LUTDescriptor"].VR = "SS"
        entries = np.random.default_rng(len(lut)).integers(0, 255, 120)
        lut.add_new("LUTData", "US", (entries if lut is luts[0] else 255 - entries).tolist())
        lut.LUTDescriptor = [120, -60, 8]
    path = write_dicom(tmp_path / "a", RAMP, VOILUTSequence=luts)
    ds = dcmread(path)
    for voi in (0, 1):
        image = read_dicom(path, voi=voi)
        expected = apply_voi(apply_modality_lut(ds.pixel_array, ds), ds, index=voi) / 255
        assert np.allclose(image.pixels[0], expected, rtol=0, atol=1e-6)
        assert (image.meta.window, image.meta.voi) == (None, voi)
        assert image.meta.applied == ("VOI LUT",)


@pytest.mark.parametrize("depth", [0, 7])
def test_a_voi_lut_deeper_than_it_says_is_refused(tmp_path: Path, depth: int) -> None:
    lut = items({"LUTDescriptor": [2, 0, depth]})
    lut[0].add_new("LUTData", "US", [0, 0 if depth == 0 else 128])
    with pytest.raises(HeaderError, match="VOI LUT entries exceed the depth of the LUT"):
        read_dicom(write_dicom(tmp_path / "a", RAMP.astype(np.uint16), VOILUTSequence=lut))


@pytest.mark.parametrize(("voi", "text"), [(1, "in 0..0"), (9, r"`voi` \(=9\) must be in 0..0")])
def test_a_window_that_a_file_does_not_have(tmp_path: Path, voi: int, text: str) -> None:
    with pytest.raises(HeaderError, match=text):
        read_dicom(write_dicom(tmp_path / "a", RAMP), voi=voi)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"voi": -1}, r"`voi` \(=-1\) must be an int, 0 or more"),
        ({"voi": 1.0}, "must be an int"),
        ({"voi": 1, "units": "minmax"}, "none is used here"),
        ({"voi": 1, "window": (1, 2)}, "none is used here"),
    ],
)
def test_a_window_that_cannot_be(tmp_path: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_dicom(write_dicom(tmp_path / "a", RAMP), **arguments)


# large images are computed another way than small ones

LARGE = np.random.default_rng(0).integers(-1000, 2000, (140, 150)).astype(np.int16)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [(1, -1024), (0.37, 12.5), (-1.5, 3), (1, 30_000)])
@pytest.mark.parametrize("window", [(40, 400), (300, 1.01), (-500, 1), (29_000, 3000), (0, 90_000)])
def test_windows_of_large_images(
    tmp_path: Path,
    inverted: bool,
    function: str,
    rescale: tuple[float, float],
    window: tuple[float, float],
) -> None:
    path = write_dicom(
        tmp_path / "a",
        LARGE,
        RescaleSlope=rescale[0],
        RescaleIntercept=rescale[1],
        WindowCenter=window[0],
        WindowWidth=window[1],
        VOILUTFunction=function,
        PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
    )
    levels = np.arange(-1000, 2000)
    table = [window_value(x * rescale[0] + rescale[1], *window, function) for x in levels]
    expected = np.array(table)[LARGE + 1000]
    pixels = read_dicom(path).pixels[0].numpy()
    assert np.allclose(pixels, 1 - expected if inverted else expected, rtol=0, atol=1e-6)
    modality = read_dicom(path, units="modality").pixels[0].numpy()
    exact = (LARGE * np.float64(rescale[0]) + rescale[1]).astype(np.float32)
    assert np.array_equal(modality, exact)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint32])
def test_large_images_of_other_types(tmp_path: Path, kind: Any) -> None:
    chance = np.random.default_rng(0)
    stored = (chance.random((140, 150)) * np.iinfo(kind).max).astype(kind)
    path = write_dicom(tmp_path / "a", stored, RescaleSlope=0.5, RescaleIntercept=-7)
    values = stored * 0.5 - 7
    assert np.array_equal(read_dicom(path, units="modality").pixels[0], values.astype(np.float32))
    stretched = (values - values.min()) / (values.max() - values.min())
    pixels = read_dicom(path, units="minmax").pixels[0]
    assert np.allclose(pixels, stretched, rtol=0, atol=1e-6)


def test_padding_leaves_no_trace_in_a_smaller_image(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(900, 1200, (64, 64)).astype(np.int16)
    rows, columns = np.mgrid[:64, :64]
    outside = np.hypot(rows - 32, columns - 32) > 26
    stored[outside] = -2000
    common = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}
    padded = write_dicom(tmp_path / "a", stored, PixelPaddingValue=-2000, **common)
    air = write_dicom(tmp_path / "b", np.where(outside, 24, stored).astype(np.int16), **common)

    def small(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(
            image[None], (16, 16), mode="bilinear", antialias=True
        )

    ours, filled = (small(read_dicom(path).pixels)[0, 0] for path in (padded, air))
    assert torch.allclose(ours, filled, rtol=0, atol=1e-6)
    inside = small(torch.from_numpy((~outside)[None].astype(np.float32)))[0, 0]
    assert (inside == 0).sum() > 20
    assert (ours[inside == 0] == 0).all()


# files without a prefix


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_a_file_without_prefix_and_meta_is_read_on_demand(tmp_path: Path, syntax: str) -> None:
    path = write_dicom(tmp_path / "a", RAMP, syntax=syntax)
    content = path.read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    for start in (meta, 132):  # with the meta information it knows its syntax
        path.write_bytes(content[start:])
        with pytest.raises(NotDicomError, match="no DICOM prefix"):
            read_dicom(path)
        image = read_dicom(path, force=True, units="stored")
        assert np.array_equal(image.pixels[0], RAMP)
        assert image.meta.transfer_syntax == syntax.name


def test_a_deflated_file_without_prefix(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP, syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(read_dicom(path, force=True, units="stored").pixels[0], RAMP)


@pytest.mark.parametrize(
    "name", ["no_meta.dcm", "ExplVR_LitEndNoMeta.dcm", "README.txt", "zipMR.gz"]
)
def test_force_never_lets_anything_else_through(name: str) -> None:
    with pytest.raises(DicomError):
        read_dicom(get_testdata_file(name), force=True)


def test_a_missing_transfer_syntax_is_found_on_demand() -> None:
    path = get_testdata_file("meta_missing_tsyntax.dcm")
    with pytest.raises(HeaderError, match="Transfer Syntax UID"):
        read_dicom(path)
    with pytest.raises(HeaderError, match="no Rows"):
        read_dicom(path, force=True)


def test_compressed_pixels_of_unknown_syntax_are_not_guessed(tmp_path: Path) -> None:
    content = Path(str(get_testdata_file("MR_small_RLE.dcm"))).read_bytes()
    (tmp_path / "a").write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    with pytest.raises(HeaderError, match="compressed pixels, and a transfer syntax without them"):
        read_dicom(tmp_path / "a", force=True)


# the record


@pytest.mark.parametrize(
    ("elements", "arguments", "applied"),
    [
        ({}, {"units": "stored"}, ()),
        ({}, {"units": "modality"}, ()),
        ({}, {}, ("window LINEAR",)),
        (RESCALE, {"units": "modality"}, ("rescale",)),
        ({"VOILUTFunction": "SIGMOID"}, {}, ("window SIGMOID",)),
        ({"VOILUTFunction": "LINEAR_EXACT"}, {"window": (1, 2)}, ("window fixed",)),
        (
            RESCALE | {"PixelPaddingValue": 0, "PhotometricInterpretation": "MONOCHROME1"},
            {"units": "minmax"},
            ("padding", "rescale", "minmax", "inverted"),
        ),
        ({"PixelPaddingValue": 0}, {"units": "percentile"}, ("padding", "percentile")),
    ],
)
def test_what_was_applied(
    tmp_path: Path, elements: dict[str, Any], arguments: dict[str, Any], applied: tuple[str, ...]
) -> None:
    meta = read_dicom(write_dicom(tmp_path / "a", RAMP, **elements), **arguments).meta
    assert meta.applied == applied
    assert meta.voi == (0 if not arguments else None)


def test_what_was_applied_to_colour() -> None:
    assert read_dicom(get_testdata_file("examples_palette.dcm")).meta.applied == (
        "palette",
        "full range",
    )
    rgb = get_testdata_file("examples_rgb_color.dcm")
    assert read_dicom(rgb, units="minmax").meta.applied == ("minmax",)


@pytest.mark.parametrize(
    ("elements", "units"),
    [
        (RESCALE, "HU"),
        (RESCALE | {"RescaleType": "US"}, None),
        (RESCALE | {"Modality": "MR"}, None),
        (RESCALE | {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, None),
        (RESCALE | {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, "HU"),
        ({}, None),
    ],
)
def test_hounsfield_units_are_claimed_only_where_the_standard_does(
    tmp_path: Path, elements: dict[str, Any], units: str | None
) -> None:
    assert read_dicom(write_dicom(tmp_path / "a", RAMP, **elements)).meta.units == units


@pytest.mark.parametrize(("declared", "units"), [("HU", "HU"), ("US", None), ("SMITH", None)])
def test_a_modality_lut_says_its_units(tmp_path: Path, declared: str, units: str | None) -> None:
    lut = items({"LUTDescriptor": [2, 0, 16], "ModalityLUTType": declared})
    lut[0].add_new("LUTData", "US", [0, 9])
    path = write_dicom(tmp_path / "a", RAMP, ModalityLUTSequence=lut)
    assert read_dicom(path, units="modality").meta.units == units


@pytest.mark.parametrize(
    ("orientation", "position", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], [5, 6, 7], 7),
        ([1, 0, 0, 0, -1, 0], [5, 6, 7], -7),
        ([0, 1, 0, 0, 0, -1], [5, 6, 7], -5),
        ([1, 0, 0, 0, 0, -1], [5, 6, 7], 6),
        ([0.6, 0.8, 0, -0.8, 0.6, 0], [5, 6, 7], 7),
        (None, [5, 6, 7], None),
        ([1, 0, 0, 0, 1, 0], None, None),
        ([1, 0, 0, 1, 0, 0], [5, 6, 7], None),
    ],
)
def test_the_position_of_a_slice_is_that_along_its_normal(
    tmp_path: Path, orientation: Any, position: Any, expected: float | None
) -> None:
    elements = {"ImageOrientationPatient": orientation, "ImagePositionPatient": position}
    found = read_dicom(write_dicom(tmp_path / "a", RAMP, **elements)).meta.slice_position
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("elements", "view", "laterality"),
    [
        ({"ViewPosition": "LL", "Laterality": "L"}, "LL", "L"),
        ({"ViewPosition": "SMITH", "Laterality": "SMITH"}, "unknown", None),
        ({"ImageLaterality": "R", "Laterality": "L"}, "unknown", "R"),
        ({"ViewPosition": "AP", "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, "axial", None),
    ],
)
def test_the_view_and_side_of_a_radiograph(
    tmp_path: Path, elements: dict[str, Any], view: str, laterality: str | None
) -> None:
    meta = read_dicom(write_dicom(tmp_path / "a", RAMP, **elements)).meta
    assert (meta.view, meta.laterality) == (view, laterality)


def test_texts_that_are_no_terms_of_the_standard_stay_in_the_file(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP, Modality="SMITH")
    assert read_dicom(path).meta.modality is None
    path = write_dicom(tmp_path / "a", RAMP, PhotometricInterpretation="ANNA")
    with pytest.raises(HeaderError, match="an unknown Photometric Interpretation"):
        read_dicom(path, units="stored")
