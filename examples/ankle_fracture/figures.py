"""The report's figures as PNG bytes, by matplotlib's object interface: no global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.explanation import NOT_ANNOTATED
from examples.ankle_fracture.training import Epoch
from seattn.explain import overlay

__all__ = ["curves_figure", "examples_figure", "explanation_figure", "roc_figure"]

COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce", "#be123c", "#525252")


def examples_figure(cohort: Cohort, *, columns: int = 6) -> bytes:
    """The first training images of each class, with their annotations outlined."""
    names = cohort.class_names
    figure = Figure(figsize=(1.6 * columns, 1.8 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), columns, squeeze=False)
    labels = [row.label for row in cohort.train.index.rows]
    for label, (name, line) in enumerate(zip(names, axes, strict=True)):
        found = [i for i, other in enumerate(labels) if other == label][:columns]
        for ax in line:
            ax.axis("off")
        for ax, position in zip(line, found, strict=False):
            sample = cohort.train[position]
            _show(ax, _picture(sample.image), sample.mask)
        line[0].set_title(name, loc="left", fontsize=9)
    return _png(figure)


def curves_figure(curves: dict[str, list[Epoch]], *, majority: float) -> bytes:
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
    return _png(figure)


def roc_figure(points: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> bytes:
    """ROC curves from (false positive rate, sensitivity) by name."""
    figure = Figure(figsize=(4.4, 4), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], ":", color="grey", lw=1)
    for colour, (title, (false_positive, sensitivity)) in zip(
        COLOURS, points.items(), strict=False
    ):
        ax.plot(false_positive, sensitivity, color=colour, label=title)
    ax.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    ax.legend(fontsize=8, loc="lower right")
    return _png(figure)


def explanation_figure(
    cohort: Cohort,
    positions: Sequence[int],
    maps: Mapping[str, torch.Tensor],
    notes: Mapping[str, Sequence[str]],
) -> bytes:
    """Test images in rows: the image with its annotation, then each network's Grad-CAM over it."""
    figure = Figure(figsize=(2.1 * (1 + len(maps)), 2.25 * len(positions)), layout="constrained")
    axes = figure.subplots(len(positions), 1 + len(maps), squeeze=False)
    for number, (position, line) in enumerate(zip(positions, axes, strict=True)):
        sample = cohort.test[position]
        _show(line[0], _picture(sample.image), sample.mask)
        line[0].set_title(f"label: {cohort.class_names[int(sample.label)]}", fontsize=8)
        for ax, (title, cams) in zip(line[1:], maps.items(), strict=True):
            _show(ax, overlay(sample.image, cams[number]), sample.mask)
            ax.set_title(f"{title}\n{notes[title][number]}", fontsize=8)
    for ax in axes.flat:
        ax.axis("off")
    return _png(figure)


def _picture(image: torch.Tensor) -> np.ndarray[Any, Any]:
    """(1, H, W) as (H, W), and (3, H, W) as (H, W, 3)."""
    return (image[0] if len(image) == 1 else image.permute(1, 2, 0)).numpy()


def _show(ax: Axes, picture: np.ndarray[Any, Any], mask: torch.Tensor) -> None:
    """Draws a grey (H, W) or RGB (H, W, 3) picture with its annotated region outlined."""
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)  # the range concerns grey pictures only
    region = ((mask[0] > 0) & (mask[0] != NOT_ANNOTATED)).numpy()
    if region.any():
        ax.contour(region, levels=[0.5], colors="#22d3ee", linewidths=1)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()
