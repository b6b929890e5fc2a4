import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import interval_coverage as coverage
from seattn.metrics import roc_auc

OURS = "clustered DeLong, logit, t (ours)"
RESULTS = Path(coverage.__file__).parent / "results" / "interval_coverage.jsonl"


def only(monkeypatch, *names: str) -> None:
    monkeypatch.setattr(coverage, "METHODS", {name: coverage.METHODS[name] for name in names})


@pytest.mark.parametrize(("patients", "studies"), [(40, 1200), (66, 1200), (200, 600)])
def test_intervals_that_know_about_patients_hold_the_area(patients, studies, monkeypatch):
    only(monkeypatch, OURS, "DeLong")
    ours, delong = coverage.areas(patients, studies, 0, seed=1)
    assert ours["coverage"] > 0.925
    assert delong["coverage"] < 0.9
    assert ours["missing"] == 0


def test_shares_that_know_about_patients_hold_the_truth():
    rows = {row["share"]: row["coverage"] for row in coverage.shares(66, 600, 0, seed=1)}
    for name in ("sensitivity", "specificity"):
        assert rows[f"{name}, clustered Wilson"] > max(0.925, rows[f"{name}, Wilson"])


def test_the_clustered_test_keeps_its_size_and_the_unclustered_one_does_not():
    alone, clustered, swaps = coverage.tests(66, 500, 80, seed=1)
    assert alone["size"] > max(0.055, 1.5 * clustered["size"])
    assert clustered["size"] < 0.07
    assert swaps["size"] < 0.1


def test_rows_of_the_record_are_the_promise():
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    found = {(row.get("method"), row["patients"]): row for row in rows}
    for patients in (40, 66, 200):
        assert found[OURS, patients]["coverage"] >= 0.93
        assert found[OURS, patients]["studies"] >= 2000
    assert found[OURS, 20]["coverage"] >= 0.93
    shares = {(row.get("share"), row["patients"]): row for row in rows}
    for patients, name in itertools.product((20, 40, 66, 200), ("sensitivity", "specificity")):
        assert shares[f"{name}, clustered Wilson", patients]["coverage"] >= 0.93
    for row in rows:
        if "coverage" in row:
            held = row["held"] + row["too_high"] + row["too_low"] + row["missing"]
            assert held == row["studies"]


def test_studies_are_of_the_design():
    stream = np.random.default_rng(0)
    studies = [coverage.simulated(stream, 66) for _ in range(300)]
    areas = [roc_auc(y_true=s.y_true, y_score=s.y_score) for s in studies]
    assert np.mean(areas) == pytest.approx(0.956, abs=0.004)
    assert np.mean([s.y_true.sum() for s in studies]) == pytest.approx(17 * 3 * 0.75, abs=0.6)
    first = studies[0]
    assert np.bincount(first.patients).tolist() == [3] * 66
    noise = np.array([s.y_score[~s.y_true & (s.patients > 16)] for s in studies]).reshape(
        300, 49, 3
    )
    pairs = noise.reshape(-1, 3)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.5, abs=0.02)
    assert pairs.var() == pytest.approx(1, abs=0.03)
    two = [coverage.simulated(stream, 66, models=2).y_score[:, 60:] for _ in range(300)]
    assert np.corrcoef(np.hstack(two))[0, 1] == pytest.approx(0.5, abs=0.02)


def test_the_command_writes_a_row_of_every_method_and_test(tmp_path, monkeypatch, capsys):
    record = tmp_path / "rows.jsonl"
    command = ["interval_coverage", "--studies", "12", "--resampled", "2", "--patients", "20"]
    monkeypatch.setattr(sys, "argv", [*command, "--record", str(record)])
    coverage.main()
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["method"] for row in rows if "method" in row] == list(coverage.METHODS)
    assert [row["test"] for row in rows if "test" in row] == list(coverage.TESTS)
    designs = [coverage.Design(**row["design"]) for row in rows if "design" in row]
    assert designs == list(coverage.OTHERS)
    assert len([row for row in rows if "share" in row]) == 4
    assert {row["studies"] for row in rows} == {12, 2}


def test_a_study_without_an_interval_is_a_miss(monkeypatch):
    monkeypatch.setattr(coverage, "METHODS", {"none": lambda study: (np.nan, np.nan)})
    (row,) = coverage.areas(20, 5, 5, seed=0)
    assert (row["coverage"], row["missing"], row["median_width"]) == (0, 5, None)
