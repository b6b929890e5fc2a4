"""Checks the parts of a split, whoever made it: leaks, near-duplicates, imbalance."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from seattn.data.dataset import DicomDataset
from seattn.data.groups import Join, Keys, group_keys, row_keys
from seattn.data.index import DicomIndex
from seattn.data.index_arguments import check_parts
from seattn.data.near_duplicates import near_duplicates, thumbnails
from seattn.data.placement import check_fractions
from seattn.data.sample import Sample
from seattn.data.split_report import Leak, NearDuplicate, SplitReport

__all__ = ["check_splits"]

_BATCH = 256

Batch: TypeAlias = torch.Tensor | NDArray[Any] | Sample
Images: TypeAlias = torch.Tensor | NDArray[Any] | DicomDataset | Iterable[Batch]


def check_splits(
    parts: Sequence[DicomIndex],
    *fractions: float,
    images: Sequence[Images] | None = None,
    threshold: float = 0.98,
    join: Sequence[Join] | None = None,
) -> SplitReport:
    """Check parts of any origin: what they share, what is nearly the same, how even they are.

    Near-duplicates are looked for in thumbnails of 32 x 32 pixels: pairs of different parts and
    patients whose zero-mean normalised correlation is at least ``threshold``. That finds copies
    that were compressed, resized, brightened or made noisy, or moved by up to half a percent of the
    width or turned by up to 1 degree; what was moved or turned further is missed. Look-alikes of
    different patients occur. Each image takes 4 KiB of memory.

    Args:
        parts: The parts in their order.
        *fractions: As in ``split_by_patient``, what the parts should have; default the shares of
            the patients that they do have, with which the classes are then compared.
        images: The pixels of each part, in the order of its rows, to look for near-duplicates:
            a ``DicomDataset``, an array (N, H, W) or (N, C, H, W), or an iterable of such batches
            or of ``Sample``. None looks for none.
        threshold: The least correlation of a near-duplicate, above 0 and at most 1.
        join: As in ``split_by_patient``, for each of the parts.

    Returns:
        What was found.

    Raises:
        TypeError: ``parts`` is no sequence of indexes, or a key of ``join`` cannot be hashed.
        ValueError: ``parts`` is empty or the parts have different classes; an argument has not one
            entry for each part; there is not one image for each row; the fractions are not
            positive or do not sum to 1; ``threshold`` is out of its range.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data.index import DicomIndex, IndexRow
        >>> from seattn.data.split_check import check_splits
        >>> rows = [
        ...     IndexRow(f"{patient}.dcm", 0, patient, study, "", "axial", 8, 8, 128, 0)
        ...     for patient, study in [("p1", "s1"), ("p2", "s2"), ("p3", "s1")]
        ... ]
        >>> index = DicomIndex(Path("scans"), tuple(rows))
        >>> print(check_splits([index.subset([0, 1]), index.subset([2])]))
        part 1: patients 2, images 2
        part 2: patients 1, images 1
        largest deviation from the fractions: patients 0.0%
        1 shared study in parts 1 and 2
    """
    _check_arguments(parts, fractions, images, join, threshold)
    keys = [
        key
        for p, part in enumerate(parts)
        for key in row_keys(part.rows, None if join is None else join[p])
    ]
    home = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    _, group = np.unique(group_keys(keys), return_inverse=True)
    patients = np.array([len(np.unique(group[home == p])) for p in range(len(parts))])
    of_patients = patients / max(patients.sum(), 1)
    shares = np.array(fractions or of_patients)

    table = np.zeros((len(parts), len(parts[0].classes)), dtype=np.int64)
    for p, part in enumerate(parts):
        for row in part.rows:
            if row.label is not None:
                table[p, row.label] += 1
    with np.errstate(invalid="ignore"):
        deviations = np.abs(table / table.sum(0) - shares[:, None]).max(0)

    pairs, count = None, 0
    if images is not None:
        pairs, count = _compare(parts, images, group, home, threshold)
    return SplitReport(
        patients=tuple(patients.tolist()),
        images=tuple(len(part) for part in parts),
        leaks=_leaks(keys, home.tolist()),
        near_duplicates=pairs,
        near_duplicate_count=count,
        patient_deviation=float(np.abs(of_patients - shares).max()),
        class_deviations=dict(zip(parts[0].classes, deviations.tolist(), strict=True)),
        absent=tuple((int(p), parts[0].classes[label]) for p, label in np.argwhere(table == 0)),
    )


def _check_arguments(
    parts: Sequence[DicomIndex],
    fractions: tuple[float, ...],
    images: Sequence[Images] | None,
    join: Sequence[Join] | None,
    threshold: float,
) -> None:
    check_parts(parts)
    if not parts or len({part.classes for part in parts}) > 1:
        raise ValueError("`parts` must hold at least one index, all with the same classes.")
    for name, value in (("fractions", fractions or None), ("images", images), ("join", join)):
        if value is not None and len(value) != len(parts):
            raise ValueError(f"`{name}` has {len(value)} entries and must have {len(parts)}.")
    if fractions:
        check_fractions(fractions)
    if not 0 < threshold <= 1:
        raise ValueError(f"`threshold` (={threshold}) must be above 0 and at most 1.")


def _leaks(keys: Sequence[Keys], home: Sequence[int]) -> tuple[Leak, ...]:
    places: dict[tuple[str, Hashable], set[int]] = defaultdict(set)
    for each, p in zip(keys, home, strict=True):
        for item in each.items():
            places[item].add(p)
    return tuple(
        Leak(kind, tuple(sorted(found)), value)
        for (kind, value), found in places.items()
        if len(found) > 1
    )


def _compare(
    parts: Sequence[DicomIndex],
    images: Sequence[Images],
    group: NDArray[np.int64],
    home: NDArray[np.int64],
    threshold: float,
) -> tuple[tuple[NearDuplicate, ...], int]:
    vectors = [_vectors(each) for each in images]
    for p, (part, each) in enumerate(zip(parts, vectors, strict=True)):
        if len(part) != len(each):
            raise ValueError(
                f"`images[{p}]` holds {len(each)} images for {len(part)} rows; it needs one for "
                "each, in their order."
            )
    found, count = near_duplicates(
        torch.cat(vectors),
        groups=torch.from_numpy(group),
        parts=torch.from_numpy(home),
        threshold=threshold,
    )
    start = np.cumsum([0, *map(len, parts)])
    pairs = [
        NearDuplicate(
            (int(home[i]), int(home[j])), (int(i - start[home[i]]), int(j - start[home[j]])), alike
        )
        for i, j, alike in found
    ]
    return tuple(pairs), count


def _vectors(images: Images) -> torch.Tensor:
    """Make the thumbnails of one part, some images at a time."""
    if isinstance(images, torch.Tensor | np.ndarray):
        images = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
    elif isinstance(images, DicomDataset):
        images = images.loader(_BATCH)
    batches = (batch.image if isinstance(batch, Sample) else batch for batch in images)
    return torch.cat([torch.zeros(0), *(thumbnails(_tensor(batch)) for batch in batches)])


def _tensor(batch: torch.Tensor | NDArray[Any]) -> torch.Tensor:
    if batch.ndim not in {3, 4}:
        raise ValueError(
            f"`images` holds a batch of shape {tuple(batch.shape)}, but a batch is (N, H, W) or "
            "(N, C, H, W)."
        )
    # A copy, since torch warns of arrays that cannot be written to, as those of files mostly are.
    return batch if isinstance(batch, torch.Tensor) else torch.from_numpy(np.array(batch, "f4"))
