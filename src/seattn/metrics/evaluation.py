"""One model on one set of cases: every metric, with intervals that know about patients."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from seattn.metrics.agreement import kappa
from seattn.metrics.calibration_error import ece
from seattn.metrics.calibration_line import Recalibration, recalibration
from seattn.metrics.cases import Cases, as_cases
from seattn.metrics.count_metrics import benefit, npv_at, ppv_at
from seattn.metrics.counts import BinaryCounts, balanced_accuracy, confusion, mcc
from seattn.metrics.decision import net_benefit
from seattn.metrics.delong import auc_estimate
from seattn.metrics.diagnosis import (
    negative_likelihood_ratio,
    npv_at_prevalence,
    positive_likelihood_ratio,
    ppv_at_prevalence,
    youden_j,
)
from seattn.metrics.inputs import (
    Flags,
    Scores,
    as_patients,
    binary_scores,
    check_probabilities,
)
from seattn.metrics.operating_points import OperatingPoint, threshold_in_range
from seattn.metrics.probabilities import brier, brier_skill, log_loss
from seattn.metrics.proportion import share_estimate
from seattn.metrics.ranking import average_precision
from seattn.metrics.rates import f1
from seattn.metrics.report import BinaryReport
from seattn.metrics.report_estimates import check_intervals, point, rates, with_intervals
from seattn.metrics.weighted import Weighted, weighted_counts, weighted_metric
from seattn.metrics.weighted_line import weighted_line

__all__ = ["binary_report"]

_AT_THRESHOLD = (
    "positive_likelihood_ratio",
    "negative_likelihood_ratio",
    "balanced_accuracy",
    "youden_j",
    "f1",
    "mcc",
    "kappa",
)
_OF_SCORES = ("average_precision", "brier", "brier_skill", "log_loss")
_ORDER = (
    *("roc_auc", "average_precision", "sensitivity", "specificity", "ppv", "npv"),
    *("ppv_at_prevalence", "npv_at_prevalence"),
    *("positive_likelihood_ratio", "negative_likelihood_ratio"),
    *("accuracy", "balanced_accuracy", "youden_j", "f1", "mcc", "kappa", "net_benefit"),
    *("brier", "brier_skill", "log_loss", "ece", "calibration_intercept", "calibration_slope"),
)


def binary_report(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float | OperatingPoint = 0.5,
    prevalence: float | None = None,
    level: float = 0.95,
    resamples: int | None = 2000,
    seed: int = 0,
) -> BinaryReport:
    """Evaluate predicted probabilities of the positive class.

    Shares have Wilson's interval and the ROC area DeLong's on the logit scale. With ``patients``
    both allow for the likeness of one patient's cases (the effective sample size of Rao & Scott,
    Obuchowski's variance and Student's t). All else has the percentiles of ``bootstrap``, which
    draws patients. Without ``patients`` cases are taken for independent, and the intervals of
    several images per patient come out too narrow. The ECE has no interval: a resample is less well
    calibrated than the cases, so that percentiles miss the truth.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of class 1.
        patients: The patient of each case, numbers or strings.
        threshold: Scores from here on are positive, in [0, 1]; better the operating point that
            ``choose_threshold`` found on other cases, whose rule and origin the report then states.
            The comparison is in float64: the float32 nearest to 0.7 lies below 0.7.
        prevalence: Adds the predictive values where this share of the cases is positive.
        level: Confidence level of the intervals.
        resamples: Of the bootstrap, 100 or more; ``None`` leaves those intervals out.
        seed: Of the bootstrap.

    Shape:
        All (N,).

    Returns:
        The report; a metric or an interval that is not defined is nan and says why. If the
        threshold was chosen on these very cases, ``chosen_here`` is true and the table says so.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, or a patient is missing.

    Examples:
        >>> from seattn.metrics import binary_report
        >>> report = binary_report(
        ...     y_true=[1, 1, 0, 0, 0, 1, 1, 0],
        ...     y_score=[0.9, 0.4, 0.2, 0.6, 0.1, 0.7, 0.8, 0.3],
        ...     patients=["a", "a", "b", "b", "c", "d", "e", "f"],
        ... )
        >>> report.counts
        BinaryCounts(tp=3, fp=1, tn=3, fn=1)
        >>> report["specificity"].method, report["specificity"].n_patients
        ('clustered Wilson', 3)
        >>> for line in str(report).splitlines()[:8]:
        ...     print(line)
        8 cases of 6 patients; 4 positive
        score >= 0.5: TP 3, FP 1, TN 3, FN 1
        <BLANKLINE>
        metric                     value  95% interval    n  patients  how, or why not
        roc_auc                    0.938  [0.103, 0.999]  8  6         clustered DeLong, logit, t
        average_precision          0.950  [0.886, 1.000]  8  6         stratified patient bootstrap
        sensitivity                0.750  [0.301, 0.954]  4  3         clustered Wilson
        specificity                0.750  [0.301, 0.954]  4  3         clustered Wilson
    """
    intervals = check_intervals(level, resamples, seed)
    at = threshold_in_range("threshold", threshold)
    positive, scores = binary_scores(y_true, y_score)
    check_probabilities(scores)
    codes = None if patients is None else as_patients(patients, len(scores))
    predicted = scores >= at
    counts = confusion(y_true=positive, y_pred=predicted)
    line = recalibration(y_true=positive, y_score=scores)
    values = _values(positive, predicted, scores, line, at, prevalence)
    undefined = _undefined(counts, line)
    cases = as_cases(positive, {"y_score": scores}, codes)
    forms = _forms(cases, at, prevalence)
    of_level = intervals.level
    estimates = {
        "roc_auc": auc_estimate(positive, scores, codes, level=of_level),
        **rates(positive, predicted, codes, of_level),
        "accuracy": share_estimate(
            positive == predicted, codes, level=of_level, undefined="no cases"
        ),
        **with_intervals(values, undefined, forms, cases, cases.strata(True), intervals),
        "ece": point(
            ece(y_true=positive, y_score=scores),
            None,
            "10 bins of equal width; no interval: resampling raises it",
            cases,
            of_level,
        ),
    }
    chosen = threshold if isinstance(threshold, OperatingPoint) else None
    return BinaryReport(
        n=len(scores),
        n_patients=cases.n_patients,
        n_positive=int(np.count_nonzero(positive)),
        threshold=at,
        operating_point=chosen,
        chosen_here=chosen is not None and chosen.saw(y_true=positive, y_score=scores),
        prevalence=prevalence,
        level=of_level,
        seed=seed,
        counts=counts,
        estimates={name: estimates[name] for name in _ORDER if name in estimates},
    )


def _values(
    positive: Flags,
    predicted: Flags,
    scores: Scores,
    line: Recalibration,
    at: float,
    prevalence: float | None,
) -> dict[str, float]:
    """What the functions of these names say, and the line of ``recalibration``."""
    of_labels: dict[str, Any] = {"y_true": positive, "y_pred": predicted}
    of_scores: dict[str, Any] = {"y_true": positive, "y_score": scores}
    values = {
        "average_precision": average_precision(**of_scores),
        "positive_likelihood_ratio": positive_likelihood_ratio(**of_labels),
        "negative_likelihood_ratio": negative_likelihood_ratio(**of_labels),
        "balanced_accuracy": balanced_accuracy(**of_labels),
        "youden_j": youden_j(**of_labels),
        "f1": f1(**of_labels),
        "mcc": mcc(**of_labels),
        "kappa": kappa(**of_labels),
        "net_benefit": net_benefit(**of_scores, threshold=at) if at < 1 else math.nan,
        "brier": brier(**of_scores),
        "brier_skill": brier_skill(**of_scores),
        "log_loss": log_loss(**of_scores),
        "calibration_intercept": line.intercept,
        "calibration_slope": line.slope,
    }
    if prevalence is not None:
        values["ppv_at_prevalence"] = ppv_at_prevalence(**of_labels, prevalence=prevalence)
        values["npv_at_prevalence"] = npv_at_prevalence(**of_labels, prevalence=prevalence)
    return values


def _forms(cases: Cases, at: float, prevalence: float | None) -> dict[tuple[str, ...], Weighted]:
    """The same for resamples."""
    labels, (scores,), codes = cases.labels, cases.scores, cases.codes
    forms: dict[tuple[str, ...], Weighted] = {
        (name,): weighted_metric(name, labels, scores, codes, threshold=at)
        for name in (*_AT_THRESHOLD, *_OF_SCORES)
    }
    of_table = {"net_benefit": benefit(at)}
    if prevalence is not None:
        of_table["ppv_at_prevalence"] = ppv_at(prevalence)
        of_table["npv_at_prevalence"] = npv_at(prevalence)
    for name, metric in of_table.items():
        forms[name,] = weighted_counts(metric, labels == 1, scores >= at, codes)
    forms["calibration_intercept", "calibration_slope"] = weighted_line(labels == 1, scores, codes)
    return forms


def _undefined(counts: BinaryCounts, line: Recalibration) -> dict[str, str]:
    """Why a value is not a number, if it is not."""
    one_class = "cases of one class only"
    both = counts.tp + counts.fn > 0 and counts.fp + counts.tn > 0
    return {
        "average_precision": "no positives",
        "ppv_at_prevalence": "none predicted positive" if both else one_class,
        "npv_at_prevalence": "none predicted negative" if both else one_class,
        "positive_likelihood_ratio": "no false positive" if both else one_class,
        "negative_likelihood_ratio": "no true negative" if both else one_class,
        "balanced_accuracy": one_class,
        "youden_j": one_class,
        "f1": "no positives, none predicted",
        "mcc": "cases or predictions of one class only",
        "kappa": "cases and predictions of one and the same class",
        "net_benefit": "no odds at a threshold of 1",
        "brier_skill": one_class,
        "log_loss": "infinite: a case got probability 0 for what it is",
        "calibration_intercept": line.reason or "",
        "calibration_slope": line.reason or "",
    }
