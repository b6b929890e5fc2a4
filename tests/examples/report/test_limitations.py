"""A limitation is listed where it holds, and not where it does not."""

import dataclasses
import math
from types import SimpleNamespace

import pytest

from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.report.limitations import limitations, part, widest
from seattn.data import DicomDataset


def lines_of(findings, **config):
    changed = dataclasses.replace(findings.config, **config)
    return list(limitations(dataclasses.replace(findings, config=changed)))


def said(lines, words):
    return sum(words in line for line in lines)


@pytest.mark.parametrize(
    ("words", "there", "not_there"),
    [
        ("Synthetic images", {}, {"images": "mine"}),
        ("generator's own label", {}, {"images": "mine"}),
        ("placed by the generator", {"phantom": "study"}, {"phantom": "full"}),
        ("Casts were made to go", {"confounder": 0.9}, {}),
        ("blocks of images", {"images": "mine"}, {}),
        ("Labels are those of the table", {"images": "mine"}, {}),
        ("come from one folder", {"images": "mine"}, {}),
        ("come from one generator", {}, {"images": "mine"}),
        ("same test patients", {"images": "mine"}, {}),
        ("hold 3 altered copies", {"copies": 3, "online": False}, {}),
        ("neither intervals nor tests", {"inference": False}, {}),
        ("by image alone", {"patient_level": False}, {}),
        ("Scores are not calibrated", {"calibrate": False}, {}),
        ("2 seeds: few", {}, None),
        ("No external test", {}, None),
        ("bright does not tell why", {}, None),
    ],
)
def test_each_where_it_holds(findings, words, there, not_there):
    assert said(lines_of(findings, **there), words) == 1
    if not_there is not None:
        assert said(lines_of(findings, **not_there), words) == 0


@pytest.mark.parametrize(
    ("seeds", "words"), [(1, "One seed: each network"), (2, "2 seeds: few"), (5, None)]
)
def test_few_seeds_are_few(findings, seeds, words):
    many = dataclasses.replace(findings, replicates=findings.replicates[:1] * seeds)
    lines = list(limitations(many))
    assert said(lines, "seeds: few") + said(lines, "One seed") == (words is not None)
    assert words is None or said(lines, words) == 1


def with_first(findings, **changes):
    first = dataclasses.replace(findings.first, **changes)
    return dataclasses.replace(findings, replicates=(first, *findings.replicates[1:]))


def of_result(findings, **changes):
    results = {
        name: dataclasses.replace(result, **changes)
        for name, result in findings.first.results.items()
    }
    return with_first(findings, results=results)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.9, "of sensitivity by image is up to 0.80 wide"),
        (0.72, 0.8, None),
        (math.nan, math.nan, "no interval tells"),
    ],
)
def test_a_test_is_small_where_its_intervals_are_wide(findings, monkeypatch, low, high, words):
    report = findings.first.results["resnet_small"].report
    found = dataclasses.replace(report["sensitivity"], low=low, high=high)
    made_up = dataclasses.replace(report, estimates=report.estimates | {"sensitivity": found})
    monkeypatch.setattr(Result, "report", property(lambda self: made_up))
    metric, half = widest(findings)
    assert metric == "sensitivity"
    assert half == pytest.approx((high - low) / 2, nan_ok=True)
    lines = list(limitations(findings))
    patients = findings.first.cohort.counts()[-1]["patients"]
    assert said(lines, f"{patients} patients") == (words is not None)
    assert words is None or said(lines, words) == 1


def test_the_widest_interval_counts(findings):
    spans = [r.report["sensitivity"] for r in findings.first.results.values()]
    assert widest(findings)[1] == max(each.high - each.low for each in spans) / 2


def test_heat_maps_that_do_not_beat_their_controls_are_named(findings):
    def measured(*beats):
        names = ("pointing game", "mass in mask")
        measures = (
            SimpleNamespace(name=name, beats_all_controls=better)
            for name, better in zip(names, beats, strict=True)
        )
        return {"predicted": SimpleNamespace(reason=None, measures=tuple(measures))}

    lines = list(limitations(of_result(findings, agreement=measured(True, False))))
    assert said(lines, "not better than all controls in mass in mask: they") == 2
    lines = list(limitations(of_result(findings, agreement=measured(True, True))))
    assert said(lines, "not better than all controls") == 0
    none = {"predicted": SimpleNamespace(reason="no region", measures=())}
    assert said(list(limitations(of_result(findings, agreement=none))), "since no region") == 2


def test_scores_that_could_not_be_calibrated_are_named(findings):
    decision = findings.first.results["resnet_small"].decision
    bare = dataclasses.replace(decision, calibrator=None, not_calibrated="no better than chance")
    lines = list(limitations(of_result(findings, decision=bare)))
    assert said(lines, "could not be calibrated (no better than chance)") == 2


def test_a_patient_for_each_image_is_doubted(findings):
    cohort = findings.first.cohort
    parts = {
        name: DicomDataset(data.index.filter(lambda row: row.view == "axial"), size=32)
        for name, data in cohort.parts.items()
    }
    own = dataclasses.replace(findings.config, images="mine")
    words = "Every image has a patient of its own"
    for known, expected in ((cohort, 0), (dataclasses.replace(cohort, **parts), 1)):
        changed = dataclasses.replace(with_first(findings, cohort=known), config=own)
        assert said(list(limitations(changed)), words) == expected


def test_the_part_ends_in_what_it_is_not_for(findings):
    found = part(findings)
    assert "Not for diagnosis" in found.body[-1]
    assert found.facts["limitations"] == list(limitations(findings))
