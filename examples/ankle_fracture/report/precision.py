"""How exact a sensitivity the test set can give: whether it is large enough."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from examples.ankle_fracture.cohort import Cohort
from seattn.metrics import wilson

__all__ = ["Precision", "precision_of"]

SENSITIVITY = 0.95
WANTED = 0.05


@dataclass(frozen=True)
class Precision:
    """Half the width of Wilson's 95 % interval of a sensitivity that comes out as 0.95.

    Args:
        class_name: The positive class; of more than two the one with the fewest patients.
        sensitivity: 0.95.
        images, patients: Of that class in the test set, without copies.
        by_image: The half-width if images of one patient were independent, the best case.
        by_patient: The half-width if they always agreed, the worst case.
        wanted: A half-width of 0.05.
        patients_wanted: Patients that give it in the worst case.
    """

    class_name: str
    sensitivity: float
    images: int
    patients: int
    by_image: float
    by_patient: float
    wanted: float
    patients_wanted: int

    @property
    def sentence(self) -> str:
        """The same in words."""
        return (
            f"Size of the test set: it has {self.images} images of {self.patients} patients with "
            f"{self.class_name}. A sensitivity of {self.sensitivity} would come with a 95 % "
            f"interval of \N{PLUS-MINUS SIGN}{self.by_patient:.3f} if images of a patient always "
            f"agree, and of \N{PLUS-MINUS SIGN}{self.by_image:.3f} if they were independent "
            f"(Wilson, half the width). \N{PLUS-MINUS SIGN}{self.wanted} takes "
            f"{self.patients_wanted} such patients."
        )


def precision_of(cohort: Cohort) -> Precision:
    """The precision that the test part of a cohort allows."""
    rows, names = cohort.test.index.rows, cohort.class_names
    patients = [len({row.patient for row in rows if row.label == k}) for k in range(len(names))]
    chosen = 1 if len(names) == 2 else patients.index(min(patients))
    images = cohort.labels("test").count(chosen)
    enough = next(n for n in count(1) if _half_width(n) <= WANTED)
    return Precision(
        names[chosen],
        SENSITIVITY,
        images,
        patients[chosen],
        _half_width(images),
        _half_width(patients[chosen]),
        WANTED,
        enough,
    )


def _half_width(n: int) -> float:
    low, high = wilson(SENSITIVITY * n, n)
    return (high - low) / 2
