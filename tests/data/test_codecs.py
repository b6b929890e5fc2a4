"""Which decoder is chosen, and what is refused before it starts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from seattn.data import DecodeError, UnsupportedSyntaxError, read_dicom
from seattn.data.codecs import choose_plugin
from tests.data.files import write_dicom

PIXELS = np.random.default_rng(0).integers(0, 900, (3, 40, 36)).astype(np.uint16)
JPEG = ("gdcm", "pillow", "pylibjpeg")


@pytest.mark.parametrize(
    ("syntax", "installed", "precision", "plugin"),
    [
        (JPEGLSLossless, ("gdcm", "pyjpegls", "pylibjpeg"), 16, "pyjpegls"),
        (JPEGLSNearLossless, ("gdcm", "pylibjpeg"), 8, "pylibjpeg"),
        (JPEGLSLossless, ("gdcm",), 8, "gdcm"),
        (JPEG2000, JPEG, 16, "pylibjpeg"),
        (JPEG2000Lossless, ("gdcm", "pillow"), 16, "pillow"),
        (HTJ2K, ("pylibjpeg",), 16, "pylibjpeg"),
        (RLELossless, ("gdcm", "pydicom", "pylibjpeg"), 8, "pylibjpeg"),
        (RLELossless, ("gdcm", "pydicom"), 8, "pydicom"),
        (JPEGBaseline8Bit, JPEG, 8, "pillow"),
        (JPEGExtended12Bit, JPEG, 12, "pylibjpeg"),
        (JPEGExtended12Bit, ("gdcm", "pillow"), 12, "gdcm"),
        (JPEGExtended12Bit, ("pillow",), 12, ""),
        (JPEGLosslessSV1, ("gdcm", "pylibjpeg"), 16, "pylibjpeg"),
        (JPEGLosslessSV1, ("gdcm",), 16, "gdcm"),
    ],
)
def test_permissive_decoders_come_first_and_gdcm_last(
    monkeypatch: pytest.MonkeyPatch, syntax: Any, installed: Any, precision: int, plugin: str
) -> None:
    monkeypatch.setattr(Decoder, "available_plugins", property(lambda self: installed))
    assert choose_plugin(syntax, precision=precision) == plugin


def compressed(path: Path, syntax: str) -> Path:
    ds = dcmread(write_dicom(path, PIXELS))
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path)
    return path


@pytest.mark.parametrize(
    ("syntax", "plugin"),
    [(RLELossless, "pylibjpeg"), (JPEG2000Lossless, "pylibjpeg"), (JPEGLSLossless, "pyjpegls")],
)
def test_the_chosen_decoder_is_the_one_that_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, plugin: str
) -> None:
    path = compressed(tmp_path / "a", syntax)
    used: list[str] = []
    as_array = Decoder.as_array

    def spy(self: Decoder, *args: Any, decoding_plugin: str = "", **kwargs: Any) -> Any:
        used.append(decoding_plugin)
        return as_array(self, *args, decoding_plugin=decoding_plugin, **kwargs)

    monkeypatch.setattr(Decoder, "as_array", spy)
    assert np.array_equal(read_dicom(path, units="stored", frame=None).pixels[:, 0], PIXELS)
    assert np.array_equal(read_dicom(path, units="stored", frame=2).pixels[0], PIXELS[2])
    assert used == [plugin, plugin]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize(
    "changes",
    [{"Rows": 41}, {"Columns": 35}, {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}],
)
def test_a_code_stream_of_another_size(
    tmp_path: Path, syntax: str, changes: dict[str, Any]
) -> None:
    path = compressed(tmp_path / "a", syntax)
    ds = dcmread(path)
    ds.update(changes)
    ds.save_as(path)
    with pytest.raises(DecodeError, match="an image of another size than the header says"):
        read_dicom(path)


def test_every_frame_that_is_decoded_is_checked(tmp_path: Path) -> None:
    small, large = (compressed(tmp_path / name, JPEG2000Lossless) for name in "ab")
    content = large.read_bytes()
    last = content.rindex(b"\xff\x4f\xff\x51") + 8
    small.write_bytes(content[:last] + b"\0\1" + content[last + 2 :])
    assert np.array_equal(read_dicom(small, units="stored", frame=1).pixels[0], PIXELS[1])
    for frame in (2, None):
        with pytest.raises(DecodeError, match="of another size"):
            read_dicom(small, units="stored", frame=frame)


@pytest.mark.parametrize(
    "code", [b"", b"text", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51", b"\xff\xd8\xff\xe0\0\0"]
)
def test_a_frame_without_an_image(tmp_path: Path, code: bytes) -> None:
    path = compressed(tmp_path / "a", JPEG2000Lossless)
    ds = dcmread(path)
    ds.PixelData = encapsulate([code or b"\0\0"] * 3)
    ds["PixelData"].is_undefined_length = True
    ds.save_as(path)
    with pytest.raises(DecodeError, match="no image in the code stream"):
        read_dicom(path)


def test_a_jpeg_of_12_bits_names_the_decoder_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_dicom(tmp_path / "a", PIXELS[0])
    ds = dcmread(path)
    ds.PixelData = encapsulate([b"\xff\xd8\xff\xff\xc1\0\x0b\x0c\0\x28\0\x24\1" + bytes(600)])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    ds.save_as(path)
    monkeypatch.setattr(Decoder, "available_plugins", property(lambda self: ("pillow",)))
    with pytest.raises(UnsupportedSyntaxError, match="pylibjpeg-libjpeg, which is under the GPL"):
        read_dicom(path)
