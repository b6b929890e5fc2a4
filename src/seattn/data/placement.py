"""Finds the part of each group of patients: as many as its share, with every class, balanced."""

import hashlib
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from seattn.data.arguments import check_whole
from seattn.data.balance import apportion, deal, exchange
from seattn.data.errors import SplitError
from seattn.data.index import DicomIndex

__all__ = ["check_fractions", "divide", "place"]


def check_fractions(fractions: tuple[float, ...]) -> tuple[float, ...]:
    """Return the fractions, or raise if they are no numbers or not shares of a whole."""
    if not all(isinstance(each, Real) for each in fractions):
        raise TypeError(
            f"`fractions` (={fractions}) must be numbers, each an argument of its own: "
            "`0.6, 0.2, 0.2` and not `(0.6, 0.2, 0.2)`."
        )
    if not (min(fractions) > 0 and abs(sum(fractions) - 1) < 1e-6):
        raise ValueError(f"`fractions` (={fractions}) must be above 0 and sum to 1.")
    return fractions


def place(
    index: DicomIndex,
    names: Sequence[str],
    fractions: Sequence[float],
    *,
    seed: int,
    before: Mapping[str, int],
    holder_weight: float = 1.0,
) -> list[int]:
    """Find the part of each row.

    Args:
        index: The rows and their labels.
        names: The group of each row.
        fractions: The share of each part.
        seed: Decides between equals.
        before: The parts of the groups that have one already and keep it.
        holder_weight: How much the patients of each class matter, beside their images.

    Raises:
        ValueError: ``seed`` is negative, or no whole number.
        SplitError: A class of the index is absent from one of the parts, or a part has no patient.
    """
    check_whole("seed", seed, least=0)
    # In the order of a hash, neither the order of the rows nor the names decide who goes where.
    groups = sorted(set(names), key=lambda name: _digest(seed, name))
    number = {name: i for i, name in enumerate(groups)}
    images = np.zeros((len(groups), len(index.classes) + 1), dtype=np.int64)
    for name, row in zip(names, index.rows, strict=True):
        images[number[name], -1] += 1  # the last column has all images, those before it one class
        if row.label is not None:
            images[number[name], row.label] += 1
    patients = np.zeros(len(groups), dtype=np.int64)
    for name, _ in {(name, row.patient) for name, row in zip(names, index.rows, strict=True)}:
        patients[number[name]] += 1

    part = np.array([before.get(name, -1) for name in groups], dtype=np.int64)
    new = part < 0
    shares = np.array(fractions)
    lacking = apportion(len(groups), shares) - np.bincount(part[~new], minlength=len(shares))
    # A part that has too many already takes none, and the others fewer than they lack.
    free = np.maximum(lacking, 0)
    free = apportion(int(new.sum()), free / max(free.sum(), 1))
    part = deal(images, part, free, np.random.default_rng(seed))
    _check(part, images, patients, index, len(shares))
    exchange(part, images, patients, shares, new, holder_weight)
    return [int(part[number[name]]) for name in names]


def divide(index: DicomIndex, homes: Sequence[int], parts: int) -> tuple[DicomIndex, ...]:
    """Make an index of each part; ``homes`` has the part of each row."""
    return tuple(
        index.subset([i for i, home in enumerate(homes) if home == wanted])
        for wanted in range(parts)
    )


def _digest(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest()


def _check(
    part: NDArray[np.int64],
    images: NDArray[np.int64],
    patients: NDArray[np.int64],
    index: DicomIndex,
    parts: int,
) -> None:
    joined = ""
    if patients.sum() > len(patients):
        joined = (
            f" ({patients.sum()} patients count as {len(patients)}, for they share studies, frames "
            "of reference, pixels or keys)"
        )
    for p in range(parts):
        inside = images[part == p] > 0
        if not len(inside):
            reason = (
                f"{len(images)} patients are too few, part {p} of 0..{parts - 1} would be empty"
            )
            raise SplitError("index", "split", reason + joined)
        for label, name in enumerate(index.classes):
            if not inside[:, label].any():
                holders = (images[:, label] > 0).sum()
                raise SplitError(
                    "index",
                    "split",
                    f"class {name!r} would be absent from part {p + 1} of {parts}: of its patients "
                    f"there are {holders} in all, and the part has room for {len(inside)}{joined}; "
                    "add patients, ask for fewer or larger parts, or leave the class out",
                )
