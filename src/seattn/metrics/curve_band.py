"""A curve with an interval at each of its places, by drawing patients again, all at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.cases import Cases
from seattn.metrics.delong import too_few
from seattn.metrics.inputs import Flags, Labels, Scores
from seattn.metrics.resampling import check_resamples, resampled_counts
from seattn.metrics.weighted import Weighted

__all__ = ["CurveBand", "each_once", "make_band", "search_rows", "tally"]

Tally = Callable[[Scores], tuple[Scores, Scores]]


@dataclass(frozen=True, eq=False)
class CurveBand:
    """A curve at fixed places, each with an interval of its own; arrays (G,).

    The band is pointwise: it covers the true curve with ``level`` at any one place, and less often
    along the whole of it.

    Args:
        at: The places: false positive rates, recalls, or threshold probabilities.
        value: The curve there.
        low: Lower end; nan where there is no band.
        high: Upper end; nan where there is no band.
        level: Confidence level.
        method: How the band was made, or ``None``.
        n: Cases.
        n_patients: Their patients, or ``None`` where patients were not given.
        undefined: Resamples in which the curve is not defined; the band leaves them out.
        reason: Why there is no band, else ``None``.

    Examples:
        >>> from seattn.metrics import pr_band
        >>> cases = {
        ...     "y_true": [1, 1, 0, 0, 1, 0, 1, 0],
        ...     "y_score": [0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     "patients": ["a", "a", "b", "b", "c", "d", "e", "f"],
        ... }
        >>> band = pr_band(**cases, resamples=500)
        >>> band.at.shape, band.n_patients
        ((100,), 6)
        >>> f"{band.value[50]:.2f} [{band.low[50]:.2f}, {band.high[50]:.2f}] at {band.at[50]}"
        '1.00 [0.44, 1.00] at 0.51'
    """

    at: Scores
    value: Scores
    low: Scores
    high: Scores
    level: float
    method: str | None
    n: int
    n_patients: int | None
    undefined: int
    reason: str | None


def make_band(
    cases: Cases,
    at: Scores,
    curve: Weighted,
    ends: Scores | None,
    level: float,
    resamples: int,
    seed: int,
) -> CurveBand:
    """The curve, and the percentiles of resampled curves or ``ends`` where these lie further out.

    Of the (2, G) ends nan is ignored.
    """
    check_resamples("resamples", resamples)
    strata = cases.strata(stratified=True)
    low = high = np.full(len(at), np.nan)
    method, undefined, reason = None, 0, _no_band(cases, strata)
    if reason is None:
        counts = resampled_counts(strata, resamples=resamples, seed=seed, width=len(cases.codes))
        drawn = np.concatenate([curve(chunk) for chunk in counts])
        defined = drawn[~np.isnan(drawn).any(axis=1)]
        undefined = len(drawn) - len(defined)
        if len(defined) == 0 or np.ptp(defined, axis=0).max() == 0:
            reason = "the same curve in every resample"
        else:
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2], axis=0)
            of = "bootstrap of cases" if cases.n_patients is None else "patient bootstrap"
            method = f"stratified {of}, {resamples} resamples, pointwise percentiles"
        if method is not None and ends is not None:
            low, high = np.fmin(low, ends[0]), np.fmax(high, ends[1])
            method += ", Wilson where wider"
    return CurveBand(
        at=at,
        value=curve(each_once(cases))[0],
        low=low,
        high=high,
        level=level,
        method=method,
        n=len(cases.codes),
        n_patients=cases.n_patients,
        undefined=undefined,
        reason=reason,
    )


def each_once(cases: Cases) -> Scores:
    """The counts that make the cases themselves."""
    return np.ones((1, len(cases.strata(stratified=True))))


def tally(positive: Flags, scores: Scores, codes: Labels, thresholds: Scores) -> Tally:
    """Count positives and negatives above all scores (0), then at or above each threshold.

    What is returned takes (B, I) counts of the patients and gives two (B, T + 1) arrays of whole
    numbers.
    """
    parts = []
    for among in (positive, ~positive):
        order = np.argsort(-scores[among], kind="stable")
        called = np.searchsorted(-scores[among][order], -thresholds, "right")
        parts.append((codes[among][order], np.append(0, called)))

    def counted(counts: Scores) -> tuple[Scores, Scores]:
        tp, fp = (_passed(counts[:, of_case])[:, called] for of_case, called in parts)
        return tp, fp

    return counted


def _passed(weights: Scores) -> Scores:
    """(B, n + 1) sums of the first 0, 1 .. n weights."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def search_rows(rising: Scores, wanted: Scores, side: str) -> npt.NDArray[np.intp]:
    """``searchsorted`` row by row, of whole numbers from 0 to the largest of their row."""
    rows, columns = rising.shape
    shift = (np.arange(rows) * (rising.max() + 1))[:, None]
    found = np.searchsorted((rising + shift).ravel(), (wanted + shift).ravel(), side)  # type: ignore[call-overload]
    return found.reshape(wanted.shape) - columns * np.arange(rows)[:, None]


def _no_band(cases: Cases, strata: Flags) -> str | None:
    unit = "case" if cases.n_patients is None else "patient"
    reason = too_few(cases.labels == 1, cases.codes, unit)
    if reason is None and np.count_nonzero(~strata) == 1:
        reason = "one patient alone has no positives"
    return reason and reason.removeprefix("no interval: ")
