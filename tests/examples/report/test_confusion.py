"""Confusion tables count what scikit-learn counts, and predictive values follow Bayes."""

import dataclasses

import numpy as np
import pytest
from sklearn import metrics as sklearn

from examples.ankle_fracture.report import confusion, precision, results


@pytest.fixture(scope="module")
def part(findings):
    return confusion.part(findings)


def test_counts_are_scikit_learns_at_every_operating_point(findings, part):
    for name, result in findings.first.results.items():
        for level, of_level in result.levels.items():
            found = part.facts["confusion"][level][name]
            assert list(found) == ["youden", "sensitivity >= 0.95"]
            for rule, report in of_level.reports.items():
                called = of_level.cases.y_score[:, 1] >= report.threshold
                table = sklearn.confusion_matrix(of_level.cases.y_true, called, labels=[0, 1])
                assert found[rule]["true_by_predicted"] == table.tolist()
                assert found[rule]["rates"]["npv"] == report["npv"]


def test_a_row_has_hits_misses_false_alarms_and_clearances(part):
    (tn, fp), (fn, tp) = part.facts["confusion"]["image"]["resnet_small"]["youden"][
        "true_by_predicted"
    ]
    cells = "".join(f"<td>{n}</td>" for n in (tp, fn, fp, tn))
    row = next(line for line in part.body[0].split("<tr>") if ">Small ResNet<" in line)
    assert cells in row
    head = part.body[0].index("fracture, called normal")
    assert part.body[0].index("fracture, called fracture") < head


def test_predictive_values_follow_from_bayes(part):
    for by_name in part.facts["confusion"].values():
        for points in by_name.values():
            for of in points.values():
                (tn, fp), (fn, tp) = of["true_by_predicted"]
                found, spared = tp / (tp + fn), tn / (tn + fp)
                for share, values in of["at_prevalence"].items():
                    yes = found * share + (1 - spared) * (1 - share)
                    expected = found * share / yes if yes else np.nan
                    assert values["ppv"].value == pytest.approx(expected, nan_ok=True)
                    no = spared * (1 - share) + (1 - found) * share
                    expected = spared * (1 - share) / no if no else np.nan
                    assert values["npv"].value == pytest.approx(expected, nan_ok=True)


def test_without_inference_there_are_no_intervals(findings):
    config = dataclasses.replace(findings.config, inference=False)
    found = confusion.part(dataclasses.replace(findings, config=config)).facts["confusion"]
    values = found["image"]["resnet_small"]["youden"]["at_prevalence"][0.05].values()
    values = [*values, *found["image"]["baseline"]["0.5"]["rates"].values()]
    assert all(np.isnan(value.low) and value.method is None for value in values)


def test_the_size_of_the_test_set_is_wilsons(findings):
    found = precision.precision_of(findings.first.cohort)
    assert (found.images, found.patients) == (18, 6)

    def half_width(n, z=1.959963984540054, p=0.95):
        return z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))

    assert found.by_image == pytest.approx(half_width(18))
    assert found.by_patient == pytest.approx(half_width(6))
    assert half_width(found.patients_wanted) <= 0.05 < half_width(found.patients_wanted - 1)
    part = results.part(findings)
    assert part.facts["test_size"] == found
    assert f"{found.by_patient:.3f}" in part.body[-1]
