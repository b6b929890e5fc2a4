"""The study on little data: it ends in a report, survives an interruption, refuses bad input."""

import csv
import dataclasses
import json
import shutil

import pytest
import torch

from examples.ankle_fracture import study, training
from examples.ankle_fracture.__main__ import main, parse
from examples.ankle_fracture.baseline import linear_baseline
from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.config import PRESETS, load, save
from examples.ankle_fracture.evaluation import roc_points
from seattn.data import DicomDataset, DicomError
from seattn.metrics import roc_auc

TINY = dataclasses.replace(
    PRESETS["quick"], patients=24, epochs=2, models=("se_resnet_small",), size=32
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study.run(TINY, folder)
    return folder


def test_the_run_leaves_what_it_promises(finished):
    facts = json.loads((finished / "report.json").read_text())
    assert [part["patients"] for part in facts["parts"]] == [14, 5, 5]
    assert facts["models"]["se_resnet_small"]["best_epoch"] in (1, 2)
    page = (finished / "report.html").read_text()
    assert "not for diagnosis" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is loaded from elsewhere
    assert load(finished / "config.json") == TINY
    for name in ("best.safetensors", "curves.csv"):
        assert (finished / "se_resnet_small" / name).stat().st_size > 0
    with (finished / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["part"] for row in rows} == {"val", "test"}
    assert len(rows) == 30
    for row in rows:
        assert float(row["se_resnet_small:normal"]) + float(
            row["se_resnet_small:fracture"]
        ) == pytest.approx(1, abs=2e-6)


def test_report_metrics_follow_from_the_predictions(finished):
    facts = json.loads((finished / "report.json").read_text())
    reported = facts["models"]["se_resnet_small"]["test"]["estimates"]
    with (finished / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    value = roc_auc(
        y_true=[int(row["label"] == "fracture") for row in rows],
        y_score=[float(row["se_resnet_small:fracture"]) for row in rows],
    )
    assert reported["roc_auc"]["value"] == pytest.approx(value, abs=1e-3)


def test_an_interrupted_run_ends_with_the_same_weights(finished, tmp_path, monkeypatch):
    shutil.copytree(finished / "phantom", tmp_path / "phantom")
    whole = training.augment

    def stop_in_the_second_epoch(*args, epoch, **kwargs):
        if epoch == 1:
            raise KeyboardInterrupt
        return whole(*args, epoch=epoch, **kwargs)

    monkeypatch.setattr(training, "augment", stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        study.run(TINY, tmp_path)
    monkeypatch.setattr(training, "augment", whole)
    study.run(TINY, tmp_path)
    first, second = (
        folder / "se_resnet_small/state.safetensors" for folder in (finished, tmp_path)
    )
    tensors = [training._load(path)[0] for path in (first, second)]
    assert tensors[0].keys() == tensors[1].keys()
    for name in tensors[0]:
        assert torch.equal(tensors[0][name], tensors[1][name]), name
    assert (finished / "predictions.csv").read_text() == (tmp_path / "predictions.csv").read_text()


def test_another_run_in_the_same_folder_is_refused(finished):
    with pytest.raises(ValueError, match="other choices"):
        study.run(dataclasses.replace(TINY, seed=1), finished)


def own_images(finished, tmp_path, change):
    """The finished run's phantom as somebody's own folder, with a changed labels file."""
    shutil.copytree(finished / "phantom", tmp_path / "mine")
    labels = tmp_path / "mine" / "labels.csv"
    with labels.open() as file:
        rows = list(csv.DictReader(file))
    rows = change(rows)
    with labels.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return dataclasses.replace(TINY, images=str(tmp_path / "mine"), labels=str(labels), epochs=1)


def test_own_images_with_three_classes(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))

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
def test_unfit_labels_stop_the_run_before_training(
    finished, tmp_path, monkeypatch, change, message
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    config = own_images(finished, tmp_path, change)
    with pytest.raises((DicomError, ValueError), match=message):
        gather(config, tmp_path / "run")


def test_a_damaged_file_stops_the_run_before_training(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    config = own_images(finished, tmp_path, list)
    victim = next((tmp_path / "mine").rglob("*.dcm"))
    victim.write_bytes(victim.read_bytes()[:-1000])
    with pytest.raises((DicomError, ValueError), match=victim.name):
        gather(config, tmp_path / "run")


def test_an_empty_folder_stops_the_run(tmp_path):
    config = dataclasses.replace(TINY, images=str(tmp_path), labels=str(tmp_path / "labels.csv"))
    with pytest.raises(ValueError, match="no DICOM image"):
        gather(config, tmp_path / "run")


def test_command_line_overrides_the_preset():
    config, out = parse(
        ["--preset", "paper", "--epochs", "3", "--window", "40", "400", "--out", "x"]
    )
    assert (config.epochs, config.window, config.size, out.name) == (3, (40.0, 400.0), 224, "x")
    assert config.models == ("se_resnet50", "resnet50", "efficientnet_b5")


def test_a_failure_is_one_line(tmp_path, monkeypatch, capsys):
    arguments = [
        "study",
        "--images",
        str(tmp_path),
        "--labels",
        "none.csv",
        "--out",
        str(tmp_path / "run"),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match=r"^error: .*no DICOM image"):
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
