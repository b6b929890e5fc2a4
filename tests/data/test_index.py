"""A folder becomes an index: every image a row, every other file a reason."""

import errno
import hmac
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    RTDoseStorage,
    SegmentationStorage,
)

from seattn.data import DicomError, DicomIndex, IndexRow, ScanError, write_secondary_capture
from seattn.data import scan as scan_module
from seattn.data.pseudonym import patient_pseudonym, pseudonym
from tests.data.files import items, write_dicom

PIXELS = np.arange(6, dtype=np.int16).reshape(2, 3)
KEY = b"a key for tests"


def scan(root: Path, **options: Any) -> DicomIndex:
    return DicomIndex.scan(root, key=KEY, progress=False, **{"on_error": "skip", **options})


def reasons(index: DicomIndex) -> dict[str, tuple[bool, str]]:
    return {each.path: (each.skipped, each.reason) for each in index.failures}


def test_a_row_says_who_what_and_where(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    path = write_dicom(
        tmp_path / "b" / "no extension",
        PIXELS,
        PatientID="P7",
        IssuerOfPatientID="clinic",
        StudyInstanceUID="1.2",
        SeriesInstanceUID="1.3",
        FrameOfReferenceUID="1.4",
        BurnedInAnnotation="NO",
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
    )
    assert scan(tmp_path).rows == (
        IndexRow(
            path="b/no extension",
            frame=0,
            patient=patient_pseudonym("P7", KEY, issuer="clinic"),
            study=pseudonym("1.2", KEY),
            series=pseudonym("1.3", KEY),
            view="coronal",
            rows=2,
            columns=3,
            size=path.stat().st_size,
            mtime_ns=path.stat().st_mtime_ns,
            frame_of_reference=pseudonym("1.4", KEY),
            pixels=hmac.new(KEY, PIXELS.astype("<i2").tobytes(), "sha256").hexdigest()[:32],
            burned_in=False,
        ),
    )


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_equal_pixels_have_equal_hashes_and_others_others(tmp_path: Path, syntax: str) -> None:
    for name, stored in {"a": PIXELS, "b": PIXELS, "c": PIXELS + 1}.items():
        path = write_dicom(tmp_path / name, stored, PatientID=name)
        if syntax == RLELossless:
            dataset = dcmread(path)
            dataset.compress(syntax, generate_instance_uid=False)
            dataset.save_as(path)
    a, b, c = (row.pixels for row in scan(tmp_path).rows)
    assert a == b != c


def test_the_frame_of_reference_of_an_atlas_is_nobodys_own(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", PIXELS, FrameOfReferenceUID="1.2.840.10008.1.4.1.1")
    assert scan(tmp_path).rows[0].frame_of_reference == ""


def test_what_follows_the_pixels_does_not_change_their_hash(tmp_path: Path) -> None:
    for name, padding in {"a": None, "b": b"\0" * 8}.items():
        write_dicom(tmp_path / name, PIXELS, DataSetTrailingPadding=padding)
    a, b = (row.pixels for row in scan(tmp_path).rows)
    assert a == b


def test_rows_are_in_the_order_of_path_and_frame(tmp_path: Path) -> None:
    per_frame = items(
        {"PlaneOrientationSequence": items({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]})},
        {"PlaneOrientationSequence": items({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]})},
    )
    (tmp_path / "a").mkdir()
    write_dicom(tmp_path / "b", PIXELS)
    write_dicom(
        tmp_path / "a" / "z",
        np.stack([PIXELS, PIXELS]),
        PerFrameFunctionalGroupsSequence=per_frame,
    )
    write_dicom(tmp_path / "a.dcm", PIXELS)
    index = scan(tmp_path)
    assert [(row.path, row.frame) for row in index.rows] == [
        ("a.dcm", 0),
        ("a/z", 0),
        ("a/z", 1),
        ("b", 0),
    ]
    assert [row.view for row in index.rows] == ["unknown", "axial", "sagittal", "unknown"]
    assert len(index) == 4


