"""How often do intervals hold the true value, and how often do tests find what is not there?

``python -m benchmarks.interval_coverage --record FILE``. Studies are simulated with the shape of
Wang et al.'s test set: three images per patient, 26 % of the patients with a fracture, which is
visible in 75 % of their images. Scores are normal, shifted where the fracture is visible, and
half of their variance belongs to the patient; the true area is 0.956. Each row of the results is
one method at one number of patients; a study without an interval, and an interval of no width
beside the true area, count as misses. ``designs`` asks our interval about other studies. The tests
compare two models that are as good as each other and share half of the variance of their scores: a
row holds how often they find a difference.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.rounds import commit_hash
from seattn.metrics import (
    bootstrap,
    delong_test,
    permutation_test,
    roc_auc,
    roc_auc_interval,
    share_interval,
)
from seattn.metrics.clusters import count
from seattn.metrics.delong import delong_covariance
from seattn.metrics.distributions import normal_quantile

IMAGES, VISIBLE, LEVEL = 3, 0.75, 0.95
PATIENTS = (20, 40, 66, 200)
NORMAL = NormalDist()


class Design(NamedTuple):
    """What the simulated studies are like."""

    area: float = 0.956
    fractures: float = 0.26  # share of the patients
    likeness: float = 0.5  # share of the variance that belongs to the patient

    @property
    def shift(self) -> float:
        """By how much a visible fracture raises a score."""
        return math.sqrt(2) * NORMAL.inv_cdf(self.area)


PAPER = Design()
OTHERS = (
    Design(area=0.75),
    Design(area=0.85, fractures=0.5),
    Design(fractures=0.5),
    Design(likeness=0.2),
    Design(likeness=0.8),
    Design(area=0.99),
)


class Study(NamedTuple):
    """The test images of one simulated study."""

    y_true: npt.NDArray[np.bool_]
    y_score: npt.NDArray[np.float64]
    patients: npt.NDArray[np.int64]


Interval = Callable[[Study], tuple[float, float]]
Test = Callable[[Study], float]
Row = dict[str, Any]


def main() -> None:
    """Simulates, prints, and appends one JSON row a method and a number of patients."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=10_000, help="(default 10000)")
    parser.add_argument("--resampled", type=int, default=2000, help="of them, where resampled")
    parser.add_argument("--patients", type=int, nargs="+", default=PATIENTS)
    parser.add_argument("--of", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0, help="(default 0)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="JSONL file to append to")
    choices = parser.parse_args()
    for kind, patients in itertools.product(choices.of, choices.patients):
        for row in KINDS[kind](patients, choices.studies, choices.resampled, choices.seed):
            row |= {"date": datetime.date.today().isoformat(), "commit": commit_hash()}
            print(row)
            if choices.record:
                with choices.record.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def areas(patients: int, studies: int, resampled: int, seed: int) -> Iterator[Row]:
    """Simulates studies, the first ``resampled`` of them for the bootstraps; a row a method."""
    for name, interval in METHODS.items():
        number = min(studies, resampled) if "bootstrap" in name else studies
        yield {"method": name} | held(interval, PAPER.area, PAPER, patients, number, seed)


def shares(patients: int, studies: int, resampled: int, seed: int) -> Iterator[Row]:
    """The same of sensitivity and specificity, at the threshold where both are alike."""
    truth = NORMAL.cdf(PAPER.shift / 2)
    for (positives, name), clustered in itertools.product(
        [(True, "sensitivity"), (False, "specificity")], [False, True]
    ):
        interval = functools.partial(share, positives=positives, clustered=clustered)
        method = f"{name}, {'clustered ' * clustered}Wilson"
        yield {"share": method} | held(interval, truth, PAPER, patients, studies, seed)


def designs(patients: int, studies: int, resampled: int, seed: int) -> Iterator[Row]:
    """The same of our interval of the area in studies of another kind."""
    for design in OTHERS:
        row = held(ours, design.area, design, patients, studies, seed)
        yield {"design": design._asdict()} | row


def held(
    interval: Interval, truth: float, design: Design, patients: int, studies: int, seed: int
) -> Row:
    """How often the interval holds the truth."""
    stream = np.random.default_rng([seed, patients])
    ends = np.array([interval(simulated(stream, patients, design)) for _ in range(studies)])
    missing = np.isnan(ends[:, 0])
    low, high = ends[~missing].T
    hits = int(np.count_nonzero((low <= truth) & (high >= truth)))
    return {
        "patients": patients,
        "studies": studies,
        "held": hits,
        "coverage": hits / studies,
        "missing": int(missing.sum()),
        "too_high": int(np.count_nonzero(low > truth)),
        "too_low": int(np.count_nonzero(high < truth)),
        "median_width": float(np.median(high - low)) if high.size else None,
        "seed": seed,
    }


def tests(patients: int, studies: int, resampled: int, seed: int) -> Iterator[Row]:
    """Simulates studies of two equal models, ``resampled`` of them for the swaps; a row a test."""
    for name, test in TESTS.items():
        stream = np.random.default_rng([seed, patients, 2])
        number = min(studies, resampled) if "swap" in name else studies
        p_values = np.array([test(simulated(stream, patients, models=2)) for _ in range(number)])
        yield {
            "test": name,
            "patients": patients,
            "studies": number,
            "rejected": int(np.count_nonzero(p_values <= 1 - LEVEL)),
            "size": float(np.mean(p_values <= 1 - LEVEL)),
            "missing": int(np.count_nonzero(np.isnan(p_values))),
            "seed": seed,
        }


def simulated(
    stream: np.random.Generator, patients: int, design: Design = PAPER, *, models: int = 1
) -> Study:
    """One study; with more models than one a row of scores for each, correlated by one half."""
    codes = np.repeat(np.arange(patients), IMAGES)
    fractured = codes < round(design.fractures * patients)
    visible = fractured & (stream.random(len(codes)) < VISIBLE)

    def noise(count: int) -> npt.NDArray[np.float64]:
        own = stream.standard_normal((models, count))
        return own if models == 1 else (own + stream.standard_normal(count)) / math.sqrt(2)

    scores = design.shift * visible
    scores = scores + math.sqrt(design.likeness) * noise(patients)[:, codes]
    scores = scores + math.sqrt(1 - design.likeness) * noise(len(codes))
    return Study(visible, scores[0] if models == 1 else scores, codes)


def share(study: Study, *, positives: bool, clustered: bool) -> tuple[float, float]:
    """Of the positives, or of the negatives, that are called so."""
    of = study.y_true == positives
    right = (study.y_score[of] >= PAPER.shift / 2) == positives
    found = share_interval(right, patients=study.patients[of] if clustered else None, level=LEVEL)
    return found.low, found.high


def ours(study: Study) -> tuple[float, float]:
    """The library's default with patients."""
    found = roc_auc_interval(**study._asdict(), level=LEVEL)
    return found.low, found.high


def unclustered(study: Study) -> tuple[float, float]:
    """DeLong's on the logit scale, as if all images were independent."""
    found = roc_auc_interval(y_true=study.y_true, y_score=study.y_score, level=LEVEL)
    return found.low, found.high


def wald(study: Study) -> tuple[float, float]:
    """DeLong's as published, as if all images were independent."""
    return _wald(study, np.arange(len(study.patients)))


def clustered_wald(study: Study) -> tuple[float, float]:
    """Obuchowski's as published."""
    return _wald(study, study.patients)


def clustered_logit(study: Study) -> tuple[float, float]:
    """Ours with the normal quantile in the place of Student's t."""
    value, half_width = _value_and_half_width(study, study.patients)
    if half_width is None:
        return math.nan, math.nan
    if half_width == 0:
        return value, value
    logit, half = math.log(value / (1 - value)), half_width / (value * (1 - value))
    return 1 / (1 + math.exp(half - logit)), 1 / (1 + math.exp(-half - logit))


def resampled_patients(study: Study) -> tuple[float, float]:
    """The percentile bootstrap of patients in two strata."""
    found = bootstrap("roc_auc", **study._asdict(), level=LEVEL)
    return found.low, found.high


def resampled_plainly(study: Study) -> tuple[float, float]:
    """The percentile bootstrap of patients."""
    found = bootstrap("roc_auc", **study._asdict(), level=LEVEL, stratified=False)
    return found.low, found.high


METHODS: dict[str, Interval] = {
    "DeLong": wald,
    "DeLong, logit": unclustered,
    "clustered DeLong": clustered_wald,
    "clustered DeLong, logit": clustered_logit,
    "clustered DeLong, logit, t (ours)": ours,
    "patient bootstrap": resampled_plainly,
    "stratified patient bootstrap": resampled_patients,
}


def unclustered_test(study: Study) -> float:
    """P of DeLong's test, as if all images were independent."""
    a, b = study.y_score
    return delong_test(y_true=study.y_true, y_score_a=a, y_score_b=b).p_value


def clustered_test(study: Study) -> float:
    """P of Obuchowski's test."""
    a, b = study.y_score
    return delong_test(
        y_true=study.y_true, y_score_a=a, y_score_b=b, patients=study.patients
    ).p_value


def swaps_of_patients(study: Study) -> float:
    """P of 1000 random swaps of patients."""
    a, b = study.y_score
    return permutation_test(
        "roc_auc",
        y_true=study.y_true,
        y_score_a=a,
        y_score_b=b,
        patients=study.patients,
        swaps=1000,
    ).p_value


TESTS: dict[str, Test] = {
    "paired DeLong": unclustered_test,
    "clustered paired DeLong": clustered_test,
    "patient swaps": swaps_of_patients,
}

KINDS = {"areas": areas, "shares": shares, "designs": designs, "tests": tests}


def _wald(study: Study, codes: npt.NDArray[np.int64]) -> tuple[float, float]:
    value, half_width = _value_and_half_width(study, codes)
    if half_width is None:
        return math.nan, math.nan
    return value - half_width, value + half_width


def _value_and_half_width(study: Study, codes: npt.NDArray[np.int64]) -> tuple[float, float | None]:
    positive = study.y_true
    value = roc_auc(y_true=positive, y_score=study.y_score)
    if min(count(codes[positive]), count(codes[~positive])) < 2:
        return value, None
    variance = delong_covariance(positive, study.y_score[None], codes)[0, 0]
    return value, normal_quantile(LEVEL) * math.sqrt(max(0.0, variance))


if __name__ == "__main__":
    main()
