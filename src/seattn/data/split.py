"""Splits by patient: no patient in two parts, and in each its share of images and of classes."""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seattn.data.errors import SplitError
from seattn.data.index import DicomIndex

__all__ = ["split_by_patient", "split_hash"]

_CANDIDATES = 256
"""Patients of each part considered for an exchange; in larger parts the deal alone is balanced."""


def split_by_patient(index: DicomIndex, *fractions: float, seed: int = 0) -> tuple[DicomIndex, ...]:
    """Split an index into parts that have no patient in common, stratified by class.

    Images of one patient resemble each other; with some in training and some in testing the test
    measures memory. So patients are dealt out, not images: each part gets its fraction of the
    patients to within one, and then patients of different parts change places as long as that
    brings the images and the patients of each class closer to their fractions. A patient may have
    images of several classes, and patients may have any number of images. The parts depend on the
    patients, their labels and ``seed``, not on the order of the rows.

    Args:
        index: An index with labels; without any the patients and images alone are balanced.
        *fractions: The share of the patients in each part, each above 0, with sum 1; default
            0.6, 0.2, 0.2 for training, validation and test, as in Wang et al. (2024).
        seed: Another seed gives another split.

    Returns:
        One index for each fraction, in the order of ``fractions``; rows keep their order.

    Raises:
        ValueError: The fractions are not positive or do not sum to 1.
        SplitError: A class of the index is absent from one of the parts, or a part has no patient.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data.index import DicomIndex, IndexRow
        >>> from seattn.data.split import split_by_patient
        >>> rows = [
        ...     IndexRow(f"{k}{view}.dcm", 0, f"patient {k}", "", "", view, 8, 8, 128, 0, k % 2)
        ...     for k in range(20)
        ...     for view in "abc"
        ... ]
        >>> index = DicomIndex(Path("scans"), tuple(rows), (), ("normal", "fracture"))
        >>> train, val, test = split_by_patient(index, 0.6, 0.2, 0.2)
        >>> len(train), len(val), len(test)
        (36, 12, 12)
        >>> {row.patient for row in train.rows} & {row.patient for row in test.rows}
        set()
    """
    fractions = fractions or (0.6, 0.2, 0.2)
    if not (min(fractions) > 0 and abs(sum(fractions) - 1) < 1e-6):
        raise ValueError(f"`fractions` (={fractions}) must be above 0 and sum to 1.")
    # In the order of a hash, neither the order of the rows nor the names decide who goes where.
    patients = sorted({row.patient for row in index.rows}, key=lambda name: _digest(seed, name))
    number = {patient: i for i, patient in enumerate(patients)}
    images = np.zeros((len(patients), len(index.classes) + 1), dtype=np.int64)
    for row in index.rows:  # images of each class, and in the last column all images
        images[number[row.patient], -1] += 1
        if row.label is not None:
            images[number[row.patient], row.label] += 1

    part = _deal(images, _sizes(len(patients), fractions), np.random.default_rng(seed))
    _check(part, images, index, len(fractions))
    _exchange(part, images, np.array(fractions))
    home = [part[number[row.patient]] for row in index.rows]
    return tuple(
        index.subset([i for i, p in enumerate(home) if p == wanted])
        for wanted in range(len(fractions))
    )


def split_hash(parts: Sequence[DicomIndex]) -> str:
    """Name a split by 16 hexadecimal digits: equal digits, equal patients in each part.

    It belongs in a report, so that a reader can tell whether two results share their test patients;
    they are comparable only between indexes that were made with the same key.

    Args:
        parts: The parts in their order, as ``split_by_patient`` returns them.
    """
    members = sorted(
        {(number, row.patient) for number, part in enumerate(parts) for row in part.rows}
    )
    return hashlib.blake2b(repr(members).encode(), digest_size=8).hexdigest()


