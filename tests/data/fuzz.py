"""Damages small DICOM files in every way that is known to hurt readers, and reads them.

``python -m tests.data.fuzz FOLDER --first 0 --count 5000`` prints one JSON object; it runs in a
process of its own because a codec may crash. Case number i is the same everywhere, whatever comes
before: the last number in FOLDER/case is that of the crash.
"""

import argparse
import json
import resource
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UID_dictionary,
)

from seattn.data import DicomError, read_dicom
from tests.data.files import items, write_dicom

MARKER = "ZZMARKER"
PIXELS = np.random.default_rng(0).integers(-900, 900, (36, 34)).astype(np.int16)
LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT")
_VRS = b"AE AS AT CS DA DS DT FD FL IS LO LT OB OW PN SH SL SQ SS ST UI UL UN US UT XX"
VRS = tuple(_VRS.split())
SYNTAXES = tuple(uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax")
NUMBERS = (
    b"",
    b"0",
    b"1,5",
    b"nan",
    b"inf",
    b"-inf",
    b"1e999",
    b"abc",
    b"1\\2",
    b"1\\",
    b"-1",
    b"1e-300",
)
UNDEFINED = 0xFFFFFFFF
COUNTS = (0, 1, 2, 3, 7, 8, 12, 16, 17, 32, 64, 255, 20_000, 65_535)


@dataclass(frozen=True)
class Element:
    """Where an element of an explicit, little-endian file lies."""

    start: int
    value: int
    end: int
    vr: bytes


@dataclass(frozen=True)
class Base:
    name: str
    content: bytes
    elements: tuple[Element, ...]
    deflated: bool = False


def elements_of(content: bytes) -> tuple[Element, ...]:
    """Walk over the elements at the top, without pydicom; the last one holds the pixels."""
    found, start = [], 132
    while start < len(content):
        vr = content[start + 4 : start + 6]
        value, size = (start + 12, 4) if vr in LONG_VRS else (start + 8, 2)
        length = int.from_bytes(content[value - size : value], "little")
        end = len(content) if length == UNDEFINED else value + length
        found.append(Element(start, value, end, vr))
        start = end
    return tuple(found)


def make_bases(folder: Path) -> list[Base]:
    patient = {"PatientName": f"{MARKER}^Anna", "PatientID": MARKER, "PatientBirthDate": "19700101"}
    common = patient | {
        "RescaleSlope": "1.5",
        "RescaleIntercept": "-1024",
        "RescaleType": "HU",
        "WindowCenter": ["40", "400"],
        "WindowWidth": ["400", "1800"],
        "PixelSpacing": ["0.5", "0.5"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "ImagePositionPatient": ["0", "0", "1"],
        "BurnedInAnnotation": "NO",
        "NumberOfFrames": 1,
    }
    contents: dict[str, bytes] = {}

    def add(name: str, pixels: np.ndarray, **elements: object) -> Path:
        path = write_dicom(folder / name, pixels, **elements)
        contents[name] = path.read_bytes()
        return path

    native = add("native", PIXELS, **common)
    add("padded", PIXELS, **common, PixelPaddingValue=-900, PixelPaddingRangeLimit=-800)
    add("deflated", PIXELS, syntax=DeflatedExplicitVRLittleEndian, **common)
    lut = items({"LUTDescriptor": [64, 0, 16], "ModalityLUTType": "US"})
    lut[0].add_new("LUTData", "OW", bytes(128))
    voi = items({"LUTDescriptor": [64, 0, 8]})
    voi[0].add_new("LUTData", "OW", np.arange(64, dtype="<u2").tobytes())
    small = PIXELS.astype(np.uint16) % 64
    add("luts", small, **patient, ModalityLUTSequence=lut, VOILUTSequence=voi)
    palette = {
        f"{name}PaletteColorLookupTableDescriptor": [64, 0, 8] for name in ("Red", "Green", "Blue")
    }
    palette |= {
        f"{name}PaletteColorLookupTableData": bytes(range(64)) for name in ("Red", "Green", "Blue")
    }
    add(
        "palette",
        small.astype(np.uint8),
        **patient,
        PhotometricInterpretation="PALETTE COLOR",
        **palette,
    )
    group = {
        "PixelValueTransformationSequence": items({"RescaleSlope": 2, "RescaleIntercept": -3}),
        "FrameVOILUTSequence": items({"WindowCenter": 40, "WindowWidth": 400}),
        "PlanePositionSequence": items({"ImagePositionPatient": [0, 0, 1]}),
    }
    shared = {"PlaneOrientationSequence": items({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]})}
    add(
        "enhanced",
        np.stack([PIXELS, PIXELS + 1]),
        **patient,
        PerFrameFunctionalGroupsSequence=items(group, group),
        SharedFunctionalGroupsSequence=items(shared),
    )
    two = add("two", np.stack([PIXELS, PIXELS - 1]), **common | {"NumberOfFrames": 2})
    for name, syntax, path in (
        ("rle", RLELossless, two),
        ("jpeg2000", JPEG2000Lossless, native),
        ("jpegls", JPEGLSLossless, native),
    ):
        ds = dcmread(path)
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(folder / name)
        contents[name] = (folder / name).read_bytes()
    contents["jpeg"] = jpeg(folder / "jpeg", patient)
    bases = []
    for name, content in contents.items():
        deflated = name == "deflated"
        clear = inflate(content) if deflated else content
        bases.append(Base(name, clear, elements_of(clear), deflated))
    return bases


def inflate(content: bytes) -> bytes:
    meta = 144 + struct.unpack("<L", content[140:144])[0]
    return content[:meta] + zlib.decompress(content[meta:], -zlib.MAX_WBITS)


def jpeg(path: Path, patient: dict[str, str]) -> bytes:
    write_dicom(path, (PIXELS % 255).astype(np.uint8), **patient)
    ds: Dataset = dcmread(path)
    code = BytesIO()
    Image.fromarray((PIXELS % 255).astype(np.uint8)).save(code, "JPEG")
    ds.PixelData = encapsulate([code.getvalue()])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.save_as(path)
    return path.read_bytes()


Chance = np.random.Generator


def replace(content: bytes, element: Element, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    length = struct.pack("<L" if element.vr in LONG_VRS else "<H", len(value))
    header = content[element.start : element.value - len(length)]
    return content[: element.start] + header + length + value + content[element.end :]


def pick(chance: Chance, base: Base) -> Element:
    return base.elements[chance.integers(len(base.elements))]


def of_vr(chance: Chance, base: Base, *vrs: bytes) -> Element:
    fitting = [e for e in base.elements if e.vr in vrs] or list(base.elements)
    return fitting[chance.integers(len(fitting))]


def place(chance: Chance, base: Base) -> int:
    return int(chance.integers(132, len(base.content)))


def truncate(chance: Chance, base: Base) -> bytes:
    return base.content[: place(chance, base)]


def truncate_at_element(chance: Chance, base: Base) -> bytes:
    element = pick(chance, base)
    return base.content[: (element.start, element.value)[chance.integers(2)]]


def flip(chance: Chance, base: Base, first: int, last: int) -> bytes:
    out = bytearray(base.content)
    for _ in range(chance.integers(1, 5)):
        out[chance.integers(first, last)] ^= 1 << chance.integers(8)
    return bytes(out)


def flip_header(chance: Chance, base: Base) -> bytes:
    return flip(chance, base, 132, base.elements[-1].value)


def flip_pixels(chance: Chance, base: Base) -> bytes:
    return flip(chance, base, base.elements[-1].value, len(base.content))


def overwrite_pixels(chance: Chance, base: Base) -> bytes:
    at = int(chance.integers(base.elements[-1].value, len(base.content)))
    noise = chance.bytes(int(chance.integers(1, 60)))
    return base.content[:at] + noise + base.content[at + len(noise) :]


def delete(chance: Chance, base: Base) -> bytes:
    at = place(chance, base)
    return base.content[:at] + base.content[at + int(chance.integers(1, 40)) :]


def insert(chance: Chance, base: Base) -> bytes:
    at = place(chance, base)
    return base.content[:at] + chance.bytes(int(chance.integers(1, 40))) + base.content[at:]


def swap_vr(chance: Chance, base: Base) -> bytes:
    at = pick(chance, base).start + 4
    return base.content[:at] + VRS[chance.integers(len(VRS))] + base.content[at + 2 :]


def lie_about_length(chance: Chance, base: Base) -> bytes:
    element = pick(chance, base)
    size = 4 if element.vr in LONG_VRS else 2
    lies = (0, 1, 0xFFFE, 0xFFFFFFFE, 0xFFFFFFF0, 0xFFFFFFFF, int(chance.integers(2**31)))
    length = (lies[chance.integers(len(lies))] % 256**size).to_bytes(size, "little")
    return base.content[: element.value - size] + length + base.content[element.value :]


def remove_element(chance: Chance, base: Base) -> bytes:
    element = pick(chance, base)
    return base.content[: element.start] + base.content[element.end :]


def empty_value(chance: Chance, base: Base) -> bytes:
    return replace(base.content, pick(chance, base), b"")


def swap_elements(chance: Chance, base: Base) -> bytes:
    one, two = sorted((pick(chance, base), pick(chance, base)), key=lambda e: e.start)
    c = base.content
    if one == two:
        return c + c[one.start : one.end]
    parts = (c[two.start : two.end], c[one.end : two.start], c[one.start : one.end])
    return c[: one.start] + b"".join(parts) + c[two.end :]


def odd_number(chance: Chance, base: Base) -> bytes:
    return replace(
        base.content, of_vr(chance, base, b"DS", b"IS"), NUMBERS[chance.integers(len(NUMBERS))]
    )


def odd_count(chance: Chance, base: Base) -> bytes:
    element = of_vr(chance, base, b"US", b"IS")
    count = COUNTS[chance.integers(len(COUNTS))]
    value = struct.pack("<H", count) if element.vr == b"US" else str(count * 40_000).encode()
    return replace(base.content, element, value)


def odd_text(chance: Chance, base: Base) -> bytes:
    texts = (
        MARKER.encode(),
        b"MONOCHROME1",
        b"RGB",
        b"YBR_FULL_422",
        b"PALETTE COLOR",
        b"\xff\xfe",
        b"A\\B",
    )
    return replace(
        base.content, of_vr(chance, base, b"CS", b"LO", b"PN"), texts[chance.integers(len(texts))]
    )


def other_syntax(chance: Chance, base: Base) -> bytes:
    element = next(e for e in base.elements if base.content[e.start : e.start + 4] == b"\2\0\x10\0")
    return replace(base.content, element, SYNTAXES[chance.integers(len(SYNTAXES))].encode())


def nest(chance: Chance, base: Base) -> bytes:
    item = struct.pack("<HH2s2xL", 0x0040, 0xA730, b"SQ", 0xFFFFFFFF)
    item += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = pick(chance, base).start
    return base.content[:at] + item * int(chance.integers(1, 3000)) + base.content[at:]


def several(chance: Chance, base: Base) -> bytes:
    content = base.content
    for family in chance.choice(np.array(BYTES, dtype=object), 3):
        content = family(chance, Base(base.name, content, base.elements))
        if len(content) < len(base.content):
            break  # the elements lie elsewhere now
    return content


BYTES: list[Callable[[Chance, Base], bytes]] = [flip_header, flip_pixels, overwrite_pixels, swap_vr]
FAMILIES: list[Callable[[Chance, Base], bytes]] = [
    *(truncate, truncate_at_element, flip_header, flip_pixels, overwrite_pixels, delete, insert),
    *(swap_vr, lie_about_length, remove_element, empty_value, swap_elements, odd_number, odd_count),
    *(odd_text, other_syntax, nest, several),
]
UNITS = ("stored", "modality", "window", "minmax", "percentile")


def damage(bases: list[Base], case: int) -> tuple[str, str, bytes, dict[str, object]]:
    """Family, base, content and arguments of one case."""
    chance = np.random.default_rng(case)
    family, base = FAMILIES[case % len(FAMILIES)], bases[chance.integers(len(bases))]
    content = family(chance, base)
    meta = next(e.start for e in base.elements if base.content[e.start] != 2)
    if base.deflated:
        squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = content[:meta] + squeeze.compress(content[meta:]) + squeeze.flush()
    arguments = {
        "units": UNITS[chance.integers(len(UNITS))],
        "frame": None if chance.integers(2) else 0,
        "force": not chance.integers(4),
    }
    return family.__name__, base.name, content, arguments


def run(folder: Path, first: int, count: int) -> dict[str, object]:
    bases = make_bases(folder)
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = folder / "damaged.dcm"
    for case in range(first, first + count):
        (folder / "case").write_text(str(case))
        family, base, content, arguments = damage(bases, case)
        path.write_bytes(content)
        start = time.process_time()
        try:
            image = read_dicom(path, **arguments)
            outcome, said = "read", repr(image.meta)
            unit = arguments["units"] not in ("stored", "modality")
            if unit and not (image.pixels.min() >= 0 and image.pixels.max() <= 1):
                bad.append(f"{case} {family} {base}: beyond 0..1")
        except DicomError as error:
            outcome, said = type(error).__name__, f"{error!r} {error.__context__!r}"
            if not (error.stage and error.reason and error.path == str(path)):
                bad.append(f"{case} {family} {base}: an error without stage or reason")
        except BaseException as error:  # noqa: BLE001
            outcome, said = "escaped", ""
            bad.append(f"{case} {family} {base} {arguments}: {type(error).__name__} {error}")
        slowest = max(slowest, time.process_time() - start)
        outcomes[f"{family}: {outcome}"] += 1
        if MARKER in said:
            bad.append(f"{case} {family} {base} {arguments}: the marker is in {said}")
    return {
        "cases": count,
        "bad": bad[:50],
        "slowest": slowest,
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "outcomes": dict(sorted(outcomes.items())),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    asked = parser.parse_args()
    print(json.dumps(run(asked.folder, asked.first, asked.count)))  # noqa: T201
