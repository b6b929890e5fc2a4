"""Decision curves with bands that know about patients."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seattn.metrics.bands import net_benefit_band
from seattn.metrics.decision import PERCENT, decision_curve
from seattn.metrics.figures import (
    COLOURS,
    GREY,
    WIDTH,
    band_note,
    by_name,
    finish_curves,
    label_axes,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_decision"]


def plot_decision(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    patients: npt.ArrayLike | None = None,
    thresholds: Sequence[float] = PERCENT,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> "Figure":
    """Draw the net benefit of ``decision_curve`` with the band of ``net_benefit_band``.

    Beside it stand treating everybody and treating nobody. A model is worth using at the thresholds
    where it is above both: Vickers & Elkin, "Decision curve analysis: a novel method for evaluating
    prediction models", Med Decis Making 26:565, 2006. Needs matplotlib, as ``plot_roc``.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of the positive class; or those of 1 to 6 models by name, of the
            same cases.
        patients: The patient of each case, numbers or strings; ``None`` takes the cases for
            independent.
        thresholds: As in ``decision_curve``; best those that someone might choose.
        level: Confidence level of the band.
        resamples: As in ``net_benefit_band``.
        seed: As in ``net_benefit_band``.

    Shape:
        Labels, scores and patients (N,).

    Returns:
        A ``matplotlib.figure.Figure``, as ``plot_roc``.

    Raises:
        TypeError: As ``net_benefit_band``.
        ValueError: As ``net_benefit_band``.
        ImportError: matplotlib is not installed.

    Examples:
        >>> from seattn.metrics import plot_decision
        >>> figure = plot_decision(y_true=[1, 1, 0, 0, 1], y_score=[0.9, 0.4, 0.2, 0.6, 0.8])
        >>> figure.axes[0].get_ylabel()
        'net benefit'
    """
    models = by_name(y_score)
    figure = new_figure(WIDTH, 0.8 * WIDTH)
    ax = figure.subplots()
    label_axes(ax, "threshold probability", "net benefit")
    entries, bands, top = [], [], 0.0
    for colour, (name, scores) in zip(COLOURS, models.items(), strict=False):
        curve = decision_curve(y_true=y_true, y_score=scores, thresholds=thresholds)
        band = net_benefit_band(
            y_true=y_true,
            y_score=scores,
            patients=patients,
            thresholds=thresholds,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        ax.fill_between(band.at, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
        label = (name or "model") + band_note(band)
        entries += ax.plot(curve.thresholds, curve.model, color=colour, linewidth=1.4, label=label)
        bands.append(band)
        top = np.nanmax([top, *curve.model, *curve.treat_all, *band.high])
    entries += ax.plot(
        curve.thresholds,
        curve.treat_all,
        color="black",
        linestyle="--",
        linewidth=1,
        label="treat all",
    )
    entries.append(ax.axhline(0, color=GREY, linestyle=":", linewidth=1, label="treat none"))
    # Treating all falls without end; what is far below treating none need not be told apart.
    top = top or 0.01
    ax.set_ylim(-0.25 * top, 1.05 * top)
    ax.set_xlim(band.at.min(), band.at.max())
    return finish_curves(figure, entries, bands, [])
