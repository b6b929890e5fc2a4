"""The checked cases of one model or of several, in an order that follows from their content."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.clusters import canonical_order, count
from seattn.metrics.inputs import Flags, Labels, Scores, as_patients, binary_scores, class_scores

__all__ = ["Cases", "as_cases", "named_scores"]


@dataclass(frozen=True)
class Cases:
    """Labels, patients, and the scores of every model.

    Args:
        labels: (N,).
        scores: Of each model, (N,) or (N, K).
        codes: (N,) patients 0 .. I - 1; every case its own where none were given.
        n_patients: I, or ``None`` where no patients were given.
    """

    labels: Labels
    scores: tuple[Scores, ...]
    codes: Labels
    n_patients: int | None

    def strata(self, stratified: bool) -> Flags:
        """(I,) whether each patient has a case of label 1 or above; all alike if not asked for."""
        return np.bincount(self.codes, (self.labels > 0) & stratified) > 0


def as_cases(
    y_true: npt.ArrayLike,
    scores: dict[str, npt.ArrayLike],
    patients: npt.ArrayLike | None,
    *,
    columns: bool = True,
) -> Cases:
    """Check the arguments and put the cases in their canonical order.

    Args:
        y_true: (N,) labels.
        scores: By the name of the argument, (N,) or (N, K), all alike.
        patients: (N,) identifiers or ``None``.
        columns: Whether (N, K) scores are allowed.
    """
    checked = [
        named_scores(name, y_true, values, columns=columns) for name, values in scores.items()
    ]
    labels, first = checked[0]
    arrays = [array for _, array in checked]
    if any(array.shape != first.shape for array in arrays):
        shapes = ", ".join(
            f"`{name}` {array.shape}" for name, array in zip(scores, arrays, strict=True)
        )
        raise ValueError(f"scores of the same cases must be of one shape, not {shapes}.")
    codes = None if patients is None else as_patients(patients, len(labels))
    order, ordered_codes = canonical_order(codes, labels, *arrays)
    return Cases(
        labels=labels[order],
        scores=tuple(array[order] for array in arrays),
        codes=ordered_codes,
        n_patients=None if codes is None else count(codes),
    )


def named_scores(
    name: str, y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, columns: bool = True
) -> tuple[Labels, Scores]:
    """(N,) labels and (N,) or (N, K) scores; an error calls the scores by the argument's name."""
    try:
        if columns and np.ndim(y_score) == 2:
            return class_scores(y_true, y_score)
        positive, scores = binary_scores(y_true, y_score)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`y_score`", f"`{name}`")) from None
    return positive.astype(np.int64), scores
