"""Part of the report: what this run cannot show, computed from it, and what it is for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from examples.ankle_fracture.config import Config
from examples.ankle_fracture.evaluation import by_name
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part
from seattn.metrics import BinaryReport

__all__ = ["limitations", "part", "widest"]

FEW_SEEDS = 5
WIDE = 0.05
INTENDED_USE = (
    "To compare networks and protocols on the same images, and to try out a way of evaluating them "
    "before patients are involved."
)
NOT_FOR_DIAGNOSIS = (
    "Not for diagnosis, triage or treatment. It is no medical device, no regulator has seen it, "
    "and none of its thresholds may be used on a patient."
)


def part(findings: Findings) -> Part:
    """The limitations that hold for this run, its intended use, and 'not for diagnosis'."""
    lines = list(limitations(findings))
    body = [
        html.items(lines),
        html.paragraph(f"Intended use. {INTENDED_USE}"),
        html.paragraph(NOT_FOR_DIAGNOSIS, notice=True),
    ]
    facts = {
        "limitations": lines,
        "intended_use": INTENDED_USE,
        "not_for_diagnosis": NOT_FOR_DIAGNOSIS,
    }
    return Part("Limitations and intended use", body, facts)


def limitations(findings: Findings) -> Iterator[str]:
    """One sentence or two for each limitation that holds."""
    yield from _images(findings)
    yield from _test(findings)
    yield from _repetitions(findings)
    yield from _protocol(findings.config)
    yield from _calibration(findings)
    yield from _heat_maps(findings)


def _images(findings: Findings) -> Iterator[str]:
    config = findings.config
    if config.images is None:
        yield (
            "Synthetic images: a generator drew them. What a network learns from them need not "
            "hold for patients, and spectrum, scanners and artefacts of a hospital are not in them."
        )
        yield (
            "The reference standard is the generator's own label and mask, exact by construction: "
            "disagreement between readers is not in the results."
        )
        if config.phantom != "full":
            yield (
                "The region of interest is placed by the generator, so that it holds the possible "
                "fracture site: finding the site in a whole slice is not tested."
            )
        if config.confounder is not None:
            yield (
                "Casts were made to go with fractures in training and validation, on purpose: no "
                "result here is what these networks would reach on sound training images."
            )
        return
    yield (
        "Labels are those of the table. Who gave them, from what, and how far readers agree, this "
        "run does not know."
    )
    yield (
        "A patient is who the table or the files' Patient ID (0010,0020) names. Whether these are "
        "persons, or blocks of images as in sets that publish no patients, this run cannot know; "
        "if they are not, parts may share persons and intervals are too narrow."
    )
    rows = [row for data in findings.first.cohort.parts.values() for row in data.index.rows]
    if len({row.patient for row in rows}) == len(rows):
        yield (
            "Every image has a patient of its own. If several images of one patient were given "
            "different names, the test is not independent of the training."
        )


def _test(findings: Findings) -> Iterator[str]:
    source = "one generator" if findings.config.images is None else "one folder"
    yield (
        f"Internal test only: training, validation and test come from {source}. No external test "
        "was made, so nothing is known of images from elsewhere."
    )
    patients = findings.first.cohort.counts()[-1]["patients"]
    metric, half = widest(findings)
    if math.isnan(half):
        yield (
            f"The test has {patients} patients and no interval tells how much its results would "
            "differ in others."
        )
    elif half > WIDE:
        yield (
            f"Small test: with {patients} patients the 95 % interval of {metric} by image is up to "
            f"{2 * half:.2f} wide."
        )


def widest(findings: Findings) -> tuple[str, float]:
    """Half of the widest interval of sensitivity (of classes: accuracy) by image; nan for none."""
    reports = [result.report for result in findings.first.results.values()]
    key = "sensitivity" if isinstance(reports[0], BinaryReport) else "all classes: accuracy"
    halves = [(e.high - e.low) / 2 for e in (by_name(report)[key] for report in reports)]
    known = [half for half in halves if not math.isnan(half)]
    return key.removeprefix("all classes: "), max(known, default=math.nan)


def _repetitions(findings: Findings) -> Iterator[str]:
    n = len(findings.replicates)
    if n == 1:
        yield (
            "One seed: each network was trained once. How much a repetition would differ is not "
            "known, and a difference of two networks may be one of two trainings."
        )
    elif n < FEW_SEEDS:
        yield f"{n} seeds: few to tell how much repetitions differ; the SD is rough."
    if n > 1 and findings.config.images is not None:
        yield "All seeds have the same test patients: their spread is that of training alone."


def _protocol(config: Config) -> Iterator[str]:
    if config.calibrate and config.checkpoint == "best":
        yield (
            "The same validation images chose epoch, calibration and thresholds: on them these "
            "look better than they are. The test images chose nothing."
        )
    if config.copies:
        yield (
            f"Validation and test hold {config.copies} altered copies of each image, and image "
            "level results count them as if they were images: the test is smaller than it looks."
        )
    if not config.inference:
        yield "This protocol has neither intervals nor tests: no difference here is evidence."
    if not config.patient_level:
        yield "Results are by image alone: how often a patient is called rightly is not told."


def _calibration(findings: Findings) -> Iterator[str]:
    for result in findings.first.results.values():
        if findings.config.calibrate and result.decision.calibrator is None:
            yield (
                f"{result.title}: scores could not be calibrated "
                f"({result.decision.not_calibrated}), so they are no probabilities."
            )
    if not findings.config.calibrate:
        yield "Scores are not calibrated: they are no probabilities."


def _heat_maps(findings: Findings) -> Iterator[str]:
    target = findings.config.cam_targets[0]
    for result in findings.first.results.values():
        found = result.agreement[target]
        if found.reason:
            yield f"{result.title}: heat maps were not checked, since {found.reason}."
            continue
        worse = [m.name for m in found.measures if not m.beats_all_controls]
        if worse:
            yield (
                f"{result.title}: heat maps are not better than all controls in "
                f"{', '.join(worse)}: they are no evidence that the network looks at the region."
            )
    yield "Where a heat map is bright does not tell why the network decided."
