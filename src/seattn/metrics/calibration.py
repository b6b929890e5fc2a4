"""Probabilities from logits by one or two numbers that are fitted on other cases."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seattn.metrics.calibration_fits import inverse_temperature, platt, sigmoid, softmax
from seattn.metrics.fingerprints import fingerprint
from seattn.metrics.inputs import Scores, as_patients, as_scores, binary_scores, class_scores

__all__ = ["Calibrator", "fit_calibrator"]

Method = Literal["temperature", "platt"]


@dataclass(frozen=True)
class Calibrator:
    """Probabilities from logits; ``fit_calibrator`` makes it.

    With one logit z per case sigmoid(slope * z + intercept), with a row of K logits
    softmax(slope * z). The slope is positive, so the order of one logit is kept, and the highest of
    a row.

    Args:
        method: ``"temperature"`` or ``"platt"``.
        slope: Of temperature scaling 1 / T.
        intercept: Of temperature scaling 0.
        columns: K, or ``None`` for one logit per case.
        n: Cases that it was fitted on.
        n_patients: Their patients, or ``None`` where patients were not given.
        fitted_on: The caller's name of those cases.
        fingerprint: A hash of their labels and logits, in any order.

    Examples:
        >>> from seattn.metrics import fit_calibrator
        >>> y_true, logits = [1, 1, 0, 0, 1], [4.0, 2.0, 3.0, -5.0, 6.0]
        >>> calibrator = fit_calibrator(y_true=y_true, y_score=logits)
        >>> round(calibrator.temperature, 2)
        2.45
        >>> calibrator.apply([4.0, 0.0]).round(3)
        array([0.837, 0.5  ])
    """

    method: str
    slope: float
    intercept: float
    columns: int | None
    n: int
    n_patients: int | None
    fitted_on: str
    fingerprint: str

    @property
    def temperature(self) -> float:
        """The T that logits are divided by; above 1 where a model is too sure of itself."""
        return 1 / self.slope

    def apply(self, y_score: npt.ArrayLike) -> Scores:
        """Probabilities of logits (N,), or (N, K), in the same shape and in float64.

        Logits that differ may have the same probability, where float64 rounds it to 0 or 1.
        """
        logits = as_scores(y_score, columns=self.columns)
        if self.columns is None:
            return sigmoid(self.slope * logits + self.intercept)
        return softmax(self.slope * logits)

    def saw(self, *, y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> bool:
        """Whether these labels and logits are the very ones that it was fitted on, in any order.

        On its own cases calibration looks better than it is. A part of them is not recognised.
        """
        check = binary_scores if self.columns is None else class_scores
        return fingerprint(*check(y_true, y_score)) == self.fingerprint

    def to_dict(self) -> dict[str, Any]:
        """The fields, in types that JSON has."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Calibrator":
        """The calibrator of ``to_dict``."""
        return cls(**fields)


def fit_calibrator(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    method: Method = "temperature",
    patients: npt.ArrayLike | None = None,
    fitted_on: str = "validation",
) -> Calibrator:
    """Fit the map from logits to probabilities on these cases, to be applied to others.

    Temperature scaling divides the logits by the T of the smallest log loss: Guo, Pleiss, Sun &
    Weinberger, "On calibration of modern neural networks", ICML 2017. Platt scaling fits a slope
    and an intercept, to targets (N+ + 1) / (N+ + 2) of positives and 1 / (N- + 2) of negatives in
    place of 1 and 0, so that it ends even where the classes are apart: Platt, "Probabilistic
    outputs for support vector machines", Advances in large margin classifiers, 1999.

    Differs from the papers: a slope that is not positive is an error, because it would turn the
    order of the cases round.

    Args:
        y_true: Labels, 0 or 1 for (N,) logits, 0 .. K - 1 for (N, K).
        y_score: Logits: of the positive class, or of every class.
        method: ``"temperature"``, or, for one logit per case, ``"platt"``.
        patients: The patient of each case; they are counted and do not change the fit.
        fitted_on: A name for these cases, to be shown with the results.

    Shape:
        ``y_true`` and ``patients`` (N,), ``y_score`` (N,) or (N, K).

    Returns:
        The calibrator.

    Raises:
        TypeError: If labels or scores are not numbers, or patients are mixed.
        ValueError: If an argument is empty, not finite, or of another shape or length; if the
            labels are of one class; if the logits rank the labels no better than chance; or, for
            temperature, if every label has the highest logit: then the log loss falls for ever as T
            goes to 0.

    Warns:
        UserWarning: If the scores look like probabilities.

    Examples:
        >>> from seattn.metrics import fit_calibrator
        >>> y_true, logits = [1, 1, 0, 0, 1], [4.0, 2.0, 3.0, -5.0, 6.0]
        >>> calibrator = fit_calibrator(y_true=y_true, y_score=logits, method="platt")
        >>> round(calibrator.slope, 3), round(calibrator.intercept, 3)
        (0.206, -0.081)
    """
    if method not in ("temperature", "platt"):
        raise ValueError(f"`method` (={method!r}) must be 'temperature' or 'platt'.")
    binary = np.ndim(y_score) == 1
    labels, logits = (binary_scores if binary else class_scores)(y_true, y_score)
    if method == "platt" and not binary:
        raise ValueError(
            f"`method='platt'` needs one logit per case, not shape {logits.shape}; take "
            "'temperature', or the difference of the two logits of two classes."
        )
    if np.all(labels == labels[0]):
        raise ValueError(
            f"`y_true` is {int(labels[0])} for all {len(labels)} cases; calibration needs cases of "
            "another class."
        )
    _warn_of_probabilities(logits)
    if method == "platt":
        slope, intercept = platt(labels == 1, logits)
    else:
        slope, intercept = inverse_temperature(labels.astype(np.int64), logits), 0.0
    return Calibrator(
        method=method,
        slope=slope,
        intercept=intercept,
        columns=None if binary else logits.shape[1],
        n=len(labels),
        n_patients=None if patients is None else int(as_patients(patients, len(labels)).max()) + 1,
        fitted_on=fitted_on,
        fingerprint=fingerprint(labels, logits),
    )


def _warn_of_probabilities(logits: Scores) -> None:
    looks = logits.min() >= 0 and logits.max() <= 1
    if looks and logits.ndim == 2:
        looks = bool(np.abs(logits.sum(axis=1) - 1).max() < 0.01)
    if looks:
        warnings.warn(
            "`y_score` looks like probabilities, but logits are needed: log(p / (1 - p)) of the "
            "positive class, or log(p) of every class.",
            stacklevel=3,
        )
