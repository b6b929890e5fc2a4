"""Cases as ``Predictions`` keeps them: put together, and each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import Labels, Scores

__all__ = ["Batch", "check_alike", "each_once", "joined"]

# Scores of one case from two batches may differ as sums in another order do, up to half precision.
_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Batch:
    """Labels (N,), scores (N,) or (N, K), and (N,) patients and ids or ``None``."""

    y_true: Labels
    y_score: Scores
    patients: npt.NDArray[Any] | None
    ids: npt.NDArray[Any] | None


def check_alike(first: Batch, other: Batch) -> None:
    """Refuse a batch that cannot be put behind the first."""
    if first.y_score.shape[1:] != other.y_score.shape[1:]:
        raise ValueError(
            f"`y_score` has shape {other.y_score.shape}, but cases before came as "
            f"{first.y_score.shape}; every batch needs the same columns."
        )
    for name in ("patients", "ids"):
        before, now = getattr(first, name), getattr(other, name)
        if (before is None) != (now is None):
            raise ValueError(
                f"`{name}` came with some batches and not with others; pass them always or never."
            )
        if now is not None and before.dtype.kind != now.dtype.kind:
            raise TypeError(
                f"`{name}` has dtype {now.dtype}, but cases before came with {before.dtype}; "
                "identifiers must be all integers or all strings."
            )


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch of several that are alike."""

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches])

    first = batches[0]
    return Batch(
        y_true=column("y_true"),
        y_score=column("y_score"),
        patients=None if first.patients is None else column("patients"),
        ids=None if first.ids is None else column("ids"),
    )


def each_once(cases: Batch) -> Batch:
    """Each id once, in their order; of equals the lowest scores, whoever they came from."""
    if cases.ids is None:
        return cases
    names, codes = np.unique(cases.ids, return_inverse=True)
    columns = cases.y_score.reshape(len(codes), -1).T
    order = np.lexsort((*columns[::-1], codes))
    first = order[np.searchsorted(codes[order], np.arange(len(names)))]
    kept = first[codes]  # of each case the one that stands for it
    for name in ("y_true", "patients"):
        values = getattr(cases, name)
        if values is not None and (values != values[kept]).any():
            count = len(np.unique(codes[values != values[kept]]))
            raise ValueError(
                f"`ids` repeat with another value of `{name}` in {count} cases; an id must belong "
                "to one case only."
            )
    close = np.isclose(cases.y_score, cases.y_score[kept], rtol=_TOLERANCE, atol=_TOLERANCE)
    apart = np.unique(codes[~close.reshape(len(codes), -1).all(axis=1)])
    if apart.size:
        raise ValueError(
            f"`ids` repeat with other scores in {apart.size} of {len(names)} cases; was `reset()` "
            "forgotten between two epochs, or an id given to two cases?"
        )
    patients = None if cases.patients is None else cases.patients[first]
    return Batch(cases.y_true[first], cases.y_score[first], patients, names)
