"""The benchmark of the metrics on a few cases, from the command to the rows; never its times."""

import json
import sys

import pytest

from benchmarks import metrics_speed


def test_a_row_for_each_metric_and_size(tmp_path, monkeypatch, capsys):
    record = tmp_path / "rows.jsonl"
    command = ["metrics_speed", "--cases", "60", "70", "--rounds", "2", "--record", str(record)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(metrics_speed, "CALLS", 100)
    metrics_speed.main()
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["case"] for row in rows] == [
        f"{title}, n = {n}" for n in (60, 70) for title in ("ROC area", "seven rates")
    ]
    for row in rows:
        assert next(iter(row["cpu_seconds"])).startswith("floor")
        assert {"seattn", "seattn, tensors", "scikit-learn"} <= set(row["cpu_seconds"])
        assert set(row["absent"]) <= {"torchmetrics"}
    assert "ROC area, n = 60, CPU ms a call" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "error"), [("scikit-learn", 1e-9), ("torchmetrics", 1e-3)])
def test_a_contestant_with_another_value_is_not_timed(name: str, error: float):
    with pytest.raises(RuntimeError, match=f"{name} differs by .*: no time is taken"):
        metrics_speed.check({"seattn": lambda: [0.5], name: lambda: [0.5 + error]})
    metrics_speed.check({"seattn": lambda: [0.5], name: lambda: [0.5 + error / 1e4]})


def test_a_missing_value_is_not_equal():
    with pytest.raises(RuntimeError, match="differs by nan"):
        metrics_speed.check({"seattn": lambda: [0.5], "scikit-learn": lambda: [float("nan")]})
