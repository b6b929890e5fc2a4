"""What a check of a split has found, and how it reads."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from seattn.data.errors import SplitError

__all__ = ["Leak", "NearDuplicate", "SplitReport"]


@dataclass(frozen=True)
class Leak:
    """Something that only one part may have, and several do.

    Attributes:
        kind: "patient", "study", "frame of reference", "pixels" or, of ``join``, "key".
        parts: The positions of the parts.
        value: The pseudonym, hash or key that they share; no part of the ``repr``.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data import DicomIndex, IndexRow, check_splits
        >>> rows = [IndexRow(f"{i}.dcm", 0, "p1", "", "", "axial", 8, 8, 128, 0) for i in range(2)]
        >>> index = DicomIndex(Path("scans"), tuple(rows))
        >>> check_splits([index.subset([0]), index.subset([1])]).leaks  # without the pseudonym
        (Leak(kind='patient', parts=(0, 1)),)
    """

    kind: str
    parts: tuple[int, ...]
    value: Hashable = field(repr=False)


@dataclass(frozen=True)
class NearDuplicate:
    """Two images of different parts that are nearly the same, of patients not known to be one.

    Attributes:
        parts: The positions of their parts.
        rows: The positions of the images in ``parts[...].rows``.
        correlation: The zero-mean normalised correlation of their thumbnails.

    Examples:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from seattn.data import DicomIndex, IndexRow, check_splits
        >>> rows = [IndexRow(f"{p}.dcm", 0, p, "", "", "axial", 64, 64, 8192, 0) for p in "ab"]
        >>> index = DicomIndex(Path("scans"), tuple(rows))
        >>> image = np.random.default_rng(0).random((1, 64, 64))
        >>> images = [image, 0.5 * image + 0.2]  # one brightened
        >>> report = check_splits([index.subset([0]), index.subset([1])], images=images)
        >>> pair = report.near_duplicates[0]
        >>> pair.parts, pair.rows, round(pair.correlation, 3)
        ((0, 1), (0, 0), 1.0)
    """

    parts: tuple[int, int]
    rows: tuple[int, int]
    correlation: float


@dataclass(frozen=True)
class SplitReport:
    """What ``check_splits`` has found; ``print`` shows a summary without pseudonyms.

    Attributes:
        patients: The number of patients in each part, those joined counted as one.
        images: The number of images in each part.
        leaks: What is in several parts, and may be in one only.
        near_duplicates: At most 1000 pairs of images, the most alike first; None if no images were
            given to look for them.
        near_duplicate_count: The number of all such pairs.
        patient_deviation: The largest difference between a part's share of the patients and its
            fraction.
        class_deviations: For each class the largest difference between a part's share of the images
            and its fraction; nan if no image is of that class.
        absent: The classes that a part has no image of, as pairs (part, class).

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data import DicomIndex, IndexRow, check_splits
        >>> rows = [
        ...     IndexRow(f"{i}.dcm", 0, patient, "", "", "axial", 8, 8, 128, 0)
        ...     for i, patient in enumerate(["p1", "p1", "p2"])
        ... ]
        >>> index = DicomIndex(Path("scans"), tuple(rows))
        >>> by_image = check_splits([index.subset([0]), index.subset([1, 2])])
        >>> by_image.ok, len(by_image.leaks)
        (False, 1)
        >>> print(check_splits([index.subset([0, 1]), index.subset([2])]))
        part 1: patients 1, images 2
        part 2: patients 1, images 1
        largest deviation from the fractions: patients 0.0%
        no leak, no absent class; no images were given to look for near-duplicates
    """

    patients: tuple[int, ...]
    images: tuple[int, ...]
    leaks: tuple[Leak, ...]
    near_duplicates: tuple[NearDuplicate, ...] | None
    near_duplicate_count: int
    patient_deviation: float
    class_deviations: Mapping[str, float]
    absent: tuple[tuple[int, str], ...]

    @property
    def ok(self) -> bool:
        """Whether no part is empty, nothing is shared or nearly so, and no class is absent."""
        return not self._problems()

    def raise_if_bad(self) -> None:
        """Raise an error unless ``ok``; imbalance alone is none.

        Raises:
            SplitError: With all that is wrong.
        """
        if problems := self._problems():
            raise SplitError("parts", "check", "; ".join(problems))

    def __str__(self) -> str:
        """Say what was found, in some lines."""
        deviations = {"patients": self.patient_deviation}
        deviations |= {f"class {name!r}": value for name, value in self.class_deviations.items()}
        lines = [
            f"part {p + 1}: patients {patients}, images {images}"
            for p, (patients, images) in enumerate(zip(self.patients, self.images, strict=True))
        ]
        lines.append(
            "largest deviation from the fractions: "
            + ", ".join(f"{name} {value:.1%}" for name, value in deviations.items())
        )
        sound = "no leak, no absent class, no near-duplicate"
        if self.near_duplicates is None:
            sound = "no leak, no absent class; no images were given to look for near-duplicates"
        return "\n".join([*lines, *(self._problems() or [sound])])

    def _problems(self) -> list[str]:
        problems = [f"part {p + 1} is empty" for p, images in enumerate(self.images) if not images]
        leaks = Counter((leak.kind, leak.parts) for leak in self.leaks)
        problems += [
            f"{count} shared {kind} in parts {_listed(parts)}"
            for (kind, parts), count in leaks.items()
        ]
        if self.near_duplicates:
            parts = sorted({p for pair in self.near_duplicates for p in pair.parts})
            closest = self.near_duplicates[0].correlation
            problems.append(
                f"{self.near_duplicate_count} near-duplicates in parts {_listed(parts)}, with a "
                f"correlation of up to {closest:.3f}"
            )
        problems += [f"class {name!r} is absent from part {p + 1}" for p, name in self.absent]
        return problems


def _listed(parts: Iterable[int]) -> str:
    *others, last = (str(p + 1) for p in parts)
    return f"{', '.join(others)} and {last}"
