"""The benchmarks' harness; never their times."""

import itertools
import json

import pytest

from benchmarks.rounds import circumstances, commit_hash, judge, measure, record, show


def test_rounds_are_counted_without_the_warm_up():
    calls = {"a": 0, "b": 0}

    def count(name):
        calls[name] += 1

    ticks = itertools.count(0, 10)
    seconds = measure(
        {"a": lambda: count("a"), "b": lambda: count("b")},
        rounds=3,
        per=5,
        clock=lambda: next(ticks),
    )
    assert calls == {"a": 5, "b": 5}
    assert seconds == {"a": [2, 2, 2], "b": [2, 2, 2]}


def test_contestants_take_turns_in_changing_order():
    order = []
    names = [str(number) for number in range(8)]
    measure({name: lambda name=name: order.append(name) for name in names}, rounds=3)
    rounds = [order[start : start + 8] for start in range(0, 40, 8)]
    assert all(sorted(each) == names for each in rounds)
    assert any(each != rounds[0] for each in rounds)


def test_ratios_are_taken_within_a_round():
    # The machine slows down threefold: the ratio of each round does not.
    seconds = {"ours": [1.0, 2.0, 3.0], "theirs": [2.0, 4.0, 6.0]}
    limits = (("ours", "theirs", 0.25), ("ours", "an absent one", 1.0))
    assert judge(seconds, limits) == [
        {"contestant": "ours", "rival": "theirs", "quartiles": [0.5, 0.5, 0.5], "at_most": 0.25}
    ]


def test_a_row_is_shown_and_recorded(tmp_path, capsys):
    seconds = {"slow": [0.004, 0.004], "fast": [0.001, 0.001]}
    row = {
        "case": "a case",
        "unit": "an image",
        "cpu_seconds": seconds,
        "ratios": judge(seconds, [("fast", "slow", 0.3), ("slow", "fast", 3.0)]),
        "absent": {"Peer": "not installed"},
        **circumstances(["pytest", "no-such-package"], threads=1),
    }
    show(row)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:2] == ["fast", "1.000"]
    assert lines[3].split()[:2] == ["slow", "4.000"]
    assert "fast / slow: 0.250, quartiles 0.250 to 0.250, within 0.300" in lines[4]
    assert "ABOVE 3.000" in lines[5]
    assert "absent: Peer" in lines[6]

    record([row], tmp_path / "rows.jsonl")
    record([row], tmp_path / "rows.jsonl")
    record([row], None)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows == [row, row]
    assert rows[0]["versions"] == {"pytest": pytest.__version__, "no-such-package": None}


def test_a_copy_without_the_repository_is_told_its_commit(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("COMMIT", raising=False)
    assert commit_hash() == "unknown"
    monkeypatch.setenv("COMMIT", "abc1234")
    assert commit_hash() == "abc1234"
