"""A marker in every element of a header; nothing that `read_dicom` says, keeps or logs has it."""

import logging
import pickle
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary, keyword_dict
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence

from seattn.data import DicomError, read_dicom
from seattn.data.picture import Units
from tests.data.files import write_dicom

MARKER = "ZZMARKER"
PIXELS = np.arange(120, dtype=np.int16).reshape(10, 12)
_TEXT = "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT"
TEXT = tuple(_TEXT.split())
BYTES = ("OB", "UN", "OW", "OB or OW")

# What a file needs to be read; the marker is put in each of them in turn.
NEEDED: dict[str, Any] = {
    "Modality": "CT",
    "PhotometricInterpretation": "MONOCHROME2",
    "NumberOfFrames": "1",
    "RescaleSlope": "2",
    "RescaleIntercept": "-3",
    "RescaleType": "HU",
    "WindowCenter": "40",
    "WindowWidth": "400",
    "VOILUTFunction": "LINEAR",
    "PresentationLUTShape": "IDENTITY",
    "PixelSpacing": ["1", "1"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "ImagePositionPatient": ["0", "0", "1"],
    "BurnedInAnnotation": "NO",
    "ViewPosition": "AP",
    "Laterality": "L",
    "ImageLaterality": "L",
    "FrameLaterality": "L",
    "SpecificCharacterSet": "ISO_IR 100",
}


def plant(dataset: Dataset, *, group_2: bool = False) -> None:
    """Put the marker into every element of the dictionary that can hold it."""
    for tag, (vr, multiplicity, *_) in DicomDictionary.items():
        group, keyword = tag >> 16, DicomDictionary[tag][4]
        if (group == 2) != group_2 or group in (0x7FE0, 0xFFFE, 0) or keyword in NEEDED:
            continue
        if keyword.endswith("TransferSyntaxUID") or "LUT" in keyword or "Palette" in keyword:
            continue
        value: Any = MARKER if multiplicity.startswith("1") else [MARKER, MARKER]
        if vr in TEXT:
            dataset.add(DataElement(tag, vr, value, already_converted=vr in ("DS", "IS")))
        elif vr in BYTES:
            dataset.add(DataElement(tag, vr[:2], MARKER.encode()))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = write_dicom(tmp_path_factory.mktemp("planted") / "a", PIXELS)
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(path)
        ds.preamble = (MARKER * 16).encode()
        plant(ds.file_meta, group_2=True)
        ds.file_meta.MediaStorageSOPClassUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2"
        plant(ds)
        group = Dataset()
        plant(group)
        ds.SharedFunctionalGroupsSequence = Sequence([group])
        ds.ReferencedImageSequence = Sequence([group])
        block = ds.private_block(0x0011, MARKER, create=True)
        for offset, vr in enumerate(("LO", "PN", "UT", "SH")):
            block.add_new(offset, vr, MARKER)
        for keyword, value in NEEDED.items():
            put(ds, keyword, value)
    return ds


def put(dataset: Dataset, keyword: str, value: Any) -> None:
    tag = keyword_dict[keyword]
    vr = DicomDictionary[tag][0]
    dataset.add(DataElement(tag, vr, value, already_converted=vr in ("DS", "IS")))


def save(dataset: Dataset, path: Path) -> Path:
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path)
    return path


Listen = Callable[..., str]


@pytest.fixture
def said(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> Listen:
    """Read a file in every unit; return all that leaves the library, in one text."""

    def listen(path: Path, **arguments: Any) -> str:
        caplog.set_level(logging.DEBUG)
        caplog.clear()
        capfd.readouterr()
        recwarn.clear()
        warnings.simplefilter("always")
        texts = []
        for units in get_args(Units):
            try:
                image = read_dicom(path, units=units, **arguments)
            except (DicomError, ValueError) as error:
                texts += [
                    repr(error),
                    repr(error.args),
                    repr(vars(error)),
                    repr(pickle.dumps(error)),
                ]
                # With all that the error is chained to.
                texts += traceback.format_exception(error)
                texts += [repr(error.__cause__), repr(error.__context__)]
            else:
                texts += [repr(image), repr(image.meta), repr(pickle.dumps(image))]
        texts += [caplog.text, *capfd.readouterr(), *(str(w.message) for w in recwarn)]
        return "\n".join(texts)

    return listen


def test_a_file_full_of_markers_reads_without_one(
    tmp_path: Path, planted: Dataset, said: Listen
) -> None:
    path = save(planted, tmp_path / "a")
    assert path.read_bytes().count(MARKER.encode()) > 5000
    text = said(path)
    assert "DicomImage(" in text
    assert "Error" not in text
    assert MARKER not in text
    assert MARKER not in said(path, force=True)


@pytest.mark.parametrize("keyword", NEEDED)
@pytest.mark.parametrize("value", [MARKER, [MARKER, MARKER]], ids=["one", "two"])
def test_a_marker_in_an_element_that_is_read(
    tmp_path: Path, said: Listen, keyword: str, value: Any
) -> None:
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(write_dicom(tmp_path / "a", PIXELS))
        for needed, good in NEEDED.items():
            put(ds, needed, value if needed == keyword else good)
        path = save(ds, tmp_path / "a")
    assert MARKER.encode() in path.read_bytes()
    assert MARKER not in said(path)


@pytest.mark.parametrize("kept", [130, 3000, 100_000, -21, -240])
def test_a_marker_in_a_file_that_is_cut_short(
    tmp_path: Path, planted: Dataset, said: Listen, kept: int
) -> None:
    path = save(planted, tmp_path / "a")
    path.write_bytes(path.read_bytes()[:kept])
    text = said(path)
    assert "Error" in text
    assert MARKER not in text


def test_a_marker_where_a_decoder_fails(tmp_path: Path, planted: Dataset, said: Listen) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save(planted, tmp_path / "a")
        ds = dcmread(path)
        del ds.PixelRepresentation
        save(ds, path)
    text = said(path)
    assert "DecodeError" in text
    assert MARKER not in text


@pytest.mark.parametrize(
    "arguments", [{}, {"frame": 7}, {"voi": 7, "units": "window"}], ids=["plain", "frame", "voi"]
)
@pytest.mark.parametrize("content", [None, b"text", "good", "short"])
def test_a_hidden_path_is_in_no_error(
    tmp_path: Path, arguments: dict[str, Any], content: bytes | str | None
) -> None:
    folder = tmp_path / f"{MARKER} Anna"
    folder.mkdir()
    path = folder / "a.dcm"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_dicom(path, PIXELS)
        if content == "short":
            path.write_bytes(path.read_bytes()[:-9])
    for target in (path, folder):
        if target == path and content == "good" and not arguments:
            continue
        with pytest.raises((DicomError, ValueError)) as caught:
            read_dicom(target, redact_paths=True, **arguments)
        texts = (repr(caught.value), str(caught.value), repr(vars(caught.value)))
        assert MARKER not in "".join(texts)
        with pytest.raises((DicomError, ValueError), match=MARKER):
            read_dicom(target, **arguments)
