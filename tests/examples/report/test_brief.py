"""The lines in brief say what the findings say, and no more."""

import dataclasses
import math
import re

import numpy as np
import pytest

from examples.ankle_fracture.comparisons import Paired
from examples.ankle_fracture.evaluation import without_intervals
from examples.ankle_fracture.explanation import Agreement, Measure
from examples.ankle_fracture.repetitions import Repeated
from examples.ankle_fracture.report import brief
from examples.ankle_fracture.report.brief import squeeze_and_excitation
from seattn.metrics import Comparison, roc_auc

SE, PLAIN = "se_resnet_small", "resnet_small"
nan = math.nan


def repeated(first, second, mean, low, high, p):
    return Repeated(
        "patient", "roc_auc", first, second, True, (mean,) * 2, mean, 0.1, low, high, "t", p, p
    )


def paired(first, second, value, low, high, p, *, level="patient"):
    test = Comparison(
        "roc_auc", 0.5 + value, 0.5, value, low, high, 0.95, nan, p / 8, "test", 9, 9, 0, None
    )
    return Paired(level, first, second, True, test, p)


VERDICTS = [
    (0.05, 0.01, 0.09, 0.03, "it helped"),
    (0.05, 0.01, 0.09, nan, "it helped"),
    (0.05, 0.01, 0.09, 0.30, "undecided, the interval leaves out 0 but the adjusted p is not"),
    (0.05, 0.01, 0.09, 0.05, "undecided, the interval leaves out 0 but the adjusted p is not"),
    (0.05, -0.01, 0.11, 0.03, "undecided, the interval of the difference holds 0"),
    (0.05, 0.00, 0.11, 0.03, "undecided, the interval of the difference holds 0"),
    (-0.05, -0.09, -0.01, 0.03, "it did harm"),
    (-0.05, -0.09, -0.01, 0.30, "undecided, the interval leaves out 0 but the adjusted p is not"),
    (0.05, nan, nan, 0.03, "undecided, there is no interval"),
    (-0.05, -0.05, -0.05, nan, "undecided, all runs differ by the same"),
]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("kind", ["repetitions", "comparisons"])
@pytest.mark.parametrize(("value", "low", "high", "p", "words"), VERDICTS)
def test_whether_se_helped(findings, kind, swapped, value, low, high, p, words):
    make = repeated if kind == "repetitions" else paired
    row = (
        make(PLAIN, SE, -value, -high, -low, p) if swapped else make(SE, PLAIN, value, low, high, p)
    )
    made_up = dataclasses.replace(findings, repetitions=[], comparisons=[])
    line = squeeze_and_excitation(dataclasses.replace(made_up, **{kind: [row]}))
    assert f": {words}" in line
    assert f"differs by {value:+.3f}" in line
    assert ("[" in line) == (not math.isnan(low))
    if not math.isnan(low):
        assert f"[{low:+.3f}, {high:+.3f}]" in line
    assert ("Holm" in line) == (not math.isnan(p))
    assert ("another seed may turn it" in line) == (kind == "comparisons")


def test_repetitions_outweigh_the_test_of_one_training(findings):
    made_up = dataclasses.replace(
        findings,
        repetitions=[repeated(SE, PLAIN, 0.0, -0.1, 0.1, 1.0)],
        comparisons=[paired(SE, PLAIN, 0.2, 0.1, 0.3, 0.001)],
    )
    assert "undecided" in squeeze_and_excitation(made_up)


def test_other_levels_and_networks_decide_nothing(findings):
    rows = [
        paired(SE, PLAIN, 0.2, 0.1, 0.3, 0.001, level="image"),
        paired(SE, "resnet18", 0.2, 0.1, 0.3, 0.001),
    ]
    made_up = dataclasses.replace(findings, repetitions=[], comparisons=rows)
    assert "tests nothing between networks" in squeeze_and_excitation(made_up)