def test_a_file_without_a_patient_counts_as_one_patient_per_study(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", PIXELS, PatientID=None, StudyInstanceUID="1.2")
    write_dicom(tmp_path / "b", PIXELS, PatientID=" ", StudyInstanceUID="1.2")
    write_dicom(tmp_path / "c", PIXELS, PatientID="", StudyInstanceUID="1.9")
    write_dicom(tmp_path / "d", PIXELS, PatientID="", StudyInstanceUID=None)
    write_dicom(tmp_path / "e", PIXELS, StudyInstanceUID=None, SeriesInstanceUID=None)
    index = scan(tmp_path)
    assert [row.patient for row in index.rows] == [
        *[pseudonym("1.2", KEY)] * 2,
        pseudonym("1.9", KEY),
        patient_pseudonym("P1", KEY),
    ]
    assert (index.rows[3].study, index.rows[3].series) == ("", "")
    assert reasons(index) == {"d": (False, "neither a Patient ID nor a Study Instance UID")}


def test_what_is_no_image_is_skipped_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "empty").touch()
    write_dicom(tmp_path / "scout", PIXELS, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_dicom(tmp_path / "mask", PIXELS, SOPClassUID=SegmentationStorage)
    write_dicom(tmp_path / "dose", PIXELS, SOPClassUID=RTDoseStorage)
    write_secondary_capture(tmp_path / "overlay", np.zeros((4, 4, 3), np.uint8))
    report = dcmread(write_dicom(tmp_path / "report", PIXELS, SOPClassUID=BasicTextSRStorage))
    for tag in ("PixelData", "Rows", "Columns"):
        del report[tag]
    report.save_as(tmp_path / "report")
    index = scan(tmp_path)
    assert not index.rows
    assert reasons(index) == {
        "notes.txt": (True, "no DICOM prefix in bytes 128 to 131"),
        "empty": (True, "no DICOM prefix in bytes 128 to 131"),
        "scout": (True, "a localizer, not a slice"),
        "mask": (True, "a segmentation, not an image"),
        "dose": (True, "a dose distribution, not an image"),
        "overlay": (True, "a picture made for people, not for diagnosis"),
        "report": (True, "an object without pixels"),
    }


def test_what_is_damaged_fails_and_the_scan_goes_on(tmp_path: Path) -> None:
    good = write_dicom(tmp_path / "good", PIXELS)
    (tmp_path / "bad").write_bytes(good.read_bytes()[:-4])
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    index = scan(tmp_path)
    assert [row.path for row in index.rows] == ["good"]
    assert reasons(index)["bad"] == (False, "8 bytes of pixels, and 12 are needed")
    assert reasons(index)["loop"][0] is False


@pytest.mark.parametrize("kept", range(440, 600, 8))
def test_an_image_that_ends_within_its_header_is_a_failure_and_not_skipped(
    tmp_path: Path, kept: int
) -> None:
    whole = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:kept])
    (failure,) = scan(tmp_path).failures
    assert not failure.skipped


def test_links_to_files_are_followed_and_links_to_folders_are_listed(tmp_path: Path) -> None:
    store, root = tmp_path / "store", tmp_path / "root"
    store.mkdir()
    root.mkdir()
    write_dicom(store / "object", PIXELS)
    (root / "a.dcm").symlink_to(store / "object")
    (root / "again").symlink_to(root, target_is_directory=True)
    (root / "elsewhere").symlink_to(store, target_is_directory=True)
    index = scan(root)
    assert [row.path for row in index.rows] == ["a.dcm"]
    reason = (True, "a link to a folder, which is not followed")
    assert reasons(index) == {"again": reason, "elsewhere": reason}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert reasons(scan(tmp_path)) == {"pipe": (True, "not a regular file")}


def test_a_folder_that_cannot_be_listed_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dicom(tmp_path / "a", PIXELS)
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    index = scan(tmp_path)
    assert len(index) == 1
    assert reasons(index) == {"closed": (False, "Permission denied")}


def test_a_copy_of_a_file_is_passed_over_and_names_the_first(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "b", PIXELS)
    shutil.copy(path, tmp_path / "a")
    write_dicom(tmp_path / "c", PIXELS, SOPInstanceUID=None)
    write_dicom(tmp_path / "d", PIXELS, SOPInstanceUID=None)
    index = scan(tmp_path)
    assert [row.path for row in index.rows] == ["a", "c", "d"]
    assert [(each.path, each.stage, each.skipped, each.same_as) for each in index.failures] == [
        ("b", "duplicate", True, "a")
    ]


def test_a_copy_that_vanishes_during_the_scan_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(write_dicom(tmp_path / "a", PIXELS), tmp_path / "b")

    def vanished(path: Path, *_: Any, **__: Any) -> bool:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr("filecmp.cmp", vanished)
    index = scan(tmp_path)
    assert len(index) == 1
    assert reasons(index) == {"b": (False, "No such file or directory")}


