"""DistributedDataParallel trains every block: gradients are the mean over two processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.portability.cases import ALONE, MIXED
from tests.portability.ddp_worker import WORLD


@pytest.mark.parametrize(
    "names", [MIXED, pytest.param(ALONE, marks=pytest.mark.full)], ids=["mixed", "full"]
)
@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo",
)
def test_gradients_are_the_mean_over_the_processes(names, tmp_path):
    command = [sys.executable, "-m", "tests.portability.ddp_worker", tmp_path]
    workers = [
        subprocess.Popen(
            [*command, str(rank), *names],
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
