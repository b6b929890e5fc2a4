"""Part of the report: ROC, precision-recall, calibration and decision curves of the test cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import curve_figures, html
from examples.ankle_fracture.report.drawing import png
from examples.ankle_fracture.report.part import Part
from examples.ankle_fracture.report.scored import Scored, level_names, scored
from seattn.metrics import (
    BinaryReport,
    average_precision,
    decision_curve,
    ece,
    net_benefit_band,
    pr_band,
    pr_curve,
    recalibration,
    reliability,
    roc_auc_interval,
    roc_band,
    roc_curve,
    share_interval,
)

__all__ = ["part"]

Facts = dict[str, Any]


def part(findings: Findings) -> Part:
    """The curves of each level; of more than two classes those of each class against the rest."""
    levels = {level: scored(findings, level) for level in level_names(findings)}
    if len(findings.first.cohort.class_names) == 2:
        return _of_two(findings, levels)
    return _of_several(findings, levels)


def _of_two(findings: Findings, levels: dict[str, list[Scored]]) -> Part:
    inference = findings.config.inference
    body, facts = [], {}
    for level, models in levels.items():
        of = {model.name: _binary(model, inference=inference) for model in models}
        facts[level] = of
        body += [
            html.figure(
                png(curve_figures.rates(of)),
                f"By {level}: {_cases(level, models)}. ROC, precision-recall and decision curve. "
                "Marks are operating points, the cross the 95 % intervals there. "
                "Dotted: chance; the prevalence; nobody treated. A network is worth using at those "
                "threshold probabilities where its net benefit is the highest. "
                + _bands(inference),
            ),
            html.figure(
                png(curve_figures.calibration(of)),
                f"By {level}: calibration. Points are ten bins of equal width"
                f"{', with 95 % intervals of the observed share' if inference else ''}; the line "
                "is a logistic recalibration, which needs no bins (slope 1 and intercept 0 are "
                "ideal); ECE is the expected calibration error. Below, how many cases had which "
                "probability.",
            ),
        ]
    return Part("Curves", body, {"curves": facts})


def _of_several(findings: Findings, levels: dict[str, list[Scored]]) -> Part:
    inference, names = findings.config.inference, findings.first.cohort.class_names
    body, facts = [], {}
    for level, models in levels.items():
        of_class = {
            name: {m.name: _roc(m.title, *_against(m, k), inference=inference) for m in models}
            for k, name in enumerate(names)
        }
        calibration = {m.name: _calibration(m, inference=inference) for m in models}
        facts[level] = {"class_against_rest": of_class, "calibration": calibration}
        body += [
            html.figure(
                png(curve_figures.roc_of_classes(of_class)),
                f"By {level}: {_cases(level, models)}. ROC of each class against all others. "
                + _bands(inference),
            ),
            html.figure(
                png(curve_figures.calibration(calibration)),
                f"By {level}: calibration of the predicted class: how often it was right, by its "
                "probability, in ten bins of equal width; ECE is the expected calibration error.",
            ),
        ]
    text = (
        "No decision curve: net benefit weighs two kinds of error, and more than two classes have "
        "more."
    )
    return Part("Curves", [*body, html.paragraph(text)], {"curves": facts})


def _cases(level: str, models: list[Scored]) -> str:
    cases = models[0].cases
    what = "patients" if level == "patient" else f"items of {len(set(cases.patients))} patients"
    return f"{len(cases.y_true)} test {what}"


def _bands(inference: bool) -> str:
    if inference:
        return (
            "Bands hold 95 % at each place of a curve, from patients drawn again. "
            "Areas with their 95 % intervals."
        )
    return "This protocol gives no intervals."


def _against(model: Scored, k: int) -> tuple[Any, Any, Any]:
    """Labels, scores and patients of one class against the rest."""
    y_true, y_score, patients = model.cases
    return (y_true == k).astype(np.int64), y_score[:, k], patients


def _roc(title: str, y_true: Any, y_score: Any, patients: Any, *, inference: bool) -> Facts:
    cases = {"y_true": y_true, "y_score": y_score}
    area = roc_auc_interval(**cases, patients=patients)
    return {
        "title": title,
        "roc": roc_curve(**cases),
        "roc_auc": area.value,
        "roc_auc_interval": (area.low, area.high) if inference else None,
        "roc_band": roc_band(**cases, patients=patients) if inference else None,
    }


def _binary(model: Scored, *, inference: bool) -> Facts:
    """Everything that the figures show of a model of two classes."""
    y_true, y_score, patients = _against(model, 1)
    cases = {"y_true": y_true, "y_score": y_score}
    curve = pr_curve(**cases)
    steps = np.flatnonzero(np.diff(curve.recall))  # of equal recalls the highest precision
    return {
        **_roc(model.title, y_true, y_score, patients, inference=inference),
        "precision_recall": {
            "recall": [*curve.recall[steps], 0.0],
            "precision": [*curve.precision[steps], curve.precision[steps[-1]]],
        },
        "average_precision": average_precision(**cases),
        "precision_recall_band": pr_band(**cases, patients=patients) if inference else None,
        "prevalence": float(y_true.mean()),
        "net_benefit": decision_curve(**cases),
        "net_benefit_band": net_benefit_band(**cases, patients=patients) if inference else None,
        "operating_points": {
            rule: {"threshold": report.threshold}
            | {name: report[name] for name in ("sensitivity", "specificity", "ppv", "net_benefit")}
            for rule, report in model.reports.items()
            if isinstance(report, BinaryReport) and model.name != "baseline"  # 0.5 was not chosen
        },
        **_calibration(model, inference=inference),
    }


def _calibration(model: Scored, *, inference: bool) -> Facts:
    """Of two classes the probability of the second, of more that of the predicted one."""
    y_true, y_score, patients = model.cases
    if y_score.shape[1] == 2:
        kind, scores = "positive", y_score[:, 1]
        came_true, line = y_true == 1, recalibration(y_true=y_true, y_score=scores)
    else:
        kind, scores = "top", y_score.max(1)
        came_true, line = y_true == y_score.argmax(1), None
    table = reliability(y_true=came_true, y_score=scores)
    of_case = np.searchsorted(table.edges[1:-1], scores, side="right")
    intervals = []
    for b in np.flatnonzero(table.counts):
        share = share_interval(came_true[of_case == b], patients=patients[of_case == b])
        intervals.append((share.low, share.high))
    filled = table.counts > 0
    edges = np.arange(21) / 20
    return {
        "title": model.title,
        "calibration": {
            "kind": kind,
            "mean_score": table.mean_score[filled],
            "observed": table.observed[filled],
            "cases": table.counts[filled],
            "intervals": intervals if inference else None,
            "ece": ece(y_true=came_true, y_score=scores),
            "recalibration": line,
            "edges": edges,
            "came_true": np.histogram(scores[came_true], edges)[0],
            "did_not": np.histogram(scores[~came_true], edges)[0],
        },
    }
