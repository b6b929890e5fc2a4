"""The forms of ``weighted.py`` for metrics that are means over cases, such as the Brier score."""

import numpy as np

from seattn.metrics.count_metrics import Weighted, ratio
from seattn.metrics.inputs import Flags, Labels, Scores

__all__ = ["weighted_brier", "weighted_log_loss", "weighted_mean_of", "weighted_skill"]


def weighted_mean_of(values: Scores, codes: Labels) -> Weighted:
    """The mean of what each case has; nan where that of a counted case is infinite."""
    finite = np.isfinite(values)
    sums = np.bincount(codes, np.where(finite, values, 0))
    infinite, cases = np.bincount(codes, ~finite), np.bincount(codes)

    def mean(counts: Scores) -> Scores:
        # Not by a matrix product, whose rounding depends on the number of rows.
        found = ratio((counts * sums).sum(axis=1), counts @ cases)
        found[counts @ infinite > 0] = np.nan
        return found

    return mean


def weighted_brier(positive: Flags, scores: Scores, codes: Labels) -> Weighted:
    """The Brier score: the counted squared errors by the number of counted cases."""
    return weighted_mean_of((scores - positive) ** 2, codes)


def weighted_log_loss(positive: Flags, scores: Scores, codes: Labels) -> Weighted:
    """The log loss; nan where it is infinite, as infinities have no difference."""
    with np.errstate(divide="ignore"):
        return weighted_mean_of(-np.log(np.where(positive, scores, 1 - scores)), codes)


def weighted_skill(positive: Flags, scores: Scores, codes: Labels) -> Weighted:
    """The Brier skill: the counted cases have the prevalence that the reference forecasts."""
    error = weighted_brier(positive, scores, codes)
    prevalence = weighted_mean_of(positive.astype(np.float64), codes)

    def skill(counts: Scores) -> Scores:
        share = prevalence(counts)
        return 1 - ratio(error(counts), share * (1 - share))

    return skill
