"""Every source of images arrives in one shape, and what contradicts itself is refused."""

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from examples.ankle_fracture.__main__ import parse
from examples.ankle_fracture.boxes import with_boxes
from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.sources import from_folder, from_phantom
from seattn.data import DicomError, DicomIndex
from tests.data.files import write_dicom

REAL = Path(__file__).parents[2] / "../shared/data"
TINY = dataclasses.replace(PRESETS["quick"], patients=24, size=32)
PARTS = ("train", "val", "test")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Pseudonyms of own folders are made with a key of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def table_of(folder, rows):
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def own_folder(home, *, patients=9, change=lambda rows: rows):
    """Two images of 40 x 30 pixels for each patient; every third patient in another part."""
    folder = home / "images"
    folder.mkdir()
    rows = []
    for number in range(2 * patients):
        pixels = np.full((40, 30), number, np.uint8)
        patient = f"P{number // 2}"
        write_dicom(folder / f"{number}.dcm", pixels, PatientID=patient, StudyInstanceUID=patient)
        part = PARTS[number // 2 % 3]
        label = str(number % 2)
        rows.append({"path": f"{number}.dcm", "label": label, "patient": patient, "split": part})
    table_of(folder, change(rows))
    return folder


# --- the phantom


@pytest.fixture(scope="module")
def confounded(tmp_path_factory):
    config = dataclasses.replace(TINY, confounder=1.0, prevalence=0.5, phantom="study")
    return gather(config, tmp_path_factory.mktemp("confounded"))


def cast_of(dataset):
    """Whether there is a cast, by image, from the table beside the images."""
    with (dataset.index.root / "labels.csv").open() as file:
        cast = {row["path"]: int(row["cast"]) for row in csv.DictReader(file)}
    return [cast[row.path] for row in dataset.index.rows]


def test_casts_follow_fractures_in_training_and_not_in_the_test(confounded):
    for part in ("train", "val"):
        assert cast_of(confounded.parts[part]) == confounded.labels(part)
    both = set(zip(cast_of(confounded.test), confounded.labels("test"), strict=True))
    assert len(both) > 2


def test_the_confounded_test_holds_the_same_ankles(confounded):
    one, two = confounded.test.index, confounded.confounded_test.index
    assert one.root != two.root
    for row, other in zip(one.rows, two.rows, strict=True):
        assert (row.path, row.patient, row.label) == (other.path, other.patient, other.label)
        assert (row.mask is None) == (other.mask is None)
    assert cast_of(confounded.confounded_test) == confounded.labels("test")
    a, b = (data.batch(range(len(data))) for data in (confounded.test, confounded.confounded_test))
    changed = [
        now != then
        for now, then in zip(
            cast_of(confounded.test), cast_of(confounded.confounded_test), strict=True
        )
    ]
    assert any(changed)
    assert not all(changed)
    for image, other, differs in zip(a.image, b.image, changed, strict=True):
        assert differs or image.equal(other)
    assert any(
        not image.equal(other)
        for image, other, differs in zip(a.image, b.image, changed, strict=True)
        if differs
    )
    assert a.mask.equal(b.mask)


def test_no_patient_of_the_test_was_trained_on(confounded):
    patients = [{row.patient for row in data.index.rows} for data in confounded.parts.values()]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 24
    assert "casts on 100% of the fractured and 0% of the other" in confounded.source


def test_prevalence_and_difficulty_reach_the_phantom(tmp_path):
    severity = []
    for difficulty in (1.0, 3.0):
        source = from_phantom(
            tmp_path, patients=8, prevalence=0.75, difficulty=difficulty, variant="roi"
        )
        labels = [row.label for row in source.index.rows]
        assert labels.count(1) == 18
        with (source.index.root / "labels.csv").open() as file:
            severity.append(sum(float(row["severity"]) for row in csv.DictReader(file)))
    assert severity[1] == pytest.approx(severity[0] / 3, rel=0.02)
    assert len(list(tmp_path.iterdir())) == 2  # another choice, another folder


def test_danis_weber_leaves_out_other_fractures(tmp_path):
    source = from_phantom(tmp_path, patients=40, prevalence=0.7, task="weber")
    with (source.index.root / "labels.csv").open() as file:
        kinds = {row["path"]: row["fracture_type"] for row in csv.DictReader(file)}
    names = {"none": "none", "A": "weber_a", "B": "weber_b", "C": "weber_c"}
    assert source.class_names == tuple(names)
    found = {row.path: source.class_names[row.label] for row in source.index.rows}
    assert {path: names[word] for path, word in found.items()} == {
        path: kind for path, kind in kinds.items() if kind in names.values()
    }
    assert len(found) < len(kinds)


def test_an_unknown_task_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`task` \(='weather'\) must be one of fracture, weber"):
        from_phantom(tmp_path, task="weather")


# --- a folder


def test_the_parts_of_a_table_are_kept(home):
    images = own_folder(home)
    cohort = gather(dataclasses.replace(TINY, images=str(images), window="minmax"), home / "run")
    for number, part in enumerate(PARTS):
        paths = {row.path for row in cohort.parts[part].index.rows}
        assert paths == {f"{i}.dcm" for i in range(18) if i // 2 % 3 == number}
    assert "in the parts that its table gives" in cohort.source


def test_without_parts_patients_are_divided(home):
    def empty(rows):
        return [row | {"split": ""} for row in rows]

    source = from_folder(own_folder(home, change=empty), folder=home / "run")
    assert source.parts is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [rows[0] | {"split": "validation"}, *rows[1:]], "holds 'validation'"),
        (lambda rows: [rows[0] | {"split": ""}, *rows[1:]], "holds '', and must hold train"),
        (
            lambda rows: [rows[0] | {"split": "test"}, *rows[1:]],
            "1 shared patient in parts 1 and 3",
        ),
        (
            lambda rows: [row | {"label": "0" if row["split"] == "val" else "1"} for row in rows],
            "class '1' is absent from part 2",
        ),
        (
            lambda rows: [row | {"split": "train"} for row in rows],
            "part 2 is empty",
        ),
    ],
)
def test_parts_that_cannot_be_are_refused(home, change, message):
    with pytest.raises((ValueError, DicomError), match=re.escape(message)):
        from_folder(own_folder(home, change=change), folder=home / "run")


