"""Part of the report: the training curves."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import COLOURS, png
from examples.ankle_fracture.report.part import Part
from examples.ankle_fracture.training import Epoch

__all__ = ["part"]


def part(findings: Findings) -> Part:
    """Loss and accuracy by epoch, beside what the largest class alone would give."""
    counts = np.sum([c["images_of_class"] for c in findings.first.cohort.counts()], axis=0)
    results = findings.first.results.values()
    figure = _curves({r.title: r.curves for r in results}, float(counts.max() / counts.sum()))
    kept = ", ".join(f"{r.title}: epoch {r.best.epoch}" for r in results)
    caption = f"Training and validation by epoch. Weights kept from {kept}."
    return Part("Training", [html.figure(png(figure), caption)])


def _curves(curves: dict[str, list[Epoch]], majority: float) -> Figure:
    """Loss and accuracy over the epochs, training dashed and validation drawn through."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, (title, rows) in zip(COLOURS, curves.items(), strict=False):
        epochs = [row.epoch for row in rows]
        left.plot(epochs, [row.train_loss for row in rows], "--", color=colour, lw=1)
        left.plot(epochs, [row.val_loss for row in rows], color=colour, label=title)
        right.plot(epochs, [row.train_accuracy for row in rows], "--", color=colour, lw=1)
        right.plot(epochs, [row.val_accuracy for row in rows], color=colour, label=title)
    right.axhline(majority, color="grey", lw=1, ls=":")
    edge = right.get_yaxis_transform()  # x in 0..1 of the axes
    caption = "always the largest class"
    right.text(
        0.99, majority, caption, transform=edge, ha="right", va="top", fontsize=8, color="grey"
    )
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
    start = max(rows[0].train_loss for rows in curves.values())
    left.set(xlabel="epoch", ylabel="cross entropy", ylim=(0, 2 * start))
    right.set(xlabel="epoch", ylabel="accuracy")
    left.legend(fontsize=8, title="dashed: training", title_fontsize=8)
    return figure
