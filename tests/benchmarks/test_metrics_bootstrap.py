import dataclasses
import json
import sys

import pytest

from benchmarks import metrics_bootstrap


def test_every_contestant_makes_the_same_interval(tmp_path, monkeypatch, capsys):
    record = tmp_path / "rows.jsonl"
    command = ["metrics_bootstrap", "--rounds", "2", "--cases", "60", "--resamples", "100"]
    monkeypatch.setattr(sys, "argv", [*command, "--record", str(record)])
    metrics_bootstrap.main()
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["case"] for row in rows] == [
        f"bootstrap of {metric}, 60 images" for metric in metrics_bootstrap.SKLEARN
    ]
    for row in rows:
        assert set(row["cpu_seconds"]) == {"seattn", "seattn, loop", "scikit-learn loop"}
        assert row["ratios"][0]["at_most"] == 1 / 50


def test_a_contestant_that_differs_is_not_timed():
    contestants, _ = metrics_bootstrap.prepared("brier", 60, 100)
    estimate = contestants["seattn"]()
    other = dataclasses.replace(estimate, low=estimate.low + 1e-9)
    with pytest.raises(RuntimeError, match="low of other differs"):
        metrics_bootstrap.check({"seattn": lambda: estimate, "other": lambda: other})