def test_a_column_names_the_classes(home):
    def named(rows):
        return [row | {"class": {"0": "whole", "1": "broken"}[row["label"]]} for row in rows]

    source = from_folder(own_folder(home, change=named), folder=home / "run")
    assert source.class_names == ("whole", "broken")
    assert source.index.classes == ("0", "1")


def test_a_column_that_names_classes_twice_is_refused(home):
    def confused(rows):
        return [row | {"class": "broken"} for row in rows]

    with pytest.raises(ValueError, match="must name each label by one word"):
        from_folder(own_folder(home, change=confused), folder=home / "run")


def test_classes_in_an_order_of_ones_own(home):
    def words(rows):
        return [row | {"label": ("normal", "fracture")[int(row["label"])]} for row in rows]

    images = own_folder(home, change=words)
    assert from_folder(images, folder=home / "run").class_names == ("fracture", "normal")
    ordered = from_folder(images, classes=("normal", "fracture"), folder=home / "run")
    assert [row.label for row in ordered.index.rows if row.path == "1.dcm"] == [1]


# --- boxes


def boxes_of(folder, lines, columns="path,x0,y0,x1,y1"):
    (folder / "boxes.csv").write_text("\n".join([columns, *lines]) + "\n")
    return folder / "boxes.csv"


def test_boxes_become_masks(home):
    images = own_folder(home)
    boxes = boxes_of(images, ["1.dcm,2.5,3,4,6.2", "1.dcm,20,30,30,40", "3.dcm,0,0,1,1"])
    source = from_folder(images, boxes=boxes, folder=home / "run")
    masks = {row.path: np.load(row.mask) for row in source.index.rows if row.mask}
    assert set(masks) == {"1.dcm", "3.dcm"}
    expected = np.zeros((40, 30), bool)
    for row in range(40):
        for column in range(30):
            for x0, y0, x1, y1 in [(2.5, 3, 4, 6.2), (20, 30, 30, 40)]:
                across = min(x1, column + 1) - max(x0, column)  # what box and pixel share
                down = min(y1, row + 1) - max(y0, row)
                expected[row, column] |= across > 0 and down > 0
    np.testing.assert_array_equal(masks["1.dcm"] > 0, expected)
    assert masks["3.dcm"].sum() == 1


