"""The study on little data: it ends in a report, survives an interruption, refuses bad input."""

import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import pydicom
import pytest
import torch

import seattn
from examples.ankle_fracture import items, study
from examples.ankle_fracture.__main__ import main, parse
from examples.ankle_fracture.baseline import linear_baseline
from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.config import PRESETS, load, save
from examples.ankle_fracture.evaluation import roc_points
from examples.ankle_fracture.explanation import agreement
from examples.ankle_fracture.networks import find
from examples.ankle_fracture.state import load_tensors
from seattn.data import DicomDataset, DicomError
from seattn.metrics import roc_auc
from tests.data.files import write_dicom
from tests.examples.conftest import PHANTOM, TINY


def test_the_run_leaves_what_it_promises(finished):
    facts = json.loads((finished / "report.json").read_text())
    assert [part["patients"] for part in facts["parts"]] == [14, 5, 5]
    assert facts["models"]["se_resnet_small"]["best_epoch"] in (1, 2)
    page = (finished / "report.html").read_text()
    assert "not for diagnosis" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is loaded from elsewhere
    assert load(finished / "config.json") == TINY
    for name in ("best.safetensors", "curves.csv"):
        assert (finished / "seed0" / "se_resnet_small" / name).stat().st_size > 0
    with (finished / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["part"] for row in rows} == {"val", "test"}
    assert len(rows) == 30
    for row in rows:
        assert float(row["se_resnet_small:normal"]) + float(
            row["se_resnet_small:fracture"]
        ) == pytest.approx(1, abs=1e-12)


def test_report_metrics_follow_from_the_predictions(finished):
    facts = json.loads((finished / "report.json").read_text())
    reported = facts["models"]["se_resnet_small"]["test"]["estimates"]
    with (finished / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    value = roc_auc(
        y_true=[int(row["label"] == "fracture") for row in rows],
        y_score=[float(row["se_resnet_small:fracture"]) for row in rows],
    )
    assert reported["roc_auc"]["value"] == pytest.approx(value, abs=1e-12)


def test_an_interrupted_run_ends_with_the_same_weights(finished, tmp_path, monkeypatch):
    shutil.copytree(finished / PHANTOM, tmp_path / PHANTOM)
    whole = items.augment

    def stop_in_the_second_epoch(*args, epoch, **kwargs):
        if epoch == 2:  # the first is 1: 0 is an image that stays as it is
            raise KeyboardInterrupt
        return whole(*args, epoch=epoch, **kwargs)

    monkeypatch.setattr(items, "augment", stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        study.run(TINY, tmp_path)
    monkeypatch.setattr(items, "augment", whole)
    study.run(TINY, tmp_path)
    first, second = (
        folder / "seed0/se_resnet_small/state.safetensors" for folder in (finished, tmp_path)
    )
    tensors = [load_tensors(path)[0] for path in (first, second)]
    assert tensors[0].keys() == tensors[1].keys()
    for name in tensors[0]:
        assert torch.equal(tensors[0][name], tensors[1][name]), name
    assert (finished / "predictions.csv").read_text() == (tmp_path / "predictions.csv").read_text()


def test_another_run_in_the_same_folder_is_refused(finished):
    with pytest.raises(ValueError, match=r"`seed` was 0, now 1\. Give another --out"):
        study.run(dataclasses.replace(TINY, seed=1), finished)


def test_the_phantoms_split_does_not_depend_on_the_users_key(finished, tmp_path, monkeypatch):
    hashes = set()
    for home in ("one", "other"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / home))
        hashes.add(gather(TINY, finished).split_hash)
        assert not (tmp_path / home).exists()
    assert len(hashes) == 1


def own_images(finished, tmp_path, change):
    """The finished run's phantom as somebody's own folder, with a changed labels file."""
    shutil.copytree(finished / PHANTOM, tmp_path / "mine")
    labels = tmp_path / "mine" / "labels.csv"
    with labels.open() as file:
        rows = list(csv.DictReader(file))
    rows = change(rows)
    with labels.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return dataclasses.replace(TINY, images=str(tmp_path / "mine"), labels=str(labels), epochs=1)


def test_a_run_does_not_go_on_with_other_labels(finished, tmp_path):
    config = own_images(finished, tmp_path, list)
    study.run(config, tmp_path / "run")
    labels = tmp_path / "mine" / "labels.csv"
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join(line for line in lines if "SYN-0002" not in line))
    shutil.rmtree(tmp_path / "mine" / "SYN-0002")
    with pytest.raises(ValueError, match="have changed since the run"):
        study.run(config, tmp_path / "run")


