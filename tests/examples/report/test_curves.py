"""The curves of the report are those of scikit-learn, and the figures draw what the facts say."""

import dataclasses

import numpy as np
import pytest
from sklearn import metrics as sklearn

from examples.ankle_fracture.report import curve_figures, curves
from examples.ankle_fracture.report.scored import Scored, scored
from seattn.metrics import net_benefit_band, pr_band, roc_band

NETWORKS = ("se_resnet_small", "resnet_small")


@pytest.fixture(scope="module")
def facts(findings):
    return curves.part(findings).facts["curves"]


def cases_of(findings, level, name):
    cases = findings.first.results[name].levels[level].cases
    return cases.y_true, cases.y_score[:, 1], cases.patients


@pytest.mark.parametrize("level", ["image", "patient"])
@pytest.mark.parametrize("name", NETWORKS)
def test_curves_are_scikit_learns(findings, facts, level, name):
    y_true, y_score, _ = cases_of(findings, level, name)
    found = facts[level][name]
    fpr, tpr, _ = sklearn.roc_curve(y_true, y_score, drop_intermediate=False)
    assert found["roc"].fpr == pytest.approx(fpr)
    assert found["roc"].tpr == pytest.approx(tpr)
    assert found["roc_auc"] == pytest.approx(sklearn.roc_auc_score(y_true, y_score))
    area = sklearn.average_precision_score(y_true, y_score)
    assert found["average_precision"] == pytest.approx(area)
    steps = found["precision_recall"]
    widths = -np.diff(steps["recall"])
    assert widths @ steps["precision"][:-1] == pytest.approx(area)  # each step has its height
    assert (widths > 0).all()


@pytest.mark.parametrize("level", ["image", "patient"])
def test_bands_are_over_patients(findings, facts, level):
    y_true, y_score, patients = cases_of(findings, level, "resnet_small")
    found = facts[level]["resnet_small"]
    cases = {"y_true": y_true, "y_score": y_score, "patients": patients}
    for key, band in {
        "roc_band": roc_band,
        "precision_recall_band": pr_band,
        "net_benefit_band": net_benefit_band,
    }.items():
        expected = band(**cases)
        assert np.array_equal(found[key].low, expected.low, equal_nan=True)
        assert np.array_equal(found[key].high, expected.high, equal_nan=True)
        assert found[key].n_patients == 12


def test_the_baseline_is_beside_the_networks_at_both_levels(findings, facts):
    assert list(facts["image"]) == list(facts["patient"]) == [*NETWORKS, "baseline"]
    labels = findings.first.cohort.labels("test")
    expected = sklearn.roc_auc_score(labels, findings.first.pixels[:, 1].numpy())
    assert facts["image"]["baseline"]["roc_auc"] == pytest.approx(expected)
    assert facts["image"]["baseline"]["operating_points"] == {}


def test_operating_points_and_calibration_are_the_reports(findings, facts):
    for level, by_name in facts.items():
        for name in NETWORKS:
            for rule, report in findings.first.results[name].levels[level].reports.items():
                at = by_name[name]["operating_points"][rule]
                assert at["threshold"] == report.threshold
                assert at["sensitivity"] == report["sensitivity"]
                assert at["ppv"] == report["ppv"]
            found, report = by_name[name]["calibration"], report.estimates
            assert found["ece"] == pytest.approx(report["ece"].value)
            assert found["recalibration"].slope == pytest.approx(
                report["calibration_slope"].value, nan_ok=True
            )
            share = np.average(found["observed"], weights=found["cases"])
            assert share == pytest.approx(by_name[name]["prevalence"])
            assert sum(found["came_true"]) + sum(found["did_not"]) == sum(found["cases"])


def test_the_figure_draws_the_facts(facts):
    models = facts["image"]
    figure = curve_figures.rates(models)
    roc, pr, benefit = figure.axes[:3]
    for number, name in enumerate(NETWORKS):
        model = models[name]
        (line,) = [each for each in roc.lines if str(each.get_label()).startswith(model["title"])]
        assert line.get_xdata() == pytest.approx(model["roc"].fpr)
        assert line.get_ydata() == pytest.approx(model["roc"].tpr)
        assert f"AUC {model['roc_auc']:.3f} [{model['roc_auc_interval'][0]:.3f}" in line.get_label()
        at = list(model["operating_points"].values())
        for ax, x, y in (
            (roc, [1 - p["specificity"].value for p in at], [p["sensitivity"].value for p in at]),
            (pr, [p["sensitivity"].value for p in at], [p["ppv"].value for p in at]),
            (benefit, [p["threshold"] for p in at], [p["net_benefit"].value for p in at]),
        ):
            marks = [
                m
                for m in ax.lines
                if m.get_marker() != "None" and m.get_color() == line.get_color()
            ]
            assert [m.get_xdata()[0] for m in marks] == pytest.approx(x)
            assert [m.get_ydata()[0] for m in marks] == pytest.approx(y, nan_ok=True)
        drawn = roc.collections[number].get_paths()[0].vertices[:, 1]
        assert drawn.min() == pytest.approx(model["roc_band"].low.min())
    (curve,) = [each for each in benefit.lines if each.get_label() == "treat all"]
    assert curve.get_ydata() == pytest.approx(models["resnet_small"]["net_benefit"].treat_all)
    level = [each.get_ydata() for each in pr.lines if each.get_linestyle() == ":"]
    assert level[-1] == pytest.approx([models["resnet_small"]["prevalence"]] * 2)


def test_without_inference_there_are_no_bands(findings):
    config = dataclasses.replace(findings.config, inference=False)
    part = curves.part(dataclasses.replace(findings, config=config))
    for of in part.facts["curves"]["image"].values():
        assert of["roc_band"] is of["roc_auc_interval"] is of["calibration"]["intervals"] is None
    assert not curve_figures.rates(part.facts["curves"]["image"]).axes[0].collections
    assert "This protocol gives no intervals" in part.body[0]


def three_classes(findings):
    """The same cases in three classes: normal, and two kinds of fracture."""
    models = []
    for model in scored(findings, "image"):
        y_true = np.where(model.cases.y_true == 1, 1 + np.arange(len(model.cases.y_true)) % 2, 0)
        score = model.cases.y_score[:, 1]
        y_score = np.stack([1 - score, 0.7 * score, 0.3 * score], 1)
        models.append(
            Scored(
                model.name,
                model.title,
                type(model.cases)(y_true, y_score, model.cases.patients),
                {},
            )
        )
    return models


def test_each_of_three_classes_stands_against_the_rest(findings, monkeypatch):
    models = three_classes(findings)
    cohort = dataclasses.replace(findings.first.cohort, class_names=("none", "A", "B"))
    first = dataclasses.replace(findings.first, cohort=cohort)
    monkeypatch.setattr(curves, "scored", lambda findings, level: models)
    part = curves.part(dataclasses.replace(findings, replicates=(first,)))
    assert "No decision curve" in part.body[-1]
    found = part.facts["curves"]["image"]
    assert list(found["class_against_rest"]) == ["none", "A", "B"]
    y_true, y_score, _ = models[0].cases
    for k, by_model in enumerate(found["class_against_rest"].values()):
        expected = sklearn.roc_auc_score(y_true == k, y_score[:, k])
        assert by_model[models[0].name]["roc_auc"] == pytest.approx(expected)
    top = found["calibration"][models[0].name]["calibration"]
    assert top["kind"] == "top"
    right = np.average(top["observed"], weights=top["cases"])
    assert right == pytest.approx(sklearn.accuracy_score(y_true, y_score.argmax(1)))
