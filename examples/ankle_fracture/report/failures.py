"""Part of the report: the test images on which each network errs most, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure

from examples.ankle_fracture.cams import cams
from examples.ankle_fracture.cohort import Cohort
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.drawing import picture, png, show
from examples.ankle_fracture.report.part import Part
from seattn.explain import overlay
from seattn.metrics import BinaryReport

__all__ = ["Failure", "part", "worst"]

SHOWN = 3


@dataclass(frozen=True)
class Failure:
    """A test image on which a network errs. It names no patient and no file.

    Args:
        test_image: Its position among the test images, from 0, in the order of predictions.csv.
        view: As the file declares it.
        label: Name of its class.
        predicted: Name of the class that the network takes it for.
        score: Probability of the positive class; with more than two classes of the predicted one.
        beyond: How far the score lies on the wrong side of the threshold; with more than two
            classes the score itself.
    """

    test_image: int
    view: str
    label: str
    predicted: str
    score: float
    beyond: float


def part(findings: Findings) -> Part:
    """The worst errors of each network, with the map of the class that it decided for."""
    cohort, versions = findings.first.cohort, findings.first.items["test"].versions
    body = [
        html.paragraph(
            "The test images furthest on the wrong side, of each network at its main operating "
            "point; augmented copies are left out, and the pictures are without noise. Look at "
            "them: errors that have a cause in common (a view, an artefact, a kind of fracture) "
            "say more than a metric. An image's number is its position among the test images, from "
            "0, as in predictions.csv."
        )
    ]
    facts = {}
    for name, result in findings.first.results.items():
        groups = worst(result, cohort, versions)
        facts[name] = {
            group: {"count": len(found), "shown": [asdict(each) for each in found[:SHOWN]]}
            for group, found in groups.items()
        }
        for group, found in groups.items():
            body.append(_figure(result, cohort, group, found))
    return Part("Worst errors", body, {"failures": facts})


def worst(result: Result, cohort: Cohort, versions: int) -> dict[str, list[Failure]]:
    """All errors on the test images themselves, the worst first, by their kind.

    Args:
        result: Of a network.
        cohort: Its images.
        versions: Items of each test image, of which the first is the image.

    Returns:
        "false negatives" and "false positives"; with more than two classes "errors".
    """
    scores = result.probabilities["test"][::versions].numpy()  # (N, K)
    labels, names = np.array(cohort.labels("test")), cohort.class_names
    predicted = result.levels["image"].predicted()[::versions]
    if isinstance(result.report, BinaryReport):
        shown = scores[:, 1]
        beyond = abs(shown - result.report.threshold)
        groups = {"false negatives": labels == 1, "false positives": labels == 0}
    else:
        beyond = shown = scores.max(1)
        groups = {"errors": np.ones(len(labels), bool)}
    order = np.argsort(-beyond, kind="stable")
    return {
        group: [
            Failure(
                int(i),
                cohort.test.index.rows[i].view,
                names[labels[i]],
                names[predicted[i]],
                float(shown[i]),
                float(beyond[i]),
            )
            for i in order
            if belongs[i] and predicted[i] != labels[i]
        ]
        for group, belongs in groups.items()
    }


def _figure(result: Result, cohort: Cohort, group: str, found: Sequence[Failure]) -> str:
    """The worst of a group in one row, each beside its map; a sentence if there are none."""
    if not found:
        return html.paragraph(f"{result.title}: no {group} on the test images.")
    failures = found[:SHOWN]
    positions = [each.test_image for each in failures]
    classes = [cohort.class_names.index(each.predicted) for each in failures]
    maps, _ = cams(result.network, result.target_layer, cohort.test, positions, target=classes)
    figure = Figure(figsize=(3.3 * SHOWN, 2.15), layout="constrained")
    axes = figure.subplots(1, 2 * SHOWN)
    for ax in axes:
        ax.axis("off")
    for each, found_map, left, right in zip(failures, maps, axes[::2], axes[1::2], strict=False):
        sample = cohort.test[each.test_image]
        show(left, picture(sample.image), sample.mask)
        show(right, overlay(sample.image, found_map), sample.mask)
        left.set_title(f"image {each.test_image}, {each.view}\nlabel: {each.label}", fontsize=8)
        blank = "" if found_map.any() else ", blank map"
        right.set_title(
            f"taken for {each.predicted}{blank}\nscore {each.score:.2f}{_than(result)}", fontsize=8
        )
    return html.figure(png(figure), _caption(result, cohort, group, found))


def _than(result: Result) -> str:
    """The threshold that the score is compared with, if there is one."""
    report = result.report
    return f", threshold {report.threshold:.2f}" if isinstance(report, BinaryReport) else ""


def _caption(result: Result, cohort: Cohort, group: str, found: Sequence[Failure]) -> str:
    labels = cohort.labels("test")
    of = {
        "false negatives": f"{labels.count(1)} images of the class {cohort.class_names[1]}",
        "false positives": f"{labels.count(0)} images of the class {cohort.class_names[0]}",
    }.get(group, f"{len(labels)} images")
    score = (
        f"the probability of {cohort.class_names[1]}"
        if isinstance(result.report, BinaryReport)
        else "the probability of the class that the image is taken for"
    )
    return (
        f"{result.title}, {group}: {len(found)} of {of}; the {min(SHOWN, len(found))} furthest on "
        f"the wrong side. Right of each its Grad-CAM of the class that it is taken for; the "
        f"annotated region, if any, is outlined. Score: {score}."
    )
