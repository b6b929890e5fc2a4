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
    """

    value: float
    low: float
    high: float
    level: float
    method: str | None
    n: int
    n_patients: int | None
    reason: str | None
