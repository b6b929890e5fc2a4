"""What a run answers to each item of the reporting guidelines, in one sentence taken from it."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

import seattn
from examples.ankle_fracture.comparisons import pairs
from examples.ankle_fracture.evaluation import Level, by_name
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report.failures import worst
from examples.ankle_fracture.report.limitations import limitations, widest
from seattn.metrics import BinaryReport, OperatingPoint

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer:
    """What a run says to an item.

    Args:
        text: One sentence; where the run does not answer, the reason.
        given: Whether the run answers.
        blanks: What the group has to fill in by hand.
    """

    text: str
    given: bool = True
    blanks: tuple[str, ...] = ()


def _own(findings: Findings, *blanks: str) -> tuple[str, ...]:
    """Blanks that only images of one's own have."""
    return () if findings.config.images is None else blanks


def _by_part(findings: Findings, thing: str) -> str:
    return ", ".join(f"{c['part']} {c[thing]}" for c in findings.first.cohort.counts())


def flow(findings: Findings) -> Answer:
    """Patients and images in each part; files passed over."""
    n = sum(c["images"] for c in findings.first.cohort.counts())
    text = (
        f"{n} images; patients: {_by_part(findings, 'patients')}; images: "
        f"{_by_part(findings, 'images')}; {_files(findings)}."
    )
    if findings.config.task == "weber":
        text += " Fractures of other types than A, B and C were left out."
    return Answer(text, blanks=_own(findings, "patients seen, eligible, excluded, and why"))


def _files(findings: Findings) -> str:
    failures = findings.first.cohort.train.index.failures
    skipped = sum(each.skipped for each in failures)
    return f"{skipped} files skipped as no images or copies, {len(failures) - skipped} unreadable"


def characteristics(findings: Findings) -> Answer:
    """Views and classes of each part."""
    cohort, parts = findings.first.cohort, []
    for name, data in cohort.parts.items():
        views = sorted(Counter(row.view for row in data.index.rows).items())
        of_class = Counter(cohort.labels(name))
        words = [f"{view} {n}" for view, n in views]
        words += [f"{title}: {of_class[k]}" for k, title in enumerate(cohort.class_names)]
        parts.append(f"{name} ({', '.join(words)})")
    return Answer(
        f"{'; '.join(parts)}.", blanks=_own(findings, "age", "sex", "scanner", "severity")
    )


def source(findings: Findings) -> Answer:
    """Where the images come from, and whether they are of patients."""
    kept = "patients are known by keyed pseudonyms"
    blanks = _own(findings, "centre", "dates", "how images were chosen", "ethics approval")
    return Answer(f"{findings.first.cohort.source}; {kept}.", blanks=blanks)


def pre_processing(findings: Findings) -> Answer:
    """Size, grey values, noise, augmentation."""
    c = findings.config
    grey = {"minmax": "each image's own range to 0..1", "file": "each file's own window to 0..1"}
    window = (
        grey[c.window]
        if isinstance(c.window, str)
        else f"window of centre {c.window[0]:g} and width {c.window[1]:g} HU to 0..1"
    )
    copies = f"{c.copies} fixed copies of every image" if c.copies else "training images each epoch"
    text = (
        f"Resized to {c.size} x {c.size} pixels; {window}; "
        f"{'all but bone blacked out' if c.bone_mask else 'no mask of the bones'}; Gaussian noise "
        f"of SD {c.noise:g} on {'all' if c.noise_on == 'all' else 'training'} images; augmented "
        f"({copies}): rotation up to {c.rotation:g} degrees, size {c.scaling:.0%}, contrast "
        f"{c.contrast:.0%}, {'mirrored' if c.flips else 'not mirrored'}."
    )
    return Answer(text, blanks=_own(findings, "acquisition: device, kV, mAs, kernel, thickness"))


def reference_standard(findings: Findings) -> Answer:
    """Who says what the label is."""
    if findings.config.images is None:
        return Answer(
            "The generator's own label and mask of the fracture, exact; no reader took part."
        )
    rows = [row for data in findings.first.cohort.parts.values() for row in data.index.rows]
    marked = sum(row.mask is not None for row in rows)
    return Answer(
        f"Not answered by this run: labels are those of the table; {marked} of {len(rows)} images "
        "have a mask.",
        given=False,
        blanks=("who labelled and annotated, with what experience", "agreement of readers"),
    )


