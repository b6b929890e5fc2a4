"""The report on one model again for every view, site or sex."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seattn.metrics.evaluation import binary_report
from seattn.metrics.inputs import as_identifiers, as_patients, binary_scores
from seattn.metrics.operating_points import OperatingPoint
from seattn.metrics.report import BinaryReport
from seattn.metrics.tables import Table, Tabled, estimate_cells, estimate_columns, method_notes

__all__ = ["SubgroupReport", "by_subgroup"]


@dataclass(frozen=True)
class SubgroupReport(Tabled):
    """The report on all cases and on each subgroup; ``print`` shows three metrics of each.

    Args:
        overall: Of all cases.
        subgroups: By the name of the subgroup.

    Examples:
        >>> from seattn.metrics import by_subgroup
        >>> report = by_subgroup(
        ...     y_true=[1, 1, 0, 0, 0, 1],
        ...     y_score=[0.9, 0.4, 0.2, 0.6, 0.1, 0.7],
        ...     subgroups=["AP", "lateral", "AP", "lateral", "AP", "lateral"],
        ... )
        >>> list(report.subgroups), report.overall.n, report["AP"].n
        (['AP', 'lateral'], 6, 3)
        >>> report["AP"]["sensitivity"].value, report["lateral"]["sensitivity"].value
        (1.0, 0.5)
    """

    overall: BinaryReport
    subgroups: Mapping[str, BinaryReport]

    def __getitem__(self, subgroup: str) -> BinaryReport:
        """The report on that subgroup."""
        return self.subgroups[subgroup]

    def table(self, *metrics: str) -> Table:
        """The named metrics of every subgroup; ROC area, sensitivity, specificity if none is."""
        reports = {"(all)": self.overall, **self.subgroups}
        shown = [
            (metric, name, report[metric])
            for metric in metrics or ("roc_auc", "sensitivity", "specificity")
            for name, report in reports.items()
        ]
        return Table(
            caption=(),
            head=("metric", "subgroup", *estimate_columns(self.overall.level)),
            rows=tuple((metric, name, *estimate_cells(e)) for metric, name, e in shown),
            notes=method_notes((e.method for _, _, e in shown), self.overall.seed),
        )


def by_subgroup(
    *,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    subgroups: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    threshold: float | OperatingPoint = 0.5,
    level: float = 0.95,
    resamples: int | None = 2000,
    seed: int = 0,
) -> SubgroupReport:
    """Evaluate every subgroup by itself, with ``binary_report``.

    Intervals of the parts are wider than that of the whole, and of many parts some differ by
    chance: a difference between two is not shown by their intervals alone.

    Args:
        y_true: Labels, 0 or 1.
        y_score: Probabilities of class 1.
        subgroups: The subgroup of each case, such as its view; numbers or strings.
        patients: The patient of each case; a patient may have cases in several subgroups.
        threshold: As in ``binary_report``, the same in every subgroup. If it was chosen on all
            these cases, the subgroups say so too.
        level: Confidence level of the intervals.
        resamples: As in ``binary_report``.
        seed: Of the bootstrap.

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
            resamples=resamples,
            seed=seed,
        )

    overall = report(slice(None))
    of_each = {str(name): report(names == name) for name in np.unique(names)}
    if overall.chosen_here:
        of_each = {name: replace(each, chosen_here=True) for name, each in of_each.items()}
    return SubgroupReport(overall=overall, subgroups=of_each)
