"""Rounds in random order, windows between events, a sentinel that finds disturbed rounds."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

__all__ = ["Clock", "Rounds", "device_clock", "paired_ratio", "run_rounds"]

Step = Callable[[], object]


class Clock(Protocol):
    """Times steps."""

    def time(self, step: Step, iterations: int) -> float:
        """Seconds of one step, the mean of so many."""


@dataclass
class Rounds:
    """Raw times, by round.

    Attributes:
        seconds: Of one step of each contestant: between CUDA events, on a CPU by the wall clock.
        cpu_seconds: Of one step, of this process: on a GPU what the host spends.
        iterations: Steps in a window.
        sentinels: Seconds of the large matrix product and of the large copy at the round's start.
        dropped: Rounds that a sentinel has found disturbed.
        interrupted: Whether somebody stopped the run; its whole rounds are here.
    """

    seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]]
    iterations: dict[str, int]
    sentinels: list[tuple[float, float]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    interrupted: bool = False

    def kept(self, name: str, *, cpu: bool = False) -> list[float]:
        """Times of a contestant in the rounds that count."""
        times = (self.cpu_seconds if cpu else self.seconds)[name]
        return [value for number, value in enumerate(times) if number not in self.dropped]


def run_rounds(
    steps: Mapping[str, Step],
    *,
    device: str,
    rounds: int,
    window: float,
    tolerance: float,
    seed: int = 0,
) -> Rounds:
    """Time every contestant once a round, in shuffled order; interrupted, keep the whole rounds.

    Args:
        steps: The contestants, warm.
        device: ``"cuda"`` or ``"cpu"``.
        rounds: How many.
        window: Seconds that the steps of one contestant fill at least, in one round.
        tolerance: Rounds of which a sentinel is off its median by more than this share are dropped.
        seed: Of the order.
    """
    clock: Clock = _Events() if device == "cuda" else _Wall()
    iterations = {name: _fill(clock, step, window) for name, step in steps.items()}
    result = Rounds({n: [] for n in steps}, {n: [] for n in steps}, iterations)
    rest = 0.1 if device == "cpu" else 0  # a pool of threads spins on after its work: some 50 ms
    order, shuffle = list(steps), random.Random(seed)
    sentinel = _Sentinel(device)
    try:
        for _ in range(rounds):
            time.sleep(rest)
            felt = sentinel.seconds()
            shuffle.shuffle(order)
            measured = {}
            for name in order:
                time.sleep(rest)
                start = time.process_time()
                seconds = clock.time(steps[name], iterations[name])
                measured[name] = seconds, (time.process_time() - start) / iterations[name]
            result.sentinels.append(felt)  # from here on the round is whole
            for name, (seconds, cpu) in measured.items():
                result.seconds[name].append(seconds)
                result.cpu_seconds[name].append(cpu)
    except KeyboardInterrupt:
        result.interrupted = True
    result.dropped = _disturbed(result.sentinels, tolerance)
    return result


def paired_ratio(
    ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0, resamples: int = 2000
) -> tuple[float, float, float]:
    """Median of the ratios within a round, and its 95 % bootstrap interval over the rounds."""
    ratios = np.divide(ours, theirs)
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (resamples, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def device_clock(device: str) -> Clock:
    """The clock of what a device does: between CUDA events, or the CPU time of this process."""
    return _Events() if device == "cuda" else _Cpu()


class _Wall:
    def time(self, step: Step, iterations: int) -> float:
        start = time.perf_counter()
        for _ in range(iterations):
            step()
        return (time.perf_counter() - start) / iterations


class _Cpu:
    def time(self, step: Step, iterations: int) -> float:
        start = time.process_time()
        for _ in range(iterations):
            step()
        return (time.process_time() - start) / iterations


class _Events:
    def time(self, step: Step, iterations: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        for _ in range(iterations):
            step()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000 / iterations


class _Sentinel:
    """Work that nobody optimises: when its time (on a CPU its CPU time) moves, the machine has."""

    def __init__(self, device: str) -> None:
        side, numbers = (8192, 2**28) if device == "cuda" else (768, 2**23)
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        self._matrix = torch.randn(side, side, device=device).to(dtype)
        self._source = torch.ones(numbers, device=device)
        self._copy = torch.empty_like(self._source)
        self._clock = device_clock(device)

    def seconds(self) -> tuple[float, float]:
        product = self._median(lambda: self._matrix @ self._matrix)
        return product, self._median(lambda: self._copy.copy_(self._source))

    def _median(self, work: Step) -> float:
        """Of nine, since the first finds cold caches and, the very first, untouched pages."""
        return statistics.median(self._clock.time(work, 1) for _ in range(9))


def _fill(clock: Clock, step: Step, window: float) -> int:
    """How many steps fill the window, by the faster of two."""
    once = min(clock.time(step, 1) for _ in range(2))
    return max(1, round(window / once + 0.5))


def _disturbed(sentinels: Sequence[tuple[float, float]], tolerance: float) -> list[int]:
    medians = [statistics.median(column) for column in zip(*sentinels, strict=True)]
    return [
        number
        for number, felt in enumerate(sentinels)
        if any(abs(s / m - 1) > tolerance for s, m in zip(felt, medians, strict=True))
    ]
