"""From images to patients, and from all cases to the parts that a reader asks about."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import (
    Labels,
    Scores,
    as_identifiers,
    binary_scores,
    check_probabilities,
    class_scores,
)

__all__ = ["PatientScores", "by_patient"]

How = Literal["mean", "max", "median", "noisy-or"]


class PatientScores(NamedTuple):
    """One label and one score per patient; ``by_patient`` makes it.

    Attributes:
        y_true: (P,) labels.
        y_score: (P,) scores, or (P, K).
        patients: (P,) identifiers, in increasing order.

    Examples:
        >>> from seattn.metrics import by_patient
        >>> scores = by_patient(
        ...     y_true=[0, 1, 0, 0],
        ...     y_score=[0.25, 0.75, 0.1, 0.3],
        ...     patients=["b", "b", "a", "a"],
        ...     how="max",
        ... )
        >>> scores.patients.tolist(), scores.y_true.tolist(), scores.y_score.tolist()
        (['a', 'b'], [0, 1], [0.3, 0.75])
    """

    y_true: Labels
    y_score: Scores
    patients: npt.NDArray[Any]


def by_patient(
    *, y_true: npt.ArrayLike, y_score: npt.ArrayLike, patients: npt.ArrayLike, how: How = "mean"
) -> PatientScores:
    """Join the cases of each patient to one label and one score.

    A patient has label 0 where all cases have it, and otherwise the label of the other cases: with
    two classes, any positive case makes a positive patient. ``mean`` stays calibrated best.
    ``max`` calls more healthy patients positive the more images they have. ``noisy-or`` is
    1 - product(1 - p), the chance of any positive if images were independent, which they are not;
    its scores are no longer calibrated.

    Args:
        y_true: Labels, 0 or 1 for (N,) scores, 0 .. K - 1 for (N, K), where 0 is "nothing found".
        y_score: Scores of the positive class, or of every class. ``"noisy-or"`` needs
            probabilities.
        patients: The patient of each case, numbers or strings.
        how: ``"mean"``, ``"max"``, ``"median"`` or ``"noisy-or"``; for (N, K) only ``"mean"``,
            whose rows sum to 1 still.

    Shape:
        ``y_true`` and ``patients`` (N,), ``y_score`` (N,) or (N, K).

    Returns:
        Labels, scores and patients, the same for any order of the cases.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range; if a patient is missing; or if a patient has cases of two labels beside 0.

    Examples:
        >>> from seattn.metrics import by_patient, roc_auc
        >>> labels, scores, patients = by_patient(
        ...     y_true=[0, 1, 0, 0], y_score=[0.25, 0.75, 0.1, 0.3], patients=["b", "b", "a", "a"]
        ... )
        >>> labels, scores, patients
        (array([0, 1]), array([0.2, 0.5]), array(['a', 'b'], dtype='<U1'))
        >>> roc_auc(y_true=labels, y_score=scores)
        1.0
    """
    if how not in _JOIN:
        raise ValueError(f"`how` (={how!r}) must be one of {', '.join(map(repr, _JOIN))}.")
    binary = np.ndim(y_score) == 1
    true, scores = (binary_scores if binary else class_scores)(y_true, y_score)
    if how != "mean" and not binary:
        raise ValueError(
            f"`how` (={how!r}) of each of {scores.shape[1]} columns makes rows that do not sum to "
            "1; take 'mean', or pass one column."
        )
    if how == "noisy-or":
        check_probabilities(scores)
    identifiers = as_identifiers("patients", patients, len(true))
    names, codes = np.unique(identifiers, return_inverse=True)
    columns = scores.reshape(len(true), -1).T
    joined = np.stack([_join(column, codes, _JOIN[how]) for column in columns], axis=1)
    return PatientScores(
        y_true=_labels(true.astype(np.int64), codes),
        y_score=joined[:, 0] if binary else joined,
        patients=names,
    )


def _noisy_or(scores: Scores) -> float:
    return float(1 - np.prod(1 - scores))


_JOIN: dict[str, Callable[[Scores], Any]] = {
    "mean": np.mean,
    "max": np.max,
    "median": np.median,
    "noisy-or": _noisy_or,
}


def _join(scores: Scores, codes: Labels, join: Callable[[Scores], Any]) -> Scores:
    # Sorted within patients too, so that sums do not depend on the order of the cases.
    order = np.lexsort((scores, codes))
    starts = np.flatnonzero(np.diff(codes[order])) + 1
    return np.array([join(of_one) for of_one in np.split(scores[order], starts)])


def _labels(labels: Labels, codes: Labels) -> Labels:
    """The label beside 0 of each patient, or 0."""
    found = np.zeros(codes.max() + 1, dtype=np.int64)
    np.maximum.at(found, codes, labels)
    two = np.unique(codes[(labels > 0) & (labels != found[codes])])
    if two.size:
        raise ValueError(
            f"`y_true` has cases of two labels beside 0 in {two.size} patients; which one is the "
            "patient's is for you to say: evaluate class by class, or give their cases one label."
        )
    return found
