"""Intervals by drawing patients again: of one metric, and of its difference between two models."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import Cases, as_cases
from seattn.metrics.comparison import Comparison
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import Flags, check_level
from seattn.metrics.resampling import check_resamples, percentile_interval, replicates
from seattn.metrics.weighted import Metric, Weighted, metric_label, weighted_metric

__all__ = [
    "BootstrapEstimate",
    "bootstrap",
    "bootstrap_estimates",
    "bootstrap_method",
    "paired_bootstrap",
    "paired_estimate",
]


@dataclass(frozen=True)
class BootstrapEstimate(Estimate):
    """An ``Estimate`` by the bootstrap.

    Args:
        resamples: How often the patients were drawn.
        undefined: Resamples in which the metric is not defined; the interval leaves them out.
        seed: Of the random numbers.

    Examples:
        >>> from seattn.metrics import bootstrap
        >>> cases = {
        ...     "y_true": [1, 1, 0, 0, 1, 0, 1, 0],
        ...     "y_score": [0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     "patients": ["a", "a", "b", "b", "c", "d", "e", "f"],
        ... }
        >>> estimate = bootstrap("average_precision", **cases, resamples=500)
        >>> round(estimate.value, 3), round(estimate.low, 3), round(estimate.high, 3)
        (0.95, 0.886, 1.0)
        >>> estimate.method, estimate.resamples, estimate.undefined, estimate.n_patients
        ('stratified patient bootstrap, 500 resamples, percentile', 500, 0, 6)
    """

    resamples: int
    undefined: int
    seed: int


def bootstrap(
    metric: str | Metric,
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    stratified: bool = True,
    seed: int = 0,
) -> BootstrapEstimate:
    """The percentile interval of any metric over resampled patients.

    Patients are drawn with replacement and bring all their cases along, which keeps the likeness of
    one patient's cases. Efron, "Bootstrap methods: another look at the jackknife", Ann Stat 7:1,
    1979. With few patients percentiles cover too rarely; ``roc_auc_interval`` and
    ``share_interval`` are better where they apply.

    Args:
        metric: A name: ``"roc_auc"``, ``"average_precision"``, ``"brier"``, ``"brier_skill"``,
            ``"log_loss"``, ``"calibration_intercept"``, ``"calibration_slope"``,
            ``"sensitivity"``, ``"specificity"``, ``"ppv"``, ``"npv"``, ``"f1"``, ``"accuracy"``,
            ``"balanced_accuracy"``, ``"mcc"``, ``"kappa"``, ``"youden_j"``, ``"net_benefit"``,
            ``"positive_likelihood_ratio"`` or ``"negative_likelihood_ratio"``, or this library's
            function of that name; these take all resamples at once. Or a function that takes
            ``y_true=`` and ``y_score=``, as arrays in an order of their own, and returns a number,
            nan where it is not defined; it is called once per resample.
        y_true: Labels, 0 or 1; 0 .. K - 1 for (N, K) scores.
        y_score: Scores of the positive class, or of every class for a function.
        patients: The patient of each case, numbers or strings; ``None`` draws single cases.
        threshold: Scores from here on are positive, for the metrics of predicted labels. ``None``
            is 0.5, and asks for probabilities.
        level: Confidence level, between 0 and 1.
        resamples: How often to draw, 100 or more.
        stratified: Draw as many patients with a case of label 1 or above as there are, and as many
            without. That keeps resamples from having no positive at all.
        seed: Of the random numbers. The same cases and seed give the same bits, in any order of
            the cases, under any names of the patients.

    Shape:
        ``y_true`` and ``patients`` (N,), ``y_score`` (N,), or (N, K) for a function.

    Returns:
        The estimate. No interval, with the reason, where a stratum is one patient, all resamples
        agree, or the metric is undefined in more of them than a tail of the interval has.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, a metric is unknown, or a patient is missing.

    Examples:
        >>> from seattn.metrics import bootstrap
        >>> cases = {
        ...     "y_true": [1, 1, 0, 0, 1, 0, 1, 0],
        ...     "y_score": [0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     "patients": ["a", "a", "b", "b", "c", "d", "e", "f"],
        ... }
        >>> area = bootstrap("roc_auc", **cases)
        >>> area.value, area.low, area.high, area.undefined
        (0.9375, 0.84, 1.0, 0)
        >>> def spread(*, y_true, y_score):
        ...     return y_score[y_true == 1].mean() - y_score[y_true == 0].mean()
        >>> round(bootstrap(spread, **cases, resamples=200).value, 3)
        0.4
    """
    check_level(level)
    check_resamples("resamples", resamples)
    cases = as_cases(y_true, {"y_score": y_score}, patients)
    label = metric_label(metric)
    form = weighted_metric(metric, cases.labels, cases.scores[0], cases.codes, threshold=threshold)
    found = bootstrap_estimates(
        cases,
        {(label,): form},
        cases.strata(stratified),
        level=level,
        resamples=resamples,
        stratified=stratified,
        seed=seed,
    )
    return found[label]


def bootstrap_estimates(
    cases: Cases,
    forms: Mapping[tuple[str, ...], Weighted],
    strata: Flags,
    *,
    level: float,
    resamples: int,
    seed: int,
    stratified: bool = True,
) -> dict[str, BootstrapEstimate]:
    """``bootstrap`` of several metrics on the same resampled patients.

    Args:
        cases: Checked cases.
        forms: By the names of the values that each gives.
        strata: (I,) the stratum of each patient.
        level: Confidence level.
        resamples: How often to draw.
        seed: Of the random numbers.
        stratified: Whether the method is called so.

    Returns:
        The estimates by name.
    """
    once = np.ones((1, len(strata)))
    values = np.vstack([form(once) for form in forms.values()])[:, 0].tolist()
    size = {"resamples": resamples, "seed": seed, "width": len(cases.codes)}
    drawn = replicates(list(forms.values()), strata, **size)
    names = [name for of_form in forms for name in of_form]
    found = {}
    for name, value, of_resamples in zip(names, values, drawn, strict=True):
        low, high, reason = percentile_interval(value, of_resamples, strata, level)
        found[name] = BootstrapEstimate(
            value=value,
            low=low,
            high=high,
            level=level,
            method=None if math.isnan(low) else bootstrap_method(cases, stratified, resamples),
            n=len(cases.codes),
            n_patients=cases.n_patients,
            reason=reason,
            resamples=resamples,
            undefined=int(np.isnan(of_resamples).sum()),
            seed=seed,
        )
    return found


def paired_bootstrap(
    metric: str | Metric,
    *,
    y_true: npt.ArrayLike,
    y_score_a: npt.ArrayLike,
    y_score_b: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    stratified: bool = True,
    seed: int = 0,
) -> Comparison:
    """The percentile interval of a metric of model A less that of model B on the same cases.

    Both models are evaluated on the same resampled patients. For a p value of the same question see
    ``permutation_test``.

    Args:
        metric: As in ``bootstrap``.
        y_true: As in ``bootstrap``.
        y_score_a: Scores of the one model.
        y_score_b: Scores of the other, of the same cases in the same order.
        patients: As in ``bootstrap``.
        threshold: As in ``bootstrap``, for both.
        level: Confidence level, between 0 and 1.
        resamples: How often to draw, 100 or more.
        stratified: As in ``bootstrap``.
        seed: Of the random numbers.

    Shape:
        As in ``bootstrap``; both scores alike.

    Returns:
        The comparison, whose ``p_value`` is nan.

    Raises:
        TypeError: As in ``bootstrap``.
        ValueError: As in ``bootstrap``.

    Examples:
        >>> from seattn.metrics import paired_bootstrap
        >>> gain = paired_bootstrap(
        ...     "accuracy",
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     y_score_a=[0.9, 0.8, 0.7, 0.3, 0.6, 0.1],
        ...     y_score_b=[0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ... )
        >>> round(gain.difference, 3), gain.low, round(gain.high, 3), gain.undefined
        (0.333, 0.0, 0.667, 0)
    """
    check_level(level)
    check_resamples("resamples", resamples)
    cases = as_cases(y_true, {"y_score_a": y_score_a, "y_score_b": y_score_b}, patients)
    return paired_estimate(
        metric,
        cases,
        (threshold, threshold),
        level=level,
        resamples=resamples,
        stratified=stratified,
        seed=seed,
    )


def paired_estimate(
    metric: str | Metric,
    cases: Cases,
    thresholds: tuple[float | None, float | None],
    *,
    level: float,
    resamples: int,
    seed: int,
    stratified: bool = True,
) -> Comparison:
    """``paired_bootstrap`` of checked cases, each model with a threshold of its own."""
    strata = cases.strata(stratified)
    forms = [
        weighted_metric(metric, cases.labels, scores, cases.codes, threshold=threshold)
        for scores, threshold in zip(cases.scores, thresholds, strict=True)
    ]
    value_a, value_b = (float(form(np.ones((1, len(strata))))[0]) for form in forms)
    of_a, of_b = replicates(forms, strata, resamples=resamples, seed=seed, width=len(cases.codes))
    differences = of_a - of_b
    low, high, reason = percentile_interval(value_a - value_b, differences, strata, level)
    method = bootstrap_method(cases, stratified, resamples)
    return Comparison(
        metric=metric_label(metric),
        value_a=value_a,
        value_b=value_b,
        difference=value_a - value_b,
        low=low,
        high=high,
        level=level,
        statistic=math.nan,
        p_value=math.nan,
        method=None if math.isnan(low) else f"paired {method}",
        n=len(cases.codes),
        n_patients=cases.n_patients,
        undefined=int(np.isnan(differences).sum()),
        reason=reason,
    )


def bootstrap_method(cases: Cases, stratified: bool, resamples: int) -> str:
    """What a result calls the bootstrap of these cases."""
    of = "bootstrap of cases" if cases.n_patients is None else "patient bootstrap"
    return f"{'stratified ' * stratified}{of}, {resamples} resamples, percentile"
