"""A picture as a DICOM file: conformant, bit for bit, and nobody's unless it is asked to be."""

import logging
import os
import shutil
import subprocess
import warnings

import numpy as np
import pydicom
import pytest
import torch
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from seattn.data import (
    DicomError,
    HeaderError,
    NotDicomError,
    make_ankle_phantom,
    read_dicom,
    write_secondary_capture,
)
from tests.data.files import items, write_dicom

GREY = np.zeros((4, 4), np.int16)
PICTURE = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)  # odd: is padded
PERSON = {
    "PatientName": "Doe^Jane",
    "PatientID": "ZZ-17",
    "PatientBirthDate": "19700113",
    "PatientSex": "F",
    "AccessionNumber": "ACC-5",
    "ReferringPhysicianName": "House^Gregory",
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "20200102",
    "StudyTime": "101112",
    "StudyID": "S1",
    "StudyDescription": "ankle",
}


def write(folder, pixels=PICTURE, **arguments):
    path = folder / "capture.dcm"
    write_secondary_capture(path, pixels, **arguments)
    return path


def source(folder, name="source.dcm", **elements):
    return write_dicom(folder / name, GREY, **(PERSON | elements))


# --- pixels


@pytest.mark.parametrize("shape", [(9, 7, 3), (8, 6, 3), (1, 1, 3), (300, 2, 3)])
def test_pixels_come_back_bit_for_bit(tmp_path, shape):
    picture = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    path = write(tmp_path, picture)
    ds = pydicom.dcmread(path)
    assert np.array_equal(ds.pixel_array, picture)
    assert len(ds.PixelData) % 2 == 0
    image = read_dicom(path, units="stored")
    assert np.array_equal(image.pixels.numpy(), picture.transpose(2, 0, 1))
    assert torch.equal(read_dicom(path).pixels, image.pixels.float() / 255)


def test_every_memory_layout_and_a_tensor_give_the_same_pixels(tmp_path):
    for number, pixels in enumerate(
        [PICTURE.copy(order="F"), PICTURE[::-1][::-1], torch.from_numpy(PICTURE)]
    ):
        path = tmp_path / f"{number}.dcm"
        write_secondary_capture(path, pixels)
        assert np.array_equal(pydicom.dcmread(path).pixel_array, PICTURE)


# --- header


def test_it_is_marked_as_derived_and_not_for_diagnosis(tmp_path):
    ds = pydicom.dcmread(write(tmp_path, description="Layer 4"))
    assert ds.SOPClassUID.name == "Secondary Capture Image Storage"
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert ds.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    assert ds.ImageType == ["DERIVED", "SECONDARY"]
    assert (ds.Modality, ds.ConversionType) == ("OT", "WSD")
    assert ds.DerivationDescription == ds.SeriesDescription == "Layer 4, not for diagnosis"
    assert "NOT FOR DIAGNOSTIC USE" in ds.ImageComments


def test_without_a_source_it_names_nobody(tmp_path):
    ds = pydicom.dcmread(write(tmp_path))
    assert ds.PatientID == ds.PatientName == "ANONYMOUS"
    for keyword in set(PERSON) - {"PatientID", "PatientName", "StudyInstanceUID"}:
        assert not ds.get(keyword)
    for keyword in ("SourceImageSequence", "BurnedInAnnotation", "LossyImageCompression"):
        assert keyword not in ds  # nothing is known of what it was made from


def test_with_a_source_it_belongs_to_that_patient_and_refers_to_it(tmp_path):
    path = source(tmp_path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    theirs, ds = pydicom.dcmread(path), pydicom.dcmread(write(tmp_path, source=path))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert {keyword: ds[keyword].value for keyword in PERSON} == PERSON
    (item,) = ds.SourceImageSequence
    assert item.ReferencedSOPClassUID == theirs.SOPClassUID
    assert item.ReferencedSOPInstanceUID == theirs.SOPInstanceUID
    assert "ReferencedFrameNumber" not in item
    assert ds.SOPInstanceUID != theirs.SOPInstanceUID
    assert ds.SeriesInstanceUID != theirs.SeriesInstanceUID


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "Ωμέγα^Ж"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_names_keep_their_letters(tmp_path, charset, name):
    elements = {"SpecificCharacterSet": charset, "PatientName": name}
    elements["StudyDescription"] = "Fuß" if charset == "ISO_IR 100" else "foot"
    ds = pydicom.dcmread(write(tmp_path, source=source(tmp_path, **elements)))
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.PatientName == name
    assert ds.StudyDescription == elements["StudyDescription"]


def test_codes_of_a_deidentified_source_are_kept(tmp_path):
    code = {"CodeValue": "113100", "CodingSchemeDesignator": "DCM", "CodeMeaning": "größe"}
    elements = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethodCodeSequence": items(code),
    }
    ds = pydicom.dcmread(write(tmp_path, source=source(tmp_path, **elements)))
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.DeidentificationMethodCodeSequence[0].CodeMeaning == "größe"


