"""Part of the report: confusion tables, and what they say about a positive and a negative call."""

from __future__ import annotations

from typing import Any

from examples.ankle_fracture.evaluation import by_name, without_intervals
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part
from examples.ankle_fracture.report.scored import Scored, level_names, scored
from seattn.metrics import (
    BinaryReport,
    ClassificationReport,
    binary_report,
    confusion_matrix,
)

__all__ = ["PREVALENCES", "part"]

PREVALENCES = (0.05, 0.1, 0.25, 0.5)
RATES = ("sensitivity", "specificity", "ppv", "npv")
HEADS = {"ppv": "PPV", "npv": "NPV"}

Facts = dict[str, Any]


def part(findings: Findings) -> Part:
    """The tables of each level, of every model at each of its operating points."""
    names, inference = findings.first.cohort.class_names, findings.config.inference
    body, facts = [], {}
    for level in level_names(findings):
        models = scored(findings, level)
        if len(names) == 2:
            facts[level] = {m.name: _of_two(m, inference=inference) for m in models}
            body += _tables_of_two(level, models, facts[level], names)
        else:
            facts[level] = {m.name: _of_several(m) for m in models}
            for model in models:
                body += _tables_of_several(level, model, facts[level][model.name], names)
    if len(names) == 2:
        body.append(
            html.paragraph(
                "Predictive values depend on how many of those examined have the finding. At other "
                "shares than that of the test set they follow from sensitivity and specificity, "
                "which are taken to hold there too."
            )
        )
    return Part("Confusion tables", body, {"confusion": facts})


def _of_two(model: Scored, *, inference: bool) -> Facts:
    """By operating point: counts, rates, and predictive values at stated prevalences."""
    found = {}
    for rule, report in model.reports.items():
        if not isinstance(report, BinaryReport):
            raise TypeError(f"'{model.name}' has two classes and a report of more.")
        c = report.counts
        found[rule] = {
            "threshold": report.threshold,
            "true_by_predicted": [[c.tn, c.fp], [c.fn, c.tp]],
            "rates": {name: report[name] for name in RATES},
            "at_prevalence": {
                share: _at(model, report, share, inference=inference) for share in PREVALENCES
            },
        }
    return found


def _at(model: Scored, report: BinaryReport, share: float, *, inference: bool) -> Facts:
    again = binary_report(
        y_true=model.cases.y_true,
        y_score=model.cases.y_score[:, 1],
        patients=model.cases.patients,
        threshold=report.threshold,
        prevalence=share,
        resamples=2000 if inference else None,
    )
    found = by_name(again if inference else without_intervals(again))
    return {name: found[f"{name}_at_prevalence"] for name in ("ppv", "npv")}


def _of_several(model: Scored) -> Facts:
    (report,) = model.reports.values()
    if not isinstance(report, ClassificationReport):
        raise TypeError(f"'{model.name}' has several classes and a report of two.")
    matrix = confusion_matrix(
        y_true=model.cases.y_true,
        y_pred=model.cases.y_score.argmax(1),
        num_classes=len(report.class_names),
    )
    rates = {k: {name: of[name] for name in RATES} for k, of in report.per_class.items()}
    return {"true_by_predicted": matrix.tolist(), "rates": rates}


def _tables_of_two(
    level: str, models: list[Scored], facts: Facts, names: tuple[str, ...]
) -> list[str]:
    no, yes = names
    counts, rates, at = [], [], []
    for model in models:
        for rule, of in facts[model.name].items():
            from_here = f"(score \N{GREATER-THAN OR EQUAL TO} {of['threshold']:.3f})"
            who = (model.title, f"{rule} {from_here}")
            (tn, fp), (fn, tp) = of["true_by_predicted"]
            counts.append((*who, *map(str, (tp, fn, fp, tn))))
            rates.append((*who, *(html.estimate(of["rates"][name]) for name in RATES)))
            for name, title in HEADS.items():
                values = (html.estimate(v[name]) for v in of["at_prevalence"].values())
                at.append((model.title, rule, title, *values))
    head = ("network", "operating point")
    called = [f"{true}, called {call}" for true in (yes, no) for call in (yes, no)]
    of_level = f"By {level}. "
    everywhere = [of for points in facts.values() for of in points.values()]
    others = [value for of in everywhere for value in of["at_prevalence"].values()]
    return [
        html.table((*head, *called), counts, caption=f"{of_level}Reference standard, then call."),
        html.table(
            (*head, *(HEADS.get(name, name) for name in RATES)),
            rates,
            caption=of_level + html.methods(e for of in everywhere for e in of["rates"].values()),
        ),
        html.table(
            (*head, "", *(f"{share:.0%} {yes}" for share in PREVALENCES)),
            at,
            caption=f"{of_level}Predictive values where that share of the cases is {yes}. "
            + html.methods(e for of in others for e in of.values()),
        ),
    ]


def _tables_of_several(
    level: str, model: Scored, facts: Facts, names: tuple[str, ...]
) -> list[str]:
    rows = []
    for name, line in zip(names, facts["true_by_predicted"], strict=True):
        cells = (f"{n} ({n / sum(line):.0%})" if sum(line) else str(n) for n in line)
        rows.append((name, *cells))
    rates = [(k, *(html.estimate(of[name]) for name in RATES)) for k, of in facts["rates"].items()]
    who = f"{model.title}, by {level}"
    return [
        html.table(
            ("reference standard", *(f"called {name}" for name in names)),
            rows,
            caption=f"{who}: counts, and shares of each row. The likeliest class is called.",
        ),
        html.table(
            ("class against the rest", *(HEADS.get(name, name) for name in RATES)),
            rates,
            caption=f"{who}.",
        ),
    ]
