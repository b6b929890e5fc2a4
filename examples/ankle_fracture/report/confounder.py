"""Part of the report: what a shortcut does, where the phantom's casts go with its fractures."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from examples.ankle_fracture.evaluation import by_name
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import picture, png, show
from examples.ankle_fracture.report.part import Part
from examples.ankle_fracture.shortcut import Shortcut, maps_of, shortcuts
from seattn.data import DicomDataset
from seattn.explain import overlay
from seattn.metrics import Comparison

__all__ = ["part", "verdict"]


def part(findings: Findings) -> Part | None:
    """Both results of the test patients, and the heat maps on the casts; None without a confounder.

    Every seed is in the facts; the tables show the first, with the differences of all.
    """
    chance = findings.config.confounder
    if chance is None:
        return None
    runs = [shortcuts(each, findings.config) for each in findings.replicates]
    first, cohort = runs[0], findings.first.cohort
    body = [
        html.paragraph(
            f"In training and validation a cast is on {chance:.0%} of the fractured and "
            f"{1 - chance:.0%} of the other patients, so a network that looks at nothing else has "
            f"a balanced accuracy of {max(chance, 1 - chance):.0%} there. In the test it is on "
            "half of either. The test patients are also shown with casts as in training, which is "
            "what a study of one such hospital would report. Weights, calibration and thresholds "
            "are the same for both."
        ),
        html.items(verdict(each, first_metric(each)) for each in first.values()),
        *_results(findings, runs),
        _called(first),
    ]
    if cohort.casts is not None:
        body += [_on_casts(first), html.figure(*_pictures(findings, cohort.casts))]
    facts = [
        {"seed": replicate.seed, "models": {name: _plain(each) for name, each in run.items()}}
        for replicate, run in zip(findings.replicates, runs, strict=True)
    ]
    return Part("A shortcut on purpose: casts", body, {"confounder": facts})


def first_metric(found: Shortcut) -> Comparison:
    """The difference that the verdict rests on: the first metric by patient, else by image."""
    return next(iter(list(found.differences.values())[-1].values()))


def verdict(found: Shortcut, difference: Comparison) -> str:
    """What the paired difference says, in one sentence."""
    level, metric = list(found.levels)[-1], html.metric(difference.metric)
    moved = (
        f"{difference.value_b:.3f} with casts as in training, {difference.value_a:.3f} in the test"
    )
    gap = html.interval(difference.difference, difference.low, difference.high)
    if math.isnan(difference.low):
        words = "no interval tells whether it fell"
    elif difference.high < 0:
        words = "it leaned on the casts: the fall is more than chance"
    elif difference.low > 0:
        words = "it does better where casts tell nothing, which no shortcut explains"
    else:
        words = "no fall is shown: the interval of the difference holds 0"
    return f"{found.title}, {metric} by {level}: {moved}; difference {gap}; {words}."


def _plain(found: Shortcut) -> dict[str, object]:
    return {
        "title": found.title,
        "as_trained": {
            level: {rule: report.to_dict() for rule, report in each.reports.items()}
            for level, each in found.levels.items()
        },
        "difference": found.differences,
        "called_fractured": found.called,
        "heat_on_casts": found.on_casts,
    }


def _results(findings: Findings, runs: list[dict[str, Shortcut]]) -> list[str]:
    """A table for each level: the test beside the same patients with casts as in training."""
    tables = []
    for level in next(iter(runs[0].values())).levels:
        rows = []
        for name, found in runs[0].items():
            test = by_name(findings.first.results[name].levels[level].main)
            as_trained = by_name(found.levels[level].main)
            for metric, difference in found.differences[level].items():
                key = metric if metric in test else f"all classes: {metric}"
                every = [run[name].differences[level][metric].difference for run in runs]
                rows.append(
                    (
                        found.title,
                        html.metric(metric),
                        html.estimate(as_trained[key]),
                        html.estimate(test[key]),
                        html.interval(difference.difference, difference.low, difference.high),
                        ", ".join(f"{value:+.3f}" for value in every),
                    )
                )
        n = next(iter(found.differences[level].values())).n_patients
        caption = (
            f"By {level}, seed {findings.first.seed}: the same {n} patients twice. Difference: the "
            "test less casts as in training; interval by paired bootstrap over patients."
        )
        head = ("network", "metric", "casts as in training", "test: casts tell nothing")
        tables.append(html.table((*head, "difference, 95 %", "each seed"), rows, caption=caption))
    return tables


def _called(found: Mapping[str, Shortcut]) -> str:
    """Sensitivity and false alarms with and without a cast: the shortcut without heat maps."""
    rows = [
        (
            each.title,
            "fractured" if group.fractured else "not fractured",
            "yes" if group.cast else "no",
            str(group.share.n),
            str(group.share.n_patients),
            html.estimate(group.share),
        )
        for each in found.values()
        for group in each.called
    ]
    head = ("network", "images", "cast shows", "images", "patients", "called fractured, 95 %")
    caption = (
        "Test images by fracture and cast. A network that looks at the bone alone calls as many "
        "with a cast as without one."
    )
    return html.table(head, rows, caption=caption)


def _on_casts(found: Mapping[str, Shortcut]) -> str:
    rows = [
        (
            each.title,
            "fractured" if group.fractured else "not fractured",
            f"{group.images} ({group.patients})",
            f"{group.mass:.1%}",
            f"{group.randomised:.1%}",
            f"{group.area:.1%}",
            _percent(group.excess, group.low, group.high),
            str(group.blank),
        )
        for each in found.values()
        for group in each.on_casts
    ]
    head = (
        "network",
        "test images with a cast",
        "images (patients)",
        "heat on the cast",
        "with random weights",
        "cast's share of the image",
        "heat less share by patient, 95 %",
        "blank maps",
    )
    caption = (
        "Grad-CAM of the class fracture (of more than two classes: the predicted one). Mean share "
        "of the map that lies on the cast; a map without structure has the cast's share of the "
        "image. Blank maps count as 0. Intervals by Student's t over patients."
    )
    return html.table(head, rows, caption=caption)


def _percent(value: float, low: float, high: float) -> str:
    return f"{value:+.1%}" + ("" if math.isnan(low) else f" [{low:+.1%}, {high:+.1%}]")


def _pictures(findings: Findings, casts: DicomDataset) -> tuple[bytes, str]:
    """Two fractured and two other images of different patients, with each network's map."""
    shown = _chosen(casts)
    results = findings.first.results.values()
    maps = {r.title: maps_of(r, casts) for r in results}
    tests = {row.path: i for i, row in enumerate(findings.first.cohort.test.index.rows)}
    versions = findings.first.items["test"].versions
    names = findings.first.cohort.class_names
    figure = Figure(figsize=(2.1 * (1 + len(maps)), 2.25 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1 + len(maps), squeeze=False)
    for position, line in zip(shown, axes, strict=True):
        sample = casts[position]
        show(line[0], picture(sample.image), sample.mask)
        line[0].set_title(f"label: {names[int(sample.label)]}", fontsize=8)
        item = tests[casts.index.rows[position].path] * versions
        for ax, result in zip(line[1:], results, strict=True):
            show(ax, overlay(sample.image, maps[result.title][position]), sample.mask)
            scores = result.probabilities["test"][item]
            explained = 1 if len(names) == 2 else int(scores.argmax())
            note = f"{names[explained]}: {scores[explained]:.2f}"
            ax.set_title(f"{result.title}\n{note}", fontsize=8)
    caption = (
        "Test images with a cast, the cast outlined. The first of different patients, fractured "
        "and not; not a selection by their maps. Left the image, then Grad-CAM of each network "
        "with the probability of the class that it explains. Maps are scaled one by one."
    )
    return png(figure), caption


def _chosen(casts: DicomDataset, *, each: int = 2) -> list[int]:
    found: dict[bool, dict[str, int]] = {True: {}, False: {}}
    for position, row in enumerate(casts.index.rows):
        found[bool(row.label)].setdefault(row.patient, position)
    return [i for of in found.values() for i in list(of.values())[:each]]