def test_sources_of_one_study_are_all_referenced(tmp_path):
    paths = [source(tmp_path, f"{number}.dcm") for number in range(3)]
    ds = pydicom.dcmread(write(tmp_path, source=paths))
    assert [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence] == [
        pydicom.dcmread(path).SOPInstanceUID for path in paths
    ]


@pytest.mark.parametrize("other", [{"StudyInstanceUID": "1.2.4"}, {"PatientID": "ZZ-18"}])
def test_sources_of_another_study_or_patient_are_refused(tmp_path, other):
    paths = [source(tmp_path, "a.dcm"), source(tmp_path, "b.dcm", **other)]
    with pytest.raises(HeaderError, match=r"b\.dcm: source: of another study or patient"):
        write(tmp_path, source=paths)
    assert not (tmp_path / "capture.dcm").exists()


def test_a_frame_of_the_source_is_counted_from_1_in_the_file(tmp_path):
    path = write_dicom(tmp_path / "source.dcm", np.zeros((5, 4, 4), np.int16), **PERSON)
    (item,) = pydicom.dcmread(write(tmp_path, source=path, frame=4)).SourceImageSequence
    assert item.ReferencedFrameNumber == 5
    with pytest.raises(ValueError, match=r"`frame` \(=5\) must be in 0\.\.4"):
        write_secondary_capture(tmp_path / "other.dcm", PICTURE, source=path, frame=5)
    single = source(tmp_path, "single.dcm")
    write_secondary_capture(tmp_path / "other.dcm", PICTURE, source=single, frame=0)
    (item,) = pydicom.dcmread(tmp_path / "other.dcm").SourceImageSequence
    assert "ReferencedFrameNumber" not in item


@pytest.mark.parametrize(
    ("keyword", "said", "expected"),
    [
        ("BurnedInAnnotation", ["YES", None], "YES"),
        ("BurnedInAnnotation", ["NO", "YES"], "YES"),
        ("BurnedInAnnotation", ["NO", "NO"], "NO"),
        ("BurnedInAnnotation", ["NO", None], None),
        ("LossyImageCompression", ["01", "00"], "01"),
        ("LossyImageCompression", [None, "01"], "01"),
        ("LossyImageCompression", ["00", "00"], "00"),
        ("LossyImageCompression", ["00", None], None),
        ("Laterality", ["L", "L"], "L"),
        ("Laterality", ["L", "R"], ""),
        ("Laterality", ["L", None], ""),
    ],
)
def test_what_the_sources_say_is_passed_on_as_far_as_it_holds(tmp_path, keyword, said, expected):
    paths = [source(tmp_path, f"{n}.dcm", **{keyword: value}) for n, value in enumerate(said)]
    assert pydicom.dcmread(write(tmp_path, source=paths)).get(keyword) == expected


def test_how_lossy_it_was_is_passed_on(tmp_path):
    elements = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    ds = pydicom.dcmread(write(tmp_path, source=source(tmp_path, **elements)))
    assert ds.LossyImageCompressionRatio == 12.5
    assert ds.LossyImageCompressionMethod == "ISO_10918_1"


def test_the_caller_knows_best_what_is_burned_in(tmp_path):
    path = source(tmp_path, BurnedInAnnotation="NO")
    ds = pydicom.dcmread(write(tmp_path, source=path, burned_in_annotation=True))
    assert ds.BurnedInAnnotation == "YES"
    ds = pydicom.dcmread(write(tmp_path, burned_in_annotation=False, overwrite=True))
    assert ds.BurnedInAnnotation == "NO"


def test_uids_are_new_each_time_and_a_series_can_be_shared(tmp_path):
    series = generate_uid()
    headers = []
    for number in range(3):
        path = tmp_path / f"{number}.dcm"
        write_secondary_capture(path, PICTURE, series_instance_uid=series, instance_number=number)
        headers.append(pydicom.dcmread(path))
    assert {ds.SeriesInstanceUID for ds in headers} == {series}
    assert [ds.InstanceNumber for ds in headers] == [0, 1, 2]
    assert len({ds.SOPInstanceUID for ds in headers}) == 3
    assert pydicom.dcmread(write(tmp_path)).SeriesInstanceUID != series


def check(path):
    run = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    said = (run.stdout + run.stderr).splitlines()
    assert "SCImage" in said
    assert [line for line in said if line.startswith("Error")] == []


@pytest.mark.skipif(
    not shutil.which("dciodvfy"), reason="dciodvfy (dicom3tools) is not on the PATH"
)
def test_dciodvfy_finds_no_error(tmp_path):
    labels = make_ankle_phantom(tmp_path / "phantom", patients=1, variant="roi", progress=False)
    phantoms = sorted(labels.parent.rglob("*.dcm"))
    lossy = get_testdata_file("SC_rgb_jpeg_dcmtk.dcm")
    enhanced = get_testdata_file("eCT_Supplemental.dcm")
    for number, arguments in enumerate(
        [
            {},
            {"burned_in_annotation": True},
            {"source": phantoms[0]},
            {"source": phantoms},
            {"source": source(tmp_path, Laterality="R")},
            {"source": get_testdata_file("CT_small.dcm")},
            {"source": lossy},
            {"source": enhanced, "frame": 1},
        ]
    ):
        path = tmp_path / f"{number}.dcm"
        write_secondary_capture(path, PICTURE, **arguments)
        check(path)


