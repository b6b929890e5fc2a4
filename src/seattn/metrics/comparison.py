"""Two models on the same cases: one metric, its difference, and what speaks for it."""

from dataclasses import dataclass

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison:
    """A metric of model A less that of model B, with an interval, a p value, or both.

    Args:
        metric: Name of the metric.
        value_a: Of the one model.
        value_b: Of the other.
        difference: ``value_a - value_b``.
        low: Lower end of the interval of the difference; nan where the method gives none.
        high: Upper end.
        level: Confidence level of the interval.
        statistic: What the test looks up; nan where the method has none.
        p_value: Two-sided; nan where the method gives none, or it is not defined.
        method: How interval and p value were made, or ``None`` where there is neither.
        n: Cases.
        n_patients: Patients, or ``None`` where patients were not given.
        undefined: Resamples or swaps in which the metric of a model is not defined.
        reason: Why something is missing, or what to know before using it; else ``None``.

    Examples:
        >>> from seattn.metrics import delong_test
        >>> gain = delong_test(
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     y_score_a=[0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...     y_score_b=[0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ... )
        >>> round(gain.value_a, 3), round(gain.value_b, 3), round(gain.difference, 3)
        (0.889, 0.722, 0.167)
        >>> round(gain.low, 3), round(gain.high, 3), round(gain.p_value, 3), gain.method
        (-0.43, 0.763, 0.584, 'paired DeLong')
    """

    metric: str
    value_a: float
    value_b: float
    difference: float
    low: float
    high: float
    level: float
    statistic: float
    p_value: float
    method: str | None
    n: int
    n_patients: int | None
    undefined: int
    reason: str | None
