"""Part of the report: the paper's figures 2a and 2b, from images to what the networks get."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.ankle_fracture.cams import annotated
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import picture, png, show
from examples.ankle_fracture.report.flow import augmentation, grey_values
from examples.ankle_fracture.report.part import Part
from seattn.data import DicomDataset
from seattn.data.sample import Sample

__all__ = ["Panel", "alone", "part", "steps", "versions"]

EPOCHS = 6  # versions that are shown of an image that is augmented anew in every epoch
# In the order in which they are done.
STILL: dict[str, Any] = {"flips": False, "rotation": 0.0, "scaling": 0.0, "contrast": 0.0}


@dataclass(frozen=True)
class Panel:
    """One picture: what it shows, and the image with its mask as a batch of one."""

    title: str
    sample: Sample

    def facts(self) -> dict[str, Any]:
        """Its title, size and range."""
        image = self.sample.image
        low, high = image.aminmax()
        size = list(image.shape[-2:])
        return {"title": self.title, "pixels": size, "low": low.item(), "high": high.item()}


def part(findings: Findings) -> Part:
    """An image before and after pre-processing, and the same image augmented."""
    config, items = findings.config, findings.first.items["train"]
    position = _chosen(items)
    before = steps(config, items, position)
    label = findings.first.cohort.class_names[items.dataset.index.rows[position].label or 0]
    body = [
        html.figure(
            png(_row(before), dpi=150),
            f"Figure 2a. A training image ({label}) from the file to what the networks get, in the "
            "order in which it is done: " + _order(config),
        )
    ]
    parts, whole = alone(items, position), versions(items, position)
    if parts:
        body.append(html.figure(png(_rows(parts, whole), dpi=150), _caption(config, items)))
    else:
        body.append(html.paragraph("Figure 2b: nothing is augmented in this run."))
    facts = {
        "pictures": {
            "row": position,
            "class": label,
            "preprocessing": [panel.facts() for panel in before],
            "changes_alone": [panel.facts() for panel in parts],
            "versions": [panel.facts() for panel in whole],
        }
    }
    return Part("Pre-processing and augmentation", body, facts)


def steps(config: Config, items: Items, position: int) -> list[Panel]:
    """The image after each step: of the file, in the window, all but bone, resized, with noise.

    The steps before resizing are those of the dataset, done at the file's own size.
    """
    row = items.dataset.index.rows[position]
    one = items.dataset.index.subset([position])
    units: Any = "minmax" if config.window == "minmax" else "window"
    window = None if isinstance(config.window, str) else config.window

    def whole(title: str, units: Any, *, bone: bool = False) -> Panel:
        fixed = window if units == "window" else None
        size = (row.rows, row.columns)
        data = DicomDataset(one, size=size, units=units, window=fixed, bone_mask=bone)
        return Panel(title, data.batch([0]))

    panels = [whole(f"original, {row.columns}x{row.rows} pixels,\nits whole range", "minmax")]
    if units != "minmax":
        panels.append(whole(f"{grey_values(config)}\nto 0..1", units))
    if config.bone_mask:
        panels.append(whole("all but bone black", units, bone=True))
    size = f"{config.size}x{config.size}"
    panels.append(Panel(f"resized to {size}", items.dataset.batch([position])))
    if config.noise:
        panels.append(Panel(f"with noise, SD {config.noise:g}", _item(items, position, **STILL)))
    return panels


def alone(items: Items, position: int) -> list[Panel]:
    """The first version of an image with each change of the protocol alone, and with all."""
    protocol = items.protocol
    if not (protocol.copies or protocol.online):
        return []
    changes = {name: getattr(protocol, name) for name in STILL if getattr(protocol, name)}
    panels = [
        Panel(f"{name} alone", _item(items, position, **STILL | {name: amount}, version=1))
        for name, amount in changes.items()
    ]
    if not panels:
        return []
    before = Panel("before", _item(items, position, **STILL, version=1))
    return [before, *panels, Panel("all together", _item(items, position, version=1))]


def versions(items: Items, position: int) -> list[Panel]:
    """The image as the networks get it: with its copies, or in the first epochs."""
    if items.protocol.copies:
        names = ["the image", *(f"copy {n}" for n in range(1, items.versions))]
        return [
            Panel(name, _item(items, position, version=number)) for number, name in enumerate(names)
        ]
    if not items.protocol.online:
        return []
    epochs = range(min(EPOCHS, items.protocol.epochs))
    return [Panel(f"epoch {n + 1}", _item(items, position, epoch=n)) for n in epochs]


def _item(
    items: Items, position: int, *, version: int = 0, epoch: int = 0, **changes: Any
) -> Sample:
    """A version of an image under the protocol with some of its choices changed."""
    changed = dataclasses.replace(items, protocol=dataclasses.replace(items.protocol, **changes))
    number = position * items.versions + version % items.versions
    return changed.batch(np.array([number]), epoch=epoch)


def _chosen(items: Items) -> int:
    """The first training image with an annotation; else the first that is not of class 0."""
    labels = [row.label for row in items.dataset.index.rows]
    found = annotated(items.dataset) or [i for i, label in enumerate(labels) if label]
    return found[0]


def _order(config: Config) -> str:
    text = "grey values" + (", bone" if config.bone_mask else "") + ", size"
    text += ", noise. " if config.noise else ". "
    text += (
        "The paper names the same steps with the size first; a window and a mask of bone are "
        "exact only on the file's own pixels. "
    )
    if config.noise:
        where = "all parts" if config.noise_on == "all" else "training images alone"
        text += f"Noise is added to {where}. "
    return text + "Annotated regions, if any, are outlined."


def _caption(config: Config, items: Items) -> str:
    """What was drawn at random, and what is in each row."""
    how = (
        f"the image and its {config.copies} copies, which are made once, of every part, "
        "validation and test too"
        if config.copies
        else "the image in its first epochs; validation and test images stay as they are"
    )
    return (
        f"Figure 2b. Augmentation: {', '.join(augmentation(config))}. Above the first version of "
        f"the image of figure 2a, with each change by itself and with all of them; below {how}."
    )


def _row(panels: list[Panel]) -> Figure:
    figure = Figure(figsize=(9, 9 / max(len(panels), 4) + 0.45), layout="constrained")
    _draw(figure.subplots(1, max(len(panels), 4), squeeze=False)[0], panels)
    return figure


def _rows(above: list[Panel], below: list[Panel]) -> Figure:
    columns = max(len(above), len(below))
    figure = Figure(figsize=(9, 2 * (9 / columns + 0.3)), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    for line, panels in zip(axes, (above, below), strict=True):
        _draw(line, panels)
    return figure


def _draw(axes: np.ndarray[Any, Any], panels: list[Panel]) -> None:
    for ax in axes:
        ax.axis("off")
    for ax, panel in zip(axes, panels, strict=False):
        _show(ax, panel)


def _show(ax: Axes, panel: Panel) -> None:
    image, mask = panel.sample.image[0], panel.sample.mask[0]
    show(ax, picture(image), torch.as_tensor(mask))
    ax.set_title(panel.title, fontsize=8)
