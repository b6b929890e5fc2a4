"""P values of several tests at once."""

import math
from collections.abc import Sequence

__all__ = ["holm"]


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p values so that the chance of any false rejection is bounded.

    Holm, "A simple sequentially rejective multiple test procedure", Scand J Stat 6:65, 1979. It
    holds for tests of any dependence, and rejects whatever Bonferroni's does.

    Args:
        p_values: One per test, in [0, 1]. A nan is no test: it stays nan and is not counted.

    Returns:
        The adjusted p values, in the same order.

    Raises:
        ValueError: If a p value is outside [0, 1].

    Examples:
        >>> from seattn.metrics import holm
        >>> holm([0.01, 0.04, 0.03])
        (0.03, 0.06, 0.06)
    """
    for index, p in enumerate(p_values):
        if not (0 <= p <= 1 or math.isnan(p)):
            raise ValueError(f"`p_values` holds {p} at index {index}; all must be in [0, 1].")
    tests = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, index) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * p))
        adjusted[index] = largest
    return tuple(adjusted)
