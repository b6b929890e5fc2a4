"""The checklist: every item, where it is answered, and answers that come from the run."""

import dataclasses
from types import SimpleNamespace

import pytest

from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.evaluation import evaluate
from examples.ankle_fracture.report import PARTS, answers, checklist
from examples.ankle_fracture.report.part import Part

NUMBERS = """
35 | 20a, 21 | 24
36 | 20b, 20c | 25, 26a, 26b
7, 11 | 5a, 5b | 11, 13
9, 13 | 7 | 14
14-18 | 8a-c | 12, 16a-c
19, 20 | 12a | 15b
21 | 10 | 22
22-27 | 12c, 22 | 15a, 15b
19 | 13 |
28 | 15 | 15c
39 | 23a | 30
29, 38 | 12d, 12e, 23a | 18, 31
28 | 12e, 23a |
28, 29 | 12e | 18
30, 37 | 14, 23a | 21, 23
31 | |
39 | | 23
12 | 11, 27a | 19, 20
32, 33 | 16 | 28, 29
40, 41 | 26, 27 | 33, 34
43 | 18e, 18f | 40a, 40b
"""


@pytest.fixture(scope="module")
def others(findings):
    return [part for module in PARTS if (part := module.part(findings)) is not None]


@pytest.fixture(scope="module")
def rows(findings, others):
    return checklist.part(findings, others).facts["checklist"]


def test_every_item_of_the_guidelines_is_there(rows):
    found = [(row["claim_2024"], row["tripod_ai"], row["stard_ai"]) for row in rows]
    expected = [
        tuple(cell.strip() for cell in line.split("|")) for line in NUMBERS.strip().splitlines()
    ]
    assert found == expected


def test_each_has_a_section_of_this_report_or_a_reason(rows, others):
    titles = {other.title for other in others}
    for row in rows:
        assert row["section"] in titles or not row["answered"]
        if not row["answered"]:
            assert row["answer"].startswith("Not ")
        assert row["answer"].endswith(".")


def test_a_section_answers_what_needs_one(findings):
    without = checklist.part(findings, [Part("Test results", [])]).facts["checklist"]
    found = next(row for row in without if row["element"] == "Subgroups")
    assert not found["answered"]
    assert found["section"] is None
    assert "has no section on it" in found["answer"]
    some = [Part("Test results", []), Part("Subgroups & views", [])]
    part = checklist.part(findings, some)
    found = next(row for row in part.facts["checklist"] if row["element"] == "Subgroups")
    assert found["answered"]
    assert '<a href="#subgroups-views">Subgroups &amp; views</a>' in part.body[0]


def test_answers_are_taken_from_the_run(findings, rows):
    text = {row["element"]: row["answer"] for row in rows}
    cohort, result = findings.first.cohort, findings.first.results["se_resnet_small"]
    assert cohort.split_hash in text["How parts were made; no patient in two, with a hash"]
    assert (
        "0 patients in more than one part"
        in text["How parts were made; no patient in two, with a hash"]
    )
    assert "train 36, val 12, test 12" in text["Flow of patients and images, exclusions, by part"]
    point = result.decision.points["patient"]["youden"]
    line = text["Threshold: value, where it was chosen, beforehand or not"]
    assert f"{result.title} by patient {point.threshold:.3f} (youden, chosen on 12" in line
    level = result.levels["image"]
    pairs = list(zip(level.predicted().tolist(), level.cases.y_true.tolist(), strict=True))
    counts = f"TP {pairs.count((1, 1))}, FP {pairs.count((1, 0))}, TN {pairs.count((0, 0))}"
    assert f"{result.title} by image: {counts}" in text["Confusion tables by image and patient"]
    assert text["Confusion tables by image and patient"].endswith(" Positive is fracture.")
    wrong = f"{pairs.count((0, 1))} false negatives, {pairs.count((1, 0))} false positives"
    assert f"{result.title}: {wrong}" in answers.failures(findings).text
    model = text["Model, versions, start, training, selection, seeds"]
    parameters = sum(p.numel() for p in result.network.parameters())
    assert f"{result.title} ({parameters:,} parameters, from scratch" in model
    assert "seeds 0, 1;" in model
    intervals = text["Every estimate with an interval, its method, clusters"]
    assert "12 patients as clusters of 36 test items" in intervals
    assert "clustered Wilson" in intervals
    items = sum(len(each.items[part]) for each in findings.replicates for part in ("val", "test"))
    assert f"{items} rows" in text["Data, code and outputs that can be audited"]


def test_every_group_of_the_subgroups_is_named(findings):
    text = answers.subgroups(findings).text
    assert text.startswith("Test images by view: axial, coronal, sagittal; by fracture site: ")
    assert "by side: left, right" in text
    assert text.endswith("by swelling: no, yes.")


