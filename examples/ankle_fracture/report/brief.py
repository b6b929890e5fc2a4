"""Part of the report: what a clinician should know of the run, in a few lines."""

from __future__ import annotations

import math
from collections.abc import Iterable

from examples.ankle_fracture.evaluation import Level, by_name
from examples.ankle_fracture.findings import BASELINE, Findings, Replicate
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part
from seattn.metrics import BinaryReport, Estimate, OperatingPoint

__all__ = ["part", "squeeze_and_excitation"]

SIGNIFICANT = 0.05


def part(findings: Findings) -> Part:
    """Who was studied, what came out, whether SE helped, where the maps look, the threshold."""
    lines = [
        _studied(findings),
        _main(findings.first),
        _linear(findings.first),
        squeeze_and_excitation(findings),
        _heat_maps(findings),
        _threshold(findings.first),
        _caution(findings),
    ]
    return Part("In brief", [html.items(lines)], {"in_brief": lines})


def _studied(findings: Findings) -> str:
    cohort, config = findings.first.cohort, findings.config
    sizes = {
        c["part"]: f"{c['images']} images of {c['patients']} patients" for c in cohort.counts()
    }
    images = "synthetic images" if config.images is None else "your own images"
    counts = cohort.counts()[-1]["images_of_class"]
    test = ", ".join(f"{name}: {n}" for n, name in zip(counts, cohort.class_names, strict=True))
    titles = _listed(r.title for r in findings.first.results.values())
    return (
        f"{titles} {'were' if len(findings.first.results) > 1 else 'was'} trained to tell "
        f"{_listed(cohort.class_names)} on {images}: {sizes['train']}, "
        f"tuned on {sizes['val']}, tested once on {sizes['test']} ({test}); no patient is in two "
        "of these parts."
    )


def _level(levels: dict[str, Level]) -> tuple[str, Level]:
    """By patient where there is that, else by image."""
    return list(levels.items())[-1]


def _main(first: Replicate) -> str:
    words = []
    for result in first.results.values():
        _, level = _level(result.levels)
        words.append(f"{result.title} {_interval(by_name(level.main)[_key(level)])}")
    name, level = _level(next(iter(first.results.values())).levels)
    known = not math.isnan(by_name(level.main)[_key(level)].low)
    metric = html.metric(_key(level).removeprefix("all classes: "))
    share = ""
    if metric == "accuracy":
        counts = level.cases.y_true.tolist()
        most = max(counts.count(k) for k in set(counts)) / len(counts)
        share = f"; always the largest class would have {most:.3f}"
    head = f"{metric[0].upper()}{metric[1:]} by {name}{' (95 % interval)' if known else ''}"
    return f"{head}: {_listed(words)}{share}."


def _key(level: Level) -> str:
    return "roc_auc" if isinstance(level.main, BinaryReport) else "all classes: accuracy"


def _linear(first: Replicate) -> str:
    found = by_name(first.baseline)
    key = "roc_auc" if isinstance(first.baseline, BinaryReport) else "all classes: accuracy"
    metric = html.metric(key.removeprefix("all classes: "))
    return (
        f"{BASELINE}, which knows no shapes, reaches {metric} {_interval(found[key])} by image: "
        "what the task gives away without a network."
    )


def squeeze_and_excitation(findings: Findings) -> str:
    """Whether SE helped, by the repetitions if there are any, else by the paired test.

    "Helped" and "harmed" need a 95 % interval of the difference on one side of 0, and a p value,
    where there is one, of less than 0.05 after Holm's adjustment.
    """
    names = list(findings.first.results)
    pairs = [(a, a.removeprefix("se_")) for a in names if a.startswith("se_")]
    lines = [_pair(findings, *pair) for pair in pairs if pair[1] in names]
    if not lines:
        return (
            "Whether squeeze-and-excitation (SE) helps was not tested: no two networks differ in "
            "it alone."
        )
    return " ".join(lines)


