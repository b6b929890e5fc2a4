"""How much memory an epoch takes: anonymous pages, in MiB, of this process and of its workers."""

from __future__ import annotations

import multiprocessing
import os
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["growth", "resident", "watch"]

POINTS = 20
"""How often an epoch is looked at."""


def resident() -> float:
    """Anonymous resident memory, on Linux; pages of a mapped file the system may drop."""
    processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    return sum(_resident(process) for process in processes if process is not None) / 1024


def watch(batches: Callable[[], Iterable[Any]], *, count: int) -> list[float]:
    """Go through ``count`` batches, and look at the memory after every twentieth of them."""
    step = max(1, count // POINTS)
    return [resident() for number, _ in enumerate(batches(), start=1) if number % step == 0]


def growth(points: Sequence[float]) -> float:
    """What a steady leak would add in an epoch: twice what the halves' medians differ by."""
    half = len(points) // 2
    return 2 * (statistics.median(points[half:]) - statistics.median(points[:half]))


def _resident(process: int) -> int:
    status = Path(f"/proc/{process}/status")
    try:
        found = re.search(r"RssAnon:\s*(\d+) kB", status.read_text())
    except FileNotFoundError:  # a worker that has just ended
        return 0
    return int(found[1]) if found else 0
