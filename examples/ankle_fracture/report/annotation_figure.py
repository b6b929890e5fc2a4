"""The paper's figure 5: annotations of several readers beside each network's Grad-CAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from examples.ankle_fracture.cams import annotated, cams
from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.readers import REFERENCE, pixel_spacing, simulated_readers
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import REGION, outline, picture, png
from seattn.explain import dice, label_regions, overlay, region_table

__all__ = ["annotation_figure"]

SHOWN = 4
STYLES = {
    REFERENCE: {"colors": REGION, "linestyles": "solid", "linewidths": 1.6},
    "shifted": {"colors": "#ff5cff", "linestyles": "dashed", "linewidths": 1.2},
    "dilated": {"colors": "#a3e635", "linestyles": "dotted", "linewidths": 1.4},
    "partial": {"colors": "#fb923c", "linestyles": "dashdot", "linewidths": 1.2},
}
OF_MAP = {"colors": "white", "linestyles": "solid", "linewidths": 0.8}
CLASS = {"label": "image's own class", "predicted": "predicted class"}


def annotation_figure(findings: Findings) -> tuple[str, list[dict[str, Any]]]:
    """The figure with its caption, and its numbers: a row for each image and network.

    Images with several annotated regions come first. Without annotations the first test images
    are shown.
    """
    cohort, target = findings.first.cohort, findings.config.cam_targets[0]
    positions = _chosen(cohort)
    marked = positions or list(range(min(SHOWN, len(cohort.test))))
    readers = _readers(cohort, marked) if positions else {}
    results = findings.first.results.values()
    versions = findings.first.items["test"].versions
    maps = {
        r.title: cams(r.network, r.target_layer, cohort.test, marked, target=target)[0]
        for r in results
    }
    facts = [
        {"network": r.title, **_numbers(r, cohort, place, versions, target, one)}
        | (_overlap(one, readers[REFERENCE][number]) if readers else {})
        for r in results
        for number, (place, one) in enumerate(zip(marked, maps[r.title], strict=True))
    ]
    figure = _draw(cohort, marked, readers, maps, facts)
    return html.figure(png(figure), _caption(target, simulated=bool(readers))), facts


def _chosen(cohort: Cohort) -> list[int]:
    """The annotated test images to show: half of them with several regions, if so many have.

    Each is the first of those whose patient, and then whose view, was shown least so far.
    """
    positions, rows = annotated(cohort.test), cohort.test.index.rows
    if not positions:
        return []
    regions = label_regions(cohort.test.batch(positions).mask[:, 0] == 1).flatten(1).amax(1)
    several = [p for p, n in zip(positions, regions.tolist(), strict=True) if n > 1]
    single = [p for p, n in zip(positions, regions.tolist(), strict=True) if n == 1]
    chosen: list[int] = []
    for number in range(min(SHOWN, len(positions))):
        pool = several if several and (number < SHOWN // 2 or not single) else single
        patients = [rows[p].patient for p in chosen]
        views = [rows[p].view for p in chosen]
        seen = [(patients.count(rows[p].patient), views.count(rows[p].view)) for p in pool]
        chosen.append(pool.pop(seen.index(min(seen))))
    return chosen


def _readers(cohort: Cohort, positions: Sequence[int]) -> dict[str, torch.Tensor]:
    masks = cohort.test.batch(positions).mask[:, 0] == 1
    return {REFERENCE: masks, **simulated_readers(masks, pixel_spacing(cohort.test, positions))}


def _numbers(
    result: Result, cohort: Cohort, place: int, versions: int, target: str, cam: torch.Tensor
) -> dict[str, Any]:
    """Which class the map explains, how probable the network found it, whether there is a map."""
    scores = result.probabilities["test"][place * versions]
    labels = cohort.labels("test")
    explained = labels[place] if target == "label" else int(scores.argmax())
    return {
        "test_image": place,
        "view": cohort.test.index.rows[place].view,
        "label": cohort.class_names[labels[place]],
        "explained": cohort.class_names[explained],
        "probability": float(scores[explained]),
        "blank": not bool(cam.any()),
    }


def _overlap(cam: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    table = region_table(cam[None], label_regions(mask[None]))
    return {
        "dice": float(dice(cam[None], mask[None])),
        "regions": len(table),
        "regions_hit": sum(region.hit for region in table),
    }


def _draw(
    cohort: Cohort,
    positions: Sequence[int],
    readers: Mapping[str, torch.Tensor],
    maps: Mapping[str, torch.Tensor],
    facts: Sequence[Mapping[str, Any]],
) -> Figure:
    """Images in rows: alone, with the outlines, then with each network's map over it."""
    plain = 2 if readers else 1
    columns = plain + len(maps)
    size = (2.05 * columns, 2.4 * len(positions) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(positions), columns, squeeze=False)
    for number, (position, line) in enumerate(zip(positions, axes, strict=True)):
        sample = cohort.test[position]
        own = [fact for fact in facts if fact["test_image"] == position]
        for ax in line[:plain]:
            ax.imshow(picture(sample.image), cmap="gray", vmin=0, vmax=1)
        line[0].set_title(f"{own[0]['view']}\nlabel: {own[0]['label']}", fontsize=8)
        if readers:
            line[1].set_title(f"annotations,\nregions: {own[0]['regions']}", fontsize=8)
            for name, masks in readers.items():
                outline(line[1], masks[number], **STYLES[name])
        for ax, found, fact in zip(line[plain:], maps.values(), own, strict=True):
            ax.imshow(overlay(sample.image, found[number]))
            ax.set_title(_title(fact), fontsize=8)
            if readers:
                _contours(ax, found[number], readers[REFERENCE][number])
        for ax in line:
            ax.axis("off")
    if readers:
        handles = [_handle(name, style) for name, style in STYLES.items()]
        handles.append(_handle("strongest part of the map", OF_MAP))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            fontsize=8,
            facecolor="0.25",
            labelcolor="white",
        )
    return figure


