"""Part of the report: how the networks do on each view, site or severity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from examples.ankle_fracture.evaluation import Level, by_name, without_intervals
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import png
from examples.ankle_fracture.report.part import Part
from seattn.metrics import BinaryReport, Estimate, binary_report, plot_forest, share_interval

__all__ = ["SMALL", "Group", "part"]

Array = np.ndarray[Any, Any]

SMALL = 10
HEADS = {"roc_auc": "ROC area"}


@dataclass(frozen=True)
class Group:
    """The results of one network on one group of images.

    Args:
        attribute: What the group is one of, such as "view"; "" for all images.
        group: Its word.
        images: Items in it.
        patients: Their patients.
        shared: Name of the class without groups, all of which stands against each group; or None.
        small: Whether one of two classes, or else the group, has fewer than 10 patients.
        estimates: By metric.
    """

    attribute: str
    group: str
    images: int
    patients: int
    shared: str | None
    small: bool
    estimates: dict[str, Estimate]

    @property
    def title(self) -> str:
        """Attribute and word, and whether the group is small."""
        word = f"{self.attribute}: {self.group}" if self.attribute else self.group
        return f"{word} (small)" if self.small else word


def part(findings: Findings) -> Part:
    """A forest plot and a table for each network, by image at the main operating point."""
    first, names = findings.first, findings.first.cohort.class_names
    versions = first.items["test"].versions
    words = {
        attribute: np.repeat(column, versions)
        for attribute, column in first.cohort.attributes_of("test").items()
        if len({word for word in column if word}) > 1
    }
    found = {
        name: _groups(result.levels["image"], words, names, inference=findings.config.inference)
        for name, result in first.results.items()
    }
    body = [html.paragraph(text) for text in _reading(next(iter(found.values())))]
    for name, groups in found.items():
        title = first.results[name].title
        body += [
            html.figure(png(_forest(groups)), f"{title}, by image."),
            _table(title, groups, "images" if versions == 1 else "items"),
        ]
    return Part("Subgroups", body, {"subgroups": found})


def _groups(
    level: Level, words: dict[str, Array], names: tuple[str, ...], *, inference: bool
) -> list[Group]:
    """All images, then the groups of each attribute.

    Where of two classes one has no word, as there is no site of what is not broken, each group
    stands against the whole of that class.
    """
    y_true, everything = level.cases.y_true, np.full(len(level.cases.y_true), True)
    places: list[tuple[str, str, Array, Array, str | None]] = [
        ("", "all", everything, everything, None)
    ]
    for attribute, word in words.items():
        wordless = [k for k in (0, 1) if not (word[y_true == k] != "").any()]
        for group in np.unique(word[word != ""]):
            own = among = word == group
            shared = None
            if wordless and len(names) == 2:
                among, shared = own | (y_true == wordless[0]), names[wordless[0]]
            places.append((attribute, str(group), own, among, shared))
    return [
        Group(
            attribute,
            group,
            int(own.sum()),
            len(set(level.cases.patients[own])),
            shared,
            _patients(level, among) < SMALL,
            _estimates(level, among, inference=inference),
        )
        for attribute, group, own, among, shared in places
    ]


def _patients(level: Level, among: Array) -> int:
    """Of the rarer of two classes, or of all together."""
    patients, y_true = level.cases.patients[among], level.cases.y_true[among]
    if isinstance(level.main, BinaryReport):
        return min(len(set(patients[y_true == k])) for k in (0, 1))
    return len(set(patients))


def _estimates(level: Level, among: Array, *, inference: bool) -> dict[str, Estimate]:
    y_true, y_score, patients = (each[among] for each in level.cases)
    if not isinstance(level.main, BinaryReport):
        share = share_interval(level.predicted()[among] == y_true, patients=patients)
        bare = replace(share, low=math.nan, high=math.nan, method=None)
        return {"accuracy": share if inference else bare}
    report = binary_report(
        y_true=y_true,
        y_score=y_score[:, 1],
        patients=patients,
        threshold=level.main.threshold,
        resamples=None,
    )
    found = by_name(report if inference else without_intervals(report))
    return {name: found[name] for name in ("roc_auc", "sensitivity", "specificity")}


def _reading(groups: list[Group]) -> list[str]:
    """What to know before reading the tables."""
    text = [
        f"{len(groups) - 1} groups. Of so many some differ by chance: groups are not tested "
        "against each other, and intervals that do not overlap are a question for another study. "
        f"A group is marked as small with fewer than {SMALL} patients "
        + ("of one of the classes." if "roc_auc" in groups[0].estimates else "in it.")
    ]
    if one_sided := {(g.attribute, g.shared) for g in groups if g.shared}:
        text += [
            f"{', '.join(sorted(name for name, _ in one_sided)).capitalize()}: "
            f"{next(iter(one_sided))[1]} images have none, so each such group is compared with "
            "all of them; the specificity is theirs, and the same for all."
        ]
    return text


def _forest(groups: list[Group]) -> Figure:
    metric = next(iter(groups[0].estimates))
    rows = {g.title.replace("$", r"\$"): replace(g.estimates[metric], reason=None) for g in groups}
    return plot_forest(
        rows, metric=HEADS.get(metric, metric), reference=groups[0].estimates[metric].value
    )


def _table(title: str, groups: list[Group], items: str) -> str:
    metrics = groups[0].estimates
    rows = [
        (g.title, str(g.images), str(g.patients), *map(html.estimate, g.estimates.values()))
        for g in groups
    ]
    head = ("group", items, "patients", *(HEADS.get(name, name) for name in metrics))
    how = html.methods(e for g in groups for e in g.estimates.values())
    return html.table(head, rows, caption=f"{title}, by image. {how}")
