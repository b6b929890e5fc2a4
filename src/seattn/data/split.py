"""Splits by patient: no patient in two parts, and in each its share of images and of classes."""

import hashlib
from collections.abc import Sequence

from seattn.data.groups import Join, group_rows
from seattn.data.index import DicomIndex
from seattn.data.index_arguments import check_index, check_parts
from seattn.data.placement import check_fractions, divide, place

__all__ = ["split_by_patient", "split_hash"]


def split_by_patient(
    index: DicomIndex, *fractions: float, seed: int = 0, join: Join = None
) -> tuple[DicomIndex, ...]:
    """Split an index into parts that have no patient in common, stratified by class.

    Images of one patient resemble each other; with some in training and some in testing the test
    measures memory. So patients are dealt out, not images: each part gets its fraction of the
    patients to within one, and then patients of different parts change places as long as that
    brings the images and the patients of each class closer to their fractions. A patient may have
    images of several classes, and patients may have any number of images. The parts depend on the
    patients, their labels and ``seed``, not on the order of the rows.

    Patients that share a study, a frame of reference or identical pixels are one person under two
    numbers, or as good as that: they are dealt as one patient, and so are those whom ``join`` ties.

    Args:
        index: An index with labels; without any the patients and images alone are balanced.
        *fractions: The share of the patients in each part, each above 0, with sum 1; default
            0.6, 0.2, 0.2 for training, validation and test, as in Wang et al. (2024).
        seed: Another seed gives another split.
        join: One key for each row of the index, such as a family or a hospital: rows with equal
            keys stay together. None, "" and nan join nothing.

    Returns:
        One index for each fraction, in the order of ``fractions``; rows keep their order.

    Raises:
        TypeError: ``index`` is no index, a fraction no number, or a key of ``join`` cannot be
            hashed.
        ValueError: The fractions are not positive or do not sum to 1, or ``join`` has not one key
            for each row.
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
    check_index("index", index)
    shares = check_fractions(fractions or (0.6, 0.2, 0.2))
    names = group_rows(index.rows, join)
    return divide(index, place(index, names, shares, seed=seed, before={}), len(shares))


def split_hash(parts: Sequence[DicomIndex]) -> str:
    """Name a split by 16 hexadecimal digits: equal digits, equal patients in each part.

    It belongs in a report, so that a reader can tell whether two results share their test patients;
    they are comparable only between indexes that were made with the same key.

    Args:
        parts: The parts in their order, as ``split_by_patient`` returns them.

    Raises:
        TypeError: ``parts`` is no sequence of indexes.

    Returns:
        16 hexadecimal digits.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data import DicomIndex, IndexRow, split_hash
        >>> rows = [IndexRow(f"{p}.dcm", 0, p, "", "", "axial", 8, 8, 128, 0) for p in "abc"]
        >>> index = DicomIndex(Path("scans"), tuple(rows))
        >>> train, test = index.subset([0, 1]), index.subset([2])
        >>> split_hash([train, test])
        'db9146a68c185615'
        >>> split_hash([index.subset([1, 0]), test]) == split_hash([train, test])
        True
        >>> split_hash([test, train]) == split_hash([train, test])
        False
    """
    check_parts(parts)
    members = sorted(
        {(number, row.patient) for number, part in enumerate(parts) for row in part.rows}
    )
    return hashlib.blake2b(repr(members).encode(), digest_size=8).hexdigest()
