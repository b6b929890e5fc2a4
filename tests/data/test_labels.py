"""A table of labels joins an index, or says which line does not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seattn.data import DicomIndex, IndexRow, LabelError
from seattn.data.pseudonym import patient_pseudonym
from tests.data.files import write_dicom

KEY = b"a key for tests"
PIXELS = np.zeros((2, 3), np.int16)


@pytest.fixture
def index(tmp_path: Path) -> DicomIndex:
    (tmp_path / "sub").mkdir()
    for name in ("a", "b", "sub/c"):
        write_dicom(tmp_path / name, PIXELS)
    return DicomIndex.scan(tmp_path, key=KEY, progress=False)


def table(root: Path, *lines: str) -> Path:
    path = root / "labels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def labels(index: DicomIndex) -> list[str | None]:
    return [None if row.label is None else index.classes[row.label] for row in index.rows]


def test_labels_go_to_their_images(index: DicomIndex) -> None:
    path = table(index.root, "label,ward,path", "yes,3,sub/c", "no,3,b", " yes ,3, a ")
    labelled = index.with_labels(path)
    assert labels(labelled) == ["yes", "no", "yes"]
    assert labelled.classes == ("no", "yes")
    assert labels(index) == [None, None, None]
    assert [row.path for row in labelled.rows] == ["a", "b", "sub/c"]


def test_a_path_may_be_absolute_or_written_differently(index: DicomIndex) -> None:
    path = table(index.root, "path,label", f"{index.root / 'a'},1", "./b,2", "sub/../sub/c,3")
    assert labels(index.with_labels(path)) == ["1", "2", "3"]


def test_the_table_may_lie_elsewhere_and_begin_with_a_byte_order_mark(
    index: DicomIndex, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = table(tmp_path_factory.mktemp("tables"), "\ufeffpath,label", "a,1", "b,1", "sub/c,1")
    assert labels(index.with_labels(path)) == ["1", "1", "1"]


def test_all_frames_of_a_file_have_its_label(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a", np.stack([PIXELS, PIXELS]))
    index = DicomIndex.scan(tmp_path, key=KEY, progress=False)
    assert labels(index.with_labels(table(tmp_path, "path,label", "a,x"))) == ["x", "x"]


@given(names=st.lists(st.text("019ab-", min_size=1, max_size=2), min_size=1, unique=True))
def test_the_classes_are_in_numerical_order_if_all_are_numbers(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.getbasetemp()
    row = IndexRow("", 0, "p", "s", "s", "unknown", 1, 1, 1, 1)
    index = DicomIndex(
        root, tuple(row.__class__(str(i), *list(_values(row))[1:]) for i in range(len(names)))
    )
    lines = [f"{i},{name}" for i, name in enumerate(names)]
    classes = index.with_labels(table(root, "path,label", *lines)).classes
    assert sorted(classes) == sorted(names)
    if all(name.lstrip("-").isdigit() and "-" not in name[1:] for name in names):
        assert [int(name) for name in classes] == sorted(int(name) for name in names)
    else:
        assert list(classes) == sorted(names)


def _values(row: IndexRow) -> list[object]:
    return [getattr(row, name) for name in IndexRow.__dataclass_fields__]


@pytest.mark.parametrize("odd", ["nan", "inf"])
def test_a_label_that_only_reads_like_a_number_is_a_word(index: DicomIndex, odd: str) -> None:
    path = table(index.root, "path,label", "a,10", "b,9", f"sub/c,{odd}")
    assert index.with_labels(path).classes == ("10", "9", odd)


def test_the_order_of_the_classes_may_be_given(index: DicomIndex) -> None:
    path = table(index.root, "path,label", "a,yes", "b,no", "sub/c,no")
    labelled = index.with_labels(path, classes=["yes", "no", "unclear"])
    assert labelled.classes == ("yes", "no", "unclear")
    assert [row.label for row in labelled.rows] == [0, 1, 1]
    with pytest.raises(LabelError, match=r"1 \(no\) not in `classes` \(=\('yes',\)\)"):
        index.with_labels(path, classes=["yes"])
    for classes in (["yes", "yes", "no"], "yes"):
        with pytest.raises(ValueError, match="`classes`"):
            index.with_labels(path, classes=classes)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["path,label", "a,1"], r"2 \(b, sub/c\) without a label; `missing=\"drop\"`"),
        (
            ["path,label", "a,1", "b,1", "sub/c,1", "d,1"],
            r"1 \(d\) not in the index of .*; a path is absolute or relative",
        ),
        (["path,label", "a,1", "a,1"], "line 3 repeats the path a"),
        (["path,label", "a,1", "./a,1"], "line 3 repeats the path ./a"),
        (["path,label", "a, "], "line 2 has no path or no label"),
        (["path,label", ",1"], "line 2 has no path or no label"),
        (["path,label", "a"], "line 2 has not one cell for each column"),
        (["path,label", "a,1,2"], "line 2 has not one cell for each column"),
        (["path,class", "a,1"], "no column label"),
        (["a,1"], "no column label and no column path"),
        (["path,label,patient", "a,1, "], "line 2 has no patient"),
        (["path,label,mask", "a,1,none.png"], "line 2 names a mask that does not exist, none.png"),
        (["path,label,mask", "a,1,sub"], "a mask that does not exist, sub"),
        (["path,label", '"a,1'], "labels: Error"),
    ],
)
def test_a_table_that_does_not_fit(index: DicomIndex, lines: list[str], text: str) -> None:
    path = table(index.root, *lines)
    with pytest.raises(LabelError, match=text) as caught:
        index.with_labels(path)
    assert caught.value.path == str(path)


def test_a_table_that_cannot_be_read(index: DicomIndex) -> None:
    with pytest.raises(LabelError, match=r"none.csv: labels: No such file"):
        index.with_labels(index.root / "none.csv")
    (index.root / "labels.csv").write_bytes(b"path,label\na,\xff\n")
    with pytest.raises(LabelError, match="not UTF-8"):
        index.with_labels(index.root / "labels.csv")


def test_images_without_a_label_may_be_dropped(index: DicomIndex) -> None:
    labelled = index.with_labels(table(index.root, "path,label", "b,1"), missing="drop")
    assert [row.path for row in labelled.rows] == ["b"]
    with pytest.raises(ValueError, match=r"`missing` .*must be 'error' or 'drop'"):
        index.with_labels(index.root / "labels.csv", missing="ignore")  # type: ignore[arg-type]


def test_a_label_for_a_file_that_failed_is_dropped_with_it_but_only_on_request(
    tmp_path: Path,
) -> None:
    good = write_dicom(tmp_path / "good", PIXELS)
    (tmp_path / "bad").write_bytes(good.read_bytes()[:-2])
    index = DicomIndex.scan(tmp_path, key=KEY, progress=False, on_error="skip")
    path = table(tmp_path, "path,label", "good,1", "bad,1")
    with pytest.raises(LabelError, match=r"1 \(bad\) not in the index"):
        index.with_labels(path)
    assert [row.path for row in index.with_labels(path, missing="drop").rows] == ["good"]


def test_the_labels_of_one_image_must_agree(tmp_path: Path) -> None:
    shutil.copy(write_dicom(tmp_path / "a", PIXELS), tmp_path / "b")
    index = DicomIndex.scan(tmp_path, key=KEY, progress=False)
    assert labels(index.with_labels(table(tmp_path, "path,label", "a,1", "b,1"))) == ["1"]
    with pytest.raises(LabelError, match="a and b are one image with different labels"):
        index.with_labels(table(tmp_path, "path,label", "a,1", "b,0"))


def test_a_patient_column_replaces_the_patient_of_the_header(index: DicomIndex) -> None:
    path = table(index.root, "path,label,patient", "a,1,P1", "b,1,Q2", "sub/c,1,Q2")
    labelled = index.with_labels(path, key=KEY)
    assert [row.patient for row in labelled.rows] == [
        index.rows[0].patient,  # the Patient ID of all files is P1
        patient_pseudonym("Q2", KEY),
        patient_pseudonym("Q2", KEY),
    ]


def test_masks_are_relative_to_the_root_where_they_lie_below_it(
    index: DicomIndex, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("masks") / "b.png"
    for path in (index.root / "sub" / "a.png", outside):
        path.touch()
    path = table(
        index.root,
        "path,label,mask",
        f"a,1,{index.root / 'sub' / 'a.png'}",
        f"b,1,{outside}",
        "sub/c,1,",
    )
    masks = [row.mask for row in index.with_labels(path).rows]
    assert masks == ["sub/a.png", outside.as_posix(), None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path,label\nä.dcm,0\n".encode("cp1252"), "not UTF-8; save the table as CSV in UTF-8"),
        (b"path;label\na.dcm;0\n", "no column label and no column path .*commas"),
    ],
    ids=["another encoding", "semicolons"],
)
def test_a_table_as_a_spreadsheet_may_write_it_says_what_to_do(tmp_path, content, reason):
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(LabelError, match=f"labels: {reason}"):
        DicomIndex(tmp_path, ()).with_labels(tmp_path / "l.csv")


SECRET = "Smith Anna"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([f"path,label,{SECRET}", f"{SECRET} a,1,"], "2 (row 1, row 2) without a label"),
        (["path,label", *(f"{SECRET} {x},1" for x in "abcde")], "2 (line 5, line 6) not in the in"),
        (["path,label", f"{SECRET} a,1", f"./{SECRET} a,1"], "line 3 repeats the path of line 2"),
        (["path,label,mask", f"{SECRET} a,1,{SECRET}.png"], "line 2 names a mask that does not ex"),
        (["path,label", f"{SECRET} a,"], "line 2 has no path or no label"),
        (["path,label", f"{SECRET} a"], "line 2 has not one cell for each column"),
        (["path,label,patient", f"{SECRET} a,1,"], "line 2 has no patient"),
        ([SECRET], "no column label and no column path"),
        (["path,label", f'"{SECRET} a,1'], "Error (its text is withheld"),
        (["path,label", *(f"{SECRET} {x},yes" for x in "abc")], "1 (yes) not in `classes`"),
        (
            ["path,label", *(f"{SECRET} {x},{x == 'd'}" for x in "abcd")],
            "line 2 and line 5 are one image with different labels",
        ),
        (None, "No such file or directory"),
        ([], "no column label"),
        (["\udcff"], "not UTF-8"),
    ],
)
def test_hidden_paths_are_lines_and_rows(
    tmp_path: Path, lines: list[str] | None, text: str
) -> None:
    root = tmp_path / f"{SECRET} all"
    root.mkdir()
    for name in "abc":
        write_dicom(root / f"{SECRET} {name}", PIXELS)
    if lines and "are one image" in text:
        shutil.copy(root / f"{SECRET} a", root / f"{SECRET} d")
    index = DicomIndex.scan(root, key=KEY, progress=False)
    path = tmp_path / f"{SECRET}.csv"
    if lines is not None:
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    classes = ["no"] if "classes" in text else None
    with pytest.raises(LabelError, match=SECRET):
        index.with_labels(path, classes=classes, key=KEY)
    with pytest.raises(LabelError) as caught:
        index.with_labels(path, classes=classes, key=KEY, redact_paths=True)
    assert str(caught.value).startswith(f"(path withheld): labels: {text}")
    assert SECRET not in str(caught.value) + repr(vars(caught.value))
    assert caught.value.__context__ is None
