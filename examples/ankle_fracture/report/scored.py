"""Who is shown in the statistical parts: each network and the pixel baseline, on the test cases."""

from __future__ import annotations

from dataclasses import dataclass

from examples.ankle_fracture.decision import Cases, levels
from examples.ankle_fracture.evaluation import Report, report_of, without_intervals
from examples.ankle_fracture.findings import BASELINE, Findings
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.protocol import Protocol

__all__ = ["Scored", "level_names", "scored"]


@dataclass(frozen=True)
class Scored:
    """The test cases of one level as one model scored them.

    Args:
        name: Of the network, or "baseline".
        title: As it stands in the report.
        cases: Labels, probabilities and patients.
        reports: By operating point, without intervals where the protocol gives none.
    """

    name: str
    title: str
    cases: Cases
    reports: dict[str, Report]


def level_names(findings: Findings) -> list[str]:
    """The levels of the results: image, and patient if there is one."""
    return list(next(iter(findings.first.results.values())).levels)


def scored(findings: Findings, level: str) -> list[Scored]:
    """The networks of the first seed, then the baseline, which is called at 0.5."""
    first = findings.first
    found = [
        Scored(name, result.title, result.levels[level].cases, result.levels[level].reports)
        for name, result in first.results.items()
    ]
    images = Items(first.cohort.test, Protocol.sound(), training=False, seed=first.seed)
    cases = levels(first.pixels, images, findings.config)[level]
    report = report_of(cases, first.cohort.class_names)
    report = report if findings.config.inference else without_intervals(report)
    rule = "0.5" if len(first.cohort.class_names) == 2 else "highest probability"
    return [*found, Scored("baseline", BASELINE, cases, {rule: report})]
