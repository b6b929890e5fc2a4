"""The form of ``weighted.py`` for calibration intercept and slope: many logistic fits at once."""

import numpy as np

from seattn.metrics.calibration_line import fit_line
from seattn.metrics.count_metrics import Weighted
from seattn.metrics.inputs import Flags, Labels, Scores

__all__ = ["weighted_line"]

# From the fit to all cases a resample takes four or five steps of Newton.
_STEPS = 12


def weighted_line(positive: Flags, scores: Scores, codes: Labels) -> Weighted:
    """Intercepts and slopes, (2, B), of ``recalibration`` on the counted cases."""
    certain = (scores == 0) | (scores == 1)
    inside = np.where(certain, 0.5, scores)  # only where no resample with a certain one is fitted
    logits = np.log(inside) - np.log1p(-inside)
    centre, spread = float(logits.mean()), float(logits.std()) or 1.0
    standard = (logits - centre) / spread
    everyone = np.ones((1, len(logits)))
    start = (0.0, 0.0)
    if _overlap(everyone, positive, standard)[0]:
        start = fit_line(positive, standard)

    def line(counts: Scores) -> Scores:
        weights = counts[:, codes]
        fitted = np.full((2, len(counts)), np.nan)
        defined = _overlap(weights, positive, standard) & ~(weights[:, certain] > 0).any(axis=1)
        intercept, slope = _newton(weights[defined], positive, standard, start)
        fitted[:, defined] = intercept - slope * centre / spread, slope / spread
        return fitted

    return line


def _overlap(weights: Scores, positive: Flags, logits: Scores) -> Flags:
    """(B,) whether both classes are there and no threshold separates them."""
    ends = []
    for among in (positive, ~positive):
        there, of_class = weights[:, among] > 0, logits[among]
        lowest = np.where(there, of_class, np.inf).min(axis=1, initial=np.inf)
        ends.append((lowest, np.where(there, of_class, -np.inf).max(axis=1, initial=-np.inf)))
    (low, high), (other_low, other_high) = ends
    return (low < other_high) & (high > other_low)  # a class that is not there has low above high


def _newton(
    weights: Scores, positive: Flags, logits: Scores, start: tuple[float, float]
) -> tuple[Scores, Scores]:
    """(B,) intercepts and slopes of the largest likelihood, one fit per row of weights."""
    intercept, slope = (np.full(len(weights), each) for each in start)
    reach = np.abs(logits).max()
    rows = np.arange(len(weights))  # those still moving
    # Where the steps run away the weights vanish; such rows are fitted one by one below.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            w = weights[rows]
            p = 1 / (1 + np.exp(-(intercept[rows, None] + slope[rows, None] * logits)))
            pull, curvature = w * (positive - p), w * p * (1 - p)
            total = curvature.sum(axis=1)
            middle = (curvature * logits).sum(axis=1) / total
            around = logits - middle[:, None]
            up = (pull * around).sum(axis=1) / (curvature * around**2).sum(axis=1)
            along = pull.sum(axis=1) / total - middle * up
            intercept[rows] += along
            slope[rows] += up
            # The next step would be the square of this one.
            rows = rows[~(np.abs(along) + np.abs(up) * reach < 1e-8)]
            if not rows.size:
                break
    for row in rows:
        repeats = weights[row].astype(np.int64)
        intercept[row], slope[row] = fit_line(
            np.repeat(positive, repeats), np.repeat(logits, repeats)
        )
    return intercept, slope
