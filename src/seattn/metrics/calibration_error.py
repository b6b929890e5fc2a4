"""Whether probabilities are met: the reliability table and the calibration errors drawn from it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seattn.metrics.inputs import (
    Flags,
    Labels,
    Scores,
    binary_scores,
    check_probabilities,
    class_scores,
)

__all__ = ["Reliability", "ece", "reliability"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Cases binned by probability; arrays of one element per bin, the edges of one more.

    Bin b holds the probabilities in [edges[b], edges[b + 1]), and the last bin its upper edge too.

    Args:
        edges: Ends of the bins, rising from 0 to 1.
        counts: Cases in each bin.
        mean_score: Their mean probability; nan in an empty bin.
        observed: The share of them that came true; nan in an empty bin.

    Examples:
        >>> from seattn.metrics import reliability
        >>> table = reliability(
        ...     y_true=[0, 0, 1, 1, 1], y_score=[0.1, 0.3, 0.3, 0.9, 0.7], bins=4
        ... )
        >>> for count, score, share in zip(table.counts, table.mean_score, table.observed):
        ...     print(f"{count} cases: said {score:.2f}, came true {share:.2f}")
        1 cases: said 0.10, came true 0.00
        2 cases: said 0.30, came true 0.50
        1 cases: said 0.70, came true 1.00
        1 cases: said 0.90, came true 1.00
    """

    edges: Scores
    counts: Labels
    mean_score: Scores
    observed: Scores


def reliability(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    bins: int = 10,
    binning: Literal["width", "mass"] = "width",
    kind: Literal["positive", "top"] = "positive",
) -> Reliability:
    """What was predicted and what came true, bin by bin.

    Args:
        y_true: Labels, 0 or 1 for (N,) scores, 0 .. K - 1 for (N, K).
        y_score: Probabilities of the positive class, or of every class with rows that sum to 1.
        bins: Number of bins.
        binning: ``"width"``: bins of equal width. ``"mass"``: of equally many cases, as far as
            equal probabilities, which share a bin, allow; there may be fewer bins then.
        kind: ``"positive"``: the probability of the positive class, which comes true in a positive
            case. ``"top"``: the probability of the predicted class, which comes true where it is
            right. Predicted is the positive class from 0.5 on, or the column of the highest
            probability, and of equals the first.

    Shape:
        ``y_true`` (N,), ``y_score`` (N,), or (N, K) with ``kind="top"``.

    Returns:
        The table.

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If scores are no probabilities, either is empty, not finite or of another
            length, a label has no class, or an option is out of its range.

    Examples:
        >>> from seattn.metrics import reliability
        >>> table = reliability(y_true=[0, 0, 1, 1], y_score=[0.1, 0.3, 0.6, 1.0], bins=2)
        >>> table.edges.tolist(), table.counts.tolist(), table.observed.tolist()
        ([0.0, 0.5, 1.0], [2, 2], [0.0, 1.0])
        >>> table.mean_score.tolist()
        [0.2, 0.8]
    """
    if bins < 1:
        raise ValueError(f"`bins` (={bins}) must be 1 or more.")
    if binning not in ("width", "mass"):
        raise ValueError(f"`binning` (={binning!r}) must be 'width' or 'mass'.")
    came_true, scores = _predictions(y_true, y_score, kind)
    edges = np.arange(bins + 1) / bins if binning == "width" else _equal_mass(scores, bins)
    of_case = np.searchsorted(edges[1:-1], scores, side="right")
    counts = np.bincount(of_case, minlength=len(edges) - 1)
    share = np.full(len(counts), np.nan)
    np.divide(1, counts, out=share, where=counts > 0)
    return Reliability(
        edges=edges,
        counts=counts.astype(np.int64),
        mean_score=np.bincount(of_case, weights=scores, minlength=len(counts)) * share,
        observed=np.bincount(of_case, weights=came_true, minlength=len(counts)) * share,
    )


def ece(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    bins: int = 10,
    binning: Literal["width", "mass"] = "width",
    kind: Literal["positive", "top"] = "positive",
    norm: Literal["l1", "l2", "max"] = "l1",
) -> float:
    """The expected calibration error: how far probabilities lie from the outcomes of their bin.

    The mean over the cases of abs(observed - predicted) of their bin: Naeini, Cooper & Hauskrecht,
    "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015, which also has the
    maximum; with ``kind="top"`` as in Guo, Pleiss, Sun & Weinberger, "On calibration of modern
    neural networks", ICML 2017. It depends on the bins and grows as they get emptier, so state
    ``bins``, ``binning`` and ``kind`` with it, and compare models on the same cases only.

    Args:
        y_true: Labels, 0 or 1 for (N,) scores, 0 .. K - 1 for (N, K).
        y_score: Probabilities of the positive class, or of every class with rows that sum to 1.
        bins: Number of bins.
        binning: As in ``reliability``.
        kind: As in ``reliability``.
        norm: ``"l1"``: the mean difference. ``"l2"``: the root of the mean squared difference.
            ``"max"``: the largest difference of a bin.

    Shape:
        ``y_true`` (N,), ``y_score`` (N,), or (N, K) with ``kind="top"``.

    Returns:
        A number in [0, 1].

    Raises:
        TypeError: If labels or scores are not numbers.
        ValueError: If scores are no probabilities, either is empty, not finite or of another
            length, a label has no class, or an option is out of its range.

    Examples:
        >>> from seattn.metrics import ece
        >>> round(ece(y_true=[0, 0, 1, 1], y_score=[0.1, 0.3, 0.6, 1.0], bins=2), 6)
        0.2
    """
    if norm not in ("l1", "l2", "max"):
        raise ValueError(f"`norm` (={norm!r}) must be 'l1', 'l2' or 'max'.")
    table = reliability(y_true=y_true, y_score=y_score, bins=bins, binning=binning, kind=kind)
    filled = table.counts > 0
    gaps = np.abs(table.observed - table.mean_score)[filled]
    if norm == "max":
        return float(gaps.max())
    weights = table.counts[filled] / table.counts.sum()
    return float(weights @ gaps) if norm == "l1" else float(np.sqrt(weights @ gaps**2))


def _predictions(y_true: npt.ArrayLike, y_score: npt.ArrayLike, kind: str) -> tuple[Flags, Scores]:
    """Which predictions came true, and the probability each had."""
    if kind not in ("positive", "top"):
        raise ValueError(f"`kind` (={kind!r}) must be 'positive' or 'top'.")
    if kind == "positive" and np.ndim(y_score) > 1:
        raise ValueError(
            f"`y_score` has shape {np.shape(y_score)}; columns of classes need `kind='top'`. Or "
            "pass the column of one class, and as labels whether each case is of it."
        )
    if np.ndim(y_score) == 1:
        positive, scores = binary_scores(y_true, y_score)
        check_probabilities(scores)
        predicted = (scores >= 0.5) | (kind == "positive")
        return positive == predicted, np.where(predicted, scores, 1 - scores)
    labels, rows = class_scores(y_true, y_score)
    check_probabilities(rows)
    return rows.argmax(axis=1) == labels, rows.max(axis=1)


def _equal_mass(scores: Scores, bins: int) -> Scores:
    """Edges that are scores themselves: the cases split into equal parts, ties kept together."""
    starts = np.arange(1, bins) * len(scores) // bins
    return np.unique(np.concatenate(([0.0], np.sort(scores)[starts], [1.0])))
