"""Extends a split to a grown archive: newcomers are placed, and nobody moves."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from seattn.data.errors import SplitError
from seattn.data.groups import Join, Keys, group_keys, row_keys
from seattn.data.index import DicomIndex
from seattn.data.index_arguments import check_index, check_parts
from seattn.data.placement import check_fractions, divide, place

__all__ = ["extend_split"]


def extend_split(
    parts: Sequence[DicomIndex],
    newer: DicomIndex,
    *fractions: float,
    seed: int = 0,
    join: Join = None,
) -> tuple[DicomIndex, ...]:
    """Split a newer index of a grown archive: newcomers are placed, and nobody moves.

    A test set that changes with every new patient makes results incomparable, and a model that was
    trained before has seen some of the new test patients. So whoever is in one of ``parts`` stays
    there, with all images of the newer index; the newcomers are dealt and exchanged as in
    ``split_by_patient``, to bring the whole as close to the fractions as they can. A newcomer who
    shares a study, a frame of reference, identical pixels or a key with somebody goes along.

    Args:
        parts: The parts in their order, as ``split_by_patient`` or this function returned them;
            their patients alone count, so that files may have moved or changed since.
        newer: The index of the archive as it is now, made with the same key. Who is no longer in it
            is in no part.
        *fractions: As in ``split_by_patient``; default the shares that the parts have.
        seed: Another seed places the newcomers otherwise.
        join: As in ``split_by_patient``, one key for each row of ``newer``.

    Returns:
        The rows of ``newer``, one index for each of ``parts``; rows keep their order.

    Raises:
        TypeError: ``parts`` is no sequence of indexes, ``newer`` no index, a fraction no number, or
            a key of ``join`` cannot be hashed.
        ValueError: The fractions are not one for each part, not positive or do not sum to 1, or
            ``join`` has not one key for each row.
        SplitError: Patients of different parts belong together, nobody of ``parts`` is in
            ``newer``, a class of it is absent from one of the parts, or a part has no patient.

    Examples:
        >>> from pathlib import Path
        >>> from seattn.data.index import DicomIndex, IndexRow
        >>> from seattn.data.extend import extend_split
        >>> from seattn.data.split import split_by_patient
        >>> rows = [
        ...     IndexRow(f"{k}.dcm", 0, f"p{k}", "", "", "axial", 8, 8, 1, 0) for k in range(20)
        ... ]
        >>> older = DicomIndex(Path("scans"), tuple(rows[:10]))
        >>> before = split_by_patient(older, 0.6, 0.2, 0.2)
        >>> after = extend_split(before, DicomIndex(Path("scans"), tuple(rows)))
        >>> [len(part) for part in before], [len(part) for part in after]
        ([6, 2, 2], [12, 4, 4])
        >>> [set(a.rows) <= set(b.rows) for a, b in zip(before, after)]
        [True, True, True]
    """
    check_parts(parts)
    check_index("newer", newer)
    if not parts:
        raise ValueError("`parts` is empty; it needs the parts of an earlier split.")
    keys = [key for part in parts for key in row_keys(part.rows)] + row_keys(newer.rows, join)
    homes = [p for p, part in enumerate(parts) for _ in part.rows]
    names = group_keys(keys)
    found: dict[str, set[int]] = defaultdict(set)
    for name, home in zip(names, homes, strict=False):  # the rows of the parts come first
        found[name].add(home)
    before = {name: min(places) for name, places in found.items()}

    if not fractions:
        count = Counter(before.values())
        fractions = tuple(count[p] / max(len(before), 1) for p in range(len(parts)))
    if len(fractions) != len(parts):
        raise ValueError(f"`fractions` (={fractions}) must be one for each of {len(parts)} parts.")
    check_fractions(fractions)
    if before and before.keys().isdisjoint(names[len(homes) :]):
        reason = "nobody of `parts` is in the newer index; were both made with the same key?"
        raise SplitError("newer", "extend", reason)
    if torn := sorted(name for name, places in found.items() if len(places) > 1):
        group = [i for i, name in enumerate(names) if name == torn[0]]
        reason = _describe([keys[i] for i in group], [homes[i] for i in group if i < len(homes)])
        raise SplitError("newer", "extend", reason)
    after = place(newer, names[len(homes) :], fractions, seed=seed, before=before)
    return divide(newer, after, len(parts))


def _describe(group: Sequence[Keys], homes: Sequence[int]) -> str:
    """Say who of a group is in different parts, and why they are one group."""
    patients_with: dict[tuple[str, Hashable], set[Hashable]] = defaultdict(set)
    for keys in group:
        for item in keys.items():
            patients_with[item].add(keys["patient"])
    kinds = {kind for (kind, _), patients in patients_with.items() if len(patients) > 1}
    places: dict[int, str] = {}
    for home, keys in zip(homes, group, strict=False):
        places[home] = min(str(keys["patient"]), places.get(home, str(keys["patient"])))
    who = " and ".join(f"{places[home]} in part {home + 1}" for home in sorted(places))
    why = f"they share {', '.join(sorted(kinds))}" if kinds else "one patient"
    return (
        f"who belongs together is in different parts, {who}: {why}; leave the rows that join them "
        "out of the newer index, or split it anew"
    )
