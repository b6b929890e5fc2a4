"""Proves the fused kernels on a card: ``python -m benchmarks.fused_correctness --record FILE``.

Three comparisons: each kernel with plain torch, call by call; the check that runs before the first
use; and whole networks, with and without fused kernels, with float64. A network's fused errors may
not exceed its own without, and two runs are equal to the last bit wherever the plain modules' are.
``seattn.ops.switch.PROVED`` names the compute capabilities whose row in the file has passed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import chain, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.fused_networks import CASES, EACH_AT_MOST, Case, check_network, opened
from benchmarks.kernel_calls import LARGE_SHAPES, SHAPES, compare_beyond_32_bits, compare_kernels
from benchmarks.rounds import circumstances, record
from seattn.ops.self_check import TOLERANCES, self_check

__all__ = ["prove", "proved_line"]

AT_MOST = 1.05
"""The fused error by the plain one: the median over a dtype's draws."""
DRAWS = {"small": 9, "efficientnet": 5, "resnet50": 3}
"""Batches of images."""


def main() -> int:
    """Prove, print, record; the exit status is 0 if passed, 1 if not, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fused_correctness")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a dry run without kernels"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="append the row to a JSONL file"
    )
    choices = parser.parse_args()
    if choices.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA GPU here: nothing can be proved (--device cpu is a dry run)")
        return 2
    cases, draws = CASES, DRAWS
    if choices.device == "cpu":
        cases, draws = [case for case in CASES if case.network == "small"], {"small": 3}
    row = prove(choices.device, cases, draws)
    print(*(f"FAULT: {fault}" for fault in row["faults"]), sep="\n", end="\n" * bool(row["faults"]))
    print(f"{'passed' if row['passed'] else 'FAILED'} on {row['device']} in {row['seconds']:.0f} s")
    if choices.device == "cuda" and choices.record:
        record([row], choices.record)
        print(f"the line for src/seattn/ops/switch.py:\n{proved_line(choices.record)}")
    return 0 if row["passed"] else 1


def prove(device: str, cases: Sequence[Case], draws: Mapping[str, int]) -> dict[str, Any]:
    """Return the row: what was compared, the figures, the faults, and whether it passed.

    Args:
        device: ``"cuda"``, or ``"cpu"`` for a dry run.
        cases: Networks to compare.
        draws: Batches of images for a network of that name.
    """
    start, cuda = time.perf_counter(), device == "cuda"
    row: dict[str, Any] = {
        "capability": list(torch.cuda.get_device_capability()) if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "passed": False,
        "faults": [],
        "at_most": [AT_MOST, EACH_AT_MOST],
        "tolerances": {str(dtype): value for dtype, value in TOLERANCES.items()},
        **circumstances(("seattn", "torch", "triton"), threads=torch.get_num_threads()),
    }
    with opened(device):
        row["kernels"] = _kernels(device, row["faults"])
        row["self_check"] = _self_check(device, row["faults"])
    row["networks"] = []
    for case, found in zip(cases, _networks(device, cases, draws), strict=True):
        row["networks"].append({**asdict(case), **found})
        print(f"{case}: {found['ratio']:.3f} of the plain error, {found['seconds']:.1f} s")
        row["faults"] += [f"{case}: {fault}" for fault in found["faults"]]
    row["ratios"] = {}
    for name in dict.fromkeys(case.dtype for case in cases):
        mine = (each["ratios"] for each in row["networks"] if each["dtype"] == name)
        row["ratios"][name] = ratio = statistics.median([*chain(*mine)] or [math.nan])
        if not ratio <= AT_MOST:
            row["faults"].append(f"{name}: {ratio:.3f} of the error of the plain modules")
    row["passed"] = not row["faults"]
    row["seconds"] = time.perf_counter() - start
    return row


def proved_line(file: Path) -> str:
    """The line of the switch that the recorded rows stand for."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    proved = sorted({tuple(row["capability"]) for row in rows if row["passed"]})
    return f"PROVED: frozenset[tuple[int, int]] = frozenset({proved})"


# ---- kernels --------------------------------------------------------------------------------


def _kernels(device: str, faults: list[str]) -> dict[str, Any] | None:
    """Compare the kernels call by call; on the CPU only where Triton interprets."""
    if device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        print("kernels: not compared, they need a GPU or TRITON_INTERPRET=1")
        return None
    shapes = [*SHAPES, *(LARGE_SHAPES if device == "cuda" else ())]
    found: dict[str, Any] = {"shapes": shapes}
    try:
        # Hundreds of variants have to be compiled: every shape in a process of its own.
        workers = min(len(shapes), os.cpu_count() or 1)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            each = list(pool.map(compare_kernels, repeat(device), [[shape] for shape in shapes]))
        found["calls"] = sum(calls for calls, _ in each)
        found["error_by_tolerance"] = max(worst for _, worst in each)
        if device == "cuda":
            found["error_by_tolerance_beyond_32_bits"] = compare_beyond_32_bits(device)
    except Exception as error:  # noqa: BLE001  # of a comparison, a compiler, a driver, a card
        faults.append(f"kernels: {type(error).__name__}: {str(error)[:500]}")
    print(f"kernels: {found}")
    return found


def _self_check(device: str, faults: list[str]) -> dict[str, float]:
    """Run the check before the first use, for each dtype."""
    found = {}
    for dtype, tolerance in TOLERANCES.items():
        try:
            found[str(dtype)] = deviation = self_check(torch.device(device), dtype)
            if not deviation <= tolerance:
                faults.append(f"self-check: {dtype} is off by {deviation:.1e}")
        except Exception as error:  # noqa: BLE001  # of a compiler, a driver, a card
            faults.append(f"self-check: {dtype}: {type(error).__name__}: {str(error)[:500]}")
    return found


# ---- networks -------------------------------------------------------------------------------


def _networks(
    device: str, cases: Sequence[Case], draws: Mapping[str, int]
) -> Iterable[dict[str, Any]]:
    """Check the cases; on a GPU several at a time, as compiling takes longer than they do."""
    check = partial(_check, device, draws)
    if device == "cpu":
        yield from map(check, cases)
        return
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "4")
    workers = min(8, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(check, cases)


def _check(device: str, draws: Mapping[str, int], case: Case) -> dict[str, Any]:
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    try:
        with opened(device), exact:
            return check_network(case, device, draws=draws[case.network])
    except Exception as error:  # noqa: BLE001  # of a compiler, a driver, a card
        fault = f"{type(error).__name__}: {str(error)[:500]}"
        return {"ratio": math.nan, "ratios": [], "faults": [fault], "seconds": 0.0}


if __name__ == "__main__":
    sys.exit(main())
