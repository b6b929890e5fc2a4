"""Metrics beside scikit-learn and torchmetrics, on a CPU: ``python -m benchmarks.metrics_speed``.

Every contestant gets the same labels and float32 probabilities, arrays or tensors as it takes them,
and checks its input as it does by default; torchmetrics is there without its checks too. The values
are compared before anything is timed; see ``benchmarks.rounds`` for how. The floor of the ROC area
is numpy's ``argsort`` of the scores, that of the rates numpy's ``bincount`` of the four cells.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from benchmarks import peers
from benchmarks.rounds import circumstances, judge, measure, record, show
from seattn import metrics

PACKAGES = ("seattn", "numpy", "torch", "scikit-learn", "torchmetrics")
RIVALS = ("scikit-learn", "torchmetrics", "torchmetrics, no checks")
LIMITS = tuple((ours, r, 1.0) for ours in ("seattn", "seattn, tensors") for r in RIVALS)
CALLS = 100_000  # cases that a contestant goes through in a round, in five calls at least

Contestants = dict[str, Callable[[], Any]]


def main() -> None:
    """Measures, prints, and with ``--record`` appends a JSON row for each metric and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--rounds", type=int, default=15, help="counted rounds (default 15)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append rows to a JSONL file")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    for n in choices.cases:
        for title, build in (("ROC area", areas), ("seven rates", rates)):
            floor, contestants, absent = build(n)
            check(contestants)
            calls = max(5, CALLS // n)
            seconds = measure(
                {
                    name: partial(repeat, call, calls)
                    for name, call in {**floor, **contestants}.items()
                },
                rounds=choices.rounds,
                per=calls,
            )
            row = {
                "case": f"{title}, n = {n}",
                "unit": "a call",
                **circumstances(PACKAGES, threads=1),
                "n": n,
                "cpu_seconds": seconds,
                "ratios": judge(seconds, LIMITS),
                "absent": absent,
            }
            show(row)
            record([row], choices.record)


def areas(n: int) -> tuple[Contestants, Contestants, dict[str, str]]:
    """The floor, who computes the ROC area, and who is absent."""
    y, p, ty, tp = data(n)
    ours = partial(metrics.roc_auc, y_true=y, y_score=p)
    of_tensors = partial(metrics.roc_auc, y_true=ty, y_score=tp)
    contestants: Contestants = {
        "seattn": lambda: [ours()],
        "seattn, tensors": lambda: [of_tensors()],
    }
    sklearn, torchmetrics, absent = installed()
    if sklearn:
        contestants["scikit-learn"] = lambda: [sklearn.roc_auc_score(y, p)]
    if torchmetrics:
        contestants["torchmetrics"] = lambda: [torchmetrics.binary_auroc(tp, ty)]
        contestants["torchmetrics, no checks"] = lambda: [
            torchmetrics.binary_auroc(tp, ty, validate_args=False)
        ]
    return {"floor: np.argsort": p.argsort}, contestants, absent


def rates(n: int) -> tuple[Contestants, Contestants, dict[str, str]]:
    """The floor, who computes seven rates of predicted labels, and who is absent."""
    y, p, ty, tp = data(n)
    predicted, t_predicted = (p >= 0.5).astype(np.int64), (tp >= 0.5).long()
    ours = (
        metrics.accuracy,
        metrics.sensitivity,
        metrics.specificity,
        metrics.ppv,
        metrics.npv,
        metrics.f1,
        metrics.mcc,
    )
    contestants: Contestants = {
        "seattn": lambda: [f(y_true=y, y_pred=predicted) for f in ours],
        "seattn, tensors": lambda: [f(y_true=ty, y_pred=t_predicted) for f in ours],
    }
    sklearn, torchmetrics, absent = installed()
    if sklearn:
        contestants["scikit-learn"] = lambda: [
            sklearn.accuracy_score(y, predicted),
            sklearn.recall_score(y, predicted),
            sklearn.recall_score(y, predicted, pos_label=0),
            sklearn.precision_score(y, predicted),
            sklearn.precision_score(y, predicted, pos_label=0),
            sklearn.f1_score(y, predicted),
            sklearn.matthews_corrcoef(y, predicted),
        ]
    if torchmetrics:
        theirs = [
            getattr(torchmetrics, f"binary_{name}")
            for name in (
                "accuracy",
                "recall",
                "specificity",
                "precision",
                "negative_predictive_value",
                "f1_score",
                "matthews_corrcoef",
            )
        ]
        contestants["torchmetrics"] = lambda: [f(t_predicted, ty) for f in theirs]
        contestants["torchmetrics, no checks"] = lambda: [
            f(t_predicted, ty, validate_args=False) for f in theirs
        ]
    return {"floor: np.bincount": lambda: np.bincount(2 * y + predicted)}, contestants, absent


def data(n: int) -> tuple[Any, Any, torch.Tensor, torch.Tensor]:
    """Labels, a quarter of them positive, and probabilities; as arrays and as tensors."""
    random = np.random.default_rng(0)
    y = (random.random(n) < 0.26).astype(np.int64)
    logits = random.normal(size=n) + 2 * y - 1
    p = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return y, p, torch.from_numpy(y), torch.from_numpy(p)


def installed() -> tuple[Any, Any, dict[str, str]]:
    """Both rivals, None where one is not installed, and the reasons."""
    modules = {
        "scikit-learn": "sklearn.metrics",
        "torchmetrics": "torchmetrics.functional.classification",
    }
    found = {name: peers.find(module) for name, module in modules.items()}
    absent = {name: f"{name} is not installed" for name, module in found.items() if not module}
    return found["scikit-learn"], found["torchmetrics"], absent


def check(contestants: Mapping[str, Callable[[], Any]]) -> None:
    """Ours agree exactly, scikit-learn to 1e-12 and torchmetrics to its float32, or an error."""
    expected = np.array(contestants["seattn"]())
    for name, call in contestants.items():
        difference = np.abs(np.array([float(value) for value in call()]) - expected).max()
        allowed = 1e-5 if name.startswith("torchmetrics") else 1e-12
        if not difference <= allowed:
            raise RuntimeError(f"{name} differs by {difference:.1e}: no time is taken")


def repeat(call: Callable[[], object], times: int) -> None:
    """Call it so often that the clock can tell."""
    for _ in range(times):
        call()


if __name__ == "__main__":
    main()