def _pair(findings: Findings, with_se: str, without: str) -> str:
    level, found = _level(findings.first.results[with_se].levels)
    metric = _key(found).removeprefix("all classes: ")
    results = findings.first.results
    who = f"Squeeze-and-excitation ({results[with_se].title} less {results[without].title})"
    runs = len(findings.replicates)
    for row in findings.repetitions:
        if (row.level, row.metric) == (level, metric) and {row.first, row.second} == {
            with_se,
            without,
        }:
            sign = 1 if row.first == with_se else -1
            values = _turned(sign, row.mean, row.low, row.high)
            basis = f"mean of {runs} seeds"
            return _judged(who, metric, level, values, row.p_holm, basis)
    for each in findings.comparisons:
        test = each.comparison
        if (each.level, test.metric) == (level, metric) and {each.first, each.second} == {
            with_se,
            without,
        }:
            sign = 1 if each.first == with_se else -1
            values = _turned(sign, test.difference, test.low, test.high)
            basis = "one training of each, so another seed may turn it"
            return _judged(who, metric, level, values, each.p_holm, basis)
    return f"{who}: this run tests nothing between networks, so whether it helps is not known."


def _turned(sign: int, value: float, low: float, high: float) -> tuple[float, float, float]:
    return (value, low, high) if sign > 0 else (-value, -high, -low)


def _judged(
    who: str,
    metric: str,
    level: str,
    values: tuple[float, float, float],
    p: float,
    basis: str,
) -> str:
    value, low, high = values
    if math.isnan(low):
        words = "undecided, there is no interval"
    elif low == high:
        words = "undecided, all runs differ by the same, so nothing tells how much others would"
    elif low <= 0 <= high:
        words = "undecided, the interval of the difference holds 0"
    elif p >= SIGNIFICANT:  # False where p is nan: then the interval decides
        words = "undecided, the interval leaves out 0 but the adjusted p is not below 0.05"
    else:
        words = "it helped" if value > 0 else "it did harm"
    p_words = "" if math.isnan(p) else f", p {html.p_value(p)} after Holm's adjustment"
    name = html.metric(metric)
    return (
        f"{who}: {words}. {name[0].upper()}{name[1:]} by {level} differs by {value:+.3f}"
        f"{'' if math.isnan(low) else f' [{low:+.3f}, {high:+.3f}]'}{p_words} ({basis})."
    )


def _heat_maps(findings: Findings) -> str:
    target = findings.config.cam_targets[0]
    words = []
    for result in findings.first.results.values():
        found = result.agreement[target]
        if found.reason:
            words.append(f"{result.title} not scored, since {found.reason}")
            continue
        better = [m.name for m in found.measures if m.beats_all_controls]
        n = f"{len(found.measures)} measures"
        words.append(
            f"{result.title} better than all controls in "
            + (f"{_listed(better)}" if better else f"none of {n}")
            + (f" of {n}" if better else "")
        )
    return (
        "Heat maps against the annotated regions, controls being random weights, the centre and "
        f"where regions tend to lie: {'; '.join(words)}."
    )


def _threshold(first: Replicate) -> str:
    words = []
    for result in first.results.values():
        name, level = _level(result.levels)
        report = level.main
        if not isinstance(report, BinaryReport):
            return "No threshold: the likeliest of the classes is predicted."
        rule = next(iter(level.reports))
        point = result.decision.points[name][rule]
        origin = (
            f"{rule} on validation" if isinstance(point, OperatingPoint) else "fixed beforehand"
        )
        words.append(
            f"{result.title} at {report.threshold:.3f} ({origin}): sensitivity "
            f"{_interval(report['sensitivity'])}, specificity {_interval(report['specificity'])}"
        )
    positive = f"positive is {first.cohort.class_names[1]}"
    return f"Threshold, by {name}, {positive}: {'; '.join(words)}."


def _caution(findings: Findings) -> str:
    if findings.config.confounder is not None:
        return (
            "Casts go with fractures in training, on purpose, and tell nothing in the test: the "
            "part on casts shows what that does. The images are synthetic."
        )
    if findings.config.images is None:
        return "The images are synthetic: nothing here is evidence about patients."
    return "All images come from one source: how the networks do elsewhere is not known."


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return f"not defined ({estimate.reason})"
    return html.interval(estimate.value, estimate.low, estimate.high)


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
