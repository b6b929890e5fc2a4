"""What `read_dicom` makes of a good file. Tolerance: 1e-6 on 0..1, as the result is float32."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import pack_bits
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from seattn.data import DicomLimits, HeaderError, LimitError, read_dicom
from tests.data.files import NO_WINDOW, items, write_dicom
from tests.references import window_value

RAMP = np.arange(-60, 60, dtype=np.int16).reshape(10, 12)
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
TYPES = ((np.uint8, 8), (np.int8, 8), (np.uint16, 12), (np.int16, 12), (np.uint16, 16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dicom")


@given(
    kind=st.sampled_from([*TYPES, (np.int16, 16)]),
    function=st.sampled_from(FUNCTIONS),
    slope=st.sampled_from([1.0, -1.5, 0.01]),
    intercept=st.sampled_from([0.0, -1024.0]),
    center=st.floats(-2000, 4000).map(lambda value: round(value, 2)),
    width=st.floats(1, 5000).map(lambda value: round(value, 2)),
    seed=st.integers(0, 99),
)
def test_a_window_is_what_the_standard_writes(
    folder: Path,
    kind: tuple[type, int],
    function: str,
    slope: float,
    intercept: float,
    center: float,
    width: float,
    seed: int,
) -> None:
    dtype, bits = kind
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if np.iinfo(dtype).min < 0 else (0, 2**bits)
    stored = np.random.default_rng(seed).integers(low, high, (5, 3)).astype(dtype)
    path = write_dicom(
        folder / "window.dcm",
        stored,
        bits=bits,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=[center, 1],
        WindowWidth=[width, 1],
        VOILUTFunction=function,
    )
    image = read_dicom(path)
    expected = [
        window_value(slope * int(x) + intercept, center, width, function) for x in stored.flat
    ]
    assert image.pixels.dtype == torch.float32
    assert np.allclose(image.pixels.numpy().ravel(), expected, rtol=0, atol=1e-6)
    assert image.meta.window == (center, width)


@pytest.mark.parametrize("center", [0, 0.5])
@pytest.mark.parametrize("width", [1, 1.0001, 2])
def test_the_narrowest_windows_are_a_step(tmp_path: Path, center: float, width: float) -> None:
    pixels = read_dicom(write_dicom(tmp_path / "a", RAMP), window=(center, width)).pixels
    expected = [window_value(float(x), center, width, "LINEAR") for x in RAMP.flat]
    assert pixels.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_a_fixed_window_replaces_that_of_the_file_and_its_function(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP, VOILUTFunction="SIGMOID", **NO_WINDOW)
    image = read_dicom(path, window=[10, 50])
    expected = [window_value(float(x), 10, 50, "LINEAR") for x in RAMP.flat]
    assert image.pixels.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert image.meta.window == (10, 50)


@pytest.mark.parametrize("units", ["window", "minmax"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "inverse",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ],
)
def test_an_inverted_image_is_one_minus_the_other(
    tmp_path: Path, units: Any, function: str, inverse: dict[str, str]
) -> None:
    plain = write_dicom(tmp_path / "a", RAMP, VOILUTFunction=function)
    inverted = write_dicom(tmp_path / "b", RAMP, VOILUTFunction=function, **inverse)
    assert torch.allclose(
        read_dicom(inverted, units=units).pixels,
        1 - read_dicom(plain, units=units).pixels,
        rtol=0,
        atol=1e-6,
    )


def test_modality_units_are_never_inverted(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a",
        RAMP,
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope=2,
        RescaleIntercept=-3,
    )
    image = read_dicom(path, units="modality")
    assert np.array_equal(image.pixels[0], 2 * RAMP - 3.0)
    assert image.meta.units == "HU"
    assert image.meta.window is None


def test_without_rescale_the_modality_values_are_those_stored_in_unknown_units(
    tmp_path: Path,
) -> None:
    image = read_dicom(write_dicom(tmp_path / "a", RAMP), units="modality")
    assert np.array_equal(image.pixels[0], RAMP)
    assert image.pixels.dtype == torch.float32
    assert image.meta.units is None


@pytest.mark.parametrize(("declared", "units"), [("HU", "HU"), ("US", None), ("SMITH", None)])
def test_only_known_units_are_named(tmp_path: Path, declared: str, units: str | None) -> None:
    rescale = {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": declared}
    image = read_dicom(write_dicom(tmp_path / "a", RAMP, **rescale))
    assert image.meta.units == units


@pytest.mark.parametrize("units", ["window", "minmax"])
@pytest.mark.parametrize(
    ("photometric_interpretation", "padding", "limit"),
    [("MONOCHROME2", -60, -55), ("MONOCHROME1", 59, 54), ("MONOCHROME2", -60, None)],
)
def test_padding_is_black_and_the_rest_as_if_it_were_not_there(
    tmp_path: Path, units: Any, photometric_interpretation: str, padding: int, limit: int | None
) -> None:
    ends = sorted([padding, padding if limit is None else limit])
    outside = (ends[0] <= RAMP) & (ends[1] >= RAMP)
    common = {
        "PhotometricInterpretation": photometric_interpretation,
        "WindowCenter": 0,
        "WindowWidth": 300,
    }
    darkest = RAMP[~outside].min() if padding < 0 else RAMP[~outside].max()
    padded = write_dicom(
        tmp_path / "a", RAMP, PixelPaddingValue=padding, PixelPaddingRangeLimit=limit, **common
    )
    filled = write_dicom(tmp_path / "b", np.where(outside, darkest, RAMP), **common)
    ours, plain = (
        read_dicom(padded, units=units).pixels[0],
        read_dicom(filled, units=units).pixels[0],
    )
    assert (ours[torch.from_numpy(outside)] == 0).all()
    assert torch.equal(ours[torch.from_numpy(~outside)], plain[torch.from_numpy(~outside)])
    modality = [read_dicom(path, units="modality").pixels for path in (padded, filled)]
    assert torch.equal(*modality)


def test_a_negative_padding_value_may_be_written_unsigned(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP)
    ds = dcmread(path)
    ds.add_new("PixelPaddingValue", "US", 2**16 - 60)
    ds.save_as(path)
    assert read_dicom(path, units="modality").pixels[0, 0, 0] == -59


def test_an_image_of_nothing_but_padding_is_black(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", np.full((2, 3), 7, np.int16), PixelPaddingValue=7)
    assert not read_dicom(path).pixels.any()
    assert not read_dicom(path, units="minmax").pixels.any()
    assert (read_dicom(path, units="modality").pixels == 7).all()


def test_a_constant_image_stretches_to_zero(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", np.full((2, 3), 7, np.int16))
    assert not read_dicom(path, units="minmax").pixels.any()


ENHANCED = {
    "PerFrameFunctionalGroupsSequence": items(
        {
            "PixelValueTransformationSequence": items({"RescaleSlope": 3, "RescaleIntercept": -1}),
            "FrameVOILUTSequence": items({"WindowCenter": 5, "WindowWidth": 20}),
            "PlanePositionSequence": items({"ImagePositionPatient": [1, 2, 3]}),
        },
        {
            "PixelValueTransformationSequence": items({"RescaleSlope": 7, "RescaleIntercept": -3}),
            "PlanePositionSequence": items({"ImagePositionPatient": [1, 2, 4]}),
        },
        {"PlaneOrientationSequence": items({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]})},
    ),
    "SharedFunctionalGroupsSequence": items(
        {
            "PixelValueTransformationSequence": items({"RescaleSlope": 2, "RescaleIntercept": 0}),
            "PixelMeasuresSequence": items({"PixelSpacing": [0.5, 0.25]}),
            "PlaneOrientationSequence": items({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}),
        }
    ),
}


def test_an_enhanced_object_takes_each_value_from_its_frame_then_all_frames_then_its_root(
    tmp_path: Path,
) -> None:
    stored = np.stack([RAMP, RAMP, RAMP])
    path = write_dicom(tmp_path / "a", stored, **ENHANCED)
    rescales, windows = [(3, -1), (7, -3), (2, 0)], [(5, 20), (40, 400), (40, 400)]
    views, positions = ["axial", "axial", "sagittal"], [(1, 2, 3), (1, 2, 4), None]
    for frame, (slope, intercept) in enumerate(rescales):
        image = read_dicom(path, units="modality", frame=frame)
        assert np.array_equal(image.pixels[0], slope * RAMP + intercept)
        assert (image.meta.view, image.meta.position) == (views[frame], positions[frame])
        assert image.meta.spacing == (0.5, 0.25)
        assert read_dicom(path, frame=frame).meta.window == windows[frame]
    assert image.meta.frames == 3


@pytest.mark.parametrize("units", ["window", "modality", "stored", "minmax"])
def test_all_frames_are_the_frames_in_order(tmp_path: Path, units: Any) -> None:
    path = write_dicom(tmp_path / "a", np.stack([RAMP, RAMP + 100, RAMP * 3]), **ENHANCED)
    volume = read_dicom(path, units=units, frame=None).pixels
    frames = [read_dicom(path, units=units, frame=frame).pixels for frame in range(3)]
    assert volume.shape == (3, 1, 10, 12)
    assert torch.equal(volume, torch.stack(frames))


def test_a_single_frame_file_has_one_frame(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP)
    assert read_dicom(path, frame=None).pixels.shape == (1, 1, 10, 12)


@pytest.mark.parametrize("encoding", ["words", "bytes"])
def test_a_modality_lut_maps_and_extends_its_ends(tmp_path: Path, encoding: str) -> None:
    table = np.array([5, 9, 200, 7], np.uint16 if encoding == "words" else np.uint8)
    lut = items({"LUTDescriptor": [4, -1, table.itemsize * 8], "ModalityLUTType": "US"})
    lut[0].add_new("LUTData", "OW", table.tobytes())
    lut[0]["LUTDescriptor"].VR = "SS"
    stored = np.array([[-3, -1, 0], [1, 2, 30]], np.int16)
    path = write_dicom(tmp_path / "a", stored, ModalityLUTSequence=lut)
    assert read_dicom(path, units="modality").pixels[0].tolist() == [[5, 5, 9], [200, 7, 7]]


def test_a_modality_lut_of_big_endian_words(tmp_path: Path) -> None:
    lut = items({"LUTDescriptor": [2, 0, 16], "ModalityLUTType": "US"})
    lut[0].add_new("LUTData", "OW", np.array([258, 3], ">u2").tobytes())
    stored = np.array([[0, 1]], np.uint16)
    path = write_dicom(tmp_path / "a", stored, syntax=ExplicitVRBigEndian, ModalityLUTSequence=lut)
    assert read_dicom(path, units="modality").pixels[0].tolist() == [[258, 3]]


def test_a_lut_that_is_too_short_is_refused(tmp_path: Path) -> None:
    lut = items({"LUTDescriptor": [9, 0, 16], "ModalityLUTType": "US"})
    lut[0].add_new("LUTData", "US", [1, 2, 3])
    path = write_dicom(tmp_path / "a", RAMP, ModalityLUTSequence=lut)
    with pytest.raises(HeaderError, match="fewer LUT Data than the descriptor says"):
        read_dicom(path, units="modality")


def test_a_voi_lut_may_be_longer_than_its_entries_are_wide(tmp_path: Path) -> None:
    lut = items({"LUTDescriptor": [1000, 100, 8]})
    lut[0].add_new("LUTData", "OW", (np.arange(1000) // 4).astype("<u2").tobytes())
    stored = np.array([[0, 100, 500], [1099, 1100, 4000]], np.uint16)
    path = write_dicom(tmp_path / "a", stored, VOILUTSequence=lut)
    image = read_dicom(path)
    expected = [[0, 0, 100 / 255], [249 / 255] * 3]
    assert np.allclose(image.pixels[0], expected, rtol=0, atol=1e-6)
    assert image.meta.window is None


def test_a_voi_lut_takes_the_nearest_of_fractional_values(tmp_path: Path) -> None:
    lut = items({"LUTDescriptor": [3, 0, 8]})
    lut[0].add_new("LUTData", "US", [0, 51, 255])
    stored = np.array([[1, 2, 3, 4]], np.uint16)
    rescale = {"RescaleSlope": 0.4, "RescaleIntercept": 0}
    path = write_dicom(tmp_path / "a", stored, VOILUTSequence=lut, **rescale)
    assert read_dicom(path).pixels.flatten().tolist() == pytest.approx([0, 0.2, 0.2, 1])


@pytest.mark.parametrize(
    ("syntax", "dtype"),
    [
        *itertools.product(
            [ImplicitVRLittleEndian, ExplicitVRBigEndian], [np.uint8, np.int16, np.uint32]
        ),
        *itertools.product([RLELossless], [np.uint8, np.int16, np.uint16]),
    ],
)
def test_stored_values_keep_their_type_in_every_encoding(
    tmp_path: Path, syntax: str, dtype: Any
) -> None:
    stored = np.random.default_rng(0).integers(0, 100, (3, 5, 7)).astype(dtype)
    path = write_dicom(
        tmp_path / "a", stored, syntax=ImplicitVRLittleEndian if syntax == RLELossless else syntax
    )
    if syntax == RLELossless:
        ds = dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(path)
    for frame in range(3):
        pixels = read_dicom(path, units="stored", frame=frame).pixels
        assert pixels.numpy().dtype == dtype
        assert np.array_equal(pixels[0], stored[frame])


def test_the_deflated_syntax_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", RAMP, syntax=DeflatedExplicitVRLittleEndian)
    assert np.array_equal(read_dicom(path, units="stored").pixels[0], RAMP)
    with pytest.raises(LimitError, match="inflates to more than 300 bytes"):
        read_dicom(path, limits=DicomLimits(inflated_bytes=300))


def test_a_file_that_is_not_encoded_as_it_says_is_still_found_its_pixels() -> None:
    # An explicit transfer syntax over an implicit data set.
    path = get_testdata_file("SC_rgb_jpeg.dcm")
    with pytest.warns(UserWarning, match="Expected explicit VR, but found implicit"):
        expected = dcmread(path).pixel_array
    assert np.array_equal(read_dicom(path, units="stored").pixels.movedim(0, -1), expected)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16)])
def test_colour_is_divided_by_its_largest_value(tmp_path: Path, dtype: Any, bits: int) -> None:
    stored = np.random.default_rng(0).integers(0, 2**bits, (4, 5, 3)).astype(dtype)
    path = write_dicom(tmp_path / "a", stored, bits=bits, PhotometricInterpretation="RGB")
    pixels = read_dicom(path).pixels
    assert pixels.shape == (3, 4, 5)
    assert np.allclose(pixels.movedim(0, -1), stored / (2**bits - 1), rtol=0, atol=1e-6)
    low, high = stored.min(), stored.max()
    stretched = read_dicom(path, units="minmax").pixels.movedim(0, -1)
    assert np.allclose(stretched, (stored - low) / (high - low), rtol=0, atol=1e-6)
    with pytest.raises(HeaderError, match="a colour image has no modality values"):
        read_dicom(path, units="modality")


def test_a_palette_gives_colours(tmp_path: Path) -> None:
    stored = np.array([[0, 1], [2, 1]], np.uint8)
    palette: dict[str, Any] = {}
    for name, entries in {"Red": [0, 255, 128], "Green": [10, 20, 30], "Blue": [1, 2, 3]}.items():
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [3, 0, 8]
        palette[f"{name}PaletteColorLookupTableData"] = bytes([*entries, 0])
    path = write_dicom(tmp_path / "a", stored, PhotometricInterpretation="PALETTE COLOR", **palette)
    with pytest.raises(HeaderError):  # four bytes for three entries
        read_dicom(path)
    for name in ("Red", "Green", "Blue"):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, 8]
    write_dicom(path, stored, PhotometricInterpretation="PALETTE COLOR", **palette)
    pixels = read_dicom(path).pixels
    assert (pixels[:, 0, 1] * 255).tolist() == pytest.approx([255, 20, 2])
    assert (pixels[:, 1, 0] * 255).tolist() == pytest.approx([128, 30, 3])


def test_palette_entries_deeper_than_the_palette_are_refused(tmp_path: Path) -> None:
    palette: dict[str, Any] = {}
    for name in ("Red", "Green", "Blue"):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [2, 0, 8]
        palette[f"{name}PaletteColorLookupTableData"] = np.array([0, 300], "<u2").tobytes()
    stored = np.array([[0, 1]], np.uint8)
    path = write_dicom(tmp_path / "a", stored, PhotometricInterpretation="PALETTE COLOR", **palette)
    with pytest.raises(HeaderError, match="palette entries exceed the depth of the palette"):
        read_dicom(path)


def test_spacing_says_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "a"
    detector = {"ImagerPixelSpacing": [0.2, 0.1], "NominalScannedPixelSpacing": [1, 1]}
    meta = read_dicom(write_dicom(path, RAMP, PixelSpacing=[0.4, 0.3], **detector)).meta
    assert (meta.spacing, meta.spacing_source) == ((0.4, 0.3), "PixelSpacing")
    meta = read_dicom(write_dicom(path, RAMP, PixelSpacing=[0, 0], **detector)).meta
    assert (meta.spacing, meta.spacing_source) == ((0.2, 0.1), "ImagerPixelSpacing")
    meta = read_dicom(write_dicom(path, RAMP)).meta
    assert (meta.spacing, meta.spacing_source) == (None, None)


@pytest.mark.parametrize(
    ("orientation", "view"),
    [
        ([1, 0, 0, 0, 1, 0], "axial"),
        ([-1, 0, 0, 0, 1, 0], "axial"),
        ([1, 0, 0, 0, 0, -1], "coronal"),
        ([0, 1, 0, 0, 0, -1], "sagittal"),
        ([0.91, 0, 0.41461, 0, 1, 0], "axial"),
        ([0.89, 0, 0.45596, 0, 1, 0], "oblique"),
        ([1, 0, 0, 1, 0, 0], "unknown"),
        ([1, 0, 0, 0, 1], "unknown"),
        (None, "unknown"),
    ],
)
def test_the_view_is_the_axis_nearest_to_the_normal(
    tmp_path: Path, orientation: list[float] | None, view: str
) -> None:
    image = read_dicom(write_dicom(tmp_path / "a", RAMP, ImageOrientationPatient=orientation))
    assert image.meta.view == view


@pytest.mark.parametrize(("said", "known"), [("YES", True), ("NO", False), (None, None)])
def test_the_facts_of_the_header(tmp_path: Path, said: str | None, known: bool | None) -> None:
    path = write_dicom(tmp_path / "a", RAMP.astype(np.uint16), bits=12, BurnedInAnnotation=said)
    meta = read_dicom(path).meta
    assert (meta.modality, meta.photometric_interpretation) == ("CT", "MONOCHROME2")
    assert (meta.rows, meta.columns, meta.frames, meta.bits_stored) == (10, 12, 1, 12)
    assert (meta.transfer_syntax, meta.burned_in) == ("Explicit VR Little Endian", known)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"units": "hu"}, ValueError, r"`units` \(='hu'\) must be one of window, modality"),
        ({"window": (40, 0)}, ValueError, r"`window` \(=\(40, 0\)\) must be"),
        ({"window": (40,)}, ValueError, "`window`"),
        ({"window": (float("nan"), 3)}, ValueError, "`window`"),
        ({"window": (1, 2), "units": "minmax"}, ValueError, "has no meaning with `units`='minmax'"),
        ({"frame": 1}, ValueError, r"`frame` \(=1\) must be in 0..0"),
        ({"frame": -1}, ValueError, "`frame`"),
        ({"frame": 0.0}, TypeError, "`frame`"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    path = write_dicom(tmp_path / "a", RAMP)
    with pytest.raises(error, match=text):
        read_dicom(path, **arguments)


def test_real_ct_reads_in_hounsfield_units(real_images: Path) -> None:
    for path in sorted((real_images / "tcga_ct100").glob("*.dcm"))[:8]:
        image = read_dicom(path, units="modality")
        assert (image.meta.units, image.meta.view) == ("HU", "axial")
        assert image.pixels.shape == (1, 512, 512)
        # Soft tissue, from fat to muscle with contrast agent, and the air around the body.
        assert ((image.pixels > -150) & (image.pixels < 200)).float().mean() > 0.1
        assert ((image.pixels >= -1024) & (image.pixels < -900)).float().mean() > 0.1


def test_frames_of_single_bits_may_begin_within_a_byte(tmp_path):
    stored = np.random.default_rng(0).integers(0, 2, (5, 5, 7), "u1")  # 35 bits each
    path = write_dicom(tmp_path / "a", stored)
    ds = dcmread(path)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 1, 0
    ds.PixelData = pack_bits(stored)
    ds.save_as(path)
    for frame in range(5):
        pixels = read_dicom(path, units="stored", frame=frame).pixels
        assert np.array_equal(pixels[0].numpy(), stored[frame])
    with pytest.raises(LimitError, match="175 samples"):
        read_dicom(path, units="stored", frame=0, limits=DicomLimits(samples=174))