def test_a_start_that_failed_does_not_claim_the_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").touch()
    wrong = dataclasses.replace(
        TINY, images=str(tmp_path / "images"), labels=str(tmp_path / "labels.csv")
    )
    with pytest.raises(ValueError, match="no DICOM image"):
        study.run(wrong, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_window_in_hu_is_not_laid_over_other_units(finished, tmp_path):
    config = own_images(finished, tmp_path, list)
    path = next((tmp_path / "mine").rglob("axial.dcm"))
    image = pydicom.dcmread(path)
    image.Modality, image.RescaleType = "MR", "US"
    image.save_as(path)
    with pytest.raises(ValueError, match=r"not in Hounsfield units.*--window file"):
        gather(config, tmp_path / "run")
    gather(dataclasses.replace(config, window="file"), tmp_path / "run")


def test_colour_images_go_through_with_a_network_of_three_channels(tmp_path):
    """A task that one look at the red channel solves: red squares, or green ones."""
    rows = ["path,label,patient"]
    for number in range(20):
        pixels = np.zeros((40, 40, 3), dtype=np.uint8)
        pixels[5:35, 5:35, number % 2] = 100 + number
        name = f"{number}.dcm"
        write_dicom(
            tmp_path / name,
            pixels,
            PhotometricInterpretation="RGB",
            PatientID=name,
            StudyInstanceUID=f"1.{number}",
        )
        rows.append(f"{name},{'red' if number % 2 == 0 else 'green'},{number}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    config = dataclasses.replace(
        TINY, images=str(tmp_path), labels=str(tmp_path / "labels.csv"), epochs=1
    )
    run = tmp_path.parent / f"{tmp_path.name}-run"
    with pytest.raises(ValueError, match="not in Hounsfield units"):
        study.run(config, run)
    study.run(dataclasses.replace(config, window="minmax"), run)
    facts = json.loads((run / "report.json").read_text())
    assert facts["class_names"] == ["green", "red"]
    assert facts["baseline"]["test"]["estimates"]["roc_auc"]["value"] == 1
    (weights, _) = load_tensors(run / "seed0" / "se_resnet_small" / "best.safetensors")
    assert weights["conv1.weight"].shape[1] == 3


def test_own_images_with_three_classes(finished, tmp_path):
    def by_view(rows):
        return [{k: row[k] for k in ("path", "patient")} | {"label": row["view"]} for row in rows]

    config = own_images(finished, tmp_path, by_view)
    study.run(config, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "report.json").read_text())
    assert facts["class_names"] == ["axial", "coronal", "sagittal"]
    assert "no annotated region" in (tmp_path / "run" / "report.html").read_text()


def drop_a_label(rows):
    return rows[1:]


def one_class(rows):
    return [row | {"label": "0"} for row in rows]


def one_fracture_patient(rows):
    fractured = next(row["patient"] for row in rows if row["label"] == "1")
    return [row | {"label": str(int(row["patient"] == fractured))} for row in rows]


@pytest.mark.parametrize(
    ("change", "message"),
    [(drop_a_label, "label"), (one_class, "two"), (one_fracture_patient, "class|part|split")],
)
def test_unfit_labels_stop_the_run_before_training(finished, tmp_path, change, message):
    config = own_images(finished, tmp_path, change)
    with pytest.raises((DicomError, ValueError), match=message):
        gather(config, tmp_path / "run")


def test_a_damaged_file_stops_the_run_before_training(finished, tmp_path):
    config = own_images(finished, tmp_path, list)
    victim = next((tmp_path / "mine").rglob("*.dcm"))
    victim.write_bytes(victim.read_bytes()[:-1000])
    with pytest.raises((DicomError, ValueError), match=victim.name):
        gather(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("labels", "run", "message"),
    [
        ("labels.csv", "run", "no DICOM image"),
        ("none.csv", "run", "none.csv') is no file"),
        ("labels.csv", "images/run", "lies among `images`"),
    ],
)
def test_what_can_be_checked_first_is_checked_first(tmp_path, labels, run, message):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").touch()
    config = dataclasses.replace(
        TINY, images=str(tmp_path / "images"), labels=str(tmp_path / labels)
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        gather(config, tmp_path / run)


def test_command_line_overrides_the_preset():
    config, out, _ = parse(
        ["--preset", "paper", "--epochs", "3", "--window", "40", "400", "--out", "x"]
    )
    assert (config.epochs, config.window, config.size, out.name) == (3, (40.0, 400.0), 224, "x")
    assert config.models == ("se_resnet50", "resnet50", "efficientnet_b5")


def test_a_failure_is_one_line(tmp_path, monkeypatch):
    arguments = ["--images", str(tmp_path), "--labels", "none.csv", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["study", *arguments])
    with pytest.raises(SystemExit, match=r"^error: `labels` \(='none.csv'\) is no file"):
        main()


@pytest.mark.parametrize(
    ("words", "window"),
    [(["file"], "file"), (["minmax"], "minmax"), (["40", "400"], (40.0, 400.0))],
)
def test_windows_of_the_command_line(words, window):
    assert parse(["--window", *words])[0].window == window


@pytest.mark.parametrize("words", [["wide"], ["40"], ["1", "2", "3"], ["40", "wide"]])
def test_impossible_windows_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        parse(["--window", *words])
    assert "is CENTRE WIDTH in HU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "`epochs` (=0) must be 1 or more"),
        (["--seed", "-1"], "`seed` (=-1) must be 0 or more"),
        (["--size", "7"], "`size` (=7) must be 32 or more"),
        (["--window", "40", "-400"], "must have a width of 1 HU or more"),
    ],
)
def test_impossible_numbers_are_refused(words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(words)


def test_a_damaged_configuration_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"presets": 1}')
    with pytest.raises(ValueError, match=r"config\.json' is no configuration"):
        load(tmp_path / "config.json")


