"""Numbers of finished studies as rows: ``python -m benchmarks.study_rows RUN ... --record FILE``.

A row for each network, level and seed, one for each comparison over the seeds and over the patients
of the first seed, one for each network and seed that was tested on casts, and one for the run with
its choices. No image, path, patient or prediction is in
them. The commit is the one that is checked out: record with the program that trained.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.rounds import circumstances

__all__ = ["rows"]

METRICS = (
    "roc_auc",
    "average_precision",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "brier",
)
INTERVAL = ("value", "low", "high", "n", "n_patients", "method")
PACKAGES = ("seattn", "torch", "numpy", "pydicom")


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a finished run.

    Args:
        folder: With its report.json; its name names the run.
    """
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    named = {"run": folder.name}
    yield {
        **named,
        "kind": "run",
        "config": {k: v for k, v in report["config"].items() if k not in {"images", "labels"}},
        "parts": report["parts"],
        "classes": report["class_names"],
        "seconds": report["seconds"],
        **circumstances(PACKAGES, threads=torch.get_num_threads()),
    }
    for replicate in report["replicates"]:
        of_seed = {**named, "kind": "network", "seed": replicate["seed"]}
        of_seed["split_hash"] = replicate["split_hash"]
        for name, model in replicate["models"].items():
            for level, rules in model["levels"].items():
                yield of_seed | _network(name, model, level, rules)
        estimates = _chosen(replicate["baseline"]["test"])
        yield of_seed | {"network": "baseline", "level": "image", "estimates": estimates}
    for kind in ("repetitions", "comparisons"):
        for row in report[kind]:
            yield {**named, "kind": kind, **row}
    for replicate in report.get("confounder", ()):
        for name, found in replicate["models"].items():
            kept = {key: found[key] for key in ("difference", "called_fractured", "heat_on_casts")}
            yield {**named, "kind": "casts", "seed": replicate["seed"], "network": name, **kept}


def _network(name: str, model: dict[str, Any], level: str, rules: dict[str, Any]) -> dict[str, Any]:
    rule, main = next(iter(rules.items()))
    row = {
        "network": name,
        "parameters": model["parameters"],
        "best_epoch": model["best_epoch"],
        "level": level,
        "rule": rule,
        "threshold": main.get("threshold"),
        "estimates": _chosen(main),
    }
    if level == "image":
        row["grad_cam"] = {
            target: {m["name"]: _measure(m) for m in found["measures"]}
            for target, found in model["grad_cam"].items()
        }
    return row


def _chosen(report: dict[str, Any]) -> dict[str, Any]:
    found = report.get("estimates") or report["overall"]
    return {
        metric: {key: estimate[key] for key in INTERVAL}
        for metric, estimate in found.items()
        if metric in METRICS or "estimates" not in report
    }


def _measure(measure: dict[str, Any]) -> dict[str, Any]:
    keys = ("model", "low", "high", "chance", "ceiling", "controls", "beats_all_controls")
    return {key: measure[key] for key in keys}


def main() -> None:
    """Appends the rows of each run, or prints how many there are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study_rows", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--record", type=Path, metavar="FILE.jsonl")
    given = parser.parse_args()
    found = [row for run in given.runs for row in rows(run)]
    print(f"{len(found)} rows of {len(given.runs)} runs")
    if given.record:
        with given.record.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in found)


if __name__ == "__main__":
    main()
