"""The rows of a finished study say what its report says, and nothing of its images."""

import json

from benchmarks.study_rows import rows


def test_rows_are_the_numbers_of_the_report(finished):
    report = json.loads((finished / "report.json").read_text())
    found = list(rows(finished))
    networks = [row for row in found if row["kind"] == "network" and row["network"] != "baseline"]
    assert [(row["network"], row["level"]) for row in networks] == [
        ("se_resnet_small", "image"),
        ("se_resnet_small", "patient"),
    ]
    for row in networks:
        (rule, main), *_ = report["models"]["se_resnet_small"]["levels"][row["level"]].items()
        assert row["rule"] == rule
        for metric, estimate in row["estimates"].items():
            assert estimate.items() <= main["estimates"][metric].items()
    (run,) = [row for row in found if row["kind"] == "run"]
    assert run["config"]["patients"] == 24
    assert run["parts"] == report["parts"]


def test_rows_hold_no_place_and_no_patient(finished):
    text = json.dumps(list(rows(finished)))
    assert ".dcm" not in text
    assert "SYN-" not in text
    assert str(finished.parent) not in text
