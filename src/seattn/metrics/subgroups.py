"""The report on one model again for every view, site or sex."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seattn.metrics.evaluation import binary_report
from seattn.metrics.inputs import as_identifiers, as_patients, binary_scores
from seattn.metrics.report import BinaryReport, _cells, _columns, _table

__all__ = ["SubgroupReport", "by_subgroup"]


@dataclass(frozen=True)
class SubgroupReport:
    """The report on all cases and on each subgroup; ``print`` shows three metrics of each.

    Args:
        overall: Of all cases.
        subgroups: By the name of the subgroup.
    """

    overall: BinaryReport
    subgroups: Mapping[str, BinaryReport]

    def __getitem__(self, subgroup: str) -> BinaryReport:
        """The report on that subgroup."""
        return self.subgroups[subgroup]

    def to_dict(self) -> dict[str, object]:
        """The reports in types that JSON has; nan becomes ``None``, beside its reason."""
        of_each = {name: report.to_dict() for name, report in self.subgroups.items()}
        return {"overall": self.overall.to_dict(), "subgroups": of_each}

    def table(self, *metrics: str) -> str:
        """The named metrics of every subgroup, in lines below each other."""
        reports = {"(all)": self.overall, **self.subgroups}
        rows = [
            (metric, name, *_cells(report[metric]))
            for metric in metrics
            for name, report in reports.items()
        ]
        return _table(("metric", "subgroup", *_columns(self.overall.level)), rows)

    def __str__(self) -> str:
        """ROC area, sensitivity and specificity."""
        return self.table("roc_auc", "sensitivity", "specificity")


def by_subgroup(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    subgroups: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float = 0.5,
    level: float = 0.95,
) -> SubgroupReport:
    """Evaluate every subgroup by itself, with ``binary_report``.

    Intervals of the parts are wider than that of the whole, and of many parts some differ by
    chance: a difference between two is not shown by their intervals alone.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of class 1.
        subgroups: The subgroup of each case, such as its view; numbers or strings.
        patients: The patient of each case; a patient may have cases in several subgroups.
        threshold: Scores from here on are positive, in every subgroup.
        level: Confidence level of the intervals.

    Shape:
        All (N,).

    Returns:
        The reports, subgroups in increasing order; where one has no positives, its sensitivity is
        nan and says why.

    Raises:
        TypeError: If labels or scores are not numbers, or patients or subgroups are mixed.
        ValueError: If an argument is empty, not finite, of another shape or length, or outside its
            range, or a patient or a subgroup is missing.

    Examples:
        >>> from seattn.metrics import by_subgroup
        >>> report = by_subgroup(
        ...     y_true=[1, 1, 0, 0, 0, 1],
        ...     y_score=[0.9, 0.4, 0.2, 0.6, 0.1, 0.7],
        ...     subgroups=["AP", "lateral", "AP", "lateral", "AP", "lateral"],
        ... )
        >>> print(report.table("sensitivity"))
        metric       subgroup  value  95% interval    n  patients  how, or why not
        sensitivity  (all)     0.667  [0.208, 0.939]  3  -         Wilson
        sensitivity  AP        1.000  [0.207, 1.000]  1  -         Wilson
        sensitivity  lateral   0.500  [0.095, 0.905]  2  -         Wilson
        >>> report["lateral"]["specificity"].value
        0.0
    """
    positive, scores = binary_scores(y_true, y_score)
    names = as_identifiers("subgroups", subgroups, len(scores))
    codes = None if patients is None else as_patients(patients, len(scores))

    def report(among: npt.NDArray[np.bool_] | slice) -> BinaryReport:
        return binary_report(
            y_true=positive[among],
            y_score=scores[among],
            patients=None if codes is None else codes[among],
            threshold=threshold,
            level=level,
        )

    return SubgroupReport(
        overall=report(slice(None)),
        subgroups={str(name): report(names == name) for name in np.unique(names)},
    )
