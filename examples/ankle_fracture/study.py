"""The study from images to report, in the order of the paper's flow chart."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from examples.ankle_fracture import config as configuration
from examples.ankle_fracture.baseline import linear_baseline
from examples.ankle_fracture.cohort import Cohort, gather
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.contestant import compete
from examples.ankle_fracture.evaluation import evaluate, write_predictions, write_roc
from examples.ankle_fracture.report import Findings, write_html, write_json

__all__ = ["run"]


def run(config: Config, folder: Path) -> Path:
    """Runs the study, or goes on with an interrupted one, and writes its report.

    Args:
        config: Every choice.
        folder: The run's folder. It receives config.json, the cache, a folder for each network
            (state, best weights, curves), predictions.csv, roc.csv, report.json, report.html.

    Returns:
        Path of the HTML report.

    Raises:
        ValueError: The folder holds a run with other choices, or the images cannot be studied.
        seattn.data.DicomError: Files, labels or split are not fit for the study.
    """
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_another_run(config, folder)
    cohort = gather(config, folder)
    _claim(config, cohort, folder)
    print(*cohort.flow(), sep="\n", flush=True)
    results = {name: compete(name, config, cohort, folder / name) for name in config.models}
    pixels = linear_baseline(cohort.train, cohort.test, classes=len(cohort.class_names))
    baseline = evaluate(pixels, cohort)
    print(f"\nLogistic regression on the same pixels\n{baseline}", flush=True)

    findings = Findings(config, cohort, results, pixels, baseline, time.perf_counter() - start)
    write_predictions(
        {name: r.probabilities for name, r in results.items()}, cohort, folder / "predictions.csv"
    )
    write_roc(findings.roc(), folder / "roc.csv")
    write_json(findings, folder / "report.json")
    write_html(findings, folder / "report.html")
    print(
        "\nThis run leaves out",
        *(f"- {line}" for line in configuration.leaves_out(config)),
        sep="\n",
    )
    print(f"\nReport: {folder / 'report.html'} ({findings.seconds:.0f} s)")
    return folder / "report.html"


def _refuse_another_run(config: Config, folder: Path) -> None:
    path = folder / "config.json"
    if not path.exists():
        return
    before, now = asdict(configuration.load(path)), asdict(config)
    changed = [
        f"`{name}` was {before[name]}, now {now[name]}" for name in now if before[name] != now[name]
    ]
    if changed:
        raise ValueError(
            f"'{folder}' holds a run with other choices: {'; '.join(changed)}. Give another --out."
        )


def _claim(config: Config, cohort: Cohort, folder: Path) -> None:
    """Makes the folder this run's own; what was trained on other images is not gone on with."""
    path = folder / "cohort.txt"
    if path.exists() and path.read_text() != cohort.digest:
        raise ValueError(
            f"images, labels or pseudonyms have changed since the run in '{folder}' began, and its "
            "networks may know what are test patients now: give another --out."
        )
    path.write_text(cohort.digest)
    configuration.save(config, folder / "config.json")
