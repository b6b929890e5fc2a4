"""Which networks compete, from which weights, on which classes, and how they are compared."""

import csv
import dataclasses
import json
import re
import shutil
import types

import numpy as np
import pytest
import torch

import seattn
from examples.ankle_fracture import networks, study
from examples.ankle_fracture.__main__ import parse
from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.comparisons import compare
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.decision import Cases
from examples.ankle_fracture.evaluation import Level, report_of
from examples.ankle_fracture.repetitions import repeated, t_interval, t_test
from seattn.explain import GradCAM
from seattn.metrics import delong_test, holm, permutation_test, roc_auc

SMALL = ("se_resnet_small", "resnet_small")
TINY = dataclasses.replace(PRESETS["quick"], patients=24, epochs=1, models=SMALL, size=32)


@pytest.mark.parametrize("name", networks.names())
def test_every_name_builds_a_network_with_a_layer_for_grad_cam(name):
    entry = networks.find(name)
    with torch.device("meta"):
        network = entry.build(in_chans=1, num_classes=4)
    assert entry.target_layer in dict(network.named_modules())
    assert network.get_classifier().out_features == 4


@pytest.mark.parametrize("name", ["se_resnet50", "resnet50", "efficientnet_b5"])
def test_grad_cam_looks_at_the_papers_networks_last_map(name):
    """The map must be what the pooling before the classifier gets."""
    entry = networks.find(name)
    network = entry.build(in_chans=1, num_classes=2).eval()
    image = torch.rand(1, 1, 64, 64)
    found = GradCAM(network, entry.target_layer).explain(image)
    assert torch.equal(found.activation, network.forward_features(image))


def test_an_unknown_network_is_refused_before_anything_is_made(tmp_path):
    config = dataclasses.replace(TINY, models=("se_resnet5",))
    with pytest.raises(ValueError, match="'se_resnet5', which is no network: did you mean se_resn"):
        study.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_ablation_differs_in_se_alone():
    pairs = {(a, b) for a in networks.names() for b in networks.names() if networks.ablation(a, b)}
    assert ("se_resnet50", "resnet50") in pairs
    assert ("se_resnet_small", "resnet_small") in pairs
    assert ("se_resnet50", "resnet101") not in pairs
    assert ("resnet50", "resnet50") not in pairs
    assert ("se_resnet50", "efficientnet_b5") not in pairs


def test_weights_of_colour_images_start_a_grey_network(tmp_path):
    torch.manual_seed(5)
    donor = seattn.resnet18(in_chans=3, num_classes=1000)
    torch.save(donor.state_dict(), tmp_path / "donor.pth")
    network = networks.build("resnet18", in_chans=1, num_classes=2, weights=tmp_path / "donor.pth")
    image = torch.rand(2, 1, 64, 64)
    expected = donor.eval().forward_features(image.expand(-1, 3, -1, -1))
    assert torch.allclose(network.eval().forward_features(image), expected, atol=1e-4)
    assert network.get_classifier().out_features == 2


@pytest.mark.parametrize("entry", ["resnet50=x", "se_resnet_small", "se_resnet_small="])
def test_weights_name_a_network_of_the_run_and_a_file(entry):
    with pytest.raises(ValueError, match=re.escape(f"`weights` (='{entry}') must be NAME=FILE")):
        dataclasses.replace(TINY, weights=(entry,))


