"""The metrics of a two-class confusion table, for the tables of many resamples at once."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from seattn.metrics.inputs import Scores

__all__ = ["COUNT_METRICS", "TableMetric", "Weighted", "benefit", "npv_at", "ppv_at", "ratio"]

# From (B, I) counts of patients to (B,) values, see weighted.py.
Weighted = Callable[[Scores], Scores]
# From (tp, fp, tn, fn), all of shape (B,), to (B,) values.
TableMetric = Callable[[Scores, Scores, Scores, Scores], Scores]


def ratio(part: Scores, whole: Scores) -> Scores:
    """``part / whole``, nan where ``whole`` is 0 or either is nan."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole != 0)


def _balanced(tp: Scores, fp: Scores, tn: Scores, fn: Scores) -> Scores:
    return (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2


def _mcc(tp: Scores, fp: Scores, tn: Scores, fn: Scores) -> Scores:
    # Square roots of pairs: the product of all four margins passes 2**53 at ten thousand cases.
    margins = np.sqrt((tp + fp) * (tn + fn)) * np.sqrt((tp + fn) * (tn + fp))
    return ratio(tp * tn - fp * fn, margins)


def _kappa(tp: Scores, fp: Scores, tn: Scores, fn: Scores) -> Scores:
    n = tp + fp + tn + fn
    by_chance = (tp + fp) * (tp + fn) + (tn + fn) * (tn + fp)
    return ratio(n * (tp + tn) - by_chance, n * n - by_chance)


def benefit(threshold: float) -> TableMetric:
    """The net benefit at a threshold; nan at 1."""
    odds = threshold / (1 - threshold) if threshold < 1 else math.nan
    return lambda tp, fp, tn, fn: ratio(tp - fp * odds, tp + fp + tn + fn)


def ppv_at(prevalence: float) -> TableMetric:
    """The positive predictive value at another prevalence."""

    def value(tp: Scores, fp: Scores, tn: Scores, fn: Scores) -> Scores:
        found = ratio(tp, tp + fn) * prevalence
        return ratio(found, found + ratio(fp, fp + tn) * (1 - prevalence))

    return value


def npv_at(prevalence: float) -> TableMetric:
    """The negative predictive value at another prevalence."""

    def value(tp: Scores, fp: Scores, tn: Scores, fn: Scores) -> Scores:
        cleared = ratio(tn, fp + tn) * (1 - prevalence)
        return ratio(cleared, cleared + ratio(fn, tp + fn) * prevalence)

    return value


COUNT_METRICS: Mapping[str, TableMetric] = MappingProxyType(
    {
        "accuracy": lambda tp, fp, tn, fn: ratio(tp + tn, tp + fp + tn + fn),
        "balanced_accuracy": _balanced,
        "sensitivity": lambda tp, fp, tn, fn: ratio(tp, tp + fn),
        "specificity": lambda tp, fp, tn, fn: ratio(tn, tn + fp),
        "ppv": lambda tp, fp, tn, fn: ratio(tp, tp + fp),
        "npv": lambda tp, fp, tn, fn: ratio(tn, tn + fn),
        "f1": lambda tp, fp, tn, fn: ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": _mcc,
        "kappa": _kappa,
        "positive_likelihood_ratio": lambda tp, fp, tn, fn: ratio(
            ratio(tp, tp + fn), ratio(fp, fp + tn)
        ),
        "negative_likelihood_ratio": lambda tp, fp, tn, fn: ratio(
            ratio(fn, tp + fn), ratio(tn, fp + tn)
        ),
        "youden_j": lambda tp, fp, tn, fn: 2 * _balanced(tp, fp, tn, fn) - 1,
    }
)