def partition(findings: Findings) -> Answer:
    """How parts were made, that they share no patient, the hash."""
    cohort, c = findings.first.cohort, findings.config
    people = [{row.patient for row in data.index.rows} for data in cohort.parts.values()]
    shared = sum(map(len, people)) - len(set.union(*people))
    given = "in the parts that its table gives" in cohort.source
    shares = "/".join(f"{share:.0%}" for share in c.fractions)
    how = "parts of the table" if given else f"patients drawn {shares}, seed {findings.first.seed}"
    return Answer(
        f"By patient ({how}); {shared} patients in more than one part (counted); hash of the split "
        f"{cohort.split_hash}."
    )


def test_size(findings: Findings) -> Answer:
    """No size was planned; what precision came."""
    report = next(iter(findings.first.results.values())).report
    metric, half = widest(findings)
    patients = findings.first.cohort.counts()[-1]["patients"]
    reached = (
        "this protocol gives no interval"
        if np.isnan(half)
        else f"the 95 % interval of {metric} by image came out as +-{half:.3f}"
    )
    return Answer(
        f"Not answered by this run: no size was computed beforehand; {report.n} test items of "
        f"{patients} patients were there, and {reached}.",
        given=False,
        blanks=_own(findings, "justification of the test's size"),
    )


def model(findings: Findings) -> Answer:
    """Networks, versions, start, training, selection, seeds."""
    c = findings.config
    sizes = [
        f"{result.title} ({sum(p.numel() for p in result.network.parameters()):,} parameters, "
        f"{'from ' + path.name if (path := c.weights_of(name)) else 'from scratch'}, epoch "
        f"{result.best.epoch} kept)"
        for name, result in findings.first.results.items()
    ]
    seeds = ", ".join(str(each.seed) for each in findings.replicates)
    return Answer(
        f"{'; '.join(sizes)}; Adam at {c.learning_rate:g}, divided by 10 after more than "
        f"{c.patience} epochs without a better validation loss; epochs: {c.epochs}; batches of "
        f"{c.batch_size}; weights of the {c.checkpoint} epoch; seeds {seeds}; seattn "
        f"{seattn.__version__}, torch {torch.__version__}, Python {platform.python_version()}."
    )


def imbalance(findings: Findings) -> Answer:
    """Sizes of the classes, their weights, calibration."""
    cohort = findings.first.cohort
    counts = Counter(cohort.labels("train"))
    sizes = ", ".join(f"{name}: {counts[k]}" for k, name in enumerate(cohort.class_names))
    weighed = {
        "balanced": "classes weigh the same in the loss, and logits are shifted back to their true "
        "shares",
        "none": "nothing is done about unequal classes",
    }[findings.config.class_weights]
    fits = [
        f"{r.title} "
        + (
            f"not calibrated ({r.decision.not_calibrated})"
            if r.decision.calibrator is None
            else f"calibrated on validation ({r.decision.calibrator.method})"
        )
        for r in findings.first.results.values()
    ]
    return Answer(f"Training images ({sizes}); {weighed}; {'; '.join(fits)}.")


def threshold(findings: Findings) -> Answer:
    """Values, rule, and where it was chosen."""
    words = []
    for result in findings.first.results.values():
        for level, points in result.decision.points.items():
            rule, point = next(iter(points.items()))
            if isinstance(point, OperatingPoint):
                where = f"{rule}, chosen on {point.n} validation cases"
                words.append(f"{result.title} by {level} {point.threshold:.3f} ({where})")
            else:
                words.append(f"{result.title} by {level} {point:g} (fixed, chosen on no data)")
    if not words:
        return Answer("None: of more than two classes the likeliest is predicted.")
    return Answer(f"The rule was set before training; main threshold: {'; '.join(words)}.")


def confusion(findings: Findings) -> Answer:
    """Counts at the main operating point, by level."""
    names = findings.first.cohort.class_names
    positive = f" Positive is {names[1]}." if len(names) == 2 else ""
    words = [
        f"{result.title} by {level}: {_counts(found)}"
        for result in findings.first.results.values()
        for level, found in result.levels.items()
    ]
    return Answer(f"{'; '.join(words)}.{positive}")


def _counts(level: Level) -> str:
    if isinstance(level.main, BinaryReport):
        c = level.main.counts
        return f"TP {c.tp}, FP {c.fp}, TN {c.tn}, FN {c.fn}"
    right = int((level.predicted() == level.cases.y_true).sum())
    return f"{right} of {len(level.cases.y_true)} right"


