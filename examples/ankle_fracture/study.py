"""The study from images to report, in the order of the paper's flow chart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from examples.ankle_fracture import config as configuration
from examples.ankle_fracture import networks
from examples.ankle_fracture.baseline import linear_baseline
from examples.ankle_fracture.cohort import Cohort, gather
from examples.ankle_fracture.comparisons import compare
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.contestant import compete
from examples.ankle_fracture.decision import levels
from examples.ankle_fracture.evaluation import report_of, without_intervals, write_roc
from examples.ankle_fracture.findings import Findings, Replicate
from examples.ankle_fracture.items import Items, items_of
from examples.ankle_fracture.other_run import read_run
from examples.ankle_fracture.predictions import write_predictions
from examples.ankle_fracture.processes import ALONE, Processes
from examples.ankle_fracture.protocol import Protocol
from examples.ankle_fracture.repetitions import repeated
from examples.ankle_fracture.report import write_report
from examples.ankle_fracture.state import write_text

__all__ = ["investigate", "run"]


def run(
    config: Config, folder: Path, beside: Path | None = None, processes: Processes = ALONE
) -> Path:
    """Runs the study, or goes on with an interrupted one, and writes its report.

    Args:
        config: Every choice.
        folder: The run's folder. It receives config.json, the cache, a folder for each seed with
            one for each network (state, kept weights, curves), predictions.csv, roc.csv,
            report.json, report.html.
        beside: Folder of a finished run, which the report puts beside this one.
        processes: This is the first of them, and dismisses the others at the end.

    Returns:
        Path of the HTML report.

    Raises:
        ValueError: The folder holds a run with other choices, the images cannot be studied, or
            ``beside`` has no report.
        seattn.data.DicomError: Files, labels or split are not fit for the study.
    """
    other = None if beside is None else read_run(beside, folder)
    findings = replace(investigate(config, folder, processes), beside=other)
    processes.send(None)
    write_predictions(findings.replicates, folder / "predictions.csv")
    write_roc(findings.roc(), folder / "roc.csv")
    write_report(findings, folder)
    print(
        "\nThis run leaves out",
        *(f"- {line}" for line in configuration.leaves_out(config)),
        sep="\n",
    )
    print(f"\nReport: {folder / 'report.html'} ({findings.seconds:.0f} s)")
    return folder / "report.html"


def investigate(config: Config, folder: Path, processes: Processes = ALONE) -> Findings:
    """What ``run`` finds, without its report; the arguments and errors are the same."""
    start = time.perf_counter()
    for name in config.models:  # errors come before anything is made
        networks.find(name)
        weights = config.weights_of(name)
        if weights is not None and not weights.is_file():
            raise ValueError(f"`weights` of {name} (='{weights}') is no file.")
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_another_run(config, folder)
    replicates = tuple(
        _replicate(config, folder, *each, processes) for each in _cohorts(config, folder)
    )
    runs = [each.levels for each in replicates]
    return Findings(
        config,
        replicates,
        compare(runs[0], seed=config.seed) if config.inference else [],
        repeated(runs, redrawn=config.images is None) if len(runs) > 1 else [],
        time.perf_counter() - start,
        processes.size,
    )


def _cohorts(config: Config, folder: Path) -> Iterator[tuple[int, Cohort]]:
    """The images of each seed: other patients of the phantom, the same split of your own."""
    seeds = range(config.seed, config.seed + config.seeds)
    if config.images is None:
        for seed in seeds:
            yield seed, gather(replace(config, seed=seed), folder)
    else:
        cohort = gather(config, folder)
        for seed in seeds:
            yield seed, cohort


def _replicate(
    config: Config, folder: Path, seed: int, cohort: Cohort, processes: Processes
) -> Replicate:
    own = folder / f"seed{seed}"
    own.mkdir(exist_ok=True)
    _claim(config, cohort, own / "cohort.txt")
    configuration.save(config, folder / "config.json")
    items = items_of(cohort.parts, config, seed=seed)
    print(*cohort.flow(), sep="\n", flush=True)
    print("items:", ", ".join(f"{len(part)} {name}" for name, part in items.items()), flush=True)
    results = {
        name: compete(name, config, cohort, items, own / name, seed=seed, processes=processes)
        for name in config.models
    }
    pixels = linear_baseline(cohort.train, cohort.test, classes=len(cohort.class_names))
    images = Items(cohort.test, Protocol.sound(), training=False, seed=seed)
    cases = levels(pixels, images, config)["image"]
    baseline = report_of(cases, cohort.class_names)
    baseline = baseline if config.inference else without_intervals(baseline)
    print(f"\nLogistic regression on the same pixels\n{baseline}", flush=True)
    return Replicate(seed, cohort, items, results, pixels, baseline)


def _refuse_another_run(config: Config, folder: Path) -> None:
    path = folder / "config.json"
    if not path.exists():
        return
    before, now = asdict(configuration.load(path)), asdict(config)
    del now["subgroups"]  # of the report alone
    if config.images is not None and before["images"] is not None:
        for name in (
            "images",
            "labels",
            "boxes",
        ):  # where they lie; ``_claim`` knows what they hold
            del now[name]
    changed = [
        f"`{name}` was {before[name]}, now {now[name]}" for name in now if before[name] != now[name]
    ]
    if changed:
        raise ValueError(
            f"'{folder}' holds a run with other choices: {'; '.join(changed)}. Give another --out."
        )


def _claim(config: Config, cohort: Cohort, path: Path) -> None:
    """Makes the folder this run's own; what was trained on other images is not gone on with."""
    files = [config.weights_of(name) for name in config.models]
    claim = [cohort.digest, *(sha256(file.read_bytes()).hexdigest() for file in files if file)]
    if path.exists() and path.read_text().split() != claim:
        raise ValueError(
            "images, labels, pseudonyms or weights have changed since the run in "
            f"'{path.parent}' began, and its networks may know what are test patients now: give "
            "another --out."
        )
    write_text("\n".join(claim), path)
