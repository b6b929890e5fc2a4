"""Radiographs as DICOM: pixels, masks and labels arrive whole, and nothing is invented."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from examples.ankle_fracture.sources import from_folder
from examples.fracatlas_to_dicom import COPIES, convert, main
from seattn.data import DicomDataset, DicomIndex, read_dicom

REAL = Path(__file__).parents[2] / "../shared/data/fracatlas_leg"
COLUMNS = (
    "path", "label", "class", "region", "group", "split", "view_frontal", "view_lateral",
    "view_oblique", "hardware", "mask",
)  # fmt: skip
SPLITS = ("train", "val", "test")


def write_table(path, columns, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def atlas(tmp_path):
    """Thirteen images in the layout of the set; odd ones are fractured, 5 shows an implant."""
    data = tmp_path / "atlas"
    (data / "images").mkdir(parents=True)
    (data / "masks").mkdir()
    rows, boxes = [], []
    for number in [*range(12), 4148]:
        name, fractured = f"IMG{number:07}", number % 2
        pixels = np.random.default_rng(number).integers(0, 256, (41, 33 + number % 2), np.uint8)
        Image.fromarray(pixels).save(data / f"images/{name}.jpg")
        mask = ""
        if fractured:
            mask = f"masks/{name}.png"
            region = np.zeros(pixels.shape, np.uint8)
            region[10 : 12 + number, 5:9] = 255
            Image.fromarray(region).convert("1").save(data / mask)
            boxes.append([f"images/{name}.jpg", 5, 10, 9, 12 + number])
        row = [f"images/{name}.jpg", fractured, ("normal", "fractured")[fractured], "leg"]
        row += [f"b{number // 2:04}", SPLITS[number // 2 % 3], 1, number % 2, 0]
        rows.append([*row, int(number == 5), mask])
    write_table(data / "labels.csv", COLUMNS, rows)
    write_table(data / "boxes.csv", ("path", "x0", "y0", "x1", "y1"), boxes)
    return data


def test_what_is_written_and_what_left_out(atlas, tmp_path):
    counts = convert(atlas, tmp_path / "out")
    assert counts.pop("copies of an image in another part, left out") == 1
    assert counts == {f"{part}: {word}": 2 for part in SPLITS for word in ("normal", "fractured")}
    rows = read_table(tmp_path / "out/labels.csv")
    assert [row["path"] for row in rows] == [f"images/IMG{i:07}.dcm" for i in range(12)]
    assert rows[1]["patient"] == "FRAC-b0000"
    assert (rows[1]["view"], rows[0]["view"]) == ("frontal+lateral", "frontal")
    assert "CC BY 4.0" in (tmp_path / "out/README.txt").read_text()


def test_without_implants(atlas, tmp_path):
    counts = convert(atlas, tmp_path / "out", without_implants=True)
    assert counts["with implants, left out"] == 1
    for table in ("labels.csv", "boxes.csv"):
        rows = read_table(tmp_path / "out" / table)
        assert "images/IMG0000005.dcm" not in {row["path"] for row in rows}
        assert "images/IMG0000003.dcm" in {row["path"] for row in rows}
    assert not (tmp_path / "out/masks/IMG0000005.png").exists()


def test_pixels_masks_and_boxes_arrive(atlas, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    out = tmp_path / "out"
    convert(atlas, out)
    source = from_folder(out, folder=tmp_path / "run")
    assert source.class_names == ("normal", "fractured")
    assert [len(part) for part in source.parts] == [4, 4, 4]
    boxed = from_folder(out, boxes=out / "boxes.csv", folder=tmp_path / "run").index
    for row, other in zip(source.index.rows, boxed.rows, strict=True):
        name = Path(row.path).stem
        with Image.open(atlas / f"images/{name}.jpg") as picture:
            expected = np.array(picture)
        for units, scale in (("stored", 1), ("window", 255)):
            pixels = read_dicom(out / row.path, units=units).pixels[0].double().numpy() * scale
            np.testing.assert_allclose(pixels, expected, atol=1e-4)
        assert (row.mask is None) == (row.label == 0) == (other.mask is None)
        if row.mask is not None:
            with Image.open(atlas / f"masks/{name}.png") as picture:
                truth = np.array(picture)
            np.testing.assert_array_equal(np.load(other.mask) > 0, truth)
            index = DicomIndex(out, (row,), (), source.index.classes)
            seen = DicomDataset(index, size=truth.shape)[0].mask[0].numpy()
            np.testing.assert_array_equal(seen == 1, truth)


def test_the_header_names_nobody_and_tells_nothing(atlas, tmp_path):
    convert(atlas, tmp_path / "out")
    paths = [tmp_path / f"out/images/IMG000000{i}.dcm" for i in (4, 5)]  # whole, with an implant
    one, two = (pydicom.dcmread(path) for path in paths)
    own = {"StudyID", "Rows", "Columns", "PixelData"}
    for element in one:
        if element.VR != "UI" and element.keyword not in own:
            assert two[element.tag].value == element.value, element.keyword
    assert one.StudyInstanceUID != two.StudyInstanceUID
    assert one.SOPClassUID.name == "Secondary Capture Image Storage"
    assert one.Modality == "DX"
    assert one.PatientID == "FRAC-b0002"
    assert "no patients" in one.PatientComments
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "ImageLaterality", "BurnedInAnnotation"):
        assert keyword not in one  # not known, so not said
    assert (one.Laterality, one.LossyImageCompression) == ("", "01")


def test_the_same_files_come_out_again(atlas, tmp_path):
    for name in ("one", "two"):
        convert(atlas, tmp_path / name)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 12 + 6 + 3
    for path in files:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


@pytest.mark.skipif(
    not shutil.which("dciodvfy"), reason="dciodvfy (dicom3tools) is not on the PATH"
)
def test_dciodvfy_finds_no_error(atlas, tmp_path):
    convert(atlas, tmp_path / "out")
    for path in (tmp_path / "out/images").iterdir():
        run = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = (run.stdout + run.stderr).splitlines()
        assert "SCImage" in said
        assert [line for line in said if line.startswith("Error")] == []


def test_a_folder_in_use_is_refused(atlas, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(ValueError, match="must be new or empty"):
        convert(atlas, tmp_path / "mine")


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no labels\.csv"):
        convert(tmp_path, tmp_path / "out")


def test_a_coloured_image_is_refused(atlas, tmp_path):
    Image.new("RGB", (4, 4)).save(atlas / "images/IMG0000000.jpg")
    with pytest.raises(ValueError, match=r"IMG0000000\.jpg has the mode RGB"):
        convert(atlas, tmp_path / "out")


def test_the_command_counts_or_says_why_not(atlas, tmp_path, monkeypatch, capsys):
    words = ["convert", "--data", str(atlas), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    main()
    assert "    2 val: normal" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=re.escape("error: `out`")):
        main()


@pytest.mark.skipif(not REAL.is_dir(), reason="the radiographs are not here")
def test_ten_real_radiographs(tmp_path):
    rows = read_table(REAL / "labels.csv")
    assert {int(row["path"][10:17]) for row in rows} > COPIES
    some = [row for row in rows if row["mask"]][:5] + [row for row in rows if not row["mask"]][:5]
    data = tmp_path / "atlas"
    data.mkdir()
    write_table(data / "labels.csv", rows[0].keys(), [row.values() for row in some])
    shutil.copyfile(REAL / "boxes.csv", data / "boxes.csv")
    for folder in ("images", "masks"):
        (data / folder).symlink_to(REAL / folder)
    convert(data, tmp_path / "out")
    index = DicomIndex.scan(tmp_path / "out", key="k", progress=False)
    index = index.with_labels(tmp_path / "out/labels.csv", key="k")
    dataset = DicomDataset(index, size=64)
    assert [bool((sample.mask == 1).any()) for sample in map(dataset.__getitem__, range(10))] == [
        row.label == 1 for row in index.rows
    ]
    boxes = read_table(tmp_path / "out/boxes.csv")
    assert {box["path"] for box in boxes} == {row.path for row in index.rows if row.label == 1}
