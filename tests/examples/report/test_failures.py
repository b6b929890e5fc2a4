"""The failures shown are truly the worst, and name no patient."""

import csv
import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from examples.ankle_fracture.cams import cams
from examples.ankle_fracture.decision import Cases
from examples.ankle_fracture.evaluation import Level, report_of
from examples.ankle_fracture.predictions import write_predictions
from examples.ankle_fracture.report import _plain, failures
from examples.ankle_fracture.report.failures import worst
from seattn.explain import GradCAM


@pytest.fixture(scope="module")
def predictions(findings, tmp_path_factory):
    """The test rows of predictions.csv of the first seed."""
    path = tmp_path_factory.mktemp("predictions") / "predictions.csv"
    write_predictions(findings.replicates, path)
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    return [row for row in rows if row["seed"] == "0" and row["version"] == "0"]


@pytest.mark.parametrize("name", ["se_resnet_small", "resnet_small"])
def test_errors_are_those_of_the_predictions_worst_first(findings, predictions, name):
    result = findings.first.results[name]
    threshold = result.report.threshold
    missed, alarms = [], []
    for number, row in enumerate(predictions):
        score = float(row[f"{name}:fracture"])
        if row["label"] == "fracture" and score < threshold:
            missed.append((threshold - score, number, score, row["view"]))
        if row["label"] == "normal" and score >= threshold:
            alarms.append((score - threshold, number, score, row["view"]))
    found = worst(result, findings.first.cohort, 1)
    assert len(missed) + len(alarms) > 3
    for group, expected in {"false negatives": missed, "false positives": alarms}.items():
        expected.sort(key=lambda each: (-each[0], each[1]))
        assert [each.test_image for each in found[group]] == [each[1] for each in expected]
        for each, (beyond, _, score, view) in zip(found[group], expected, strict=True):
            assert (each.beyond, each.score) == pytest.approx((beyond, score), abs=1e-6)
            assert each.view == view


def test_counts_are_those_of_the_confusion_table(findings):
    facts = failures.part(findings).facts["failures"]
    for name, result in findings.first.results.items():
        predicted = result.levels["image"].predicted()
        labels = np.array(findings.first.cohort.labels("test"))
        assert facts[name]["false negatives"]["count"] == ((labels == 1) & (predicted == 0)).sum()
        assert facts[name]["false positives"]["count"] == ((labels == 0) & (predicted == 1)).sum()


def made(scores, labels, versions, names):
    """A result and a cohort with these scores, one row an item."""
    scores = torch.tensor(scores, dtype=torch.float64)
    items = np.repeat(labels, versions)
    cases = Cases(items, scores.numpy(), np.array([f"p{i // versions}" for i in range(len(items))]))
    level = Level(cases, {"main": report_of(cases, names, 0.4)})
    rows = [SimpleNamespace(view=f"view {i}") for i in range(len(labels))]
    cohort = SimpleNamespace(
        class_names=names,
        labels=lambda part: list(labels),
        test=SimpleNamespace(index=SimpleNamespace(rows=rows)),
    )
    result = SimpleNamespace(
        title="Made", probabilities={"test": scores}, levels={"image": level}, report=level.main
    )
    return result, cohort


def test_of_several_classes_the_most_probable_wrong_class_is_the_worst():
    scores = [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0, 0.9, 0.1]]
    result, cohort = made(scores, [1, 0, 1, 2, 1], 1, ("none", "A", "B"))
    (group, found), *others = worst(result, cohort, 1).items()
    assert (group, others) == ("errors", [])
    assert [(e.test_image, e.label, e.predicted, e.score) for e in found] == [
        (1, "none", "B", 0.8),
        (0, "A", "none", 0.5),
        (3, "B", "none", 0.4),
    ]


def test_augmented_copies_are_left_out_and_the_threshold_decides():
    own = [0.41, 0.1, 0.9, 0.39]
    scores = [[1 - s, s] for score in own for s in (score, 1 - score)]
    result, cohort = made(scores, [0, 0, 1, 1], 2, ("normal", "fracture"))
    found = worst(result, cohort, 2)
    assert [(e.test_image, e.predicted, e.score) for e in found["false negatives"]] == [
        (3, "normal", 0.39)
    ]
    assert [(e.test_image, e.beyond) for e in found["false positives"]] == [
        (0, pytest.approx(0.01))
    ]


def test_maps_explain_the_class_that_was_decided_for(findings, monkeypatch):
    asked = []
    original = failures.cams

    def spy(network, layer, dataset, positions, *, target):
        asked.append((network, list(positions), list(target)))
        return original(network, layer, dataset, positions, target=target)

    monkeypatch.setattr(failures, "cams", spy)
    facts = failures.part(findings).facts["failures"]
    expected = [
        (
            findings.first.results[name].network,
            [each["test_image"] for each in group["shown"]],
            [int(each["predicted"] == "fracture") for each in group["shown"]],
        )
        for name, groups in facts.items()
        for group in groups.values()
        if group["shown"]
    ]
    assert asked == expected
    assert expected


def test_a_class_can_be_asked_for_image_by_image(findings):
    result, test = findings.first.results["se_resnet_small"], findings.first.cohort.test
    found, _ = cams(result.network, "layer4", test, [3, 0], target=[1, 0])
    both = GradCAM(result.network, "layer4")(test.batch([3, 0]).image, classes=[0, 1])
    torch.testing.assert_close(found, torch.stack([both[0, 1], both[1, 0]]))


def test_where_a_network_does_not_err_the_report_says_so(findings):
    right = {}
    for name, result in findings.first.results.items():
        level = result.levels["image"]
        perfect = np.eye(2)[level.cases.y_true]
        cases = level.cases._replace(y_score=perfect)
        report = report_of(cases, findings.first.cohort.class_names, 0.5)
        right[name] = dataclasses.replace(
            result,
            probabilities={**result.probabilities, "test": torch.from_numpy(perfect)},
            levels={"image": Level(cases, {"main": report})},
        )
    first = dataclasses.replace(findings.first, results=right)
    page = "".join(failures.part(dataclasses.replace(findings, replicates=(first,))).body)
    assert page.count("no false negatives on the test images") == 2
    assert page.count("no false positives on the test images") == 2
    assert "<figure>" not in page


def test_no_patient_is_named(findings):
    found = failures.part(findings)
    text = re.sub(r"base64,[^\"]+", "", "".join(found.body)) + json.dumps(_plain(found.facts))
    for row in findings.first.cohort.test.index.rows:
        assert row.patient not in text
        assert row.path not in text
        assert row.path.split("/")[0] not in text
