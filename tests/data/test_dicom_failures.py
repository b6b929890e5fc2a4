"""Every bad file ends in one of our errors, which says where and why and nothing of the header."""

import gzip
import logging
import os
import pickle
import struct
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.pixels.decoders.base import Decoder, JPEG2000LosslessDecoder
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from seattn.data import (
    DecodeError,
    DicomError,
    DicomIndex,
    DicomLimits,
    HeaderError,
    LimitError,
    NoImageError,
    NotDicomError,
    UnsupportedSyntaxError,
    read_dicom,
)
from seattn.data.containment import quiet_pydicom
from tests.data.files import NO_WINDOW, items, write_dicom

PIXELS = np.arange(120, dtype=np.int16).reshape(10, 12)
MARKER = "ZZMARKER"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_dicom(tmp_path / "good.dcm", PIXELS)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A native file and one of two RLE frames, both with names and ids in them."""
    folder = tmp_path_factory.mktemp("bases")
    native = write_dicom(
        folder / "native.dcm",
        PIXELS,
        PatientName=f"{MARKER}^Name",
        PatientID=f"{MARKER}7",
        RescaleSlope=2,
        RescaleIntercept=-1024,
    )
    encapsulated = write_dicom(folder / "rle.dcm", np.stack([PIXELS, PIXELS]), PatientID=MARKER)
    ds = dcmread(encapsulated)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(encapsulated)
    return {"native": native.read_bytes(), "rle": encapsulated.read_bytes()}


def test_the_text_is_path_stage_and_reason(good: Path) -> None:
    good.write_text("a spreadsheet" * 20)
    with pytest.raises(NotDicomError) as caught:
        read_dicom(good)
    error = caught.value
    assert str(error) == f"{good}: open: no DICOM prefix in bytes 128 to 131"
    assert (error.path, error.stage) == (str(good), "open")
    assert error.reason == "no DICOM prefix in bytes 128 to 131"


def test_an_error_survives_pickling_and_the_dataloader_that_raises_it_again_from_its_text() -> None:
    error = LimitError("a.dcm", "limits", "too large")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.stage) == (LimitError, str(error), "limits")
    assert str(LimitError("Caught LimitError in worker 0")) == "Caught LimitError in worker 0"


@pytest.mark.parametrize("content", [b"", b"text", bytes(400), b"\0" * 128 + b"DICM"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DicomError) as caught:
        read_dicom(tmp_path / "a")
    assert isinstance(caught.value, HeaderError if content.endswith(b"DICM") else NotDicomError)


def test_a_missing_file_a_folder_and_a_loop_of_links(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match=r"none: open: No such file or directory"):
        read_dicom(tmp_path / "none")
    with pytest.raises(NotDicomError, match="not a regular file"):
        read_dicom(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DicomError, match="loop: open: "):
        read_dicom(tmp_path / "loop")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotDicomError, match="not a regular file"):
        read_dicom(tmp_path / "pipe")


def test_archives_and_directories_of_files_are_no_images(tmp_path: Path, good: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(good)
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(good.read_bytes())
    for name in ("a.zip", "a.gz"):
        with pytest.raises(NotDicomError, match="no DICOM prefix"):
            read_dicom(tmp_path / name)
    with pytest.raises(NoImageError, match="an object without pixels"):
        read_dicom(Path(pydicom.__file__).parent / "data/test_files/dicomdirtests/DICOMDIR")


@pytest.mark.parametrize("name", ["Knöchel 骨折.dcm", "a b\nc", os.fsdecode(b"kn\xf6chel")])
def test_names_of_every_kind(tmp_path: Path, good: Path, name: str) -> None:
    try:
        path = good.rename(tmp_path / name)
    except OSError:
        pytest.skip("this system does not have such names")
    assert read_dicom(path, units="stored").pixels.shape == (1, 10, 12)
    path.write_bytes(b"")
    with pytest.raises(NotDicomError) as caught:
        read_dicom(path)
    assert caught.value.path == str(path)
    str(caught.value).encode()  # it can be printed, whatever the name


def test_a_link_to_a_file_is_that_file(tmp_path: Path, good: Path) -> None:
    (tmp_path / "link").symlink_to(good)
    assert read_dicom(tmp_path / "link", units="stored").pixels.shape == (1, 10, 12)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("JPEG-lossy.dcm", "decode"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "decode"),
        ("MR_truncated.dcm", "header"),
        ("badVR.dcm", "header"),
        ("meta_missing_tsyntax.dcm", "header"),
        ("nested_priv_SQ.dcm", "header"),
    ],
)
def test_the_bad_files_of_pydicom_are_refused_with_path_and_stage_and_soon(
    name: str, stage: str
) -> None:
    path = Path(pydicom.__file__).parent / "data/test_files" / name
    start = time.process_time()
    with pytest.raises(DicomError) as caught:
        read_dicom(path)
    assert time.process_time() - start < 2
    assert str(caught.value).startswith(f"{path}: {stage}: ")


@pytest.mark.parametrize(
    ("elements", "error", "text"),
    [
        ({"Rows": None}, HeaderError, "no Rows"),
        ({"Columns": 0}, HeaderError, "Columns is less than 1"),
        ({"SamplesPerPixel": None}, HeaderError, "no SamplesPerPixel"),
        ({"BitsAllocated": None}, HeaderError, "no BitsAllocated"),
        ({"PixelRepresentation": None}, DecodeError, "decode: "),
        ({"PhotometricInterpretation": None}, HeaderError, "no Photometric Interpretation"),
        ({"PhotometricInterpretation": "HSV"}, HeaderError, "do not go together"),
        ({"NumberOfFrames": 2}, DecodeError, "240 bytes of pixels, and 480 are needed"),
        ({"NumberOfFrames": 2**31 - 1}, DecodeError, "are needed"),
        ({"Rows": 65535, "Columns": 65535}, LimitError, "more than the limit"),
        ({"RescaleSlope": 2}, HeaderError, "must have one value each"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, HeaderError, "Rescale Slope is 0"),
        ({"RescaleSlope": "nan", "RescaleIntercept": 0}, HeaderError, "not a number"),
        ({"RescaleSlope": "1,5", "RescaleIntercept": 0}, HeaderError, "ValueError"),
        ({"RescaleSlope": "1e308", "RescaleIntercept": "1e308"}, HeaderError, "infinite"),
        ({"WindowWidth": 0}, HeaderError, "make no window"),
        ({"WindowWidth": 0.5}, HeaderError, "make no window"),
        ({"WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, HeaderError, "make no window"),
        ({"WindowCenter": None}, HeaderError, "make no window"),
        ({"WindowCenter": "inf"}, HeaderError, "make no window"),
        ({"VOILUTFunction": "CUBIC"}, HeaderError, "an unknown VOI LUT Function"),
        (NO_WINDOW, HeaderError, r'pass `window=\(center, width\)` or `units="minmax"`'),
        ({"PixelSpacing": ["1,5", "1"]}, HeaderError, "meta: ValueError"),
    ],
)
def test_a_bad_header(
    tmp_path: Path, elements: dict[str, Any], error: type[DicomError], text: str
) -> None:
    with disable_value_validation():
        path = write_dicom(tmp_path / "a", PIXELS, **elements)
    with pytest.raises(error, match=text):
        read_dicom(path)


def test_all_frames_together_have_a_limit_too(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", np.stack([PIXELS, PIXELS]))
    limits = DicomLimits(samples=200)
    assert read_dicom(path, frame=1, limits=limits).pixels.shape == (1, 10, 12)
    with pytest.raises(LimitError, match="240 samples to decode, more than the limit of 200"):
        read_dicom(path, frame=None, limits=limits)


@pytest.mark.parametrize(
    ("sop_class", "rows", "error", "text"),
    [
        (CTImageStorage, 10, DecodeError, "the file ends before its pixels"),
        (CTImageStorage, None, DecodeError, "the file ends before its pixels"),
        (BasicTextSRStorage, 10, DecodeError, "the file ends before its pixels"),
        (BasicTextSRStorage, None, NoImageError, "an object without pixels"),
    ],
)
def test_an_object_without_pixels_differs_from_an_image_that_lost_them(
    tmp_path: Path, sop_class: str, rows: int | None, error: type[DicomError], text: str
) -> None:
    path = write_dicom(tmp_path / "a", PIXELS, SOPClassUID=sop_class, Rows=rows)
    ds = dcmread(path)
    del ds.PixelData
    ds.save_as(path)
    with pytest.raises(error, match=text):
        read_dicom(path)


def test_a_missing_transfer_syntax_and_one_without_a_decoder(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = good.read_bytes()
    syntax = ExplicitVRLittleEndian.encode() + b"\0"
    place = content.index(b"\x02\x00\x10\x00UI\x14\x00" + syntax) + 8
    good.write_bytes(content[:place] + b"1.2.3.4.5.6.7.8.9.10" + content[place + 20 :])
    with pytest.raises(UnsupportedSyntaxError, match="pydicom has no decoder"):
        read_dicom(good)
    good.write_bytes(content[:place] + b"\0" * 20 + content[place + 20 :])
    with pytest.raises(HeaderError, match=r"no .0002,0010. Transfer Syntax UID"):
        read_dicom(good)


@pytest.mark.parametrize(
    ("syntax", "command"),
    [(JPEG2000Lossless, r'pip install "seattn\[compressed\]"'), (JPEGLosslessSV1, "python-gdcm")],
)
def test_a_missing_codec_names_the_package_that_has_it(
    good: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, command: str
) -> None:
    content = good.read_bytes()
    place = content.index(b"\x02\x00\x10\x00UI\x14\x00") + 6
    uid = syntax.encode()
    length = struct.unpack("<L", content[140:144])[0] + len(uid) - 20
    good.write_bytes(
        content[:140]
        + struct.pack("<L", length)
        + content[144:place]
        + struct.pack("<H", len(uid))
        + uid
        + content[place + 22 :]
    )
    monkeypatch.setattr(type(JPEG2000LosslessDecoder), "is_available", False)
    with pytest.raises(UnsupportedSyntaxError, match=command):
        read_dicom(good)


def test_encapsulated_pixels_that_lack_frames_or_their_end(
    tmp_path: Path, bases: dict[str, bytes]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(bases["rle"][:-8])
    with pytest.raises(DecodeError, match="the file ends within its pixels"):
        read_dicom(path)
    path.write_bytes(bases["rle"])
    ds = dcmread(path)
    ds.NumberOfFrames = 200_000
    ds.save_as(path)
    with pytest.raises(DecodeError, match="fewer frames than the header says"):
        read_dicom(path)


class PanicException(BaseException):
    """What pylibjpeg's Rust extensions raise."""


