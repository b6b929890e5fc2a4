"""Cross-validation by patient: folds of which each is the test set once."""

from seattn.data.arguments import check_whole
from seattn.data.groups import Join, group_rows
from seattn.data.index import DicomIndex
from seattn.data.index_arguments import check_index
from seattn.data.placement import place

__all__ = ["kfold_by_patient"]


def kfold_by_patient(
    index: DicomIndex, k: int = 5, *, seed: int = 0, join: Join = None
) -> tuple[tuple[DicomIndex, DicomIndex], ...]:
    """Split an index k times into training and test, so that every patient is in one test set.

    The test sets are disjoint, equal to within one patient, and stratified by class, as the parts
    of ``split_by_patient`` are; between the patients and the images of a class, where both cannot
    be even, folds prefer the images. For a validation set, split the training set once more.

    Args:
        index: As in ``split_by_patient``.
        k: The number of folds, at least 2.
        seed: Another seed gives other folds.
        join: As in ``split_by_patient``.

    Returns:
        k pairs (training, test); rows keep their order.

    Raises:
        TypeError: ``index`` is no index, or a key of ``join`` cannot be hashed.
        ValueError: ``k`` is less than 2, or ``join`` has not one key for each row.
        SplitError: There are fewer than ``k`` patients, or fewer than ``k`` of a class.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data.index import DicomIndex, IndexRow
        >>> from seattn.data.kfold import kfold_by_patient
        >>> rows = [
        ...     IndexRow(f"{k}.dcm", 0, f"p{k}", "", "", "axial", 8, 8, 1, 0) for k in range(20)
        ... ]
        >>> index = DicomIndex(Path("scans"), tuple(rows))
        >>> [(len(train), len(test)) for train, test in kfold_by_patient(index, 5)]
        [(16, 4), (16, 4), (16, 4), (16, 4), (16, 4)]
    """
    check_index("index", index)
    check_whole("k", k, least=2)
    names = group_rows(index.rows, join)
    # A fold is small, and a rare class has few patients in it, of whom each weighs differently.
    homes = place(index, names, [1 / k] * k, seed=seed, before={}, holder_weight=0.1)
    return tuple(
        (
            index.subset([i for i, home in enumerate(homes) if home != fold]),
            index.subset([i for i, home in enumerate(homes) if home == fold]),
        )
        for fold in range(k)
    )
