"""The fair comparison: interleaved rounds of CPU time, ratios within a round, and what ran where.

The figure of merit is the process's CPU time, with that of the workers it has started and waited
for. In every round all contestants run once, in random order, and ratios are taken within a round:
so a machine that slows down slows both sides. Set ``OMP_WAIT_POLICY=passive``: waiting threads that
spin would be counted as work.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import re
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = [
    "circumstances",
    "commit_hash",
    "cpu_time",
    "judge",
    "measure",
    "record",
    "show",
    "version_of",
]


def cpu_time() -> float:
    """CPU seconds of this process and of the workers that have ended."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime


def measure(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    per: int = 1,
    clock: Callable[[], float] = cpu_time,
) -> dict[str, list[float]]:
    """Seconds of each contestant by round, divided by ``per``; two rounds of warm-up go before."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds + 2):
        random.shuffle(order)
        for name in order:
            start = clock()
            contestants[name]()
            if number >= 2:
                seconds[name].append((clock() - start) / per)
    return seconds


def judge(
    seconds: Mapping[str, Sequence[float]], limits: Sequence[tuple[str, str, float]]
) -> list[dict[str, Any]]:
    """Quartiles of the ratio within a round for each (contestant, rival, at most) that both ran."""
    return [
        {
            "contestant": ours,
            "rival": rival,
            "quartiles": statistics.quantiles(
                [a / b for a, b in zip(seconds[ours], seconds[rival], strict=True)], n=4
            ),
            "at_most": limit,
        }
        for ours, rival, limit in limits
        if ours in seconds and rival in seconds
    ]


def circumstances(packages: Sequence[str], *, threads: int) -> dict[str, Any]:
    """When, where and with which versions a row was measured; None is a package that is absent."""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit_hash(),
        "machine": platform.processor() or platform.machine(),
        "processor": _processor(),
        "python": platform.python_version(),
        "threads": threads,
        "versions": {name: version_of(name) for name in packages},
    }


def show(row: Mapping[str, Any]) -> None:
    """Print the times of a row, fastest first, its ratios, and who is absent."""
    times = row["cpu_seconds"]
    width = max(map(len, times))
    print(f"\n{row['case']}, CPU ms {row['unit']}")
    for name in sorted(times, key=lambda name: statistics.median(times[name])):
        low, median, high = (1000 * value for value in statistics.quantiles(times[name], n=4))
        print(f"  {name:{width}}  {median:8.3f}  quartiles {low:.3f} to {high:.3f}")
    for ratio in row["ratios"]:
        low, median, high = ratio["quartiles"]
        verdict = "within" if median <= ratio["at_most"] else "ABOVE"
        print(
            f"  {ratio['contestant']} / {ratio['rival']}: {median:.3f}, quartiles {low:.3f} to "
            f"{high:.3f}, {verdict} {ratio['at_most']:.3f}"
        )
    for name, reason in row["absent"].items():
        print(f"  absent: {name} ({reason})")


def record(rows: Sequence[Mapping[str, Any]], file: Path | None) -> None:
    """Append rows to a JSONL file."""
    if file is not None:
        with file.open("a") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)


def version_of(package: str) -> str | None:
    """Installed version of a peer, None without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit_hash() -> str:
    """The commit that ``COMMIT`` names, for a copy elsewhere, or the one that is checked out."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return os.environ.get("COMMIT") or found.stdout.strip() or "unknown"


def _processor() -> str | None:
    facts = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", facts.read_text()) if facts.exists() else None
    return model and model[1]
