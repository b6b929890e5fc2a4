"""The lesson on a shortcut: the same patients twice, and how much heat lies on their casts."""

import csv
import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from examples.ankle_fracture import study
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.report import confounder, write_report
from examples.ankle_fracture.shortcut import _called, maps_of, shortcuts
from seattn.explain import GradCAM
from seattn.metrics import Comparison, roc_auc
from tests.examples.report.test_page import check

NAME = "resnet_small"


@pytest.fixture(scope="module")
def casts(tmp_path_factory):
    """Findings of a run whose training casts tell all; enough epochs to learn them a little."""
    config = dataclasses.replace(
        PRESETS["quick"],
        patients=70,
        prevalence=0.5,
        confounder=1.0,
        phantom="study",
        models=(NAME,),
        epochs=6,
        size=32,
    )
    return study.investigate(config, tmp_path_factory.mktemp("casts"))


@pytest.fixture(scope="module")
def found(casts):
    return shortcuts(casts.first, casts.config)[NAME]


def table_of(dataset):
    with (dataset.index.root / "labels.csv").open() as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_the_casts_are_those_of_the_test_images(casts):
    cohort, table = casts.first.cohort, table_of(casts.first.cohort.test)
    shown = {r.path: table[r.path]["cast_mask"] for r in cohort.test.index.rows}
    assert [r.path for r in cohort.casts.index.rows] == [p for p, mask in shown.items() if mask]
    assert 0 < len(cohort.casts) < len(cohort.test)
    for position, row in enumerate(cohort.casts.index.rows):
        original = np.load(cohort.casts.index.root / shown[row.path])
        blocks = original.reshape(32, 7, 32, 7).mean((1, 3))  # 224 pixels as 32
        mask = (cohort.casts[position].mask[0] == 1).numpy()
        assert mask[blocks > 0.9].all()
        assert not mask[blocks == 0].any()


def test_casts_are_not_the_annotation_of_the_fracture(casts):
    cohort = casts.first.cohort
    masks = {row.path: row.mask for row in cohort.test.index.rows}
    assert all(row.mask != masks[row.path] for row in cohort.casts.index.rows)


def scores(casts, dataset):
    """Probabilities of the fracture by the network as it is, image by image."""
    result = casts.first.results[NAME]
    result.network.eval()
    with torch.inference_mode():
        logits = torch.cat([result.network(dataset[i].image[None]) for i in range(len(dataset))])
    return result.decision.probabilities(logits)[:, 1].numpy()


def test_both_results_and_their_difference(casts, found):
    cohort, result = casts.first.cohort, casts.first.results[NAME]
    y_true = np.array(cohort.labels("test"))
    test, trained = scores(casts, cohort.test), scores(casts, cohort.confounded_test)
    threshold = result.decision.points["image"]["youden"].threshold
    values = {
        "roc_auc": [roc_auc(y_true=y_true, y_score=s) for s in (test, trained)],
        "accuracy": [np.mean((s >= threshold) == y_true) for s in (test, trained)],
        "sensitivity": [np.mean(s[y_true == 1] >= threshold) for s in (test, trained)],
    }
    for metric, (of_test, of_trained) in values.items():
        difference = found.differences["image"][metric]
        assert difference.value_a == pytest.approx(of_test, abs=1e-6)
        assert difference.value_b == pytest.approx(of_trained, abs=1e-6)
        assert difference.difference == pytest.approx(of_test - of_trained, abs=1e-6)
        assert difference.low <= difference.difference <= difference.high
        assert found.levels["image"].main[metric].value == pytest.approx(of_trained, abs=1e-6)
        assert result.report[metric].value == pytest.approx(of_test, abs=1e-6)
        assert "patient" in difference.method
    assert found.levels["image"].main.threshold == threshold  # fixed once, used for both


def test_who_is_called_fractured_with_and_without_a_cast(casts, found):
    cohort, level = casts.first.cohort, casts.first.results[NAME].levels["image"]
    table, predicted = table_of(cohort.test), level.predicted()
    groups = {}
    for row, called in zip(cohort.test.index.rows, predicted, strict=True):
        group = (row.label == 1, table[row.path]["cast_mask"] != "")
        groups.setdefault(group, []).append(called)
    assert len(groups) == 4
    for each in found.called:
        flags = groups[each.fractured, each.cast]
        assert each.share.n == len(flags)
        assert each.share.value == pytest.approx(np.mean(flags))


