"""One model of several classes or findings: each against the rest, their means, and all of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from seattn.metrics.agreement import kappa
from seattn.metrics.averaging import class_mean
from seattn.metrics.cases import Cases
from seattn.metrics.clusters import canonical_order, count
from seattn.metrics.count_metrics import Weighted
from seattn.metrics.counts import balanced_accuracy, mcc
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import Flags, as_patients, check_probabilities, column_scores
from seattn.metrics.operating_points import OperatingPoint, threshold_in_range
from seattn.metrics.probabilities import brier, brier_skill, log_loss
from seattn.metrics.proportion import share_estimate
from seattn.metrics.report import ClassificationReport
from seattn.metrics.report_estimates import Intervals, check_intervals, one_vs_rest, with_intervals
from seattn.metrics.weighted_classes import mean_of_forms, weighted_class, weighted_overall

__all__ = ["classification_report"]

Threshold = float | OperatingPoint


def classification_report(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    class_names: Sequence[str] | None = None,
    patients: npt.ArrayLike | None = None,
    threshold: Threshold | Sequence[Threshold] | None = None,
    level: float = 0.95,
    resamples: int | None = 2000,
    seed: int = 0,
) -> ClassificationReport:
    """Evaluate predicted probabilities of several classes, or of findings that occur together.

    With labels (N,) a case has one class, and the most probable is predicted, of equals the first.
    With labels (N, K) it may have several findings, or none, and each is called from its threshold
    on. Each class or finding is evaluated against the rest, with the intervals of
    ``binary_report``. Macro means have intervals of the patient bootstrap; a resample in which one
    of their classes is not defined is left out and counted, for the mean of the others is something
    else.

    Args:
        y_true: Labels 0 .. K - 1, or 0 and 1 in K columns.
        y_score: Probabilities of every class, whose rows sum to 1; of findings, each in [0, 1].
        class_names: K different names; ``None`` takes "0", "1", ...
        patients: The patient of each case, numbers or strings.
        threshold: Of findings: one for all, or K numbers or operating points; ``None`` is 0.5.
        level: Confidence level of the intervals.
        resamples: Of the bootstrap, 100 or more; ``None`` leaves those intervals out.
        seed: Of the bootstrap.

    Shape:
        ``y_true`` (N,) or (N, K), ``y_score`` (N, K), ``patients`` (N,).

    Returns:
        The report; a metric or an interval that is not defined is nan and says why. A macro mean
        is taken over the classes where the metric is defined, and names those left out.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, a patient is missing, names repeat, or classes come with a threshold.

    Examples:
        >>> from seattn.metrics import classification_report
        >>> report = classification_report(
        ...     y_true=[0, 1, 2, 0],
        ...     y_score=[[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.6, 0.3, 0.1]],
        ...     class_names=["normal", "lateral", "medial"],
        ... )
        >>> report.overall["accuracy"].value, report.per_class["lateral"]["ppv"].value
        (0.75, 0.5)
        >>> report.per_class["medial"]["ppv"].reason
        'none predicted positive'
        >>> report.macro["ppv"].reason.split(";")[0]
        'mean without medial, where it is undefined'
        >>> findings = classification_report(
        ...     y_true=[[1, 1], [0, 1], [0, 0], [1, 0]],
        ...     y_score=[[0.9, 0.7], [0.2, 0.6], [0.1, 0.6], [0.6, 0.3]],
        ...     class_names=["fracture", "effusion"],
        ...     threshold=[0.5, 0.65],
        ... )
        >>> findings.overall["exact_match"].value
        0.75
        >>> findings.per_class["effusion"]["sensitivity"].value
        0.5
    """
    intervals = check_intervals(level, resamples, seed)
    several = np.ndim(y_true) == 2
    positive, scores = column_scores(y_true, y_score)
    check_probabilities(scores.ravel() if several else scores)
    names = _names(class_names, scores.shape[1])
    points = _points(threshold, names, several)
    codes = None if patients is None else as_patients(patients, len(scores))
    order, of_patient = canonical_order(codes, positive, scores)
    positive, scores = positive[order], scores[order]
    codes = None if codes is None else of_patient
    thresholds = {name: threshold_in_range("threshold", each) for name, each in points.items()}
    if several:
        called = scores >= np.array(list(thresholds.values()))
        labels = np.any(positive, axis=1).astype(np.int64)
    else:
        called = scores.argmax(axis=1)[:, None] == np.arange(len(names))
        labels = positive.nonzero()[1].astype(np.int64)
    cases = Cases(labels, (scores,), of_patient, None if codes is None else count(codes))
    columns = dict(zip(names, zip(positive.T, called.T, scores.T, strict=True), strict=True))
    per_class = {name: one_vs_rest(*each, codes, intervals) for name, each in columns.items()}
    exact = share_estimate(
        (positive == called).all(axis=1), codes, level=intervals.level, undefined="no cases"
    )
    forms = {name: weighted_class(*each, of_patient) for name, each in columns.items()}
    chosen = {name: each for name, each in points.items() if isinstance(each, OperatingPoint)}
    return ClassificationReport(
        n=len(scores),
        n_patients=cases.n_patients,
        class_names=names,
        support=tuple(positive.sum(axis=0).tolist()),
        thresholds=thresholds if several else None,
        operating_points=chosen,
        chosen_here=tuple(
            name
            for name, each in chosen.items()
            if each.saw(y_true=columns[name][0], y_score=columns[name][2])
        ),
        level=intervals.level,
        seed=seed,
        overall={"exact_match": exact}
        if several
        else {"accuracy": exact, **_overall(cases, called, intervals)},
        macro=_macro(per_class, forms, cases, intervals),
        per_class=per_class,
    )


def _names(class_names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    names = tuple(map(str, range(classes))) if class_names is None else tuple(class_names)
    if len(names) != classes or len(set(names)) != classes:
        raise ValueError(
            f"`class_names` (={names}) must be {classes} different names, one per column of "
            "`y_score`."
        )
    return names


def _points(
    threshold: Threshold | Sequence[Threshold] | None, names: tuple[str, ...], several: bool
) -> dict[str, Threshold]:
    """The threshold of each finding; none of classes."""
    if not several:
        if threshold is not None:
            raise ValueError(
                "`threshold` goes with labels of findings, shape (N, K); of the classes of labels "
                "(N,) the most probable is predicted."
            )
        return {}
    if threshold is None or isinstance(threshold, float | int | OperatingPoint):
        return dict.fromkeys(names, 0.5 if threshold is None else threshold)
    if len(threshold) != len(names):
        raise ValueError(
            f"`threshold` has {len(threshold)} elements; give one for all {len(names)} findings, "
            "or one per column of `y_score`."
        )
    return dict(zip(names, threshold, strict=True))


def _overall(cases: Cases, called: Flags, intervals: Intervals) -> dict[str, Estimate]:
    labels, (scores,), predicted = cases.labels, cases.scores, called.argmax(axis=1)
    values = {
        "balanced_accuracy": balanced_accuracy(y_true=labels, y_pred=predicted),
        "mcc": mcc(y_true=labels, y_pred=predicted),
        "kappa": kappa(y_true=labels, y_pred=predicted),
        "brier": brier(y_true=labels, y_score=scores),
        "brier_skill": brier_skill(y_true=labels, y_score=scores),
        "log_loss": log_loss(y_true=labels, y_score=scores),
    }
    undefined = {
        "balanced_accuracy": "cases of one class only",
        "mcc": "cases or predictions of one class only",
        "kappa": "cases and predictions of one and the same class",
        "brier_skill": "cases of one class only",
        "log_loss": "infinite: a case got probability 0 for what it is",
    }
    forms = weighted_overall(labels, predicted, scores, cases.codes)
    return with_intervals(values, undefined, forms, cases, cases.strata(True), intervals)


def _macro(
    per_class: Mapping[str, Mapping[str, Estimate]],
    forms: Mapping[str, Mapping[str, Weighted]],
    cases: Cases,
    intervals: Intervals,
) -> dict[str, Estimate]:
    """Means over the classes where the metric is defined, which keep to those in all resamples."""
    names, metrics = list(per_class), list(next(iter(per_class.values())))
    values: dict[str, float] = {}
    of_means: dict[tuple[str, ...], Weighted] = {}
    left_out: dict[str, list[str]] = {}
    for metric in metrics:
        of_each = {name: per_class[name][metric].value for name in names}
        left_out[metric] = [name for name, value in of_each.items() if math.isnan(value)]
        values[metric] = class_mean(list(of_each.values()))
        of_means[metric,] = mean_of_forms(
            [forms[name][metric] for name in names if name not in left_out[metric]]
        )
    undefined = dict.fromkeys(metrics, "defined for fewer than two classes")
    strata = cases.strata(True)
    found = with_intervals(values, undefined, of_means, cases, strata, intervals)
    for metric, mean in found.items():
        if left_out[metric] and not math.isnan(mean.value):
            why = f"mean without {', '.join(left_out[metric])}, where it is undefined"
            found[metric] = replace(mean, reason="; ".join(filter(None, [why, mean.reason])))
    return found
