"""What the validation images decide before the test images are looked at: scores, thresholds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from examples.ankle_fracture.items import Items
from examples.ankle_fracture.protocol import Protocol
from seattn.metrics import Calibrator, OperatingPoint, by_patient, choose_threshold, fit_calibrator

__all__ = ["Cases", "Decision", "decide", "levels"]

Array = np.ndarray[Any, Any]


class Cases(NamedTuple):
    """Images or patients of one part: labels (N,), probabilities (N, K), patients (N,)."""

    y_true: Array
    y_score: Array
    patients: Array


@dataclass(frozen=True)
class Decision:
    """What was fixed on validation.

    Args:
        shift: (K,) what the logits lose, so that a network trained with class weights gives the
            probabilities that these classes have: the logarithm of the weights.
        calibrator: Applied to the shifted logits; of two classes, to their difference.
        not_calibrated: Why there is no calibrator, or None.
        points: By level, the operating points by their rules; empty for more than two classes. A
            rule that is a number was not chosen on anything.
        patients: Pseudonyms of those who took part. That is more than the ``saw`` of calibrator and
            thresholds: it knows a part of them too, and never takes equal images for the same.
    """

    shift: torch.Tensor
    calibrator: Calibrator | None
    not_calibrated: str | None
    points: dict[str, dict[str, OperatingPoint | float]]
    patients: frozenset[str] = field(repr=False)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """(N, K) probabilities in float64 of (N, K) logits."""
        shifted = logits.double() - self.shift
        if self.calibrator is None:
            return shifted.softmax(1)
        if self.calibrator.columns is not None:
            return torch.from_numpy(self.calibrator.apply(shifted.numpy()))
        positive = torch.from_numpy(self.calibrator.apply(_difference(shifted)))
        return torch.stack([1 - positive, positive], 1)

    def to_dict(self) -> dict[str, Any]:
        """The same in types that JSON has."""
        return {
            "log_class_weights": self.shift.tolist(),
            "calibrator": None if self.calibrator is None else self.calibrator.to_dict(),
            "not_calibrated": self.not_calibrated,
            "operating_points": {
                level: {
                    rule: point if isinstance(point, float) else point.to_dict()
                    for rule, point in points.items()
                }
                for level, points in self.points.items()
            },
        }


def decide(
    logits: torch.Tensor, items: Items, protocol: Protocol, *, weight: torch.Tensor
) -> Decision:
    """Calibrates and chooses thresholds, as the protocol says, on the validation items alone.

    Args:
        logits: (N, K) of the items.
        items: The validation items.
        protocol: What to choose.
        weight: (K,) the class weights that the network was trained with.
    """
    shift = weight.double().log()
    calibrator: Calibrator | None = None
    reason: str | None = "the protocol does not calibrate"
    if protocol.calibrate:
        calibrator, reason = _calibrate(logits.double() - shift, items)
    found = Decision(shift, calibrator, reason, {}, frozenset(items.patients))
    if logits.shape[1] > 2:
        return found
    points = {
        level: {rule: _point(rule, cases) for rule in protocol.operating_points}
        for level, cases in levels(found.probabilities(logits), items, protocol).items()
    }
    return replace(found, points=points)


def levels(probabilities: torch.Tensor, items: Items, protocol: Protocol) -> dict[str, Cases]:
    """The cases by "image" and, if the protocol says so, by "patient", as the mean of the images.

    Patients are left out where one has images of several classes beside the first, "nothing found".
    """
    image = Cases(np.array(items.labels), probabilities.numpy(), np.array(items.patients))
    found = image.y_true > 0
    labels = set(zip(image.patients[found], image.y_true[found], strict=True))
    if not protocol.patient_level or len(labels) > len(set(image.patients[found])):
        return {"image": image}
    return {"image": image, "patient": Cases(*by_patient(**image._asdict()))}


def _calibrate(logits: torch.Tensor, items: Items) -> tuple[Calibrator | None, str | None]:
    binary = logits.shape[1] == 2
    try:
        with warnings.catch_warnings():
            # These are logits also where all of them lie between 0 and 1.
            warnings.simplefilter("ignore", UserWarning)
            return fit_calibrator(
                y_true=items.labels,
                y_score=_difference(logits) if binary else logits.numpy(),
                method="platt" if binary else "temperature",
                patients=items.patients,
            ), None
    except ValueError as error:  # no better than chance, or perfect
        return None, str(error)


def _difference(logits: torch.Tensor) -> Array:
    difference: Array = (logits[:, 1] - logits[:, 0]).numpy()
    return difference


def _point(rule: str, cases: Cases) -> OperatingPoint | float:
    name, _, least = rule.partition(" >= ")
    try:
        return float(name)
    except ValueError:
        return choose_threshold(
            y_true=cases.y_true,
            y_score=cases.y_score[:, 1],
            rule=name,  # type: ignore[arg-type]
            at_least=float(least) if least else None,
            patients=cases.patients,
        )
