"""Decision curves: what a model is worth to those who act on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import Scores, binary_scores, check_probabilities

__all__ = [
    "PERCENT",
    "DecisionCurve",
    "check_acting",
    "check_thresholds",
    "decision_curve",
    "net_benefit",
]

PERCENT = tuple(k / 100 for k in range(1, 100))


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit of a model and of treating everybody; treating nobody has 0. Arrays (T,).

    Args:
        thresholds: Probabilities from which one acts.
        model: Net benefit of acting on the model.
        treat_all: Net benefit of acting on every case.

    Examples:
        >>> from seattn.metrics import decision_curve
        >>> curve = decision_curve(
        ...     y_true=[1, 1, 0, 0], y_score=[0.9, 0.4, 0.6, 0.1], thresholds=[0.2, 0.3, 0.5]
        ... )
        >>> (curve.model > curve.treat_all).tolist()  # does the model help?
        [True, True, False]
    """

    thresholds: Scores
    model: Scores
    treat_all: Scores


def net_benefit(*, y_true: npt.ArrayLike, y_score: npt.ArrayLike, threshold: float) -> float:
    """True positives a case, less the false positives at the rate that the threshold implies.

    TP / n - FP / n * t / (1 - t). Who acts from a probability t on takes (1 - t) / t needless
    actions for one that was needed: Vickers & Elkin, "Decision curve analysis: a novel method for
    evaluating prediction models", Med Decis Making 26:565, 2006.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of the positive class.
        threshold: Scores from here on are positive, from 0 up to but not 1.

    Shape:
        Both (N,).

    Returns:
        A number up to the prevalence; 0 is the worth of doing nothing.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If scores are no probabilities, either is empty, not finite, of another shape or
            length, a label is not 0 or 1, or the threshold is out of its range.

    Examples:
        >>> from seattn.metrics import net_benefit
        >>> net_benefit(y_true=[1, 1, 0, 0], y_score=[0.9, 0.4, 0.6, 0.1], threshold=0.5)
        0.0
    """
    check_acting("threshold", threshold)
    curve = decision_curve(y_true=y_true, y_score=y_score, thresholds=[threshold])
    return float(curve.model[0])


def decision_curve(
    *, y_true: npt.ArrayLike, y_score: npt.ArrayLike, thresholds: Sequence[float] = PERCENT
) -> DecisionCurve:
    """The net benefit at every threshold that someone might choose.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of the positive class.
        thresholds: Each from 0 up to but not 1; 1 % to 99 % by default.

    Shape:
        Both (N,).

    Returns:
        The curve, beside that of treating everybody.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: As ``net_benefit``.

    Examples:
        >>> from seattn.metrics import decision_curve
        >>> curve = decision_curve(
        ...     y_true=[1, 1, 0, 0], y_score=[0.9, 0.4, 0.6, 0.1], thresholds=[0.2, 0.5]
        ... )
        >>> curve.model.tolist(), curve.treat_all.tolist()
        ([0.4375, 0.0], [0.375, 0.0])
    """
    positive, scores = binary_scores(y_true, y_score)
    check_probabilities(scores)
    at = check_thresholds(thresholds)
    n, found, others = len(scores), np.sort(scores[positive]), np.sort(scores[~positive])
    tp = len(found) - np.searchsorted(found, at, side="left")
    fp = len(others) - np.searchsorted(others, at, side="left")
    odds = at / (1 - at)
    return DecisionCurve(
        thresholds=at,
        model=(tp - fp * odds) / n,
        treat_all=(len(found) - len(others) * odds) / n,
    )


def check_thresholds(thresholds: Sequence[float]) -> Scores:
    """Probabilities from which one acts, (T,), or an error where one is no such thing."""
    if len(thresholds) == 0:
        raise ValueError("`thresholds` is empty; give one or more, for example [0.1, 0.2].")
    for threshold in thresholds:
        check_acting("thresholds", threshold)
    return np.asarray(thresholds, dtype=np.float64)


def check_acting(name: str, threshold: float) -> None:
    """Refuse a threshold at which nobody can act."""
    if not 0 <= threshold < 1:
        raise ValueError(
            f"`{name}` (={threshold}) must be from 0 up to but not 1: there no number of false "
            "positives is worth a true one."
        )