def test_a_file_that_calls_itself_dicom_and_is_none_is_a_failure(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.DCM", "c"):
        (tmp_path / name).write_bytes(b"cut short")
    assert {each.path: each.skipped for each in scan(tmp_path).failures} == {
        "a.dcm": False,
        "b.DCM": False,
        "c": True,
    }


def test_another_image_under_the_same_uid_is_a_failure(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", PIXELS, SOPInstanceUID="1.2.3")
    write_dicom(tmp_path / "b", PIXELS + 1, SOPInstanceUID="1.2.3")
    index = scan(tmp_path)
    assert [row.path for row in index.rows] == ["a"]
    assert [(each.path, each.stage, each.skipped, each.same_as) for each in index.failures] == [
        ("b", "duplicate", False, None)
    ]


def test_all_files_that_cannot_be_used_are_listed_unless_they_are_to_be_skipped(
    tmp_path: Path,
) -> None:
    good = write_dicom(tmp_path / "good", PIXELS)
    (tmp_path / "text").touch()
    for name in ("bad", "worse"):
        (tmp_path / name).write_bytes(good.read_bytes()[:-4])
    with pytest.raises(ScanError) as caught:
        scan(tmp_path, on_error="raise")
    assert [line.partition(": scan: ")[2] or line for line in str(caught.value).splitlines()] == [
        "2 files cannot be used",
        "  bad: header: 8 bytes of pixels, and 12 are needed",
        "  worse: header: 8 bytes of pixels, and 12 are needed",
        'Mend or remove them, or go on without them by `on_error="skip"`.',
    ]
    with pytest.raises(ScanError):
        DicomIndex.scan(tmp_path, key=KEY, progress=False)
    with pytest.raises(ScanError) as caught:
        scan(tmp_path, on_error="raise", redact_paths=True)
    assert str(caught.value).splitlines()[:2] == [
        "(path withheld): scan: 2 files cannot be used",
        "  2  header: 8 bytes of pixels, and 12 are needed",
    ]
    (tmp_path / "bad").unlink()
    (tmp_path / "worse").unlink()
    assert len(scan(tmp_path, on_error="raise").failures) == 1  # the text, which is no loss


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"workers": -1}])
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=rf"`{name}` \(="):
        scan(tmp_path, **options)


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that scans really read, in order."""
    paths: list[str] = []
    read_rows = scan_module.read_rows

    def remember(root: Path, key: bytes, path: str) -> Any:
        paths.append(path)
        return read_rows(root, key, path)

    monkeypatch.setattr(scan_module, "read_rows", remember)
    return paths


def archive(root: Path) -> Path:
    """Write images, a copy, two frames, a text, a damaged file into a folder below ``root``."""
    root = root / "archive"
    root.mkdir()
    for name in "abc":
        write_dicom(root / name, PIXELS, PatientID=name)
    shutil.copy(root / "a", root / "copy")
    write_dicom(root / "frames", np.stack([PIXELS, PIXELS]), PatientID="Zo\xeb")
    (root / "text").touch()
    (root / "torn").write_bytes((root / "a").read_bytes()[:-4])
    return root


def test_a_scan_with_a_store_reads_only_what_is_new_changed_or_unusable(
    tmp_path: Path, read_files: list[str]
) -> None:
    root, store = archive(tmp_path), tmp_path / "scan.jsonl"
    first = scan(root, store=store)
    assert first == scan(root)
    read_files.clear()
    assert scan(root, store=store) == first
    assert read_files == ["torn"]
    write_dicom(root / "b", PIXELS + 1, PatientID="other")
    write_dicom(root / "d", PIXELS)
    (root / "c").unlink()
    (root / "torn").unlink()
    read_files.clear()
    changed = scan(root, store=store)
    assert read_files == ["b", "d"]
    assert changed == scan(root)
    assert [row.path for row in changed.rows] == ["a", "b", "d", "frames", "frames"]


def test_an_interrupted_scan_goes_on_where_it_was(
    tmp_path: Path, read_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, store = archive(tmp_path), tmp_path / "scan.jsonl"
    expected = scan(root)
    read_rows = scan_module.read_rows

    def interrupted(root: Path, key: bytes, path: str) -> Any:
        if path == "copy":
            raise KeyboardInterrupt
        return read_rows(root, key, path)

    with monkeypatch.context() as patch:
        patch.setattr(scan_module, "read_rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scan(root, store=store)
    with store.open("a") as file:
        file.write('{"path": "copy", "size"')  # as a machine that loses its power leaves it
    read_files.clear()
    assert scan(root, store=store) == expected
    assert read_files == ["copy", "frames", "text", "torn"]
    read_files.clear()
    assert scan(root, store=store) == expected
    assert read_files == ["torn"]


def test_a_store_holds_no_identity_and_grows_with_the_files_alone(tmp_path: Path) -> None:
    root, store = tmp_path / "root", tmp_path / "scan.jsonl"
    root.mkdir()
    write_dicom(root / "a", PIXELS, PatientID="MARKER", SOPInstanceUID="1.2.77777")
    sizes = set()
    for _ in range(3):
        scan(root, store=store)
        sizes.add(store.stat().st_size)
    assert len(sizes) == 1
    assert not {"MARKER", "1.2.77777"} & set(store.read_text().replace('"', " ").split())
    assert [path.name for path in tmp_path.iterdir() if path != root] == ["scan.jsonl"]


def test_a_store_among_the_images_is_none_of_them(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", PIXELS)
    for _ in range(2):
        assert not scan(tmp_path, store=tmp_path / "scan.jsonl").failures


def test_a_store_of_another_key_and_another_file_are_refused_as_they_are(tmp_path: Path) -> None:
    store, other = tmp_path / "scan.jsonl", tmp_path / "other"
    scan(archive(tmp_path), store=store)
    with pytest.raises(DicomError, match="made with another key; name another file as `store`"):
        DicomIndex.scan(tmp_path / "archive", key=b"another", store=store, progress=False)
    other.write_text("notes\n")
    with pytest.raises(DicomError, match="not a scan store of this version"):
        scan(tmp_path, store=other)
    assert other.read_text() == "notes\n"


def test_a_store_in_no_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match=r"scans: store: No such file"):
        scan(tmp_path, store=tmp_path / "nowhere" / "scans")


def test_many_processes_give_the_same_index(tmp_path: Path) -> None:
    root = archive(tmp_path)
    assert scan(root, workers=2, store=tmp_path / "scan.jsonl") == scan(root)
    assert scan(root, store=tmp_path / "scan.jsonl") == scan(root)


def test_an_index_is_filtered_and_grouped(tmp_path: Path) -> None:
    index = scan(archive(tmp_path))
    assert [row.path for row in index.filter(lambda row: row.path > "a").rows] == [
        *("b", "c", "frames", "frames")
    ]
    groups = index.group_by("patient")
    assert list(groups) == [index.rows[i].patient for i in (0, 1, 2, 3)]
    assert [len(group) for group in groups.values()] == [1, 1, 1, 2]
    assert all(group.failures == index.failures for group in groups.values())
    assert list(index.group_by("view")) == ["unknown"]
    with pytest.raises(ValueError, match=r"`field` \(='path'\) must be one of patient, study"):
        index.group_by("path")


def test_a_report_without_paths_and_with_burned_in_text(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", PIXELS, BurnedInAnnotation="YES")
    write_dicom(tmp_path / "b", PIXELS, BurnedInAnnotation="NO")
    (tmp_path / "Doe, Jane").touch()
    report = scan(tmp_path).report(redact_paths=True)
    assert report.splitlines() == [
        "2 images of 1 patient in 2 files",
        "  unknown              2",
        "  with burned-in text  1",
        "1 file skipped",
        "  1  open: no DICOM prefix in bytes 128 to 131",
        "0 files failed",
    ]


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`root` .* is not a folder"):
        scan(tmp_path / "none")


def test_no_key_takes_the_kept_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "config"))
    (tmp_path / "data").mkdir()
    write_dicom(tmp_path / "data" / "a", PIXELS)
    kept = (DicomIndex.scan(tmp_path / "data", progress=False) for _ in range(2))
    assert len({index.rows[0].patient for index in [*kept, scan(tmp_path / "data")]}) == 2


def test_progress_is_shown_unless_not_wanted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_dicom(tmp_path / "a", PIXELS)
    scan(tmp_path)
    assert capfd.readouterr().err == ""
    DicomIndex.scan(tmp_path, key=KEY)
    assert "1/1" in capfd.readouterr().err


def test_a_subset_takes_rows_in_the_order_asked_for(tmp_path: Path) -> None:
    for name in "abc":
        write_dicom(tmp_path / name, PIXELS)
    (tmp_path / "text").touch()
    index = scan(tmp_path)
    part = index.subset(np.array([2, 0]))
    assert [row.path for row in part.rows] == ["c", "a"]
    assert part.failures == index.failures


def test_an_index_comes_back_from_its_file_and_moves_with_its_folder(tmp_path: Path) -> None:
    data = tmp_path / "study" / "data"
    data.mkdir(parents=True)
    write_dicom(data / "a", np.stack([PIXELS, PIXELS]))
    shutil.copy(data / "a", data / "b")
    (data / "labels.csv").write_text("path,label\na,yes\n", encoding="utf-8")
    index = scan(data).with_labels(data / "labels.csv")
    index.save(tmp_path / "study" / "index.json")
    assert DicomIndex.load(tmp_path / "study" / "index.json") == index
    moved = (tmp_path / "study").rename(tmp_path / "moved")
    assert DicomIndex.load(moved / "index.json").root == moved / "data"
    assert sorted(path.name for path in moved.iterdir()) == ["data", "index.json"]


def test_the_file_holds_the_fields_of_the_rows_and_no_more(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", PIXELS)
    scan(tmp_path).save(tmp_path / "index.json")
    content = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert set(content) == {"format", "root", "classes", "rows", "failures"}
    assert list(content["rows"]) == list(IndexRow.__dataclass_fields__)
    assert content["root"] == "."


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "seattn index 0"}', "\udc80"])
def test_another_file_is_no_index(tmp_path: Path, content: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DicomError, match="load: "):
        DicomIndex.load(path)
    with pytest.raises(DicomError, match="No such file"):
        DicomIndex.load(tmp_path / "none.json")


def test_the_report_counts(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", np.stack([PIXELS, PIXELS]), PatientID="P1")
    write_dicom(tmp_path / "b", PIXELS, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for name in ("c.txt", "d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "e").write_bytes((tmp_path / "a").read_bytes()[:-2])
    assert scan(tmp_path).report().splitlines() == [
        "3 images of 1 patient in 2 files",
        "  axial    1",
        "  unknown  2",
        "2 files skipped",
        "  2  open: no DICOM prefix in bytes 128 to 131, e.g. c.txt",
        "1 file failed",
        "  1  header: 22 bytes of pixels, and 24 are needed, e.g. e",
    ]


def test_the_report_counts_classes_even_where_they_are_empty(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", PIXELS)
    (tmp_path / "labels").write_text("path,label\na,no\n", encoding="utf-8")
    index = scan(tmp_path).with_labels(tmp_path / "labels", classes=["no", "yes"])
    assert index.report().splitlines()[1:4] == [
        "  unknown    1",
        "  class no   1",
        "  class yes  0",
    ]
    assert DicomIndex(tmp_path, ()).report().startswith("0 images of 0 patients in 0 files")


def test_the_real_ct_images(real_images: Path) -> None:
    index = scan(real_images / "tcga_ct100")
    assert len({row.patient for row in index.rows}) == 54
    # Five of the hundred files are there twice, byte for byte.
    assert (len(index), len([each for each in index.failures if each.same_as])) == (95, 5)
    labelled = index.with_labels(real_images / "tcga_ct100" / "labels.csv", key=KEY)
    assert (len(labelled), labelled.classes) == (95, ("0", "1"))
    assert [row.patient for row in labelled.rows] == [row.patient for row in index.rows]


@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_an_index_that_cannot_be_saved_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_dicom(tmp_path / "a", PIXELS)
    index = scan(tmp_path)
    saved = tmp_path / "out" / "index.json"
    saved.parent.mkdir()
    index.save(saved)
    before = saved.read_bytes()
    write = Path.write_text

    def fail(path: Path, *args: Any, **options: Any) -> None:
        write(path, "half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(DicomError, match=r"index\.json: save: No space left on device$"):
        index.subset([]).save(saved)
    monkeypatch.undo()
    assert [each.name for each in saved.parent.iterdir()] == ["index.json"]
    assert saved.read_bytes() == before


def test_an_index_cannot_be_saved_where_no_folder_is(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match=r"save: No such file or directory$"):
        DicomIndex(tmp_path, ()).save(tmp_path / "none" / "index.json")


def test_a_hidden_root_is_not_in_the_error_that_it_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^`root` \(='\(path withheld\)'\) is not a folder"):
        DicomIndex.scan(tmp_path / "Smith Anna", redact_paths=True)