def _contours(ax: Axes, cam: torch.Tensor, mask: torch.Tensor) -> None:
    """The reference standard, and the map's strongest pixels: as many as that has, none at 0."""
    outline(ax, mask, **STYLES[REFERENCE])
    least = cam.flatten().topk(int(mask.sum())).values[-1]
    outline(ax, (cam >= least) & (cam > 0), **OF_MAP)


def _title(fact: Mapping[str, Any]) -> str:
    lines = [fact["network"], f"{fact['explained']} (p {fact['probability']:.2f})"]
    if fact["blank"]:
        lines[1] += ", blank map"
    elif "dice" in fact:
        lines[1] += f", Dice {fact['dice']:.2f}, {fact['regions_hit']}/{fact['regions']} hit"
    return "\n".join(lines)


def _handle(name: str, style: Mapping[str, Any]) -> Line2D:
    label = name if name == REFERENCE or style is OF_MAP else f"{name} (simulated)"
    return Line2D(
        [],
        [],
        color=style["colors"],
        linestyle=style["linestyles"],
        linewidth=style["linewidths"],
        label=label,
    )


def _caption(target: str, *, simulated: bool) -> str:
    text = (
        f"Grad-CAM of the {CLASS[target]}, with the network's probability p of that class. "
        "Each map has its own colour scale, up to its maximum. "
    )
    if not simulated:
        return text + "The first test images; not a selection. None of the test images has a mask."
    return (
        "Annotations beside Grad-CAM (the paper's figure 5). Annotated test images of different "
        "patients, half of them with several regions if so many have; not selected by result. "
        "The three readers are simulated, made of the reference standard by rules: nobody has "
        "drawn them. "
        f"{text}White: the strongest pixels of the map, as many as the reference standard has; "
        "Dice is their overlap with it, and a region is hit if one of its pixels is among the "
        "strongest 5 % of the image."
    )
