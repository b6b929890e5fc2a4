"""Figure 1 and the flow of patients and images count what is in the folder and in the parts."""

import csv
import dataclasses
import json
import shutil
from collections import Counter

import pytest

from examples.ankle_fracture import study
from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.findings import Findings, Replicate
from examples.ankle_fracture.items import items_of
from examples.ankle_fracture.report import diagram, flow, patients
from tests.examples.conftest import PHANTOM, TINY


def untrained(config, folder):
    """As many findings as the flow of patients needs."""
    cohort = gather(config, folder)
    items = items_of(cohort.parts, config, seed=config.seed)
    return Findings(config, (Replicate(config.seed, cohort, items, {}, None, None),), [], [], 0.0)


def step(part, name):
    return next(each["lines"] for each in part.facts["system"] if each["step"] == name)


def test_files_are_those_of_the_folder(finished):
    facts = json.loads((finished / "report.json").read_text())["flow"]
    files = [path for path in (finished / PHANTOM).rglob("*") if path.is_file()]
    images = [path for path in files if path.suffix == ".dcm"]
    assert facts["files_found"] == len(files)
    assert facts["files_with_images"] == facts["images"] == len(images) == 72
    assert sum(facts["files_skipped"].values()) == len(files) - len(images)
    assert facts["files_refused"] == {}
    assert facts["patients"] == 24
    assert facts["views"] == {"axial": 24, "coronal": 24, "sagittal": 24}
    assert facts["images_of_no_class"] == facts["patients_of_no_class"] == 0


def test_parts_are_those_of_the_labels_file(findings):
    facts = patients.part(findings).facts["flow"]
    assert [part["part"] for part in facts["parts"]] == ["train", "val", "test"]
    for part, data in zip(facts["parts"], findings.first.cohort.parts.values(), strict=True):
        with (data.index.root / "labels.csv").open() as file:
            labels = {row["path"]: row for row in csv.DictReader(file)}
        rows = [labels[row.path] for row in data.index.rows]
        counts = Counter(row["label"] for row in rows)
        people = Counter(label for label, _ in {(row["label"], row["patient"]) for row in rows})
        assert part["classes"] == [
            {"name": "normal", "images": counts["0"], "patients": people["0"]},
            {"name": "fracture", "images": counts["1"], "patients": people["1"]},
        ]
        assert part["images"] == part["items"] == len(rows)
        assert part["patients"] == len({row["patient"] for row in rows})
    assert sum(part["patients"] for part in facts["parts"]) == facts["patients"] == 60


def test_ankles_of_other_types_are_left_out_and_counted(tmp_path):
    config = dataclasses.replace(TINY, patients=80, prevalence=0.8, task="weber")
    found = untrained(config, tmp_path)
    facts = patients.part(found).facts["flow"]
    with (found.first.cohort.scanned.root / "labels.csv").open() as file:
        types = [(row["fracture_type"], row["patient"]) for row in csv.DictReader(file)]
    others = [who for kind, who in types if kind not in ("none", "weber_a", "weber_b", "weber_c")]
    assert facts["images_of_no_class"] == len(others) > 0
    assert facts["patients_of_no_class"] == len(set(others))
    assert facts["studied"] == {"images": 240 - len(others), "patients": 80 - len(set(others))}
    assert len(facts["parts"][0]["classes"]) == 4


def test_copies_are_counted_and_called_so(tmp_path):
    config = dataclasses.replace(PRESETS["quick-paper"], patients=24, size=32)
    found = untrained(config, tmp_path)
    parts = patients.part(found).facts["flow"]["parts"]
    assert [part["items"] for part in parts] == [4 * part["images"] for part in parts]
    assert {part["augmented"] for part in parts} == {"once"}
    words = [t.get_text() for t in patients._drawn(patients._flow(found)).axes[0].texts]
    assert words.count("each image and 3 augmented copies") == 3


def test_the_flow_is_drawn_with_its_numbers_inside_the_sheet(findings):
    figure = patients._drawn(patients._flow(findings))
    words = [text.get_text() for text in figure.axes[0].texts]
    for part in patients.part(findings).facts["flow"]["parts"]:
        assert f"n = {part['images']} of {part['patients']} patients" in words
        assert f"{part['items']} items" in words
    assert "n = 180 of 60 patients" in words
    fits(figure)