def test_boxes_reach_the_dataset_and_the_cache_stays(home):
    images = own_folder(home)
    boxes = boxes_of(images, [f"{i}.dcm,0,0,15,40" for i in range(1, 18, 2)])
    config = dataclasses.replace(TINY, images=str(images), boxes=str(boxes), window="minmax")
    first = gather(config, home / "run")
    position = first.labels("train").index(1)
    mask = first.train[position].mask[0] == 1
    assert mask[:, :15].all()
    assert not mask[:, 17:].any()
    before = {path: path.stat().st_mtime_ns for path in (home / "run").rglob("*.npy")}
    assert gather(config, home / "run").digest == first.digest
    assert before == {path: path.stat().st_mtime_ns for path in (home / "run").rglob("*.npy")}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.dcm,2,3,31,6", "line 2 must have 0 <= x0 < x1 <= 30 and 0 <= y0 < y1 <= 40"),
        ("1.dcm,2,3,2,6", "line 2 must have"),
        ("1.dcm,-1,3,2,6", "line 2 must have"),
        ("1.dcm,nan,3,2,6", "line 2 must have"),
        ("1.dcm,2,3,4,41", "line 2 must have"),
        ("1.dcm,2,3,four,5", "line 2 has no four numbers"),
        ("1.dcm,2,3", "line 2 has no four numbers"),
        ("99.dcm,2,3,4,5", "line 2 names an image that is not there"),
    ],
)
def test_impossible_boxes_are_refused(home, line, message):
    images = own_folder(home)
    index = DicomIndex.scan(images, key="k", progress=False)
    with pytest.raises(ValueError, match=message):
        with_boxes(index, boxes_of(images, [line]), home / "masks")


def test_a_table_without_boxes_is_refused(home):
    images = own_folder(home)
    index = DicomIndex.scan(images, key="k", progress=False)
    with pytest.raises(ValueError, match="lacks the columns x1, y1"):
        with_boxes(index, boxes_of(images, [], "path,x0,y0"), home / "masks")


# --- the command line


def test_one_option_names_a_source():
    config, _, _ = parse(["--images", "set", "--window", "40", "400"])
    assert (config.images, config.labels, config.boxes) == ("set", None, None)
    config, _, _ = parse(["--phantom", "study", "--confounder", "0.9", "--prevalence", "0.5"])
    assert (config.phantom, config.confounder, config.prevalence) == ("study", 0.9, 0.5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "x.csv"], "--labels goes with --images"),
        (["--boxes", "x.csv"], "--boxes goes with --images"),
        (["--images", "d", "--confounder", "0.9"], "--confounder is the phantom's"),
        (["--images", "d", "--phantom", "study"], "--phantom is the phantom's"),
    ],
)
def test_options_of_another_source_are_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        parse(words)
    assert message in capsys.readouterr().err


# --- real images, where they are


@pytest.mark.skipif(not (REAL / "tcga_ct100").is_dir(), reason="the CT images are not here")
def test_the_contrast_set_arrives_as_its_table_says(home):
    source = from_folder(REAL / "tcga_ct100", folder=home / "run")
    assert [len(part) for part in source.parts] == [62, 8, 25]  # 5 of 100 are copies
    assert len({row.patient for row in source.index.rows}) == 54
    assert source.class_names == ("0", "1")