def _digest(seed: int, patient: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{patient}".encode(), digest_size=16).digest()


def _sizes(patients: int, fractions: tuple[float, ...]) -> NDArray[np.int64]:
    """Share out a number of patients by the method of the largest remainder."""
    quota = np.round(patients * np.array(fractions), 6)  # 0.2 * 5 is 1, whatever the last bit says
    sizes = np.floor(quota).astype(np.int64)
    behind = np.argsort(sizes - quota, kind="stable")
    sizes[behind[: patients - sizes.sum()]] += 1
    return sizes


def _deal(
    images: NDArray[np.int64], sizes: NDArray[np.int64], draw: np.random.Generator
) -> NDArray[np.int64]:
    """Give each part its number of patients, among them one of every class if there are enough."""
    part = np.full(len(images), -1)
    free = sizes.copy()
    has = images > 0
    for label in np.argsort(has.sum(0), kind="stable"):  # the rarest class first
        for p in range(len(sizes)):
            left = np.flatnonzero(has[:, label] & (part < 0))
            if free[p] and left.size and not has[part == p, label].any():
                part[left[0]] = p
                free[p] -= 1
    # The others, sorted so that like follows like, are dealt round: a part that still takes n has
    # one turn in each n-th of them, at random within it.
    others = np.flatnonzero(part < 0)
    others = others[np.lexsort(images[others, ::-1].T)]
    turn = np.concatenate([(np.arange(count) + draw.random(count)) / count for count in free])
    owner = np.repeat(np.arange(len(sizes)), free)
    part[others] = owner[np.argsort(turn, kind="stable")]
    return part


def _exchange(
    part: NDArray[np.int64], images: NDArray[np.int64], fractions: NDArray[np.float64]
) -> None:
    """Let pairs of patients change places, the best pair first, while that improves the balance.

    The imbalance is the sum, over the parts and over the columns of images and of patients of each
    class, of the squared difference between the part's share of the column and its fraction.
    """
    has = images > 0
    counts = np.concatenate([images, has], axis=1)
    share = counts / np.maximum(counts.sum(0), 1)  # what each patient holds of each column
    while True:
        members = [np.flatnonzero(part == p) for p in range(len(fractions))]
        excess = [
            share[each].sum(0) - wanted for each, wanted in zip(members, fractions, strict=True)
        ]
        best_gain, pair = 0.0, [0, 0]
        for p, q in itertools.combinations(range(len(fractions)), 2):
            a, b = members[p][:_CANDIDATES], members[q][:_CANDIDATES]
            # With d = share[a] - share[b], |e_p|^2 + |e_q|^2 falls by 2 (d . (e_p - e_q) - |d|^2).
            slope = excess[p] - excess[q]
            gain = (
                (share[a] @ slope - (share[a] ** 2).sum(1))[:, None]
                - (share[b] @ slope + (share[b] ** 2).sum(1))
                + 2 * share[a] @ share[b].T
            )
            # The last patient of a class in a part leaves it for nobody but another of that class.
            last_a = has[a] & (has[members[p]].sum(0) == 1)
            last_b = has[b] & (has[members[q]].sum(0) == 1)
            gain[last_a @ ~has[b].T | ~has[a] @ last_b.T] = 0
            gain = np.round(gain, 12)  # so that the last bits of a sum do not choose between equals
            i, j = np.unravel_index(gain.argmax(), gain.shape)
            if gain[i, j] > best_gain:
                best_gain, pair = gain[i, j], [int(a[i]), int(b[j])]
        if best_gain == 0:
            return
        part[pair] = part[pair[::-1]]


def _check(
    part: NDArray[np.int64], images: NDArray[np.int64], index: DicomIndex, parts: int
) -> None:
    for p in range(parts):
        inside = images[part == p] > 0
        if not len(inside):
            reason = (
                f"{len(images)} patients are too few, part {p} of 0..{parts - 1} would be empty"
            )
            raise SplitError(index.root, "split", reason)
        for label, name in enumerate(index.classes):
            if not inside[:, label].any():
                patients = (images[:, label] > 0).sum()
                raise SplitError(
                    index.root,
                    "split",
                    f"class {name!r} would be absent from part {p + 1} of {parts}: of its patients "
                    f"there are {patients} in all, and the part has room for {len(inside)}; add "
                    "patients, ask for fewer or larger parts, or leave the class out",
                )