def test_missing_weights_are_named_before_anything_is_made(tmp_path):
    config = dataclasses.replace(TINY, weights=("resnet_small=none.pth",))
    with pytest.raises(ValueError, match=r"`weights` of resnet_small \(='none.pth'\) is no file"):
        study.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_weights(tmp_path):
    file, claim = tmp_path / "w.pth", tmp_path / "cohort.txt"
    config = dataclasses.replace(TINY, weights=(f"resnet_small={file}",))
    cohort = types.SimpleNamespace(digest="0" * 32)
    for content in (b"one", b"one"):
        file.write_bytes(content)
        study._claim(config, cohort, claim)
    file.write_bytes(b"other")
    with pytest.raises(ValueError, match="weights have changed since the run"):
        study._claim(config, cohort, claim)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "none", "A"], "--classes goes with --images"),
        (["--images", "a", "--labels", "b", "--task", "weber"], "--task is the phantom's"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        parse(words)
    assert message in capsys.readouterr().err


def test_the_command_line_reaches_every_choice():
    words = "--models resnet18 se_resnet18 --weights resnet18=a.pth --task weber --seeds 3"
    config, _, _ = parse([*words.split(), "--preset", "sound", "--phantom", "roi"])
    assert config.models == ("resnet18", "se_resnet18")
    assert str(config.weights_of("resnet18")) == "a.pth"
    assert config.weights_of("se_resnet18") is None
    assert (config.task, config.seeds, config.phantom) == ("weber", 3, "roi")
    own = parse(["--images", "a", "--labels", "b", "--classes", "none", "A", "B", "C"])[0]
    assert own.classes == ("none", "A", "B", "C")


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    study.run(dataclasses.replace(TINY, seeds=2, patients=45), folder)
    return folder


def test_each_seed_has_patients_of_its_own(two_seeds):
    facts = json.loads((two_seeds / "report.json").read_text())
    assert [each["seed"] for each in facts["replicates"]] == [0, 1]
    hashes = {each["split_hash"] for each in facts["replicates"]}
    assert len(hashes) == 2
    page = (two_seeds / "report.html").read_text()
    assert all(each in page for each in hashes)
    for row in facts["repetitions"]:
        assert "other patients" in row["method"]
        for value, each in zip(row["values"], facts["replicates"], strict=True):
            if row["level"] == "image" and row["second"] is None:
                estimates = each["models"][row["first"]]["test"]["estimates"]
                assert value == estimates[row["metric"]]["value"]
    assert any(row["ablation"] for row in facts["repetitions"])


def test_predictions_hold_every_seed_and_give_the_reported_areas(two_seeds):
    facts = json.loads((two_seeds / "report.json").read_text())
    with (two_seeds / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    for each in facts["replicates"]:
        mine = [row for row in rows if row["seed"] == str(each["seed"])]
        value = roc_auc(
            y_true=[int(row["label"] == "fracture") for row in mine],
            y_score=[float(row["resnet_small:fracture"]) for row in mine],
        )
        reported = each["models"]["resnet_small"]["test"]["estimates"]["roc_auc"]["value"]
        assert reported == pytest.approx(value, abs=1e-12)


def test_your_own_images_keep_their_split_over_the_seeds(two_seeds, tmp_path):
    mine = two_seeds / "phantom-roi-45-seed0"
    config = dataclasses.replace(
        TINY, seeds=2, images=str(mine), labels=str(mine / "labels.csv"), models=SMALL
    )
    study.run(config, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "report.json").read_text())
    assert len({each["split_hash"] for each in facts["replicates"]}) == 1
    assert "crossed bootstrap of seeds and patients" in facts["repetitions"][0]["method"]
    areas = [
        each["models"]["se_resnet_small"]["test"]["estimates"]["roc_auc"]["value"]
        for each in facts["replicates"]
    ]
    assert areas[0] != areas[1]


def weber_classes(folder):
    """The class of each image by its file, from the phantom's own list."""
    with (folder / "labels.csv").open() as file:
        return {row["path"]: row["fracture_type"] for row in csv.DictReader(file)}


def test_danis_weber_goes_through_the_same_command(tmp_path):
    words = "--task weber --epochs 1 --size 32 --patients 150 --models resnet_small"
    config, out, _ = parse([*words.split(), "--out", str(tmp_path / "run")])
    study.run(config, out)
    facts = json.loads((out / "report.json").read_text())
    assert facts["class_names"] == ["none", "A", "B", "C"]
    levels = facts["models"]["resnet_small"]["levels"]
    assert list(levels["image"]) == ["highest probability"]
    assert set(levels["patient"]["highest probability"]["per_class"]) == {"none", "A", "B", "C"}
    truth = weber_classes(out / "phantom-roi-150-seed0")
    known = {"none": "none", "weber_a": "A", "weber_b": "B", "weber_c": "C"}
    kept = sum(kind in known for kind in truth.values())
    assert sum(part["images"] for part in facts["parts"]) == kept < len(truth)
    with (out / "predictions.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["label"] == known[truth[row["path"]]]
    page = (out / "report.html").read_text()
    assert "operating point: highest probability. 95 % intervals" in page  # nothing was chosen


def test_the_order_of_your_classes_is_yours(two_seeds, tmp_path):
    shutil.copytree(two_seeds / "phantom-roi-45-seed0", tmp_path / "mine")
    labels = tmp_path / "mine" / "labels.csv"
    with labels.open() as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["label"] = ("A", "none")[number // 3 % 2]
    with labels.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    config = dataclasses.replace(TINY, images=str(tmp_path / "mine"), labels=str(labels))
    found = gather(config, tmp_path / "run")
    assert found.class_names == ("A", "none")
    assert found.flow()[-1] == "positive class: none"
    ordered = dataclasses.replace(config, classes=("none", "A"))
    assert gather(ordered, tmp_path / "run").class_names == ("none", "A")


def level_of(y_true, positive, patients):
    cases = Cases(y_true, np.stack([1 - positive, positive], 1), patients)
    return {"image": Level(cases, {"youden": report_of(cases, ("normal", "fracture"), 0.4)})}


@pytest.fixture
def two_networks():
    draw = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3)
    y_true = (patients < 14).astype(int)
    noise = draw.random((2, 120))
    return y_true, patients, np.clip(0.25 * y_true + [[0.6], [0.75]] * noise, 0, 1)


def test_networks_are_compared_with_patients_as_clusters(two_networks):
    y_true, patients, (a, b) = two_networks
    scores = zip(SMALL, (a, b), strict=True)
    tests = compare({name: level_of(y_true, s, patients) for name, s in scores}, seed=0)
    by_metric = {each.comparison.metric: each for each in tests}
    assert list(by_metric) == ["roc_auc", "accuracy", "sensitivity", "specificity"]
    both = {"y_true": y_true, "y_score_a": a, "y_score_b": b, "patients": patients}
    assert by_metric["roc_auc"].comparison == delong_test(**both)
    swaps = permutation_test("accuracy", **both, threshold=0.4, seed=0)
    assert by_metric["accuracy"].comparison.p_value == pytest.approx(swaps.p_value, abs=0.01)
    assert by_metric["accuracy"].comparison.difference == pytest.approx(swaps.difference)
    p_values = [each.comparison.p_value for each in tests]
    assert [each.p_holm for each in tests] == list(holm(p_values))
    assert all(each.ablation for each in tests)


def test_accuracy_of_several_classes_is_compared(two_networks):
    _, patients, _ = two_networks
    draw = np.random.default_rng(1)
    y_true = patients % 3
    levels, right = {}, {}
    for name, skill in zip(SMALL, (2.0, 0.5), strict=True):
        score = draw.random((120, 3)) + skill * np.eye(3)[y_true]
        score /= score.sum(1, keepdims=True)
        right[name] = (score.argmax(1) == y_true).mean()
        cases = Cases(y_true, score, patients)
        report = report_of(cases, ("none", "A", "B"))
        levels[name] = {"image": Level(cases, {"highest probability": report})}
    (only,) = compare(levels, seed=0)
    assert only.comparison.metric == "accuracy"
    assert only.comparison.difference == pytest.approx(right[SMALL[0]] - right[SMALL[1]])
    assert only.comparison.p_value < 0.01
    rows = repeated([levels, levels], redrawn=False)
    assert [row.mean for row in rows] == pytest.approx(
        [right[SMALL[0]], right[SMALL[1]], right[SMALL[0]] - right[SMALL[1]]]
    )


def test_repetitions_with_other_patients_are_students_t():
    from scipy import stats

    values = (0.91, 0.84, 0.88, 0.93, 0.9)
    expected = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert t_interval(values) == pytest.approx(expected)
    differences = (0.03, -0.01, 0.04, 0.02, 0.0)
    assert t_test(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert np.isnan(t_test((0.5, 0.5, 0.5)))


def test_differences_over_seeds_are_paired(two_networks):
    from scipy import stats

    y_true, patients, _ = two_networks
    draw = np.random.default_rng(3)
    runs, areas = [], []
    for _ in range(5):
        luck = draw.random()  # of the patients of this run, for both networks
        scores = [np.clip(0.3 * luck * y_true + 0.6 * draw.random(120), 0, 1) for _ in SMALL]
        areas.append([roc_auc(y_true=y_true, y_score=score) for score in scores])
        both = zip(SMALL, scores, strict=True)
        runs.append({name: level_of(y_true, score, patients) for name, score in both})
    rows = repeated(runs, redrawn=True)
    first, second, difference = (row for row in rows if row.metric == "roc_auc")
    assert first.values == pytest.approx([area[0] for area in areas])
    assert second.mean == pytest.approx(np.mean([area[1] for area in areas]))
    expected = stats.ttest_rel(*np.array(areas).T)
    assert difference.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    tested = [row for row in rows if row.second]
    assert [row.p_holm for row in tested] == pytest.approx(
        holm([row.p_value for row in tested]), nan_ok=True
    )
    assert all(np.isnan(row.p_value) for row in rows if row.second is None)
