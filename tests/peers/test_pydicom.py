"""`read_dicom` against pydicom's own functions in float64. Tolerance: 1e-6 on 0..1."""

import itertools
import logging
import warnings
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import pydicom
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from seattn.data import DicomError, NotDicomError, read_dicom
from tests.data.files import items, write_dicom

# The test files in pydicom's wheel, and those that it keeps in a package of its own.
DATA = Path(data_store.__file__).parent / "data"
PATHS = [
    *sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")),
    *sorted(path for path in DATA.iterdir() if path.suffix in {"", ".dcm"} and path.is_file()),
]

ENHANCED = "SharedFunctionalGroupsSequence"  # whose values pydicom's functions do not look for


def decoded(path: Path) -> tuple[Dataset, np.ndarray] | None:
    """A data set and its pixels as pydicom sees them, or None if it sees none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = dcmread(path)
            return ds, ds.pixel_array
        except Exception:  # noqa: BLE001 - whatever it is, pydicom refuses
            return None


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Any:
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_file_of_pydicom_reads_as_pydicom_reads_it_or_is_refused_as_it_refuses(
    path: Path,
) -> None:
    theirs = decoded(path)
    if theirs is None:
        with pytest.raises(DicomError):
            read_dicom(path, units="stored", frame=None)
        return
    ds, stored = theirs
    ours = read_dicom(path, units="stored", frame=None).pixels.numpy()
    assert np.array_equal(np.moveaxis(ours, 1, -1).reshape(stored.shape), stored)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        colour = apply_color_lut(stored, ds)
        colour = colour / np.iinfo(colour.dtype).max
        pixels = np.moveaxis(read_dicom(path, frame=None).pixels.numpy(), 1, -1)
        assert np.allclose(pixels.reshape(colour.shape), colour, rtol=0, atol=1e-6)
    elif ds.SamplesPerPixel == 1 and "PixelPaddingValue" not in ds and ENHANCED not in ds:
        values = apply_modality_lut(stored, ds)
        ours = read_dicom(path, units="modality", frame=None).pixels.numpy()
        assert np.allclose(ours.reshape(values.shape), values, rtol=1e-6, atol=0)


def test_enough_files_were_really_compared() -> None:
    assert sum(decoded(path) is not None for path in PATHS) >= 115


def test_an_enhanced_ct_is_in_its_own_units() -> None:
    path = DATA / "eCT_Supplemental.dcm"
    frames = read_dicom(path, units="modality", frame=None).pixels
    stored = dcmread(path).pixel_array
    assert [(frame.min(), frame.max()) for frame in frames] == [(-1024, 172), (-1024, 148)]
    assert np.array_equal(frames[:, 0].numpy(), stored.astype(np.float32) - 1024)


def test_a_real_modality_lut_and_a_real_voi_lut() -> None:
    ds = dcmread(DATA / "mlut_18.dcm")
    values = read_dicom(DATA / "mlut_18.dcm", units="modality").pixels[0].numpy()
    assert (values.min(), values.max()) == (0, 65535)
    assert np.array_equal(values, apply_modality_lut(ds.pixel_array, ds))
    ds = dcmread(DATA / "vlut_04.dcm")
    expected = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds) / 65535
    assert np.allclose(read_dicom(DATA / "vlut_04.dcm").pixels[0], expected, rtol=0, atol=1e-6)


def test_a_file_without_a_prefix_is_read_on_request() -> None:
    path = DATA / "OT-PAL-8-face.dcm"
    with pytest.raises(NotDicomError):
        read_dicom(path)
    ds = dcmread(path, force=True)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if ds.original_encoding[0] else ExplicitVRLittleEndian
    )
    ours = read_dicom(path, units="stored", force=True).pixels[0].numpy()
    assert np.array_equal(ours, ds.pixel_array)


def window_range(ds: Dataset) -> tuple[float, float]:
    """The output range of `apply_windowing`: that of the stored values after the rescale."""
    low, high = (
        (-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1)
        if ds.PixelRepresentation
        else (0, 2**ds.BitsStored - 1)
    )
    slope, intercept = ds.get("RescaleSlope", 1), ds.get("RescaleIntercept", 0)
    return float(low * slope + intercept), float(high * slope + intercept)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_the_windows_of_the_files_of_pydicom(path: Path) -> None:
    theirs = decoded(path)
    if theirs is None or "WindowWidth" not in theirs[0] or "PixelPaddingValue" in theirs[0]:
        return
    ds, stored = theirs
    if ds.SamplesPerPixel != 1 or ds.get("VOILUTSequence"):
        return
    low, high = window_range(ds)
    expected = (apply_windowing(apply_modality_lut(stored, ds), ds) - low) / (high - low)
    ours = read_dicom(path, frame=None).pixels.numpy().reshape(expected.shape)
    inverted = ds.PhotometricInterpretation == "MONOCHROME1"
    assert np.allclose(ours, 1 - expected if inverted else expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "kind", "rescale"),
    list(
        itertools.product(
            ["LINEAR", "LINEAR_EXACT", "SIGMOID"],
            [
                (np.uint8, 8),
                (np.int8, 8),
                (np.uint16, 12),
                (np.int16, 12),
                (np.uint16, 16),
                (np.int16, 16),
            ],
            [{}, {"RescaleSlope": 2.5, "RescaleIntercept": -1024}],
        )
    ),
)
def test_windows_of_every_function_and_type(
    tmp_path: Path, function: str, kind: tuple[Any, int], rescale: dict[str, float]
) -> None:
    dtype, bits = kind
    low = -(2 ** (bits - 1)) if np.iinfo(dtype).min < 0 else 0
    stored = np.random.default_rng(0).integers(low, low + 2**bits, (16, 9)).astype(dtype)
    path = write_dicom(
        tmp_path / "a",
        stored,
        bits=bits,
        VOILUTFunction=function,
        WindowCenter=[30.5, 7],
        WindowWidth=[75, 2],
        **rescale,
    )
    ds = dcmread(path)
    low, high = window_range(ds)
    with np.errstate(over="ignore"):  # in the exponential of pydicom's SIGMOID
        expected = (apply_voi_lut(apply_modality_lut(stored, ds), ds) - low) / (high - low)
    assert np.allclose(read_dicom(path).pixels[0], expected, rtol=0, atol=1e-6)


def test_a_modality_lut_and_a_voi_lut_in_sequence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(-300, 300, (12, 10)).astype(np.int16)
    modality = items({"LUTDescriptor": [256, -100, 16], "ModalityLUTType": "US"})
    modality[0]["LUTDescriptor"].VR = "SS"
    modality[0].add_new("LUTData", "OW", rng.integers(0, 4096, 256).astype("<u2").tobytes())
    voi = items({"LUTDescriptor": [4096, 0, 12]})
    voi[0].add_new("LUTData", "OW", rng.integers(0, 4096, 4096).astype("<u2").tobytes())
    path = write_dicom(tmp_path / "a", stored, ModalityLUTSequence=modality, VOILUTSequence=voi)
    ds = dcmread(path)
    values = apply_modality_lut(stored, ds)
    assert np.array_equal(read_dicom(path, units="modality").pixels[0], values)
    expected = apply_voi_lut(values, ds) / 4095
    assert np.allclose(read_dicom(path).pixels[0], expected, rtol=0, atol=1e-6)
