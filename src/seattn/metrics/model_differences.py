"""All there is to say about which of several models is better on the same cases."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import as_cases
from seattn.metrics.clusters import count
from seattn.metrics.comparison import Comparison
from seattn.metrics.crossed import crossed_estimate, trainings
from seattn.metrics.inputs import (
    Labels,
    Scores,
    check_level,
    check_probabilities,
    check_threshold,
)
from seattn.metrics.mcnemar import mcnemar_test
from seattn.metrics.model_comparison import ModelComparison, ModelDifference
from seattn.metrics.multiple_testing import holm
from seattn.metrics.operating_points import OperatingPoint
from seattn.metrics.paired import compare_metric
from seattn.metrics.patient_bootstrap import paired_estimate
from seattn.metrics.resampling import check_resamples
from seattn.metrics.weighted import metric_name, needs_probabilities

__all__ = ["compare_models"]

Threshold = float | OperatingPoint


@dataclass(frozen=True)
class _How:
    level: float
    resamples: int
    swaps: int
    seed: int


_METRICS = (
    *("roc_auc", "average_precision", "sensitivity", "specificity", "ppv", "npv"),
    *("accuracy", "balanced_accuracy", "f1", "mcc", "brier", "log_loss"),
)


def compare_models(
    *,
    y_true: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    patients: npt.ArrayLike | None = None,
    reference: str | None = None,
    threshold: Threshold | Mapping[str, Threshold] | None = None,
    metrics: Sequence[str] = _METRICS,
    level: float = 0.95,
    resamples: int = 2000,
    swaps: int = 100_000,
    seed: int = 0,
) -> ModelComparison:
    """Compare two or more models on the same cases, metric by metric.

    The difference of ROC areas has an interval and a p value as ``compare_metric`` makes them: from
    30 patients on by the paired DeLong test, below by the bootstrap and by swapping patients.
    Accuracy, sensitivity and specificity have McNemar's p (exact; with ``patients`` by swapping
    patients). All else has the interval of ``paired_bootstrap`` and no test. P values of several
    comparisons of a metric are adjusted by ``holm``; those of several metrics are not.

    A model may be trained several times, all models then. The differences of their means have the
    interval of ``crossed_bootstrap`` and both variances, and no test.

    Args:
        y_true: Labels, 0 or 1.
        scores: By the name of the model, scores of the same cases in the same order.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        reference: The model with which each other is compared, as the other less the reference;
            ``None`` compares every pair, as the earlier less the later.
        threshold: Scores from here on are positive; one for all models or one for each name, a
            number or an operating point of other cases. ``None`` is 0.5, and asks for
            probabilities.
        metrics: Names, as in ``bootstrap``.
        level: Confidence level of the intervals.
        resamples: As in ``bootstrap``.
        swaps: As in ``permutation_test``.
        seed: Of the random numbers.

    Shape:
        ``y_true`` and ``patients`` (N,); scores (N,), or (S, N) of S trainings, 2 or more.

    Returns:
        The comparison; what is not defined is nan and says why.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, there is one model only, a name is unknown, or a patient is missing.

    Examples:
        >>> from seattn.metrics import compare_models
        >>> gain = compare_models(
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     scores={
        ...         "plain": [0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ...         "se": [0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...     },
        ...     reference="plain",
        ...     metrics=["roc_auc", "accuracy"],
        ... )
        >>> area, accuracy = gain.differences
        >>> area.model_a, area.model_b, round(area.difference, 3), area.p_value
        ('se', 'plain', 0.167, 0.5625)
        >>> accuracy.method.split("; ")[1]
        'McNemar, exact'
    """
    check_level(level)
    check_resamples("resamples", resamples)
    check_resamples("swaps", swaps)
    names = _named(metrics)
    pairs = _pairs(list(scores), reference)
    points = _points(threshold, list(scores))
    labels, codes, models = _models(y_true, scores, patients)
    at = {name: p.threshold if isinstance(p, OperatingPoint) else p for name, p in points.items()}
    for value in at.values():
        if value is not None:
            check_threshold(value)
    for model, rows in models.items():
        if any(needs_probabilities(name, at[model]) for name in names):
            _check(model, rows)
    how = _How(float(level), resamples, swaps, seed)
    found: list[ModelDifference] = []
    for metric in names:
        of_metric = []
        for a, b in pairs:
            given = (metric, labels, codes, (models[a], models[b]), (at[a], at[b]))
            compared = _trained_often if len(models[a]) > 1 else _trained_once
            of_metric.append(replace(compared(*given, how), model_a=a, model_b=b))
        adjusted = holm([each.p_value for each in of_metric])
        found += [replace(d, p_holm=p) for d, p in zip(of_metric, adjusted, strict=True)]
    chosen = {name: point for name, point in points.items() if isinstance(point, OperatingPoint)}
    return ModelComparison(
        n=len(labels),
        n_patients=None if codes is None else count(codes),
        n_positive=int(labels.sum()),
        models=tuple(models),
        reference=reference,
        trainings={name: len(rows) for name, rows in models.items()},
        thresholds={name: 0.5 if value is None else float(value) for name, value in at.items()},
        operating_points=chosen,
        chosen_here=tuple(
            name
            for name, point in chosen.items()
            if any(point.saw(y_true=labels, y_score=row) for row in models[name])
        ),
        level=how.level,
        seed=seed,
        differences=tuple(found),
    )


def _named(metrics: Sequence[str]) -> list[str]:
    if not metrics or not all(isinstance(metric, str) for metric in metrics):
        raise ValueError(
            f"`metrics` holds {list(metrics)}; name them, for example 'roc_auc', and compare a "
            "function of your own by `compare_metric`."
        )
    return [metric_name(metric) or metric for metric in metrics]


def _pairs(names: list[str], reference: str | None) -> list[tuple[str, str]]:
    if len(names) < 2:
        raise ValueError(f"`scores` holds {names}; a comparison needs two models or more.")
    if reference is None:
        return list(itertools.combinations(names, 2))
    if reference not in names:
        raise ValueError(f"`reference` (={reference!r}) must be one of the models {names}.")
    return [(name, reference) for name in names if name != reference]


def _points(
    threshold: Threshold | Mapping[str, Threshold] | None, names: list[str]
) -> dict[str, Threshold | None]:
    if not isinstance(threshold, Mapping):
        return dict.fromkeys(names, threshold)
    if set(threshold) != set(names):
        raise ValueError(
            f"`threshold` has the names {list(threshold)}; it must have those of the models, "
            f"{names}."
        )
    return {name: threshold[name] for name in names}


def _models(
    y_true: npt.ArrayLike, scores: Mapping[str, npt.ArrayLike], patients: npt.ArrayLike | None
) -> tuple[Labels, Labels | None, dict[str, tuple[Scores, ...]]]:
    """Labels, patients, and by model the scores of each training, in an order of their own."""
    several = {name: np.ndim(values) == 2 for name, values in scores.items()}
    if len(set(several.values())) > 1:
        one = next(name for name, of_name in several.items() if not of_name)
        raise ValueError(
            f"`scores` of {one!r} are of one training and those of other models of several; pass "
            "(N,) for all or (S, N) for all."
        )
    rows: dict[str, npt.ArrayLike] = {}
    places: dict[str, slice] = {}
    for name, values in scores.items():
        called = f"scores[{name!r}]"
        start = len(rows)
        rows |= trainings(called, values) if several[name] else {called: values}
        places[name] = slice(start, len(rows))
    cases = as_cases(y_true, rows, patients, columns=False)
    codes = None if patients is None else cases.codes
    return cases.labels, codes, {name: cases.scores[place] for name, place in places.items()}


def _check(model: str, rows: tuple[Scores, ...]) -> None:
    for row in rows:
        try:
            check_probabilities(row)
        except ValueError as error:
            message = str(error).replace("`y_score`", f"`scores[{model!r}]`")
            raise ValueError(
                f"{message} Or pass `threshold=`, and `metrics=` without those of probabilities."
            ) from None


def _trained_once(
    metric: str,
    labels: Labels,
    codes: Labels | None,
    rows: tuple[tuple[Scores, ...], tuple[Scores, ...]],
    at: tuple[float | None, float | None],
    how: _How,
) -> ModelDifference:
    (a,), (b,) = rows
    if metric == "roc_auc":
        return _difference(
            compare_metric(
                metric,
                y_true=labels,
                y_score_a=a,
                y_score_b=b,
                patients=codes,
                level=how.level,
                resamples=how.resamples,
                swaps=how.swaps,
                seed=how.seed,
            )
        )
    cases = as_cases(labels, {"y_score_a": a, "y_score_b": b}, codes)
    interval = paired_estimate(
        metric, cases, at, level=how.level, resamples=how.resamples, seed=how.seed
    )
    among = {"accuracy": labels >= 0, "sensitivity": labels == 1, "specificity": labels == 0}
    if metric not in among:
        only = None if math.isnan(interval.low) else "no test"
        return _difference(replace(interval, reason=_joined(interval.reason, only)))
    some = among[metric]
    if not some.any():
        return _difference(interval)
    in_half = [0.5 if each is None else each for each in at]
    test = mcnemar_test(
        y_true=labels[some],
        y_pred_a=a[some] >= in_half[0],
        y_pred_b=b[some] >= in_half[1],
        patients=None if codes is None else codes[some],
    )
    return _difference(
        replace(
            interval,
            p_value=test.p_value,
            method=_joined(interval.method, test.method),
            reason=_joined(interval.reason, test.reason),
        )
    )


def _trained_often(
    metric: str,
    labels: Labels,
    codes: Labels | None,
    rows: tuple[tuple[Scores, ...], tuple[Scores, ...]],
    at: tuple[float | None, float | None],
    how: _How,
) -> ModelDifference:
    a, b = rows
    named: dict[str, npt.ArrayLike] = {f"row {i}": row for i, row in enumerate((*a, *b))}
    found = crossed_estimate(
        metric,
        as_cases(labels, named, codes, columns=False),
        [at[0]] * len(a) + [at[1]] * len(b),
        first=len(a),
        level=how.level,
        resamples=how.resamples,
        seed=how.seed,
    )
    only = None if math.isnan(found.low) else "no test"
    return ModelDifference(
        metric=metric,
        value_a=float(np.mean(found.of_seeds)),
        value_b=float(np.mean(found.of_seeds_b)),
        difference=found.value,
        low=found.low,
        high=found.high,
        level=found.level,
        statistic=math.nan,
        p_value=math.nan,
        method=found.method,
        n=found.n,
        n_patients=found.n_patients,
        undefined=found.undefined,
        reason=_joined(found.reason, only),
        model_a="",
        model_b="",
        p_holm=math.nan,
        variance_seeds=found.variance_seeds,
        variance_patients=found.variance_patients,
    )


def _difference(found: Comparison) -> ModelDifference:
    """The same, yet without the names of the models."""
    return ModelDifference(
        **asdict(found),
        model_a="",
        model_b="",
        p_holm=math.nan,
        variance_seeds=None,
        variance_patients=None,
    )


def _joined(*parts: str | None) -> str | None:
    return "; ".join(filter(None, parts)) or None
