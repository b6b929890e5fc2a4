"""DeLong's test of two models on the same cases, and Obuchowski's for cases of patients."""

import math

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import as_cases
from seattn.metrics.comparison import Comparison
from seattn.metrics.delong import delong_covariance, rounding_only, too_few
from seattn.metrics.distributions import normal_quantile, normal_two_sided
from seattn.metrics.inputs import check_level
from seattn.metrics.ranking import roc_auc

__all__ = ["FEW", "delong_test"]

# Below this many patients the normal distribution of the statistic is not to be believed.
FEW = 30


def delong_test(
    *,
    y_true: npt.ArrayLike,
    y_score_a: npt.ArrayLike,
    y_score_b: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Comparison:
    """Compare the ROC areas of two models on the same cases.

    The variance of the difference is that of DeLong, DeLong & Clarke-Pearson, Biometrics 44:837,
    1988; with ``patients`` that of Obuchowski, "Nonparametric analysis of clustered ROC curve
    data", Biometrics 53:567, 1997. Both take the difference for normal. With fewer than 30
    patients use ``permutation_test``.

    Args:
        y_true: Labels, 0 or 1.
        y_score_a: Scores of the one model, higher for the positive class.
        y_score_b: Scores of the other, of the same cases in the same order. Each model is ranked by
            itself, so their scales may differ.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent, and then several images per patient find differences that are not there.
        level: Confidence level of the interval, between 0 and 1.

    Shape:
        All (N,).

    Returns:
        The comparison; ``statistic`` is z. Where both models rank every positive and every negative
        alike, p is 1; where the variance is 0 for another reason there is none.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, or a patient is missing.

    Examples:
        >>> from seattn.metrics import delong_test
        >>> gain = delong_test(
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     y_score_a=[0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...     y_score_b=[0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ... )
        >>> round(gain.difference, 3), round(gain.statistic, 3), round(gain.p_value, 3)
        (0.167, 0.548, 0.584)
    """
    check_level(level)
    cases = as_cases(
        y_true, {"y_score_a": y_score_a, "y_score_b": y_score_b}, patients, columns=False
    )
    positive, scores = cases.labels == 1, np.array(cases.scores)
    a, b = (roc_auc(y_true=positive, y_score=row) for row in scores)
    n_units = int(cases.codes[-1]) + 1
    alone = n_units == len(positive)
    low = high = z = p = math.nan
    reason = too_few(positive, cases.codes, "case" if alone else "patient")
    if reason is None:
        covariance = delong_covariance(positive, scores, cases.codes)
        variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        if not rounding_only(variance):
            z = (a - b) / math.sqrt(variance)
            p = normal_two_sided(z)
            reach = normal_quantile(level) * math.sqrt(variance)
            low, high = a - b - reach, a - b + reach
            if n_units < FEW:
                unit = "cases" if alone else "patients"
                reason = f"only {n_units} {unit}: see permutation_test"
        elif a == b:
            p, reason = 1.0, "estimated variance 0: the models rank alike"
        else:
            reason = "estimated variance 0"
    return Comparison(
        metric="roc_auc",
        value_a=a,
        value_b=b,
        difference=a - b,
        low=low,
        high=high,
        level=level,
        statistic=z,
        p_value=p,
        method=None if math.isnan(p) else "paired DeLong" if alone else "clustered paired DeLong",
        n=len(positive),
        n_patients=cases.n_patients,
        undefined=0,
        reason=reason,
    )