def with_results(findings, change):
    """The findings with other results of the first seed."""
    first = findings.first
    changed = dataclasses.replace(first, results=change(dict(first.results)))
    return dataclasses.replace(findings, replicates=(changed, *findings.replicates[1:]))


def test_without_a_pair_se_was_not_tested(findings):
    for name in (SE, PLAIN):
        alone = with_results(findings, lambda results, name=name: {name: results[name]})
        assert "was not tested" in squeeze_and_excitation(alone)


def agreement(beats):
    names = ("pointing game", "mass in mask")
    measures = (
        Measure(**(fields | {"name": name, "beats_all_controls": better}))
        for name, better in zip(names, beats, strict=True)
    )
    return Agreement(20, 9, (8, 8), tuple(measures))


fields = {
    field.name: {"controls": {}, "differences": {}}.get(field.name, 0.5)
    for field in dataclasses.fields(Measure)
}


@pytest.mark.parametrize(
    ("beats", "words"),
    [
        ((True, True), "better than all controls in pointing game and mass in mask of 2 measures"),
        ((False, True), "better than all controls in mass in mask of 2 measures"),
        ((False, False), "better than all controls in none of 2 measures"),
        (None, "not scored, since maps are too coarse"),
    ],
)
def test_whether_the_heat_maps_beat_their_controls(findings, beats, words):
    found = Agreement(0, 0, (), reason="maps are too coarse") if beats is None else agreement(beats)

    def change(results):
        kept = results[SE].agreement | {"predicted": found}
        return {SE: dataclasses.replace(results[SE], agreement=kept)}

    lines = brief.part(with_results(findings, change)).facts["in_brief"]
    assert any(f"Small SE-ResNet {words}." in line for line in lines)


def test_the_numbers_are_those_of_the_cases(findings):
    lines = brief.part(findings).facts["in_brief"]
    assert 5 <= len(lines) <= 8
    counts = findings.first.cohort.counts()
    for part in counts:
        assert f"{part['images']} images of {part['patients']} patients" in lines[0]
    for result in findings.first.results.values():
        cases = result.levels["patient"].cases
        area = roc_auc(y_true=cases.y_true, y_score=cases.y_score[:, 1])
        assert f"{result.title} {area:.3f} [" in lines[1]
        threshold = result.decision.points["patient"]["youden"].threshold
        called = cases.y_score[:, 1] >= threshold
        found = np.mean(called[cases.y_true == 1])
        cleared = np.mean(~called[cases.y_true == 0])
        words = (
            rf"{result.title} at {threshold:.3f} \(youden on validation\): sensitivity "
            rf"{found:.3f} \[[\d., ]+\], specificity {cleared:.3f} \["
        )
        assert re.search(words, lines[5])
    assert lines[5].startswith("Threshold, by patient, positive is fracture: ")
    assert lines[1].startswith("ROC area by patient (95 % interval): ")
    assert "synthetic" in lines[-1]


def test_it_claims_neither_learning_nor_intervals_that_are_not_there(findings):
    def change(results):
        levels = {
            level: dataclasses.replace(
                found, reports={k: without_intervals(r) for k, r in found.reports.items()}
            )
            for level, found in results[SE].levels.items()
        }
        return {SE: dataclasses.replace(results[SE], levels=levels)}

    lines = brief.part(with_results(findings, change)).facts["in_brief"]
    assert lines[0].startswith("Small SE-ResNet was trained to tell normal and fracture")
    assert lines[1].startswith("ROC area by patient: Small SE-ResNet 0.")


def test_your_own_images_and_casts_change_the_last_line(findings):
    own = dataclasses.replace(findings.config, images="mine")
    lines = brief.part(dataclasses.replace(findings, config=own)).facts["in_brief"]
    assert "your own images" in lines[0]
    assert lines[-1].startswith("All images come from one source")
    casts = dataclasses.replace(findings.config, confounder=0.9)
    lines = brief.part(dataclasses.replace(findings, config=casts)).facts["in_brief"]
    assert "Casts go with fractures in training" in lines[-1]