def test_patients_are_the_phantoms(capsys):
    with pytest.raises(SystemExit):
        parse(["--images", "a", "--labels", "b", "--patients", "9"])
    assert "--patients is the phantom's" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"`device` \(='cuda:0'\): this torch sees no GPU"):
        parse(["--device", "cuda:0"])


def test_an_interruption_says_how_to_go_on(monkeypatch):
    def interrupt(config, folder, beside, processes):
        raise KeyboardInterrupt

    monkeypatch.setattr("examples.ankle_fracture.__main__.run", interrupt)
    monkeypatch.setattr("sys.argv", ["study"])
    with pytest.raises(SystemExit, match="the same command goes on"):
        main()


def test_configuration_survives_json(tmp_path):
    for preset in PRESETS.values():
        save(preset, tmp_path / "config.json")
        assert load(tmp_path / "config.json") == preset


@pytest.fixture(scope="module")
def region_of_interest(tmp_path_factory):
    """The quick preset's own images, whole: 329 patients in three views."""
    return gather(PRESETS["quick"], tmp_path_factory.mktemp("quick"))


def test_the_quick_task_is_not_solved_by_a_linear_model(region_of_interest):
    cohort = region_of_interest
    scores = linear_baseline(cohort.train, cohort.test, classes=2)[:, 1]
    assert roc_auc(y_true=cohort.labels("test"), y_score=scores) < 0.75


def test_the_quick_cohort_has_the_papers_counts(region_of_interest):
    counts = region_of_interest.counts()
    assert [part["patients"] for part in counts] == [197, 66, 66]
    assert [part["images"] for part in counts] == [591, 198, 198]
    assert [part["images_of_class"][1] for part in counts] == [153, 51, 51]


def test_an_untrained_network_does_not_beat_the_controls(region_of_interest):
    entry = find("se_resnet_small")
    network = entry.build(in_chans=1, num_classes=2).eval()
    cohort = region_of_interest
    found = agreement(network, entry.target_layer, cohort.train, cohort.test, seed=0)
    assert (found.images, found.patients, found.grid) == (51, 17, (8, 8))
    assert [measure.name for measure in found.measures] == [
        "pointing game",
        "mass in mask",
        "IoU",
        "Dice",
        "average precision",
        "region recall",
        "pointing game, 5 mm",
    ]
    for measure in found.measures:
        assert len(measure.controls) == 3
        assert measure.verdict == "not better than chance of place"


def test_too_coarse_maps_and_too_few_patients_are_not_scored(finished):
    network = find("se_resnet_small").build(in_chans=1, num_classes=2).eval()
    cohort = gather(TINY, finished)
    few = agreement(network, "layer3", cohort.train, cohort.test, seed=0)
    assert few.reason == "1 patients are too few for an interval, 5 are needed"
    deep = seattn.resnet18(in_chans=1, num_classes=2).eval()
    coarse = agreement(deep, "layer4", cohort.train, cohort.test, seed=0)
    assert coarse.reason == "maps of 1x1 cells are too coarse"


def test_the_linear_baseline_is_scikit_learns(finished):
    from sklearn.linear_model import LogisticRegression

    cohort = gather(TINY, finished)

    def pixels(dataset: DicomDataset):
        return dataset.batch(range(len(dataset))).image.flatten(1).double().numpy()

    known, unknown = pixels(cohort.train), pixels(cohort.test)
    model = LogisticRegression(C=1.0, max_iter=5000, tol=1e-10)
    model.fit(known - known.mean(0), cohort.labels("train"))
    expected = model.predict_proba(unknown - known.mean(0))[:, 1]
    # scikit-learn's binary form penalises w1 - w0: its C = 1 is a penalty of 2 on the softmax form.
    ours = linear_baseline(cohort.train, cohort.test, classes=2, penalty=2.0)[:, 1]
    assert abs(ours.numpy() - expected).max() < 1e-4


def test_roc_points_are_scikit_learns():
    from sklearn.metrics import roc_curve

    labels = torch.randint(0, 2, (50,), generator=torch.manual_seed(0))
    scores = torch.rand(50).mul(8).round().div(8)
    false_positive, sensitivity, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert roc_points(labels.tolist(), scores)[0] == pytest.approx(false_positive)
    assert roc_points(labels.tolist(), scores)[1] == pytest.approx(sensitivity)
