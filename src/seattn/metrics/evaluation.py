"""One model on one set of cases: every metric, with intervals that know about patients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from seattn.metrics.averaging import class_mean
from seattn.metrics.counts import balanced_accuracy, confusion, mcc
from seattn.metrics.delong import auc_estimate
from seattn.metrics.estimate import Estimate
from seattn.metrics.inputs import (
    Flags,
    Labels,
    Scores,
    as_patients,
    binary_scores,
    check_level,
    class_scores,
)
from seattn.metrics.probabilities import brier
from seattn.metrics.proportion import share_estimate
from seattn.metrics.ranking import average_precision
from seattn.metrics.rates import f1
from seattn.metrics.report import BinaryReport, ClassificationReport

__all__ = ["binary_report", "classification_report"]


def binary_report(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float = 0.5,
    level: float = 0.95,
) -> BinaryReport:
    """Evaluate predicted probabilities of the positive class.

    Shares have Wilson's interval and the ROC area DeLong's on the logit scale. With ``patients``
    both allow for the likeness of one patient's cases (the effective sample size of Rao & Scott,
    Obuchowski's variance and Student's t). Without, cases are taken for independent, and the
    intervals of several images per patient come out too narrow.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of class 1.
        patients: The patient of each case, numbers or strings.
        threshold: Scores from here on are positive, in [0, 1]. The comparison is in float64: the
            float32 nearest to 0.7 lies below 0.7.
        level: Confidence level of the intervals.

    Shape:
        All (N,).

    Returns:
        The report; a metric or an interval that is not defined is nan and says why.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, or a patient is missing.

    Examples:
        >>> from seattn.metrics import binary_report
        >>> report = binary_report(
        ...     y_true=[1, 1, 0, 0, 0, 1],
        ...     y_score=[0.9, 0.4, 0.2, 0.6, 0.1, 0.7],
        ...     patients=["a", "a", "b", "b", "c", "d"],
        ... )
        >>> report.counts
        BinaryCounts(tp=2, fp=1, tn=2, fn=1)
        >>> report["specificity"].method, report["specificity"].n_patients
        ('clustered Wilson', 2)
        >>> print(report)
        6 cases of 4 patients; 3 positive
        score >= 0.5: TP 2, FP 1, TN 2, FN 1
        <BLANKLINE>
        metric             value  95% interval    n  patients  how, or why not
        roc_auc            0.889  [0.000, 1.000]  6  4         clustered DeLong, logit, t
        average_precision  0.917  -               6  4         point estimate only
        sensitivity        0.667  [0.208, 0.939]  3  2         clustered Wilson
        specificity        0.667  [0.208, 0.939]  3  2         clustered Wilson
        ppv                0.667  [0.208, 0.939]  3  3         Wilson
        npv                0.667  [0.208, 0.939]  3  3         Wilson
        f1                 0.667  -               6  4         point estimate only
        accuracy           0.667  [0.300, 0.903]  6  4         clustered Wilson
        balanced_accuracy  0.667  -               6  4         point estimate only
        mcc                0.333  -               6  4         point estimate only
        brier              0.145  -               6  4         point estimate only
    """
    check_level(level)
    if not 0 <= threshold <= 1:
        raise ValueError(f"`threshold` (={threshold}) must be in [0, 1], as the probabilities are.")
    positive, scores = binary_scores(y_true, y_score)
    codes = None if patients is None else as_patients(patients, len(scores))
    predicted = scores >= threshold
    estimates = _one_vs_rest(positive, predicted, scores, codes, level)
    estimates |= _overall(positive, predicted, scores, codes, level)
    return BinaryReport(
        n=len(scores),
        n_patients=estimates["accuracy"].n_patients,
        n_positive=int(np.count_nonzero(positive)),
        threshold=float(threshold),
        level=float(level),
        counts=confusion(y_true=positive, y_pred=predicted),
        estimates=estimates,
    )


def classification_report(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    class_names: Sequence[str] | None = None,
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> ClassificationReport:
    """Evaluate predicted probabilities of two or more classes, each against the rest.

    The predicted class is the one of the highest probability, and of equals the first. Intervals
    are those of ``binary_report``.

    Args:
        y_true: Labels 0 .. K - 1.
        y_score: Probabilities of every class; rows sum to 1.
        class_names: K different names; ``None`` takes "0", "1", ...
        patients: The patient of each case, numbers or strings.
        level: Confidence level of the intervals.

    Shape:
        ``y_true`` and ``patients`` (N,), ``y_score`` (N, K).

    Returns:
        The report; a metric or an interval that is not defined is nan and says why. A macro mean
        is taken over the classes where the metric is defined, and names those left out.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, a patient is missing, or names repeat.

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
        >>> report.macro["ppv"].reason
        'mean without medial, where it is undefined'
    """
    check_level(level)
    labels, scores = class_scores(y_true, y_score)
    classes = range(scores.shape[1])
    names = tuple(str(k) for k in classes) if class_names is None else tuple(class_names)
    if len(names) != len(classes) or len(set(names)) != len(names):
        raise ValueError(
            f"`class_names` (={names}) must be {len(classes)} different names, one per column of "
            "`y_score`."
        )
    codes = None if patients is None else as_patients(patients, len(scores))
    predicted = scores.argmax(axis=1)
    per_class = {
        name: _one_vs_rest(labels == k, predicted == k, scores[:, k], codes, level)
        for k, name in enumerate(names)
    }
    overall = _overall(labels, predicted, scores, codes, level)
    return ClassificationReport(
        n=len(labels),
        n_patients=overall["accuracy"].n_patients,
        class_names=names,
        support=tuple(np.bincount(labels, minlength=len(names)).tolist()),
        level=float(level),
        overall=overall,
        macro={
            metric: _macro({name: per_class[name][metric] for name in names}, overall["accuracy"])
            for metric in per_class[names[0]]
        },
        per_class=per_class,
    )


def _one_vs_rest(
    positive: Flags, predicted: Flags, scores: Scores, codes: Labels | None, level: float
) -> dict[str, Estimate]:
    right = positive == predicted

    def share(among: Flags, undefined: str) -> Estimate:
        some = None if codes is None else codes[among]
        return share_estimate(right[among], some, level=level, undefined=undefined)

    auc = auc_estimate(positive, scores, codes, level=level)
    precision_area = average_precision(y_true=positive, y_score=scores)
    return {
        "roc_auc": auc,
        "average_precision": _point(precision_area, auc, "no positives"),
        "sensitivity": share(positive, "no positives"),
        "specificity": share(~positive, "no negatives"),
        "ppv": share(predicted, "none predicted positive"),
        "npv": share(~predicted, "none predicted negative"),
        "f1": _point(f1(y_true=positive, y_pred=predicted), auc, "no positives, none predicted"),
    }


def _overall(
    labels: Labels | Flags,
    predicted: Labels | Flags,
    scores: Scores,
    codes: Labels | None,
    level: float,
) -> dict[str, Estimate]:
    accuracy = share_estimate(labels == predicted, codes, level=level, undefined="no cases")
    balanced = balanced_accuracy(y_true=labels, y_pred=predicted)
    correlation = mcc(y_true=labels, y_pred=predicted)
    return {
        "accuracy": accuracy,
        "balanced_accuracy": _point(balanced, accuracy, "cases of one class only"),
        "mcc": _point(correlation, accuracy, "cases or predictions of one class only"),
        "brier": _point(brier(y_true=labels, y_score=scores), accuracy, ""),
    }


def _macro(by_class: Mapping[str, Estimate], of: Estimate) -> Estimate:
    mean = _point(
        class_mean([e.value for e in by_class.values()]), of, "defined for fewer than two classes"
    )
    undefined = [name for name, e in by_class.items() if math.isnan(e.value)]
    if undefined and not math.isnan(mean.value):
        return replace(mean, reason=f"mean without {', '.join(undefined)}, where it is undefined")
    return mean


def _point(value: float, of: Estimate, undefined: str) -> Estimate:
    """A value without an interval, of the same cases as another estimate."""
    reason = undefined if math.isnan(value) else "point estimate only"
    return replace(of, value=value, low=math.nan, high=math.nan, method=None, reason=reason)
