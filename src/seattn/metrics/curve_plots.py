"""ROC and precision-recall curves with bands that know about patients."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seattn.metrics.bands import pr_band, roc_band
from seattn.metrics.curves import pr_curve, roc_curve
from seattn.metrics.delong import roc_auc_interval
from seattn.metrics.estimate import Estimate
from seattn.metrics.figures import (
    COLOURS,
    GREY,
    WIDTH,
    band_note,
    by_name,
    finish_curves,
    interval_words,
    label_axes,
    new_figure,
)
from seattn.metrics.inputs import Flags, as_patients, binary_scores, check_threshold
from seattn.metrics.operating_points import OperatingPoint
from seattn.metrics.patient_bootstrap import bootstrap
from seattn.metrics.proportion import share_estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["plot_pr", "plot_roc"]

Threshold = float | OperatingPoint


def plot_roc(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    patients: npt.ArrayLike | None = None,
    threshold: Threshold | Mapping[str, Threshold] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> "Figure":
    """Draw the ROC curve of ``roc_curve`` with the band of ``roc_band``, of one model or several.

    The legend has the area with the interval of ``roc_auc_interval``. A threshold is marked by a
    cross: the intervals of sensitivity and of 1 - specificity, Wilson's, which know about patients.
    Needs matplotlib, the ``plot`` extra; its global state is left alone, and
    ``figure.savefig(path)`` keeps the picture.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class; or those of 1 to 6 models by
            name, of the same cases.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        threshold: Scores from here on are positive: the operating point to mark, of all models or
            of those named; a number or an ``OperatingPoint``. ``None`` marks none.
        level: Confidence level of the band and of the intervals.
        resamples: As in ``roc_band``.
        seed: As in ``roc_band``.

    Shape:
        Labels, scores and patients (N,).

    Returns:
        A ``matplotlib.figure.Figure``, 8 cm wide. Where there is no band or interval the
        legend says why.

    Raises:
        TypeError: As ``roc_band``.
        ValueError: As ``roc_band``, or for a threshold of a model that is not there.
        ImportError: matplotlib is not installed.

    Examples:
        >>> from seattn.metrics import plot_roc
        >>> figure = plot_roc(
        ...     y_true=[1, 1, 0, 0, 1, 0, 1, 0],
        ...     y_score=[0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     patients=["a", "a", "b", "b", "c", "d", "e", "f"],
        ...     threshold=0.5,
        ... )
        >>> figure.axes[0].get_ylabel()
        'sensitivity'
    """
    models = by_name(y_score)
    thresholds = _thresholds(threshold, models)
    figure, ax = _square("1 \N{MINUS SIGN} specificity", "sensitivity")
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    entries, bands, estimates = [], [], []
    for colour, (name, scores) in zip(COLOURS, models.items(), strict=False):
        band = roc_band(
            y_true=y_true,
            y_score=scores,
            patients=patients,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        area = roc_auc_interval(y_true=y_true, y_score=scores, patients=patients, level=level)
        curve = roc_curve(y_true=y_true, y_score=scores)
        ax.fill_between(band.at, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
        label = f"{name}\nAUC {interval_words(area)}".lstrip() + band_note(band)
        entries += ax.plot(curve.fpr, curve.tpr, color=colour, linewidth=1.4, label=label)
        bands.append(band)
        estimates.append(area)
        if name in thresholds:
            at = thresholds[name]
            shares = _shares(y_true, scores, patients, at, level)
            entries += _cross(ax, at, *shares, colour)
            estimates += shares
    return finish_curves(figure, entries, bands, estimates)


def plot_pr(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    patients: npt.ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> "Figure":
    """Draw the precision-recall curve of ``pr_curve``, as steps, with the band of ``pr_band``.

    The area under the steps is the average precision, in the legend with the interval of
    ``bootstrap``. A dotted line marks the prevalence, the precision of a score that knows nothing.
    Needs matplotlib, as ``plot_roc``.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Any finite scores, higher for the positive class; or those of 1 to 6 models by
            name, of the same cases.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        level: Confidence level of the band and of the interval.
        resamples: As in ``pr_band``, of both.
        seed: As in ``pr_band``, of both.

    Shape:
        Labels, scores and patients (N,).

    Returns:
        A ``matplotlib.figure.Figure``, as ``plot_roc``.

    Raises:
        TypeError: As ``pr_band``.
        ValueError: As ``pr_band``.
        ImportError: matplotlib is not installed.

    Examples:
        >>> from seattn.metrics import plot_pr
        >>> figure = plot_pr(y_true=[1, 1, 0, 0, 1], y_score=[0.9, 0.4, 0.2, 0.6, 0.8])
        >>> figure.axes[0].get_ylabel()
        'precision'
    """
    models = by_name(y_score)
    figure, ax = _square("recall", "precision")
    entries, bands, estimates = [], [], []
    for colour, (name, scores) in zip(COLOURS, models.items(), strict=False):
        band = pr_band(
            y_true=y_true,
            y_score=scores,
            patients=patients,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        area = bootstrap(
            "average_precision",
            y_true=y_true,
            y_score=scores,
            patients=patients,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        ax.fill_between(
            band.at, band.low, band.high, step="pre", color=colour, alpha=0.2, linewidth=0
        )
        curve = pr_curve(y_true=y_true, y_score=scores)
        # Of several precisions at one recall that of the highest threshold, which the area takes;
        # it has none at recall 0, from where the first step is drawn.
        recall, precision = curve.recall[::-1], curve.precision[::-1]
        first = np.flatnonzero(np.diff(recall, prepend=-1) != 0)
        label = f"{name}\naverage precision {interval_words(area)}".lstrip() + band_note(band)
        entries += ax.step(
            recall[first],
            precision[[*first[1:2], *first[1:]]],
            where="pre",
            color=colour,
            linewidth=1.4,
            label=label,
        )
        bands.append(band)
        estimates.append(area)
    prevalence = float(np.mean(binary_scores(y_true, scores)[0]))
    label = f"prevalence {prevalence:.3f}"
    entries.append(ax.axhline(prevalence, color=GREY, linestyle=":", linewidth=1, label=label))
    return finish_curves(figure, entries, bands, estimates)


def _square(x: str, y: str) -> "tuple[Figure, Axes]":
    """Axes of rates from 0 to 1."""
    figure = new_figure(WIDTH, WIDTH)
    ax = figure.subplots()
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    label_axes(ax, x, y)
    return figure, ax


def _thresholds(
    threshold: Threshold | Mapping[str, Threshold] | None, models: Mapping[str, npt.ArrayLike]
) -> Mapping[str, float]:
    if threshold is None:
        return {}
    if not isinstance(threshold, Mapping):
        threshold = dict.fromkeys(models, threshold)
    found = {}
    for name, given in threshold.items():
        if name not in models:
            raise ValueError(
                f"`threshold` names {name!r}, which is no model; choose from {list(models)}."
            )
        found[name] = given.threshold if isinstance(given, OperatingPoint) else given
        check_threshold(found[name])
    return found


def _shares(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patients: npt.ArrayLike | None,
    threshold: float,
    level: float,
) -> tuple[Estimate, Estimate]:
    """Sensitivity and specificity."""
    positive, scores = binary_scores(y_true, y_score)
    codes = None if patients is None else as_patients(patients, len(scores))
    right = (scores >= threshold) == positive

    def share(among: Flags, undefined: str) -> Estimate:
        some = None if codes is None else codes[among]
        return share_estimate(right[among], some, level=level, undefined=undefined)

    return share(positive, "no positives"), share(~positive, "no negatives")


def _cross(
    ax: "Axes", threshold: float, found: Estimate, spared: Estimate, colour: str
) -> "list[Line2D]":
    """The operating point with both intervals; without those that are not defined."""
    x, y = 1 - spared.value, found.value
    ax.plot([x, x], [found.low, found.high], color=colour, linewidth=0.9)
    ax.plot([1 - spared.low, 1 - spared.high], [y, y], color=colour, linewidth=0.9)
    label = (
        f"score \N{GREATER-THAN OR EQUAL TO} {threshold:.3g}:\n"
        f"sensitivity {interval_words(found)}\nspecificity {interval_words(spared)}"
    )
    return ax.plot([x], [y], color=colour, marker="o", markersize=4, linewidth=0.9, label=label)