@pytest.mark.parametrize("problem", [PanicException, StopIteration, MemoryError, struct.error])
def test_whatever_a_decoder_raises_becomes_ours_without_its_text(
    good: Path, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException]
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise problem(MARKER)

    monkeypatch.setattr(Decoder, "as_array", fail)
    with pytest.raises(DecodeError, match=f"decode: {problem.__name__}") as caught:
        read_dicom(good)
    assert MARKER not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_a_user_who_interrupts_gets_through(
    good: Path, monkeypatch: pytest.MonkeyPatch, signal: type[BaseException]
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise signal

    monkeypatch.setattr(Decoder, "as_array", stop)
    with pytest.raises(signal):
        read_dicom(good)


def read_or_refuse(path: Path) -> None:
    """Read in every unit; only our errors may come, and none with the marker in it."""
    for units in ("stored", "modality", "window", "minmax"):
        try:
            image = read_dicom(path, units=units, frame=None)
        except DicomError as error:
            said = str(error)
        else:
            said = repr(image.meta)
            if units in ("window", "minmax"):
                assert image.pixels.min() >= 0
                assert image.pixels.max() <= 1
        assert MARKER not in said


@pytest.mark.parametrize("base", ["native", "rle"])
def test_a_truncated_file_is_refused_wherever_it_ends(
    tmp_path: Path, bases: dict[str, bytes], base: str
) -> None:
    path = tmp_path / "a"
    for length in range(0, len(bases[base]), 7):
        path.write_bytes(bases[base][:length])
        with pytest.raises(DicomError) as caught:
            read_dicom(path)
        assert MARKER not in str(caught.value)


Mutation = Callable[[bytearray, int, int], None]


def flip(content: bytearray, place: int, value: int) -> None:
    content[place] ^= value


def delete(content: bytearray, place: int, value: int) -> None:
    del content[place : place + value % 9]


def insert(content: bytearray, place: int, value: int) -> None:
    content[place:place] = bytes([value]) * (value % 9)


@settings(max_examples=300)
@given(
    base=st.sampled_from(["native", "rle"]),
    mutations=st.lists(
        st.tuples(st.sampled_from([flip, delete, insert]), st.integers(132), st.integers(1, 255)),
        min_size=1,
        max_size=3,
    ),
)
def test_a_mutated_file_reads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    bases: dict[str, bytes],
    base: str,
    mutations: list[tuple[Mutation, int, int]],
) -> None:
    content = bytearray(bases[base])
    for mutate, place, value in mutations:
        mutate(content, 132 + place % (len(content) - 132), value)
    path = tmp_path_factory.getbasetemp() / "mutated.dcm"
    path.write_bytes(content)
    read_or_refuse(path)


