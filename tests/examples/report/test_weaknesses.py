"""The table of weaknesses agrees with the two protocols and with the run."""

import dataclasses

import pytest

from examples.ankle_fracture.config import PRESETS, Config
from examples.ankle_fracture.protocol import Protocol
from examples.ankle_fracture.report.weaknesses import SAME, WEAKNESSES, part

PAPER, SOUND = Protocol.paper(), Protocol.sound()
DECIDED = [each for each in WEAKNESSES if each.choices]


def test_every_choice_is_a_field_of_the_configuration():
    known = {field.name for field in dataclasses.fields(Config)}
    assert {name for each in WEAKNESSES for name in each.choices} <= known


@pytest.mark.parametrize("weakness", DECIDED, ids=lambda each: each.problem)
def test_the_protocols_differ_where_the_table_says_so(weakness):
    of_protocol = [name for name in weakness.choices if hasattr(PAPER, name)]
    differ = any(getattr(PAPER, name) != getattr(SOUND, name) for name in of_protocol)
    assert not (differ and weakness.sound == SAME)
    if of_protocol:
        assert differ or weakness.sound == SAME


def test_differences_of_the_protocols_that_mend_a_weakness_are_in_the_table():
    named = {name for each in WEAKNESSES for name in each.choices}
    differ = {
        field.name
        for field in dataclasses.fields(Protocol)
        if getattr(PAPER, field.name) != getattr(SOUND, field.name)
    }
    assert differ - named == {"protocol", "calibrate"}  # the paper says nothing of calibration


def test_the_run_stands_beside_them(findings):
    rows = part(findings).facts["weaknesses"]
    assert len(rows) == len(WEAKNESSES) == 30
    by_choice = {row["choices"][0]: row["run"] for row in rows if row["choices"]}
    assert by_choice["copies"] == "copies: 0; online: yes"
    assert by_choice["inference"]
    assert "seeds: 2" in next(row["run"] for row in rows if "seeds" in row["choices"])
    assert by_choice["window"] == "window: 400.0, 1800.0"
    assert by_choice["weights"] == "weights: none"
    paper = dataclasses.replace(findings, config=PRESETS["quick-paper"])
    by_choice = {r["choices"][0]: r["run"] for r in part(paper).facts["weaknesses"] if r["choices"]}
    assert by_choice["copies"] == "copies: 3; online: no"
    assert by_choice["window"] == "window: minmax"
    assert "protocol 'paper'" in part(paper).body[0].replace("&#x27;", "'")
