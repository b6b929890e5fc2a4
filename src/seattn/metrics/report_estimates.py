"""The estimates of a report: shares by Wilson, ROC areas by DeLong, all else by the bootstrap."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seattn.metrics.cases import Cases
from seattn.metrics.clusters import canonical_order, count
from seattn.metrics.count_metrics import COUNT_METRICS
from seattn.metrics.delong import auc_estimate
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import Flags, Labels, Scores, check_level
from seattn.metrics.patient_bootstrap import bootstrap_estimates
from seattn.metrics.proportion import share_estimate
from seattn.metrics.ranking import average_precision
from seattn.metrics.rates import f1
from seattn.metrics.resampling import check_resamples
from seattn.metrics.weighted import Weighted, weighted_counts, weighted_precision

__all__ = ["Intervals", "check_intervals", "one_vs_rest", "point", "rates", "with_intervals"]


@dataclass(frozen=True)
class Intervals:
    """How the intervals of a report are made; ``resamples=None`` leaves out the bootstrap."""

    level: float
    resamples: int | None
    seed: int


def check_intervals(level: float, resamples: int | None, seed: int) -> Intervals:
    """The checked arguments of that name."""
    check_level(level)
    if resamples is not None:
        check_resamples("resamples", resamples)
    return Intervals(float(level), resamples, seed)


def one_vs_rest(
    positive: Flags, predicted: Flags, scores: Scores, codes: Labels | None, intervals: Intervals
) -> dict[str, Estimate]:
    """What there is to say about a class against the rest, or about one finding.

    Args:
        positive: (N,) the cases of the class.
        predicted: (N,) the cases predicted to be.
        scores: (N,) scores of the class.
        codes: (N,) patients or ``None``.
        intervals: How to make them.
    """
    order, of_patient = canonical_order(codes, positive, scores)
    n_patients = None if codes is None else count(codes)
    cases = Cases(positive[order].astype(np.int64), (scores[order],), of_patient, n_patients)
    here, called = positive[order], predicted[order]
    forms: dict[tuple[str, ...], Weighted] = {
        ("average_precision",): weighted_precision(here, scores[order], of_patient),
        ("f1",): weighted_counts(COUNT_METRICS["f1"], here, called, of_patient),
    }
    values = {
        "average_precision": average_precision(y_true=positive, y_score=scores),
        "f1": f1(y_true=positive, y_pred=predicted),
    }
    undefined = {"average_precision": "no positives", "f1": "no positives, none predicted"}
    found = with_intervals(values, undefined, forms, cases, cases.strata(True), intervals)
    return {
        "roc_auc": auc_estimate(positive, scores, codes, level=intervals.level),
        "average_precision": found["average_precision"],
        **rates(positive, predicted, codes, intervals.level),
        "f1": found["f1"],
    }


def rates(
    positive: Flags, predicted: Flags, codes: Labels | None, level: float
) -> dict[str, Estimate]:
    """Sensitivity, specificity, PPV and NPV with Wilson's intervals."""
    right = positive == predicted

    def share(among: Flags, undefined: str) -> Estimate:
        some = None if codes is None else codes[among]
        return share_estimate(right[among], some, level=level, undefined=undefined)

    return {
        "sensitivity": share(positive, "no positives"),
        "specificity": share(~positive, "no negatives"),
        "ppv": share(predicted, "none predicted positive"),
        "npv": share(~predicted, "none predicted negative"),
    }


def with_intervals(
    values: Mapping[str, float],
    undefined: Mapping[str, str],
    forms: Mapping[tuple[str, ...], Weighted],
    cases: Cases,
    strata: Flags,
    intervals: Intervals,
) -> dict[str, Estimate]:
    """Values with intervals of the bootstrap.

    Args:
        values: By name.
        undefined: By name, why a value that is not finite is not.
        forms: By the names of the values that each gives.
        cases: The cases of the forms.
        strata: (I,) the stratum of each patient.
        intervals: How to make them.
    """
    if intervals.resamples is None:
        return {
            name: point(value, undefined.get(name), "point estimate only", cases, intervals.level)
            for name, value in values.items()
        }
    drawn = bootstrap_estimates(
        cases,
        forms,
        strata,
        level=intervals.level,
        resamples=intervals.resamples,
        seed=intervals.seed,
    )
    return {
        name: replace(drawn[name], value=value)
        if math.isfinite(value)
        else replace(drawn[name], value=_one_nan(value), reason=undefined[name])
        for name, value in values.items()
    }


def point(
    value: float, undefined: str | None, otherwise: str, cases: Cases, level: float
) -> Estimate:
    """A value without an interval, and the reason of either."""
    reason = otherwise if math.isfinite(value) else undefined
    n, value = len(cases.codes), _one_nan(value)
    return Estimate(value, math.nan, math.nan, level, None, n, cases.n_patients, reason)


def _one_nan(value: float) -> float:
    """The same object for every nan, so that equal reports are equal."""
    return math.nan if math.isnan(value) else value
