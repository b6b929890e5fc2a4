"""One number with its interval."""

from dataclasses import dataclass

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """One number, its interval, and what they rest on.

    Args:
        value: The metric; nan where it is not defined.
        low: Lower end of the interval; nan where there is none.
        high: Upper end of the interval; nan where there is none.
        level: Confidence level of the interval.
        method: How the interval was made, or ``None``.
        n: Cases that the value rests on; of a share, its denominator.
        n_patients: Patients of those cases, or ``None`` where patients were not given.
        reason: Why the value or its interval is missing, or what to know before using it; else
            ``None``.

    Examples:
        >>> from seattn.metrics import binary_report
        >>> cases = {
        ...     "y_true": [1, 1, 0, 0, 1, 0, 1, 0],
        ...     "y_score": [0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     "patients": ["a", "a", "b", "b", "c", "d", "e", "f"],
        ... }
        >>> estimate = binary_report(**cases)["specificity"]
        >>> estimate.value, round(estimate.low, 3), round(estimate.high, 3), estimate.method
        (0.75, 0.301, 0.954, 'clustered Wilson')
        >>> estimate.n, estimate.n_patients, estimate.reason
        (4, 3, None)
    """

    value: float
    low: float
    high: float
    level: float
    method: str | None
    n: int
    n_patients: int | None
    reason: str | None