# --- what it keeps to itself


def test_nothing_but_the_file_names_the_patient(tmp_path, capfd, caplog, recwarn):
    caplog.set_level(logging.DEBUG)
    warnings.simplefilter("always")
    path = source(tmp_path, PatientBirthDate="1970-13-01ZZ", PatientSex="ZZunknown")
    write(tmp_path, source=path)
    said = "".join([*capfd.readouterr(), caplog.text, *(str(each.message) for each in recwarn)])
    assert said == ""
    broken = source(tmp_path, "broken.dcm", SOPInstanceUID=None)
    with pytest.raises(HeaderError, match=r"broken\.dcm: source: no SOPInstanceUID") as caught:
        write(tmp_path, source=broken, overwrite=True)
    assert "ZZ" not in str(caught.value).replace(str(tmp_path), "")
    assert caught.value.__context__ is None


# --- mistakes


def test_a_file_is_not_replaced_unasked_and_a_source_never(tmp_path):
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"capture\.dcm is there already"):
        write(tmp_path)
    assert path.read_bytes() == before
    write(tmp_path, overwrite=True)
    assert path.read_bytes() != before
    original = source(tmp_path)
    os.link(original, tmp_path / "link.dcm")
    (tmp_path / "symlink.dcm").symlink_to(original)
    before = original.read_bytes()
    for name in ("source.dcm", "link.dcm", "symlink.dcm"):
        with pytest.raises(ValueError, match="`path` is a source"):
            write_secondary_capture(tmp_path / name, PICTURE, source=original, overwrite=True)
    assert original.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, DicomError, "No such file"),
        (b"not DICOM", NotDicomError, "no DICOM prefix"),
        (b"\0" * 128 + b"DICM" + b"\xff" * 9, HeaderError, "no .* Transfer Syntax"),
    ],
)
def test_a_bad_source_is_a_dicom_error_that_names_it(tmp_path, content, error, message):
    path = tmp_path / "bad.dcm"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=rf"bad\.dcm: .*{message}"):
        write(tmp_path, source=path)
    assert not (tmp_path / "capture.dcm").exists()


@pytest.mark.parametrize("frames", ["2ZZ", ["2", "3"]])
def test_a_source_with_a_damaged_header_is_refused_without_its_values(tmp_path, frames):
    path = source(tmp_path, NumberOfFrames=frames)
    with pytest.raises(HeaderError, match=r"source\.dcm: source: \w+Error \(its text is withheld"):
        write(tmp_path, source=path)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"])
def test_a_source_without_an_identifier_is_refused(tmp_path, keyword):
    path = source(tmp_path)
    ds = pydicom.dcmread(path)
    del ds[keyword]
    ds.save_as(path)
    with pytest.raises(HeaderError, match=f"source: no {keyword}"):
        write(tmp_path, source=path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"pixels": PICTURE / 255}, TypeError, r"`pixels` \(float64\) must be uint8"),
        ({"pixels": PICTURE[None]}, ValueError, r"`pixels` \(shape \(1, 9, 7, 3\)\)"),
        ({"pixels": PICTURE[..., 0]}, ValueError, r"`pixels` \(shape \(9, 7\)\)"),
        ({"pixels": PICTURE[:0]}, ValueError, r"`pixels` \(shape \(0, 7, 3\)\)"),
        ({"description": ""}, ValueError, "1 to 45 characters"),
        ({"description": "x" * 46}, ValueError, "1 to 45 characters"),
        ({"description": "a\nb"}, ValueError, "in one line"),
        ({"description": "a\\b"}, ValueError, "without a backslash"),
        ({"series_instance_uid": "1.02"}, ValueError, r"`series_instance_uid` \(='1\.02'\)"),
        ({"instance_number": -1}, ValueError, r"`instance_number` \(=-1\)"),
        ({"frame": 0}, ValueError, r"`frame` \(=0\) belongs to one source"),
        ({"burned_in_annotation": "no"}, TypeError, r"annotation` \(='no'\) must be True, False"),
        ({"burned_in_annotation": 0}, TypeError, r"`burned_in_annotation` \(=0\)"),
        ({"source": []}, ValueError, "`source` is an empty list"),
    ],
)
def test_wrong_arguments_are_errors(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        write(tmp_path, **({"pixels": PICTURE} | change))
    assert list(tmp_path.iterdir()) == []


def test_the_longest_description_fits(tmp_path):
    ds = pydicom.dcmread(write(tmp_path, description="x" * 45))
    assert len(ds.SeriesDescription) == 64
