"""The test and the interval that suit a metric and a number of patients."""

from dataclasses import replace

import numpy.typing as npt

from seattn.metrics.area_comparison import FEW, delong_test
from seattn.metrics.cases import as_cases
from seattn.metrics.comparison import Comparison
from seattn.metrics.patient_bootstrap import paired_bootstrap
from seattn.metrics.permutation import permutation_test
from seattn.metrics.weighted import Metric, metric_name

__all__ = ["compare_metric"]


def compare_metric(
    metric: str | Metric,
    *,
    y_true: npt.ArrayLike,
    y_score_a: npt.ArrayLike,
    y_score_b: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    swaps: int = 100_000,
    seed: int = 0,
) -> Comparison:
    """Compare a metric of two models on the same cases, with an interval and a p value.

    ROC areas of 30 patients or more by ``delong_test``. All else by ``paired_bootstrap``, for the
    interval, and ``permutation_test``, for p; with few patients DeLong's p is too small.

    Args:
        metric: As in ``bootstrap``.
        y_true: As in ``bootstrap``.
        y_score_a: Scores of the one model.
        y_score_b: Scores of the other, of the same cases in the same order.
        patients: As in ``bootstrap``.
        threshold: As in ``bootstrap``, for both.
        level: Confidence level of the interval, between 0 and 1.
        resamples: As in ``bootstrap``.
        swaps: As in ``permutation_test``.
        seed: Of the random numbers.

    Shape:
        As in ``bootstrap``; both scores alike.

    Returns:
        The comparison, whose ``method`` names both methods.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: As in ``bootstrap``.

    Examples:
        >>> from seattn.metrics import compare_metric
        >>> gain = compare_metric(
        ...     "roc_auc",
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     y_score_a=[0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...     y_score_b=[0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ... )
        >>> round(gain.difference, 3), gain.p_value
        (0.167, 0.5625)
        >>> gain.method
        'paired stratified bootstrap of cases, 2000 resamples, percentile; exact swaps of 6 cases'
    """
    cases = as_cases(y_true, {"y_score_a": y_score_a, "y_score_b": y_score_b}, patients)
    units = int(cases.codes[-1]) + 1
    if metric_name(metric) == "roc_auc" and units >= FEW:
        return delong_test(
            y_true=y_true, y_score_a=y_score_a, y_score_b=y_score_b, patients=patients, level=level
        )
    interval = paired_bootstrap(
        metric,
        y_true=y_true,
        y_score_a=y_score_a,
        y_score_b=y_score_b,
        patients=patients,
        threshold=threshold,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    test = permutation_test(
        metric,
        y_true=y_true,
        y_score_a=y_score_a,
        y_score_b=y_score_b,
        patients=patients,
        threshold=threshold,
        swaps=swaps,
        seed=seed,
    )
    methods = [method for method in (interval.method, test.method) if method]
    return replace(
        interval,
        p_value=test.p_value,
        method="; ".join(methods) or None,
        undefined=interval.undefined + test.undefined,
    )