PRIVATE = {
    "PatientName": f"{MARKER}^Anna",
    "PatientID": f"{MARKER}-77",
    "IssuerOfPatientID": MARKER,
    "PatientBirthDate": f"1970-{MARKER}",
    "PatientSex": MARKER,
    "AccessionNumber": MARKER,
    "InstitutionName": MARKER,
    "ReferringPhysicianName": MARKER,
    "StudyDate": MARKER,
    "StudyDescription": MARKER,
    "StudyInstanceUID": f"1.2.{MARKER}",
    "SeriesInstanceUID": f"1.3.{MARKER}",
    "SOPInstanceUID": f"1.4.{MARKER}",
    "FrameOfReferenceUID": f"1.5.{MARKER}",
    "RescaleType": MARKER,
}


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"WindowWidth": MARKER},
        {"RescaleSlope": MARKER, "RescaleIntercept": MARKER},
        {"PixelSpacing": [MARKER, "1"]},
        {"ImageOrientationPatient": MARKER},
        {"NumberOfFrames": MARKER},
        {"PhotometricInterpretation": MARKER},
        {"VOILUTFunction": MARKER},
        {"PresentationLUTShape": MARKER},
        {"SOPClassUID": f"1.9.{MARKER}"},
        {"BurnedInAnnotation": MARKER},
        {"SharedFunctionalGroupsSequence": items({"PatientName": MARKER})},
    ],
)
def test_nothing_of_the_patient_gets_out(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    damage: dict[str, Any],
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write_dicom(folder / "a", PIXELS, **(PRIVATE | damage))
        with disable_value_validation():
            ds = dcmread(path)
            ds.private_block(0x0011, MARKER, create=True).add_new(0x01, "LO", MARKER)
            ds.save_as(path)
    caplog.clear()
    caplog.set_level(logging.DEBUG)

    warnings.simplefilter("always")
    read_or_refuse(path)
    index = DicomIndex.scan(folder, key=b"key", progress=True, on_error="skip")
    index.save(tmp_path / "index.json")

    assert (tmp_path / "index.json").stat().st_size > 100
    for text in (
        (tmp_path / "index.json").read_text(),
        repr(index) + index.report(),
        caplog.text,
        *capfd.readouterr(),
        *(str(warning.message) for warning in recwarn),
        repr(pickle.dumps(index)),
    ):
        assert MARKER not in text


def test_warnings_and_the_log_of_pydicom_come_back_when_the_last_thread_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("pydicom")
    before = (logger.level, logger.propagate, list(logger.handlers), list(warnings.filters))
    inside, leave = threading.Barrier(2), threading.Event()

    def stay() -> None:
        with quiet_pydicom:
            inside.wait()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    with quiet_pydicom:
        inside.wait()
    warnings.warn("silent", stacklevel=1)  # would be an error here
    logger.warning("silent")
    leave.set()
    thread.join()
    after = (logger.level, logger.propagate, list(logger.handlers), list(warnings.filters))
    assert after == before
    assert not caplog.records
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
