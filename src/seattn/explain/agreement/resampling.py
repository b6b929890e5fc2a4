"""Means over cases with intervals from patients drawn again."""

import math

import numpy as np
import numpy.typing as npt

from seattn.metrics import Estimate

__all__ = ["FEWEST_PATIENTS", "mean_estimate"]

FEWEST_PATIENTS = 5
RESAMPLES = 2000


def mean_estimate(
    values: npt.NDArray[np.float64],
    patients: npt.NDArray[np.int64] | None,
    *,
    level: float,
    seed: int,
) -> Estimate:
    """The mean of the values that are not nan, and the percentile interval of that mean.

    Args:
        values: (N,) scores, nan where a case has none.
        patients: (N,) codes; ``None`` takes the cases for independent.
        level: Confidence level.
        seed: Of the draws; one seed draws the same patients for every measure of the same cases.

    Returns:
        The estimate; without an interval below ``FEWEST_PATIENTS`` patients.
    """
    kept = ~np.isnan(values)
    unit = "cases" if patients is None else "patients"
    codes = np.arange(len(values)) if patients is None else patients
    _, group = np.unique(codes[kept], return_inverse=True)
    sums, counts = np.bincount(group, values[kept]), np.bincount(group)
    n, clusters = int(kept.sum()), len(counts)
    n_patients = None if patients is None else clusters
    if n == 0:
        reason = "no case has an annotated region"
        return Estimate(math.nan, math.nan, math.nan, level, None, 0, n_patients, reason)
    value = float(values[kept].mean())
    if clusters < FEWEST_PATIENTS:
        reason = f"{clusters} {unit} are too few for an interval, {FEWEST_PATIENTS} are needed"
        return Estimate(value, math.nan, math.nan, level, None, n, n_patients, reason)
    drawn = np.random.default_rng(seed).integers(0, clusters, (RESAMPLES, clusters))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    method = f"percentiles of {RESAMPLES} draws of {unit}"
    return Estimate(value, float(low), float(high), level, method, n, n_patients, None)
