"""The phantom on disk: labels, masks and conformant DICOM."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pydicom
import pytest

from seattn.data.phantom import make_ankle_phantom, render_ankle
from seattn.data.phantom.plane import VARIANTS, VIEWS


def make(folder, **kwargs):
    """A small phantom: the folder, and the rows of its table."""
    labels = make_ankle_phantom(folder, progress=False, **({"variant": "roi"} | kwargs))
    assert labels == folder / "labels.csv"
    with labels.open(newline="") as file:
        return folder, list(csv.DictReader(file))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make(tmp_path_factory.mktemp("phantom"), patients=8, seed=3, prevalence=0.5)


def test_one_row_per_patient_and_view(cohort):
    _, rows = cohort
    assert list(rows[0]) == [
        "path", "label", "patient", "mask", "view", "fracture_type", "severity", "swelling",
        "side", "cast",
    ]  # fmt: skip
    assert [(r["patient"], r["view"]) for r in rows] == [
        (f"SYN-{i:04d}", view) for i in range(1, 9) for view in VIEWS
    ]


def test_rows_describe_their_files(cohort):
    folder, rows = cohort
    for row in rows:
        ds = pydicom.dcmread(folder / row["path"])
        assert ds.PatientID == row["patient"]
        assert row["view"] in ds.SeriesDescription
        assert row["swelling"] in {"0", "1"}
        assert row["side"][0].upper() == ds.Laterality
        if row["label"] == "1":
            mask = np.load(folder / row["mask"])
            assert mask.shape == (ds.Rows, ds.Columns)
            assert mask.dtype == np.uint8
            assert mask.sum() * float(ds.PixelSpacing[0]) ** 2 >= 5
            assert row["fracture_type"] in {"weber_a", "weber_b", "weber_c", "medial", "posterior"}
            assert 0 < float(row["severity"]) <= 1.2
        else:
            assert (row["mask"], row["fracture_type"], row["severity"]) == ("", "none", "0")


def test_files_hold_the_rendered_hounsfield_units(cohort):
    folder, rows = cohort
    for row in rows[:6]:
        ds = pydicom.dcmread(folder / row["path"])
        image = render_ankle(
            3, fracture=row["label"] == "1", patient=int(row["patient"][-4:]) - 1, view=row["view"]
        )
        hu = pydicom.pixels.apply_rescale(ds.pixel_array, ds)
        np.testing.assert_array_equal(hu, image.hu)


@pytest.mark.parametrize(
    ("patients", "prevalence", "fractured"),
    [(5, 0, 0), (5, 1, 5), (5, 0.3, 2), (6, 85 / 329, 2), (1, 0.2, 0)],
)
def test_number_of_fractures_is_exact(tmp_path, patients, prevalence, fractured):
    _, rows = make(tmp_path, patients=patients, prevalence=prevalence, views=["axial"], size=32)
    assert sum(int(row["label"]) for row in rows) == fractured


def test_same_seed_same_bytes_also_in_another_process(tmp_path):
    kwargs = {"patients": 3, "variant": "study", "prevalence": 0.5}
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    make(one, **kwargs)
    make(two, **kwargs)
    code = (
        "from seattn.data.phantom import make_ankle_phantom\n"
        f"make_ankle_phantom({str(three)!r}, progress=False, **{kwargs!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert contents(one) == contents(two) == contents(three)


def test_another_seed_makes_another_phantom(tmp_path):
    one, _ = make(tmp_path / "one", patients=1, seed=0, views=["axial"])
    two, _ = make(tmp_path / "two", patients=1, seed=1, views=["axial"])
    name = "SYN-0001/axial.dcm"
    pixels = [pydicom.dcmread(folder / name).PixelData for folder in (one, two)]
    uids = [pydicom.dcmread(folder / name).SOPInstanceUID for folder in (one, two)]
    assert pixels[0] != pixels[1]
    assert uids[0] != uids[1]


def test_a_patient_does_not_depend_on_the_others_nor_a_view_on_the_rest(tmp_path):
    many, _ = make(tmp_path / "many", patients=4, prevalence=0)
    few, _ = make(tmp_path / "few", patients=2, prevalence=0, views=["sagittal"])
    more = contents(many)
    images = {name: data for name, data in contents(few).items() if name.endswith(".dcm")}
    assert len(images) == 2
    assert all(more[name] == data for name, data in images.items())


@pytest.fixture(scope="module")
def deals(tmp_path_factory):
    """One seed, the casts dealt by the fracture and at random."""
    kwargs = {"patients": 12, "prevalence": 0.5, "variant": "study", "size": 64}
    return [
        make(tmp_path_factory.mktemp("casts"), confounder=confounder, **kwargs)
        for confounder in (1.0, 0.5)
    ]


def test_two_deals_of_casts_differ_in_casts_alone(deals):
    (_, one), (_, two) = deals
    for a, b in zip(one, two, strict=True):
        assert a["cast"] == a["label"]
        same = [name for name in a if name not in {"cast", "cast_mask"}]
        assert [a[name] for name in same] == [b[name] for name in same]
    assert {row["cast"] for row in two if row["label"] == "1"} == {"0", "1"}
    assert {row["cast"] for row in two if row["label"] == "0"} == {"0", "1"}


def test_masks_of_casts_are_those_of_the_rendered_images(deals):
    folder, rows = deals[1]
    shown = 0
    for row in rows[:18]:
        image = render_ankle(
            0,
            fracture=row["label"] == "1",
            patient=int(row["patient"][-4:]) - 1,
            view=row["view"],
            variant="study",
            size=64,
            confounder=0.5,
        )
        assert bool(row["cast_mask"]) == image.cast.any()
        if row["cast_mask"]:
            np.testing.assert_array_equal(np.load(folder / row["cast_mask"]), image.cast)
            shown += 1
    assert shown > 3


def test_deals_share_no_identifier_but_the_patients(deals):
    headers = [
        [pydicom.dcmread(folder / row["path"], stop_before_pixels=True) for row in rows]
        for folder, rows in deals
    ]
    for keyword in ("SOPInstanceUID", "StudyInstanceUID"):
        one, two = ({ds[keyword].value for ds in each} for each in headers)
        assert not one & two


# --- DICOM


def test_header_is_that_of_a_synthetic_ct(cohort):
    folder, rows = cohort
    for row in rows:
        ds = pydicom.dcmread(folder / row["path"])
        assert ds.SOPClassUID.name == "CT Image Storage"
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert (ds.WindowCenter, ds.WindowWidth) == (400, 1800)
        assert (ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType) == (1, -1024, "HU")
        assert (ds.BitsAllocated, ds.BitsStored, ds.PixelRepresentation) == (16, 12, 0)
        assert ds.BodyPartExamined == "ANKLE"
        for keyword in ("PatientName", "StudyDescription", "ImageComments"):
            assert "SYNTHETIC" in str(ds[keyword].value)


def test_identifiers_form_one_study_of_three_series_in_one_frame(cohort):
    folder, rows = cohort
    headers = [pydicom.dcmread(folder / row["path"], stop_before_pixels=True) for row in rows]
    assert len({ds.SOPInstanceUID for ds in headers}) == len(
        {ds.SeriesInstanceUID for ds in headers}
    )
    assert len({ds.SeriesInstanceUID for ds in headers}) == len(rows)
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert len({ds[keyword].value for ds in headers}) == len(rows) // 3


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("view", VIEWS)
def test_pixels_lie_where_the_header_says(tmp_path, variant, view):
    _, (row,) = make(tmp_path, patients=1, variant=variant, views=[view])
    ds = pydicom.dcmread(tmp_path / row["path"])
    image = render_ankle(0, fracture=row["label"] == "1", view=view, variant=variant)
    right, down = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
    site = image.ankle.world(image.injury.centre)
    row_mm, col_mm = np.array(image.site) * np.array(ds.PixelSpacing, float)
    seen = np.array(ds.ImagePositionPatient, float) + row_mm * down + col_mm * right
    normal = np.cross(right, down)
    assert ["sagittal", "coronal", "axial"][np.abs(normal).argmax()] == view
    np.testing.assert_allclose((site - seen) @ np.stack([right, down], 1), 0, atol=1e-3)
    assert abs((site - seen) @ normal) < 10  # mm, 4 SD of the axial slice


def test_the_header_does_not_tell_the_label(tmp_path):
    headers = []
    for label in (0, 1):
        folder, _ = make(tmp_path / str(label), patients=1, prevalence=label, views=["coronal"])
        ds = pydicom.dcmread(folder / "SYN-0001/coronal.dcm")
        headers.append({e.keyword: e.value for e in ds if e.VR != "UI" and e.tag != 0x7FE00010})
    assert headers[0] == headers[1]


@pytest.mark.skipif(
    not shutil.which("dciodvfy"), reason="dciodvfy (dicom3tools) is not on the PATH"
)
@pytest.mark.parametrize("options", [{}, {"confounder": 1.0}, {"difficulty": 4.0}])
@pytest.mark.parametrize("variant", VARIANTS)
def test_dciodvfy_finds_no_error(tmp_path, variant, options):
    _, rows = make(tmp_path, patients=1, variant=variant, prevalence=1, **options)
    for row in rows:
        run = subprocess.run(
            ["dciodvfy", tmp_path / row["path"]], capture_output=True, text=True, check=False
        )
        said = (run.stdout + run.stderr).splitlines()
        assert "CTImage" in said
        assert [line for line in said if line.startswith("Error")] == []


# --- mistakes


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"views": ["axial", "oblique"]}, "views"),
        ({"views": []}, "views"),
        ({"views": ["axial", "axial"]}, "views"),
        ({"views": "axial"}, "views"),
        ({"variant": "whole"}, "variant"),
        ({"prevalence": -0.01}, "prevalence"),
        ({"prevalence": 1.01}, "prevalence"),
        ({"size": 31}, "size"),
        ({"size": 513}, "size"),
        ({"difficulty": 0}, "difficulty"),
        ({"confounder": 2}, "confounder"),
        ({"patients": 0}, "patients"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(tmp_path, kwargs, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make_ankle_phantom(tmp_path / "new", progress=False, **kwargs)
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"`folder`.*new or empty"):
        make_ankle_phantom(tmp_path, progress=False)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"`folder`.*new or empty"):
        make_ankle_phantom(tmp_path / "file", progress=False)


def test_progress_is_shown_on_request(tmp_path, capsys):
    make_ankle_phantom(tmp_path / "quiet", patients=1, variant="roi", progress=False)
    assert capsys.readouterr() == ("", "")
    make_ankle_phantom(tmp_path / "loud", patients=1, variant="roi")
    assert "1/1" in capsys.readouterr().err