def test_copies_of_an_image_count_with_it():
    rows = [SimpleNamespace(path="a"), SimpleNamespace(path="b")]
    dataset = SimpleNamespace(index=SimpleNamespace(rows=rows))
    worn = SimpleNamespace(index=SimpleNamespace(rows=rows[1:]))
    cases = SimpleNamespace(y_true=np.zeros(8, int), patients=np.repeat([0, 1], 4))
    level = SimpleNamespace(cases=cases, predicted=lambda: np.repeat([0, 1], 4))
    shares = {each.cast: each.share for each in _called(level, dataset, worn)}
    assert (shares[True].value, shares[False].value) == (1, 0)
    assert shares[True].n == 4
    (alone,) = _called(level, dataset, None)
    assert (alone.cast, alone.share.value) == (False, 0.5)


def test_how_much_heat_lies_on_the_casts(casts, found):
    cohort, result = casts.first.cohort, casts.first.results[NAME]
    cam, groups = GradCAM(result.network, result.target_layer), {}
    for position, row in enumerate(cohort.casts.index.rows):
        sample = cohort.casts[position]
        heat = cam(sample.image[None], target=1)[0].double().numpy()
        mask = (sample.mask[0] == 1).numpy()
        mass = heat[mask].sum() / heat.sum() if heat.sum() else 0.0
        patient = groups.setdefault(row.label == 1, {}).setdefault(row.patient, [])
        patient.append((mass, mask.mean()))
    assert len(found.on_casts) == len(groups) == 2
    for each in found.on_casts:
        patients = groups[each.fractured]
        pairs = np.array([pair for images in patients.values() for pair in images])
        assert (each.images, each.patients) == (len(pairs), len(patients))
        assert each.mass == pytest.approx(pairs[:, 0].mean(), abs=1e-5)
        assert each.area == pytest.approx(pairs[:, 1].mean())
        excess = [np.mean([mass - area for mass, area in images]) for images in patients.values()]
        assert each.excess == pytest.approx(np.mean(excess), abs=1e-5)
        interval = stats.t.interval(
            0.95, len(excess) - 1, loc=np.mean(excess), scale=stats.sem(excess)
        )
        assert (each.low, each.high) == pytest.approx(interval, abs=1e-5)
        assert each.randomised != each.mass


def test_random_weights_leave_the_network_as_it_is(casts):
    result, dataset = casts.first.results[NAME], casts.first.cohort.casts
    before = {name: tensor.clone() for name, tensor in result.network.state_dict().items()}
    assert not maps_of(result, dataset, seed=0).equal(maps_of(result, dataset))
    after = result.network.state_dict()
    assert all(tensor.equal(after[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (-0.3, -0.4, -0.2, "it leaned on the casts"),
        (-0.1, -0.3, 0.1, "no fall is shown"),
        (-0.1, math.nan, math.nan, "no interval"),
        (0.2, 0.1, 0.3, "it does better where casts tell nothing"),
    ],
)
def test_the_verdict_follows_from_the_interval(found, value, low, high, words):
    made_up = Comparison(
        "roc_auc", 0.6, 0.6 - value, value, low, high, 0.95, 0, 0, "test", 9, 9, 0, None
    )
    line = confounder.verdict(found, made_up)
    assert words in line
    assert f"{0.6 - value:.3f} with casts as in training, 0.600 in the test" in line
    assert "ROC area by patient" in line


def test_the_report_shows_both(casts, found, tmp_path):
    part = confounder.part(casts)
    (seed,) = part.facts["confounder"]
    assert seed["seed"] == 0
    assert seed["models"][NAME]["difference"] == found.differences
    write_report(casts, tmp_path)
    page = check((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert any("A shortcut on purpose" in title for title in page.headings)
    captions = [figure["caption"] for figure in page.figures]
    assert any(caption.startswith("Test images with a cast") for caption in captions)
    tables = "".join(part.body)
    for metric, difference in found.differences["patient"].items():
        shown = f"{difference.difference:.3f} [{difference.low:.3f}, {difference.high:.3f}]"
        assert shown in tables, metric


def test_the_pictures_show_different_patients(casts):
    rows = casts.first.cohort.casts.index.rows
    shown = [rows[i] for i in confounder._chosen(casts.first.cohort.casts)]
    assert [row.label for row in shown] == [1, 1, 0, 0]
    assert len({row.patient for row in shown}) == 4


def test_without_a_confounder_there_is_no_such_part(findings):
    assert confounder.part(findings) is None
    assert shortcuts(findings.first, findings.config) == {}