def test_copies_are_no_further_failures(findings):
    once = answers.failures(findings).text
    first, copies = findings.first, 3
    tests = dataclasses.replace(
        first.items["test"],
        protocol=dataclasses.replace(findings.config, copies=copies, online=False),
    )
    results = {}
    for name, result in first.results.items():
        image = result.levels["image"]
        cases = image.cases._replace(
            y_score=image.cases.y_score.repeat(1 + copies, 0),
            y_true=image.cases.y_true.repeat(1 + copies),
            patients=image.cases.patients.repeat(1 + copies),
        )
        test = result.probabilities["test"].repeat_interleave(1 + copies, 0)
        results[name] = dataclasses.replace(
            result,
            probabilities=result.probabilities | {"test": test},
            levels=result.levels | {"image": dataclasses.replace(image, cases=cases)},
        )
    copied = dataclasses.replace(first, results=results, items=first.items | {"test": tests})
    found = answers.failures(dataclasses.replace(findings, replicates=(copied,))).text
    assert found == once
    assert found.startswith("Of 36 images")


def test_a_patient_in_two_parts_would_be_counted(findings):
    cohort = findings.first.cohort
    leaked = dataclasses.replace(cohort, test=cohort.val)
    first = dataclasses.replace(findings.first, cohort=leaked)
    text = answers.partition(dataclasses.replace(findings, replicates=(first,))).text
    assert "12 patients in more than one part" in text


def test_files_that_were_passed_over_are_counted(findings):
    failures = tuple(SimpleNamespace(skipped=number < 3) for number in range(5))
    index = dataclasses.replace(findings.first.cohort.train.index, failures=failures)
    cohort = SimpleNamespace(
        train=SimpleNamespace(index=index), parts={"train": SimpleNamespace(index=index)}
    )
    made_up = SimpleNamespace(first=SimpleNamespace(cohort=cohort))
    assert "3 files skipped as no images or copies, 2 unreadable" in answers.missing(made_up).text


def test_only_your_own_images_leave_blanks_to_fill_in(findings, others, rows):
    assert not any(row["to_fill_in"] for row in rows)
    config = dataclasses.replace(findings.config, images="mine")
    part = checklist.part(dataclasses.replace(findings, config=config), others)
    blanks = {blank for row in part.facts["checklist"] for blank in row["to_fill_in"]}
    assert {"dates", "scanner", "age", "sex", "agreement of readers"} <= blanks
    for blank in blanks:
        assert f'<span class="blank">{blank.replace(chr(39), "&#x27;")}: </span>' in part.body[0]


def test_the_papers_protocol_leaves_items_open(findings, others):
    config = dataclasses.replace(
        PRESETS["quick-paper"], patients=60, prevalence=0.5, size=32, copies=0, online=True
    )
    results = {}
    for name, result in findings.first.results.items():
        fixed = dataclasses.replace(result.decision, points={"image": {"0.5": 0.5}})
        levels = evaluate(
            result.probabilities["test"],
            findings.first.items["test"],
            fixed,
            config,
            findings.first.cohort.class_names,
        )
        results[name] = dataclasses.replace(result, decision=fixed, levels=levels)
    first = dataclasses.replace(findings.first, results=results)
    paper = dataclasses.replace(
        findings, config=config, replicates=(first,), comparisons=[], repetitions=[]
    )
    rows = {r["element"]: r for r in checklist.part(paper, others).facts["checklist"]}
    intervals = rows["Every estimate with an interval, its method, clusters"]
    assert not intervals["answered"]
    compared = rows["Models compared on the same cases, test named"]
    assert (compared["answered"], "tests nothing" in compared["answer"]) == (False, True)
    threshold = rows["Threshold: value, where it was chosen, beforehand or not"]
    assert "0.5 (fixed, chosen on no data)" in threshold["answer"]


def test_the_grey_values_are_told(findings):
    for window, words in [
        ("minmax", "each image's own range"),
        ("file", "each file's own window"),
        ((40.0, 400.0), "window of centre 40 and width 400 HU"),
    ]:
        config = dataclasses.replace(findings.config, window=window)
        changed = dataclasses.replace(findings, config=config)
        assert words in answers.pre_processing(changed).text


def test_the_check_of_the_heat_maps_is_told(findings):
    def measured(*beats):
        measures = tuple(SimpleNamespace(beats_all_controls=better) for better in beats)
        reason = None if beats else "no region"
        return {"predicted": SimpleNamespace(reason=reason, measures=measures)}

    for beats, words, given in [
        ((True, False, True), "better than all controls in 2 of 3 measures", True),
        ((), "(layer4): no region", False),
    ]:
        results = {
            name: dataclasses.replace(result, agreement=measured(*beats))
            for name, result in findings.first.results.items()
        }
        first = dataclasses.replace(findings.first, results=results)
        answer = answers.explainability(dataclasses.replace(findings, replicates=(first,)))
        assert words in answer.text
        assert answer.given == given
