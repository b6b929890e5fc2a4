"""Which cases come from one patient: codes 0, 1, ... of shape (N,)."""

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import Labels

__all__ = ["canonical_order", "count", "small_sample_factor"]


def count(codes: Labels) -> int:
    """How many different patients there are."""
    return int(np.count_nonzero(np.bincount(codes)))


def small_sample_factor(codes: Labels) -> float:
    """I / (I - 1) for I patients, as Bessel's correction of a variance."""
    clusters = count(codes)
    return clusters / (clusters - 1)


def canonical_order(
    codes: Labels | None, *columns: npt.NDArray[np.generic]
) -> tuple[Labels, Labels]:
    """An order of the cases, and patient codes in it, that follow from their content alone.

    Random numbers are drawn by patient. In this order they, and the rounding of every sum, depend
    neither on the order of the cases nor on the names of the patients.

    Args:
        codes: (N,) codes; ``None`` makes every case its own patient.
        *columns: What the cases hold, each (N,) or (N, K).

    Returns:
        (N,) indices that sort the cases, and the (N,) new codes of the sorted cases.
    """
    # Adding 0.0 makes one zero of both.
    content = np.column_stack([column.astype(np.float64) + 0.0 for column in columns])
    cases = len(content)
    if codes is None:
        return np.lexsort(content.T), np.arange(cases)
    order = np.lexsort((*content.T, codes))
    content, codes = content[order], codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    parts = np.split(content, starts[1:])
    rank = sorted(range(len(parts)), key=lambda patient: parts[patient].tobytes())
    sizes = np.diff(starts, append=cases)[rank]
    rows = np.concatenate([np.arange(starts[p], starts[p] + len(parts[p])) for p in rank])
    return order[rows], np.repeat(np.arange(len(rank)), sizes)
