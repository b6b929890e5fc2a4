import json
from dataclasses import asdict

import numpy as np
import pytest

from seattn.metrics import binary_report, by_subgroup, choose_threshold
from tests.metrics.shown import check_shown
from tests.metrics.worked import PATIENTS as IN_ORDER
from tests.metrics.worked import A, Y

PATIENTS = IN_ORDER[1::2] + IN_ORDER[::2]

VIEWS = ["AP" if i % 3 else "lateral" for i in range(20)]


def test_each_subgroup_has_the_report_of_its_own_cases():
    found = by_subgroup(
        y_true=Y, y_score=A, subgroups=VIEWS, patients=PATIENTS, threshold=0.4, level=0.9
    )
    assert list(found.subgroups) == ["AP", "lateral"]
    for view in ("AP", "lateral"):
        rows = [i for i in range(20) if VIEWS[i] == view]
        own = {"y_true": [Y[i] for i in rows], "y_score": [A[i] for i in rows]}
        patients = [PATIENTS[i] for i in rows]
        assert str(found[view]) == str(
            binary_report(**own, patients=patients, threshold=0.4, level=0.9)
        )
    whole = binary_report(y_true=Y, y_score=A, patients=PATIENTS, threshold=0.4, level=0.9)
    assert found.overall == whole
    assert asdict(found.overall["roc_auc"])["n_patients"] == 10


def test_the_table_has_a_line_per_subgroup_and_metric():
    found = by_subgroup(y_true=Y, y_score=A, subgroups=VIEWS, patients=PATIENTS)
    lines = str(found).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        [metric, name]
        for metric in ("roc_auc", "sensitivity", "specificity")
        for name in ("(all)", "AP", "lateral")
    ]
    assert str(found.table("npv")).splitlines()[1].split()[:3] == ["npv", "(all)", "0.917"]


def test_a_threshold_chosen_on_all_cases_is_called_so_in_every_part():
    cases = {"y_true": Y, "y_score": A, "subgroups": VIEWS, "resamples": None}
    found = by_subgroup(**cases, threshold=choose_threshold(y_true=Y, y_score=A))
    assert found.overall.chosen_here
    assert all(part.chosen_here for part in found.subgroups.values())
    other = choose_threshold(y_true=Y[:10], y_score=A[:10])
    found = by_subgroup(**cases, threshold=other)
    assert not any(part.chosen_here for part in (found.overall, *found.subgroups.values()))
    assert found["AP"].operating_point == other
    check_shown(found)


def test_a_part_of_one_class_says_so():
    found = by_subgroup(y_true=[1, 0, 0], y_score=[0.9, 0.1, 0.2], subgroups=[2, 2, 10])
    assert list(found.subgroups) == ["2", "10"]
    assert found["10"]["sensitivity"].reason == "no positives"
    assert json.loads(json.dumps(found.to_dict()))["subgroups"]["10"]["n"] == 1


@pytest.mark.parametrize(
    ("subgroups", "message"),
    [
        (["f", None, "m"], "`subgroups` is missing for 1 cases, the first at index 1"),
        (np.array([1.0, np.nan, 2.0]), "`subgroups` is missing for 1 cases"),
        (["f", "m"], r"`subgroups` has shape \(2,\)"),
    ],
)
def test_cases_without_a_subgroup_are_errors(subgroups, message):
    with pytest.raises(ValueError, match=message):
        by_subgroup(y_true=[1, 0, 0], y_score=[0.9, 0.1, 0.2], subgroups=subgroups)
