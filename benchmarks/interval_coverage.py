"""How often do intervals of the ROC area hold the true one, and how wide are they?

``python -m benchmarks.interval_coverage --record FILE``. Studies are simulated with the shape of
Wang et al.'s test set: three images per patient, 26 % of the patients with a fracture, which is
visible in 75 % of their images. Scores are normal, shifted where the fracture is visible, and
half of their variance belongs to the patient; the true area is 0.956. Each row of the results is
one method at one number of patients; a study without an interval, and an interval of no width
beside the true area, count as misses. The tests compare two models that are as good as each other
and share half of the variance of their scores: a row holds how often they find a difference.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.rounds import commit_hash
from seattn.metrics import (
    bootstrap,
    delong_test,
    permutation_test,
    roc_auc,
    roc_auc_interval,
)
from seattn.metrics.clusters import count
from seattn.metrics.delong import delong_covariance
from seattn.metrics.distributions import normal_quantile

IMAGES, FRACTURES, VISIBLE, LIKENESS, AREA = 3, 0.26, 0.75, 0.5, 0.956
PATIENTS = (20, 40, 66, 200)
LEVEL = 0.95


class Study(NamedTuple):
    """The test images of one simulated study."""

    y_true: npt.NDArray[np.bool_]
    y_score: npt.NDArray[np.float64]
    patients: npt.NDArray[np.int64]


Interval = Callable[[Study], tuple[float, float]]
Test = Callable[[Study], float]


def main() -> None:
    """Simulates, prints, and appends one JSON row a method and a number of patients."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=10_000, help="(default 10000)")
    parser.add_argument("--resampled", type=int, default=2000, help="of them, by the bootstraps")
    parser.add_argument("--patients", type=int, nargs="+", default=PATIENTS)
    parser.add_argument("--of", nargs="+", default=("intervals", "tests"), metavar="KIND")
    parser.add_argument("--seed", type=int, default=0, help="(default 0)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="JSONL file to append to")
    choices = parser.parse_args()
    for patients in choices.patients:
        numbers = (patients, choices.studies, choices.resampled, choices.seed)
        kinds = {"intervals": coverage, "tests": size}
        for row in itertools.chain(*(kinds[kind](*numbers) for kind in choices.of)):
            row |= {"date": datetime.date.today().isoformat(), "commit": commit_hash()}
            print(row)
            if choices.record:
                with choices.record.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def coverage(
    patients: int, studies: int, resampled: int, seed: int
) -> Iterator[dict[str, str | int | float | None]]:
    """Simulates studies, the first ``resampled`` of them for the bootstraps too; a row a method."""
    for name, interval in METHODS.items():
        stream = np.random.default_rng([seed, patients])
        number = min(studies, resampled) if "bootstrap" in name else studies
        ends = np.array([interval(simulated(stream, patients)) for _ in range(number)])
        missing = np.isnan(ends[:, 0])
        low, high = ends[~missing].T
        held = int(np.count_nonzero((low <= AREA) & (high >= AREA)))
        yield {
            "method": name,
            "patients": patients,
            "studies": number,
            "held": held,
            "coverage": held / number,
            "missing": int(missing.sum()),
            "too_high": int(np.count_nonzero(low > AREA)),
            "too_low": int(np.count_nonzero(high < AREA)),
            "median_width": float(np.median(high - low)) if high.size else None,
            "seed": seed,
        }


def size(
    patients: int, studies: int, resampled: int, seed: int
) -> Iterator[dict[str, str | int | float | None]]:
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


def simulated(stream: np.random.Generator, patients: int, models: int = 1) -> Study:
    """One study; with more models than one a row of scores for each, correlated by one half."""
    codes = np.repeat(np.arange(patients), IMAGES)
    fractured = codes < round(FRACTURES * patients)
    visible = fractured & (stream.random(len(codes)) < VISIBLE)

    def noise(count: int) -> npt.NDArray[np.float64]:
        own = stream.standard_normal((models, count))
        return own if models == 1 else (own + stream.standard_normal(count)) / math.sqrt(2)

    scores = math.sqrt(2) * NormalDist().inv_cdf(AREA) * visible
    scores = scores + math.sqrt(LIKENESS) * noise(patients)[:, codes]
    scores = scores + math.sqrt(1 - LIKENESS) * noise(len(codes))
    return Study(visible, scores[0] if models == 1 else scores, codes)


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
