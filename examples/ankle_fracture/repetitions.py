"""The same study with several seeds: what each came to, how much they differ, and which wins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np

from examples.ankle_fracture import networks
from examples.ankle_fracture.comparisons import metrics_of, pairs
from examples.ankle_fracture.evaluation import Level
from seattn.metrics import BinaryReport, crossed_bootstrap, holm
from seattn.metrics.distributions import incomplete_beta, t_quantile

__all__ = ["Repeated", "repeated", "t_interval", "t_test"]

Levels = Mapping[str, Mapping[str, Level]]


@dataclass(frozen=True)
class Repeated:
    """A metric of one network over the seeds, or its difference of two.

    Args:
        level: "image" or "patient".
        metric: Its name, at each network's main operating point.
        first: Name of the network.
        second: What is subtracted, or None.
        ablation: Whether the two differ in squeeze-and-excitation alone.
        values: Of each seed.
        mean, sd: Of the values.
        low, high: 95 % interval of the mean.
        method: How the interval was made.
        p_value: Of a difference where patients were drawn anew, else nan.
        p_holm: Adjusted for all differences of the run.
    """

    level: str
    metric: str
    first: str
    second: str | None
    ablation: bool
    values: tuple[float, ...]
    mean: float
    sd: float
    low: float
    high: float
    method: str
    p_value: float
    p_holm: float


def repeated(runs: Sequence[Levels], *, redrawn: bool) -> list[Repeated]:
    """Every metric of every network over the runs, and of every two networks their difference.

    Args:
        runs: Of each seed: test results by network, then level.
        redrawn: Whether each run has patients of its own. Then runs are independent, and the mean
            has an interval of Student's t; a difference is paired within its run. Else patients
            are the same, and seeds and patients are drawn anew by the crossed bootstrap.
    """
    of_first = next(iter(runs[0].values()))
    networks_and_pairs = [(name, None) for name in runs[0]] + list(pairs(runs[0]))
    rows = [
        _row(runs, level, metric, *who, redrawn=redrawn)
        for level in of_first
        if all(level in found for run in runs for found in run.values())
        for metric in metrics_of(of_first[level])
        for who in networks_and_pairs
    ]
    adjusted = holm([row.p_value for row in rows])
    return [Repeated(**vars(row) | {"p_holm": p}) for row, p in zip(rows, adjusted, strict=True)]


def _row(
    runs: Sequence[Levels],
    level: str,
    metric: str,
    first: str,
    second: str | None,
    *,
    redrawn: bool,
) -> Repeated:
    of_first = [_value(run[first][level], metric) for run in runs]
    values = tuple(of_first)
    if second:
        of_second = [_value(run[second][level], metric) for run in runs]
        values = tuple(a - b for a, b in zip(of_first, of_second, strict=True))
    p = math.nan
    if redrawn:
        low, high = t_interval(values)
        p, method = t_test(values), f"Student's t over {len(runs)} runs with other patients"
    else:
        estimate = crossed_bootstrap(
            metric,
            y_true=metrics_of(runs[0][first][level])[metric][0],
            y_score=_scores(runs, level, metric, first),
            y_score_b=_scores(runs, level, metric, second) if second else None,
            patients=runs[0][first][level].cases.patients,
            threshold=metrics_of(runs[0][first][level])[metric][2],
        )
        low, high = estimate.low, estimate.high
        method = estimate.method or str(estimate.reason)
    return Repeated(
        level,
        metric,
        first,
        second,
        second is not None and networks.ablation(first, second),
        values,
        mean(values),
        stdev(values),
        low,
        high,
        method,
        p if second else math.nan,
        math.nan,
    )


def _value(level: Level, metric: str) -> float:
    report = level.main
    estimates = report.estimates if isinstance(report, BinaryReport) else report.overall
    return estimates[metric].value


def _scores(runs: Sequence[Levels], level: str, metric: str, name: str) -> np.ndarray[Any, Any]:
    return np.stack([metrics_of(run[name][level])[metric][1] for run in runs])


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean of independent values by Student's t."""
    half = t_quantile(level, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def t_test(values: Sequence[float]) -> float:
    """Two-sided p of Student's t test that the mean is 0; nan where all are equal, or one is."""
    if not stdev(values) > 0:
        return math.nan
    df = len(values) - 1
    t = mean(values) / (stdev(values) / math.sqrt(len(values)))
    return incomplete_beta(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t))