def estimates(findings: Findings) -> Answer:
    """The methods of the intervals, and the clusters."""
    report = next(iter(findings.first.results.values())).report
    methods = sorted({e.method for e in by_name(report).values() if e.method and e.low == e.low})
    if not methods:
        return Answer("Not answered by this run: its protocol gives no intervals.", given=False)
    return Answer(
        f"95 % intervals with {report.n_patients} patients as clusters of {report.n} test items: "
        f"{'; '.join(methods)}."
    )


def discrimination(findings: Findings) -> Answer:
    """ROC area or accuracy, and what is drawn of calibration and net benefit."""
    words = []
    for result in findings.first.results.values():
        found = by_name(result.report)
        key = "roc_auc" if "roc_auc" in found else "mean of classes: roc_auc"
        values = {"ROC area": key, "Brier": "brier" if "brier" in found else "all classes: brier"}
        shown = [f"{name} {found[k].value:.3f}" for name, k in values.items() if k in found]
        words.append(f"{result.title} {', '.join(shown)}")
    return Answer(f"By image: {'; '.join(words)}.")


def comparison(findings: Findings) -> Answer:
    """The tests' names."""
    if not findings.comparisons and not findings.repetitions:
        alone = len(findings.first.results) == 1
        reason = "there is one network" if alone else "its protocol tests nothing"
        return Answer(f"Not answered by this run: {reason}.", given=False)
    methods = sorted({c.comparison.method for c in findings.comparisons if c.comparison.method})
    methods += sorted({row.method for row in findings.repetitions if row.second})
    n = len(list(pairs(findings.first.results)))
    count = f"{n} {'pair' if n == 1 else 'pairs'} of networks"
    return Answer(f"{count} on the same test cases: {'; '.join(methods)}; p adjusted by Holm.")


def subgroups(findings: Findings) -> Answer:
    """Which groups there are."""
    columns = findings.first.cohort.attributes_of("test")
    groups = {name: sorted({word for word in column if word}) for name, column in columns.items()}
    words = [f"by {name}: {', '.join(found)}" for name, found in groups.items() if found]
    return Answer(f"Test images {'; '.join(words)}.")


def explainability(findings: Findings) -> Answer:
    """Grad-CAM and its controls."""
    words = []
    for result in findings.first.results.values():
        found = result.agreement[findings.config.cam_targets[0]]
        better = sum(measure.beats_all_controls for measure in found.measures)
        score = f"better than all controls in {better} of {len(found.measures)} measures"
        words.append(f"{result.title} ({result.target_layer}): {found.reason or score}")
    results = findings.first.results.values()
    checked = any(found.measures for each in results for found in each.agreement.values())
    text = f"Grad-CAM; {'; '.join(words)}."
    return Answer(text if checked else f"Not validated by this run. {text}", given=checked)


def failures(findings: Findings) -> Answer:
    """How many test images are wrong; their copies, if there are any, are left out."""
    first = findings.first
    versions = first.items["test"].versions
    words = []
    for result in first.results.values():
        groups = worst(result, first.cohort, versions)
        counts = [f"{len(found)} {group}" for group, found in groups.items()]
        words.append(f"{result.title}: {', '.join(counts)}")
    return Answer(
        f"Of {len(first.cohort.test)} images, at the main operating point: {'; '.join(words)}."
    )


def missing(findings: Findings) -> Answer:
    """Unreadable files, images without label, indeterminate results."""
    rows = [r for data in findings.first.cohort.parts.values() for r in data.index.rows]
    unlabelled = sum(row.label is None for row in rows)
    return Answer(
        f"{_files(findings)}, {unlabelled} images without a label (either would have stopped the "
        "run); every test image got a class, none was indeterminate."
    )


def internal_or_external(findings: Findings) -> Answer:
    """The test is internal."""
    n = findings.first.cohort.counts()[-1]
    return Answer(
        f"Internal test: {n['images']} images of {n['patients']} patients of the same source; no "
        "external test."
    )


def limits(findings: Findings) -> Answer:
    """How many limitations are listed."""
    n = len(list(limitations(findings)))
    return Answer(f"{n} limitations of this run; to compare networks, not for diagnosis.")


def availability(findings: Findings) -> Answer:
    """What can be checked from what."""
    n = sum(len(each.items[part]) for each in findings.replicates for part in ("val", "test"))
    remade = (
        "the images are made anew by the same command"
        if findings.config.images is None
        else "the images stay with the group, and predictions.csv names them by path, beside "
        "pseudonyms: look at it before it is shared"
    )
    return Answer(
        f"predictions.csv holds {n} rows of scores, report.json every number; code: seattn "
        f"{seattn.__version__}; {remade}.",
        blanks=_own(findings, "where data can be asked for"),
    )
