"""Two processes gather their predictions over gloo; a padded sampler's repeats count once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seattn.metrics import Predictions
from tests.metrics.gather_worker import CASES, WORLD, outputs, summary

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo",
)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("gather")
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.metrics.gather_worker", folder, str(rank)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(WORLD)
    ]
    try:
        reports = [worker.communicate(timeout=120)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, report in zip(workers, reports, strict=True):
        assert worker.returncode == 0, report
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(WORLD)]


@pytest.fixture(scope="module")
def alone() -> dict:
    """The same cases in one process, in another order."""
    predictions = Predictions()
    predictions.update(**outputs(torch.arange(CASES).flip(0)))
    return summary(predictions)


def test_padding_counts_once_and_equals_one_process_exactly(found, alone):
    assert [each["own"] for each in found] == [11, 11]
    for each in found:
        assert len(each["padded"]["cases"]["y_true"]) == CASES
        assert each["padded"] == alone


def test_a_process_without_cases_gets_those_of_the_others(found, alone):
    assert [each["one_sided"] for each in found] == [alone, alone]


def test_without_ids_every_process_refuses(found):
    assert all("`ids` are needed" in each["without_ids"] for each in found)


def test_ids_of_two_kinds_are_refused_in_every_process(found):
    assert all("`ids` has dtype" in each["unlike"] for each in found)
