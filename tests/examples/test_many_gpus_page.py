"""The training script of the page on many GPUs runs in two processes, and counts each case once."""

import re
import subprocess
import sys
from pathlib import Path

from seattn.data import make_ankle_phantom

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "many_gpus.md"


def test_the_script_of_the_page_runs_in_two_processes(tmp_path):
    (script,) = re.findall(r"^```py\n(# train\.py\n.*?)^```", PAGE.read_text(), re.S | re.M)
    (tmp_path / "train.py").write_text(script)
    make_ankle_phantom(
        tmp_path / "archive", patients=5, prevalence=0.4, variant="roi", progress=False
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    done = subprocess.run(
        [*command, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["15 cases of 15", "5 patients"]