def fits(figure):
    """No text lies outside the sheet, or across the edge of a box."""
    figure.canvas.draw()
    ax = figure.axes[0]
    boxes = [patch.get_window_extent() for patch in ax.patches]
    sheet = figure.bbox
    for text in (text for text in ax.texts if text.get_text()):
        extent = text.get_window_extent()
        assert any(
            sheet.x0 <= box.x0 <= extent.x0
            and extent.x1 <= box.x1 <= sheet.x1
            and sheet.y0 <= box.y0 <= extent.y0 + 1
            and extent.y1 <= box.y1 + 1 <= sheet.y1 + 1
            for box in boxes
        ), text.get_text()


def test_the_system_has_the_counts_of_the_run(findings):
    part = flow.part(findings)
    counts = findings.first.cohort.counts()
    assert step(part, "Split by patient")[1:] == [
        f"training {counts[0]['images']}",
        f"validation (tuning) {counts[1]['images']}",
        f"internal test {counts[2]['images']}",
    ]
    assert step(part, "Index")[0] == "180 images of 60 patients"
    assert step(part, "Networks")[:2] == ["Small SE-ResNet", "Small ResNet"]
    kept = " and ".join(str(r.best.epoch) for r in findings.first.results.values())
    assert f"epochs kept: {kept}" in step(part, "Validation decides")
    assert "threshold: sensitivity ≥ 0.95" in step(part, "Validation decides")
    test = counts[2]
    assert step(part, "Test, once")[:2] == [
        f"{test['images']} items of {test['patients']} patients",
        "by image and by patient",
    ]
    agreement = next(iter(findings.first.results.values())).agreement["label"]
    assert step(part, "Heat maps")[1] == f"{agreement.images} annotated test images"
    assert step(part, "Report")[1] == "2 seeds"
    steps = flow._steps(findings)
    fits(flow._drawn(steps))
    assert [name for name, _ in steps] == [each["step"] for each in part.facts["system"]]


def test_the_system_of_the_paper_decides_less(tmp_path):
    config = dataclasses.replace(
        PRESETS["quick-paper"], patients=24, epochs=1, models=("se_resnet_small",), size=32
    )
    part = flow.part(study.investigate(config, tmp_path))
    assert step(part, "Pre-processing") == [
        "each image's own range",
        "to 0..1",
        "bone mask",
        "32x32 pixels",
        "noise of SD 0.01: all parts",
    ]
    assert step(part, "Augmentation")[:3] == [
        "each image and 3 fixed copies",
        "items:",
        f"training {4 * 42}",
    ]
    assert step(part, "Validation decides") == [
        "steps of the learning rate",
        "not the threshold, which is fixed",
    ]
    assert step(part, "Test, once")[1:] == ["by image", "no intervals"]


def test_own_folder_without_masks_and_with_other_files(finished, tmp_path):
    shutil.copytree(finished / PHANTOM, tmp_path / "mine")
    with (tmp_path / "mine" / "labels.csv").open() as file:
        rows = [{k: row[k] for k in ("path", "label", "patient")} for row in csv.DictReader(file)]
    with (tmp_path / "mine" / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    (tmp_path / "mine" / "secret-name.txt").write_text("no image")
    copy = tmp_path / "mine" / "copy.dcm"
    shutil.copy(tmp_path / "mine" / rows[0]["path"], copy)
    config = dataclasses.replace(TINY, images=str(tmp_path / "mine"), epochs=1)
    found = study.investigate(config, tmp_path / "run")
    part = patients.part(found)
    facts = part.facts["flow"]
    files = sum(path.is_file() for path in (tmp_path / "mine").rglob("*"))
    assert facts["files_found"] == files
    assert facts["images"] == 72
    assert len(facts["files_skipped"]) == 2  # no DICOM, and a copy
    text = json.dumps(facts) + "".join(part.body)
    assert "secret-name" not in text
    assert "copy.dcm" not in text
    assert step(flow.part(found), "Heat maps")[1] == "no annotated region"
    assert step(flow.part(found), "Images")[0] == "your own folder"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_reasons_beyond_the_first_three_are_counted_together(count):
    reasons = {f"open: reason {n}": 10 - n for n in range(count)}
    lines = patients._some(reasons)
    assert lines[0] == "10: reason 0"
    assert len(lines) == min(count, 4)
    assert sum(int(line.split(":")[0]) for line in lines) == sum(reasons.values())


def test_a_box_is_as_high_as_its_broken_lines():
    short = diagram.height("title", ["line"], 3)
    assert diagram.height("title", ["word " * 40], 3) > short + 3 * diagram.LINE
