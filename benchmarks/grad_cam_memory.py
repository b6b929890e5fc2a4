"""Peak memory of one contestant's Grad-CAM, in a process of its own: prints one JSON number, MiB.

``benchmarks.grad_cam`` starts one for each. It counts what the second call adds at its peak to what
the process held before the first (Linux: ``VmHWM``, reset by ``clear_refs``; CUDA: the allocator's
peak), so that a graph which is kept after a call counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from benchmarks.grad_cam_peers import contestant, network

__all__ = ["peak"]


def peak(choices: argparse.Namespace, net: str, layer: str, batch: int, name: str) -> float | None:
    """MiB of a contestant, measured in a fresh process; None where it cannot be measured."""
    if choices.device == "cpu" and not Path("/proc/self/clear_refs").exists():
        return None
    arguments = [name, "--network", net, "--layer", layer, "--batch", str(batch)]
    arguments += ["--size", str(choices.size), "--threads", str(choices.threads)]
    command = [sys.executable, "-m", "benchmarks.grad_cam_memory", *arguments]
    command += ["--device", choices.device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Calls the contestant twice and prints its peak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--network", required=True)
    parser.add_argument("--layer", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", required=True)
    choices = parser.parse_args()
    torch.set_num_threads(choices.threads)
    device = choices.device
    images = torch.randn(choices.batch, 3, choices.size, choices.size, device=device)
    net = network(choices.network, device=device)
    turn = contestant(choices.name, net, choices.layer, images)
    if turn is None:
        raise RuntimeError(f"{choices.name} is not installed")
    del net
    before = _held(device, "VmRSS")
    kept = turn()
    _reset(device)
    kept = turn()  # noqa: F841 - the last maps are held, as in a loop
    print(json.dumps(_held(device, "VmHWM") - before))


def _reset(device: str) -> None:
    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")
    else:
        torch.cuda.reset_peak_memory_stats()


def _held(device: str, what: str) -> float:
    if device != "cpu":
        now, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
        return (most if what == "VmHWM" else now) / 2**20
    found = re.search(rf"{what}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"this system does not tell {what}")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
