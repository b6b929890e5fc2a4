"""McNemar's test of two models' right and wrong predictions, and its forms for patients."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seattn.metrics.comparison import Comparison
from seattn.metrics.distributions import chi_squared_tail
from seattn.metrics.inputs import Labels, Scores, as_patients, label_pair

__all__ = ["McNemar", "mcnemar_test"]

Method = Literal["exact", "mid-p", "chi2", "chi2-corrected", "sign-flip", "durkalski"]
_ALONE = ("exact", "mid-p", "chi2", "chi2-corrected")
_CLUSTERED = ("sign-flip", "durkalski")


@dataclass(frozen=True)
class McNemar(Comparison):
    """A ``Comparison`` of accuracies by the cases in which the models differ.

    Args:
        only_a: Cases that only model A has right.
        only_b: Cases that only model B has right.

    Examples:
        >>> from seattn.metrics import mcnemar_test
        >>> test = mcnemar_test(
        ...     y_true=[1, 1, 1, 1, 0, 0], y_pred_a=[1, 1, 1, 1, 0, 1], y_pred_b=[0, 0, 1, 0, 0, 0]
        ... )
        >>> test.only_a, test.only_b, round(test.difference, 3), test.p_value, test.method
        (3, 1, 0.333, 0.625, 'McNemar, exact')
    """

    only_a: int
    only_b: int


def mcnemar_test(
    *,
    y_true: npt.ArrayLike,
    y_pred_a: npt.ArrayLike,
    y_pred_b: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    method: Method | None = None,
) -> McNemar:
    """Compare the accuracies of two models by the cases that only one of them has right.

    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12:153, 1947. To compare sensitivities, pass the positives only.

    Args:
        y_true: Labels 0 .. K - 1.
        y_pred_a: Predicted labels of the one model.
        y_pred_b: Predicted labels of the other, of the same cases in the same order.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        method: Without patients ``"exact"`` (the default: binomial, two-sided), ``"mid-p"`` (less
            conservative: half the chance of the outcome itself), ``"chi2"`` or
            ``"chi2-corrected"`` (by continuity). With patients ``"sign-flip"`` (the default: exact,
            over all ways to swap the models within patients) or ``"durkalski"`` (chi-squared;
            Durkalski et al., "Analysis of clustered matched-pair data", Stat Med 22:2417, 2003).

    Shape:
        All (N,).

    Returns:
        The comparison, without an interval; p is 1 where the models are right in the same cases.

    Raises:
        TypeError: If labels are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, no label or of another length, a patient
            is missing, or the method does not fit.

    Examples:
        >>> from seattn.metrics import mcnemar_test
        >>> test = mcnemar_test(
        ...     y_true=[1, 1, 1, 1, 0, 0], y_pred_a=[1, 1, 1, 1, 0, 1], y_pred_b=[0, 0, 1, 0, 0, 0]
        ... )
        >>> test.only_a, test.only_b, test.p_value
        (3, 1, 0.625)
    """
    true, a, _ = label_pair(y_true, y_pred_a)
    _, b, _ = label_pair(y_true, y_pred_b)
    codes = None if patients is None else as_patients(patients, len(true))
    allowed = _ALONE if codes is None else _CLUSTERED
    chosen = method or allowed[0]
    if chosen not in allowed:
        raise ValueError(
            f"`method` (={method!r}) must be one of {', '.join(allowed)} "
            f"{'without' if codes is None else 'with'} `patients`."
        )
    gain = (a == true).astype(np.int64) - (b == true)  # 1: only A is right; -1: only B
    only_a, only_b = int(np.count_nonzero(gain > 0)), int(np.count_nonzero(gain < 0))
    statistic, p = math.nan, 1.0
    if codes is None and only_a + only_b:
        statistic, p = _independent(only_a, only_b, chosen)
    elif codes is not None and only_a + only_b:
        statistic, p = _clustered(gain, codes, chosen)
    n = len(true)
    right_a, right_b = (int(np.count_nonzero(labels == true)) for labels in (a, b))
    return McNemar(
        metric="accuracy",
        value_a=right_a / n,
        value_b=right_b / n,
        difference=(right_a - right_b) / n,
        low=math.nan,
        high=math.nan,
        level=math.nan,
        statistic=statistic,
        p_value=p,
        method=f"McNemar, {chosen}",
        n=n,
        n_patients=None if codes is None else int(codes.max()) + 1,
        undefined=0,
        reason=None if only_a + only_b else "the models are right in the same cases",
        only_a=only_a,
        only_b=only_b,
    )


def _independent(b: int, c: int, method: str) -> tuple[float, float]:
    """The statistic and p of b and c differing cases."""
    if method in ("chi2", "chi2-corrected"):
        distance = abs(b - c) - (method == "chi2-corrected")
        statistic = max(0, distance) ** 2 / (b + c)
        return statistic, chi_squared_tail(statistic)
    # Integers: exact for any number of cases.
    ways = [math.comb(b + c, k) for k in range(min(b, c) + 1)]
    tails = 2 * sum(ways)
    if b == c:  # both tails hold the outcome, which is one
        tails -= ways[-1]
    if method == "mid-p":
        tails -= ways[-1]
    return math.nan, tails / 2 ** (b + c)


def _clustered(gain: Labels, codes: Labels, method: str) -> tuple[float, float]:
    """The statistic and p of the gains, 1, 0 or -1, of cases of patients."""
    sums = np.bincount(codes, gain)
    if method == "durkalski":
        means = sums / np.bincount(codes)
        statistic = float(means.sum() ** 2 / (means @ means)) if means.any() else 0.0
        return statistic, chi_squared_tail(statistic)
    chances = _chances_of_sums(np.abs(sums).astype(np.int64))
    reach = (len(chances) - 1) // 2
    distances = np.abs(np.arange(-reach, reach + 1))
    return math.nan, min(1.0, float(chances[distances >= abs(int(sums.sum()))].sum()))


def _chances_of_sums(sizes: Labels) -> Scores:
    """The chance of each sum from -S to S, S = sum of sizes, if every size has a random sign."""
    chances = np.ones(1)
    for size in sizes[sizes > 0].tolist():
        wider = np.zeros(len(chances) + 2 * size)
        wider[: len(chances)] += chances / 2
        wider[2 * size :] += chances / 2
        chances = wider
    return chances
