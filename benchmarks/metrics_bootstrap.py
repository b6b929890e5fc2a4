"""2000 resamples of patients beside a loop: ``python -m benchmarks.metrics_bootstrap``.

A thousand images of 334 patients. The loops draw the same patients and call scikit-learn, or our
own function, with the cases of each resample; the intervals are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import circumstances, judge, measure, record, show
from seattn import metrics
from seattn.metrics import BootstrapEstimate, bootstrap
from seattn.metrics.weighted import Metric

IMAGES = 3
SKLEARN = {
    "roc_auc": "roc_auc_score",
    "average_precision": "average_precision_score",
    "brier": "brier_score_loss",
}


def main() -> None:
    """Measures, prints, and with ``--record`` appends one JSON row a metric."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds (default 7)")
    parser.add_argument("--cases", type=int, default=1000, help="images (default 1000)")
    parser.add_argument("--resamples", type=int, default=2000, help="(default 2000)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append to this JSONL file")
    choices = parser.parse_args()
    rows = []
    for metric in SKLEARN:
        contestants, absent = prepared(metric, choices.cases, choices.resamples)
        check(contestants)
        seconds = measure(contestants, rounds=choices.rounds)
        row = {
            "case": f"bootstrap of {metric}, {choices.cases} images",
            "unit": f"for {choices.resamples} resamples",
            "cases": choices.cases,
            "resamples": choices.resamples,
            "cpu_seconds": seconds,
            "ratios": judge(seconds, [("seattn", "scikit-learn loop", 1 / 50)]),
            "absent": absent,
            **circumstances(["numpy", "scikit-learn", "seattn"], threads=1),
        }
        show(row)
        rows.append(row)
    record(rows, choices.record)


def prepared(
    metric: str, cases: int, resamples: int
) -> tuple[dict[str, Callable[[], BootstrapEstimate]], dict[str, str]]:
    """The contestants, each of which makes the same interval, and who is absent."""
    stream = np.random.default_rng(0)
    codes = np.arange(cases) // IMAGES
    patients = int(codes[-1]) + 1
    labels = (stream.random(patients) < 0.35)[codes] & (stream.random(cases) < 0.75)
    logits = labels + stream.standard_normal(patients)[codes] + stream.standard_normal(cases)
    scores = 1 / (1 + np.exp(-logits))

    def interval(of: str | Metric) -> Callable[[], BootstrapEstimate]:
        return partial(
            bootstrap, of, y_true=labels, y_score=scores, patients=codes, resamples=resamples
        )

    ours = getattr(metrics, metric)
    contestants = {
        "seattn": interval(metric),
        "seattn, loop": interval(lambda y_true, y_score: ours(y_true=y_true, y_score=y_score)),
    }
    try:
        peers = importlib.import_module("sklearn.metrics")
    except ImportError as error:
        return contestants, {"scikit-learn loop": str(error)}

    def theirs(*, y_true: Any, y_score: Any) -> float:
        return getattr(peers, SKLEARN[metric])(y_true, y_score)

    contestants["scikit-learn loop"] = interval(theirs)
    return contestants, {}


def check(contestants: dict[str, Callable[[], BootstrapEstimate]]) -> None:
    """An error if a value or an end of the interval differs between contestants."""
    found = {name: contestant() for name, contestant in contestants.items()}
    for name, estimate in found.items():
        for end in ("value", "low", "high"):
            difference = abs(getattr(estimate, end) - getattr(found["seattn"], end))
            if not difference < 1e-12:
                raise RuntimeError(f"{end} of {name} differs by {difference}: no time is taken")


if __name__ == "__main__":
    main()
