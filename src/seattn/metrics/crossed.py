"""Models trained several times: what the seeds and what the patients make uncertain."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import Cases, as_cases
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import Scores, check_level
from seattn.metrics.resampling import check_resamples, percentile_interval, replicates
from seattn.metrics.weighted import Metric, weighted_metric

__all__ = ["CrossedEstimate", "crossed_bootstrap", "crossed_estimate", "trainings"]


@dataclass(frozen=True)
class CrossedEstimate(Estimate):
    """An ``Estimate`` of a mean over trainings, with what each source adds to its variance.

    Args:
        of_seeds: The metric of every training on these cases; of model A, where there are two.
        of_seeds_b: Of model B, or empty.
        variance_seeds: Of the mean, if other seeds had been drawn for the same patients.
        variance_patients: Of the mean, if other patients had been drawn for the same seeds.
        resamples: How often seeds and patients were drawn.
        undefined: Resamples in which the metric is not defined; the interval leaves them out.
        seed: Of the random numbers.

    Examples:
        >>> from seattn.metrics import crossed_bootstrap
        >>> two_trainings = [[0.9, 0.8, 0.7, 0.3, 0.75, 0.1], [0.7, 0.4, 0.8, 0.6, 0.7, 0.2]]
        >>> mean = crossed_bootstrap("roc_auc", y_true=[1, 1, 1, 0, 0, 0], y_score=two_trainings)
        >>> round(mean.value, 3), [round(area, 3) for area in mean.of_seeds]
        (0.806, [0.889, 0.722])
        >>> round(mean.variance_seeds, 4), round(mean.variance_patients, 4)
        (0.0069, 0.0147)
    """

    of_seeds: tuple[float, ...]
    of_seeds_b: tuple[float, ...]
    variance_seeds: float
    variance_patients: float
    resamples: int
    undefined: int
    seed: int


def crossed_bootstrap(
    metric: str | Metric,
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    y_score_b: npt.ArrayLike | None = None,
    patients: npt.ArrayLike | None = None,
    threshold: float | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    stratified: bool = True,
    seed: int = 0,
) -> CrossedEstimate:
    """The mean of a metric over trainings with several seeds, or its difference of two models.

    Another run of the study would have other seeds and other patients, so both are drawn again, and
    independently: Owen, "The pigeonhole bootstrap", Ann Appl Stat 1:386, 2007. The seeds' part of a
    resample is stretched by sqrt(S / (S - 1)), for S seeds drawn from themselves differ less than
    S new ones would. With two models, their seeds are drawn apart and their patients together.

    Args:
        metric: As in ``bootstrap``.
        y_true: Labels, 0 or 1.
        y_score: Scores of every training, one row each.
        y_score_b: The same of another model, with as many trainings or not; ``None`` for one model.
        patients: As in ``bootstrap``.
        threshold: As in ``bootstrap``.
        level: Confidence level, between 0 and 1.
        resamples: How often to draw, 100 or more.
        stratified: As in ``bootstrap``.
        seed: Of the random numbers.

    Shape:
        ``y_true`` and ``patients`` (N,), ``y_score`` (S, N), ``y_score_b`` (T, N); S and T 2 or
        more.

    Returns:
        The estimate; with two models of the mean of A less that of B. A percentile interval of few
        seeds is rough: five say little about how much seeds differ.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, there is one seed only, a metric is unknown, or a patient is missing.

    Examples:
        >>> from seattn.metrics import crossed_bootstrap
        >>> mean = crossed_bootstrap(
        ...     "roc_auc",
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     y_score=[
        ...         [0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...         [0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ...     ],
        ... )
        >>> round(mean.value, 3), [round(v, 3) for v in mean.of_seeds]
        (0.806, [0.889, 0.722])
        >>> round(mean.variance_seeds, 4), mean.variance_patients > mean.variance_seeds
        (0.0069, True)
    """
    check_level(level)
    check_resamples("resamples", resamples)
    rows = trainings("y_score", y_score)
    first = len(rows)
    if y_score_b is not None:
        rows |= trainings("y_score_b", y_score_b)
    cases = as_cases(y_true, rows, patients, columns=False)
    return crossed_estimate(
        metric,
        cases,
        [threshold] * len(rows),
        first=first,
        level=level,
        resamples=resamples,
        stratified=stratified,
        seed=seed,
    )


def crossed_estimate(
    metric: str | Metric,
    cases: Cases,
    thresholds: Sequence[float | None],
    *,
    first: int,
    level: float,
    resamples: int,
    seed: int,
    stratified: bool = True,
) -> CrossedEstimate:
    """``crossed_bootstrap`` of checked cases.

    Args:
        metric: As there.
        cases: Their scores are those of every training of A, then of B.
        thresholds: Of each training.
        first: How many of the trainings are A's.
        level: As there.
        resamples: As there.
        seed: As there.
        stratified: As there.
    """
    strata = cases.strata(stratified)
    forms = [
        weighted_metric(metric, cases.labels, scores, cases.codes, threshold=threshold)
        for scores, threshold in zip(cases.scores, thresholds, strict=True)
    ]
    here = np.array([form(np.ones((1, len(strata))))[0] for form in forms])
    drawn = replicates(forms, strata, resamples=resamples, seed=seed, width=len(cases.codes))
    stream = np.random.default_rng([seed, 2])
    parts = [(here[:first], drawn[:first], 1), (here[first:], drawn[first:], -1)]
    value = variance_seeds = 0.0
    means, crossed = np.zeros(resamples), np.zeros(resamples)
    for of_seeds, of_resamples, sign in parts if first < len(forms) else parts[:1]:
        value += sign * float(of_seeds.mean())
        variance_seeds += float(of_seeds.var(ddof=1)) / len(of_seeds)
        means += sign * of_resamples.mean(axis=0)
        crossed += sign * _with_seeds_drawn(of_resamples, stream)
    low, high, reason = percentile_interval(value, crossed, strata, level)
    unit = "cases" if cases.n_patients is None else "patients"
    return CrossedEstimate(
        value=value,
        low=low,
        high=high,
        level=level,
        method=None
        if math.isnan(low)
        else f"crossed bootstrap of seeds and {unit}, {resamples} resamples, percentile",
        n=len(cases.codes),
        n_patients=cases.n_patients,
        reason=reason,
        of_seeds=tuple(here[:first].tolist()),
        of_seeds_b=tuple(here[first:].tolist()),
        variance_seeds=variance_seeds,
        variance_patients=_variance(means),
        resamples=resamples,
        undefined=int(np.isnan(crossed).sum()),
        seed=seed,
    )


def trainings(name: str, values: npt.ArrayLike) -> dict[str, npt.ArrayLike]:
    """The rows of (S, N) scores by the name of each, two or more."""
    shape = np.shape(values)
    if len(shape) != 2 or shape[0] < 2:
        raise ValueError(
            f"`{name}` has shape {tuple(shape)}; one row of scores per training is needed, shape "
            "(S, N), of two trainings or more."
        )
    return {f"{name}[{row}]": scores for row, scores in enumerate(values)}  # type: ignore[arg-type]


def _with_seeds_drawn(of_resamples: Scores, stream: np.random.Generator) -> Scores:
    """(S, B) values of S trainings on B resamples: the mean of S trainings drawn for each."""
    seeds, resamples = of_resamples.shape
    chosen = stream.integers(0, seeds, (seeds, resamples))
    mean = of_resamples.mean(axis=0)
    deviation = np.take_along_axis(of_resamples, chosen, axis=0).mean(axis=0) - mean
    return mean + math.sqrt(seeds / (seeds - 1)) * deviation


def _variance(values: Scores) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.var(ddof=1)) if defined.size > 1 else math.nan
