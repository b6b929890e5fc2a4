"""A threshold that is chosen on one set of cases and carried to another."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seattn.metrics.fingerprints import fingerprint
from seattn.metrics.inputs import Labels, as_patients, as_scores, binary_scores, check_threshold

__all__ = ["OperatingPoint", "choose_threshold", "threshold_in_range"]

Rule = Literal["youden", "sensitivity", "specificity"]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, and the cases that it was chosen on; ``choose_threshold`` makes it.

    Args:
        threshold: Scores from here on are positive.
        rule: How it was chosen: ``"youden"``, ``"sensitivity >= 0.95"``, ...
        sensitivity: On the cases that it was chosen on, where it is optimistic.
        specificity: On the same cases.
        n: Those cases.
        n_patients: Their patients, or ``None`` where patients were not given.
        fitted_on: The caller's name of those cases.
        fingerprint: A hash of their labels and scores, in any order.

    Raises:
        ValueError: ``threshold`` is nan.

    Examples:
        >>> from seattn.metrics import choose_threshold
        >>> y_true, y_score = [1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1]
        >>> point = choose_threshold(
        ...     y_true=y_true, y_score=y_score, rule="sensitivity", at_least=0.95
        ... )
        >>> point.apply([0.5, 0.39])
        array([1, 0])
        >>> point.saw(y_true=y_true, y_score=y_score)
        True
    """

    threshold: float
    rule: str
    sensitivity: float
    specificity: float
    n: int
    n_patients: int | None
    fitted_on: str
    fingerprint: str

    def __post_init__(self) -> None:
        """Refuse a threshold of nan."""
        check_threshold(self.threshold)

    def apply(self, y_score: npt.ArrayLike) -> Labels:
        """Predicted labels (N,) of scores (N,): 1 from the threshold on, compared in float64."""
        return (as_scores(y_score, columns=None) >= self.threshold).astype(np.int64)

    def saw(self, *, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> bool:
        """Whether these are the very cases that the threshold was chosen on, in any order.

        What a threshold does on its own cases is optimistic. A part of them, or the same cases with
        other scores, is not recognised.
        """
        return fingerprint(*binary_scores(y_true, y_score)) == self.fingerprint

    def to_dict(self) -> dict[str, Any]:
        """The fields, in types that JSON has."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "OperatingPoint":
        """The operating point of ``to_dict``."""
        return cls(**fields)


def choose_threshold(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    rule: Rule = "youden",
    at_least: float | None = None,
    patients: npt.ArrayLike | None = None,
    fitted_on: str = "validation",
) -> OperatingPoint:
    """Choose the threshold on these cases, to be applied to others.

    Each score that occurs is a candidate, and a score at the threshold is positive. Youden, "Index
    for rating diagnostic tests", Cancer 3:32, 1950.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class; those to come must be of the same
            kind.
        rule: ``"youden"``: where sensitivity + specificity - 1 is largest, and of equals the
            highest threshold, which has fewer false positives. ``"sensitivity"``: the highest
            threshold with this sensitivity at least. ``"specificity"``: the lowest threshold with
            this specificity at least.
        at_least: The sensitivity or specificity to reach on these cases, above 0 and up to 1; on
            others it may be missed.
        patients: The patient of each case; they are counted and do not change the threshold.
        fitted_on: A name for these cases, to be shown with the results.

    Shape:
        All (N,).

    Returns:
        The operating point. Its threshold is one of the scores, never infinite.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range; if there are no positives or no negatives; or if no score has the specificity.

    Examples:
        >>> from seattn.metrics import choose_threshold
        >>> y_true, y_score = [1, 1, 1, 0, 0, 0], [0.9, 0.7, 0.3, 0.8, 0.2, 0.1]
        >>> point = choose_threshold(y_true=y_true, y_score=y_score)
        >>> point.threshold, point.sensitivity, round(point.specificity, 3)
        (0.3, 1.0, 0.667)
        >>> choose_threshold(
        ...     y_true=y_true, y_score=y_score, rule="specificity", at_least=0.9
        ... ).threshold
        0.9
    """
    target = _target(rule, at_least)
    positive, scores = binary_scores(y_true, y_score)
    n_patients = None if patients is None else int(as_patients(patients, len(scores)).max()) + 1
    # Every distinct score from the highest, and what is called positive from there on.
    ascending, place = np.unique(scores, return_inverse=True)
    thresholds = ascending[::-1]
    tp, fp = (
        np.cumsum(np.bincount(place[among], minlength=len(ascending))[::-1])
        for among in (positive, ~positive)
    )
    positives, negatives = int(tp[-1]), int(fp[-1])
    if positives == 0 or negatives == 0:
        missing = "positives" if positives == 0 else "negatives"
        raise ValueError(
            f"`y_true` has no {missing} among {len(scores)} cases; a threshold needs both classes."
        )
    sensitivities, specificities = tp / positives, (negatives - fp) / negatives
    if rule == "youden":
        # In integers, so that equals are equal; argmax takes the first, the highest threshold.
        chosen = int(np.argmax(tp * negatives - fp * positives))
    elif rule == "sensitivity":
        chosen = int(np.argmax(sensitivities >= target))
    else:
        chosen = int(np.count_nonzero(specificities >= target)) - 1
        if chosen < 0:
            raise ValueError(
                f"`at_least` (={target}) is a specificity that no score has; the highest, of "
                f"the highest score, is {specificities[0]:.6g}. Ask for less, or for a sensitivity."
            )
    return OperatingPoint(
        threshold=float(thresholds[chosen]),
        rule="youden" if rule == "youden" else f"{rule} >= {target}",
        sensitivity=float(sensitivities[chosen]),
        specificity=float(specificities[chosen]),
        n=len(scores),
        n_patients=n_patients,
        fitted_on=fitted_on,
        fingerprint=fingerprint(positive, scores),
    )


def _target(rule: str, at_least: float | None) -> float:
    """What ``rule`` is to reach; 0 for Youden's index, which has no target."""
    if rule not in ("youden", "sensitivity", "specificity"):
        raise ValueError(f"`rule` (={rule!r}) must be 'youden', 'sensitivity' or 'specificity'.")
    if rule == "youden":
        if at_least is not None:
            raise ValueError(
                f"`at_least` (={at_least}) goes with `rule='sensitivity'` or 'specificity'; "
                "Youden's index has no target."
            )
        return 0.0
    if at_least is None or not 0 < at_least <= 1:
        raise ValueError(
            f"`at_least` (={at_least}) must be above 0 and at most 1 with `rule={rule!r}`, for "
            "example 0.95."
        )
    return float(at_least)


def threshold_in_range(name: str, threshold: float | OperatingPoint) -> float:
    """The number of a threshold of probabilities, from 0 to 1."""
    value = threshold.threshold if isinstance(threshold, OperatingPoint) else float(threshold)
    if not 0 <= value <= 1:
        raise ValueError(f"`{name}` (={value}) must be in [0, 1], as the probabilities are.")
    return value
