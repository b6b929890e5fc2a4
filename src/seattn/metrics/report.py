"""Reports on one model: estimates by name, shown as a table or handed on as JSON types."""

from collections.abc import Mapping
from dataclasses import dataclass

from seattn.metrics.counts import BinaryCounts
from seattn.metrics.estimate import Estimate
from seattn.metrics.operating_points import OperatingPoint
from seattn.metrics.tables import Table, Tabled, estimate_cells, estimate_columns, method_notes

__all__ = ["CHOSEN_HERE", "BinaryReport", "ClassificationReport", "cases_line", "point_line"]

CHOSEN_HERE = "the threshold was chosen on THESE VERY CASES: what holds at it here is optimistic"


@dataclass(frozen=True)
class BinaryReport(Tabled):
    """The metrics of a two-class model; ``print`` shows them as a table, and so do notebooks.

    Args:
        n: Cases.
        n_patients: Patients, or ``None`` where they were not given.
        n_positive: Cases of class 1.
        threshold: Scores from here on were called positive.
        operating_point: What the threshold comes from, or ``None`` where it was a number.
        chosen_here: Whether the operating point was chosen on these very cases: then what holds at
            the threshold is optimistic.
        prevalence: Of the predictive values ``..._at_prevalence``, or ``None``.
        level: Confidence level of the intervals.
        seed: Of the bootstrap.
        counts: The confusion table at the threshold.
        estimates: By name, in the order of the table.

    Examples:
        >>> from seattn.metrics import binary_report
        >>> cases = {
        ...     "y_true": [1, 1, 0, 0, 1, 0, 1, 0],
        ...     "y_score": [0.9, 0.4, 0.2, 0.6, 0.8, 0.1, 0.7, 0.3],
        ...     "patients": ["a", "a", "b", "b", "c", "d", "e", "f"],
        ... }
        >>> report = binary_report(**cases, threshold=0.35)
        >>> report.n, report.n_patients, report.n_positive, report.counts
        (8, 6, 4, BinaryCounts(tp=4, fp=1, tn=3, fn=0))
        >>> report["sensitivity"].value, report["roc_auc"].method
        (1.0, 'clustered DeLong, logit, t')
        >>> for line in str(report).splitlines()[:6]:
        ...     print(line)
        8 cases of 6 patients; 4 positive
        score >= 0.35: TP 4, FP 1, TN 3, FN 0
        <BLANKLINE>
        metric                     value  95% interval    n  patients  how, or why not
        roc_auc                    0.938  [0.103, 0.999]  8  6         clustered DeLong, logit, t
        average_precision          0.950  [0.886, 1.000]  8  6         stratified patient bootstrap
    """

    n: int
    n_patients: int | None
    n_positive: int
    threshold: float
    operating_point: OperatingPoint | None
    chosen_here: bool
    prevalence: float | None
    level: float
    seed: int
    counts: BinaryCounts
    estimates: Mapping[str, Estimate]

    def __getitem__(self, metric: str) -> Estimate:
        """The estimate of that name."""
        return self.estimates[metric]

    def table(self) -> Table:
        """A row per metric, under the cases and the threshold."""
        c = self.counts
        caption = [
            f"{cases_line(self.n, self.n_patients)}; {self.n_positive} positive",
            f"score >= {self.threshold:g}: TP {c.tp}, FP {c.fp}, TN {c.tn}, FN {c.fn}",
        ]
        if self.operating_point is not None:
            caption.append(f"threshold: {point_line(self.operating_point)}")
        if self.chosen_here:
            caption.append(CHOSEN_HERE)
        notes = method_notes((e.method for e in self.estimates.values()), self.seed)
        if self.prevalence is not None:
            notes = (f"at_prevalence: where {self.prevalence:g} of the cases are positive", *notes)
        return Table(
            caption=tuple(caption),
            head=("metric", *estimate_columns(self.level)),
            rows=tuple((name, *estimate_cells(e)) for name, e in self.estimates.items()),
            notes=notes,
        )


@dataclass(frozen=True)
class ClassificationReport(Tabled):
    """The metrics of a model of several classes or findings; ``print`` shows them as a table.

    Args:
        n: Cases.
        n_patients: Patients, or ``None`` where they were not given.
        class_names: Names of the classes, or of the findings.
        support: Cases of each.
        thresholds: Of findings, by name: scores from here on were called positive; ``None`` for
            classes, of which the most probable is predicted.
        operating_points: Of those findings whose threshold comes from one.
        chosen_here: Of those, the findings whose threshold was chosen on these very cases.
        level: Confidence level of the intervals.
        seed: Of the bootstrap.
        overall: Of all classes together: ``accuracy``, ``balanced_accuracy``, ``mcc``, ``kappa``,
            ``brier``, ``brier_skill`` and ``log_loss``. Of all findings: ``exact_match``, the share
            of the cases with every finding called right.
        macro: The means over the classes of what ``per_class`` has.
        per_class: By class, that class against the rest: ``roc_auc``, ``average_precision``,
            ``sensitivity``, ``specificity``, ``ppv``, ``npv``, ``f1``.

    Examples:
        >>> from seattn.metrics import classification_report
        >>> report = classification_report(
        ...     y_true=[0, 1, 2, 0],
        ...     y_score=[[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.6, 0.3, 0.1]],
        ...     class_names=["normal", "lateral", "medial"],
        ... )
        >>> report.overall["accuracy"].value, report.support
        (0.75, (2, 1, 1))
        >>> for name, estimates in report.per_class.items():
        ...     print(name, estimates["sensitivity"].value, estimates["ppv"].value)
        normal 1.0 1.0
        lateral 1.0 0.5
        medial 0.0 nan
        >>> report.per_class["medial"]["ppv"].reason
        'none predicted positive'
    """

    n: int
    n_patients: int | None
    class_names: tuple[str, ...]
    support: tuple[int, ...]
    thresholds: Mapping[str, float] | None
    operating_points: Mapping[str, OperatingPoint]
    chosen_here: tuple[str, ...]
    level: float
    seed: int
    overall: Mapping[str, Estimate]
    macro: Mapping[str, Estimate]
    per_class: Mapping[str, Mapping[str, Estimate]]

    def table(self) -> Table:
        """A row per class and metric, under the cases."""
        kind = "class" if self.thresholds is None else "finding"
        sizes = (
            f"{kind} {name}: {n}" for n, name in zip(self.support, self.class_names, strict=True)
        )
        caption = [f"{cases_line(self.n, self.n_patients)}; {', '.join(sizes)}"]
        for name, at in (self.thresholds or {}).items():
            point = self.operating_points.get(name)
            caption.append(f"{name}: score >= {at:g}{f', {point_line(point)}' if point else ''}")
            if name in self.chosen_here:
                caption.append(CHOSEN_HERE)
        blocks = [("(all)", self.overall), ("(macro)", self.macro), *self.per_class.items()]
        estimates = [(block, name, e) for block, of in blocks for name, e in of.items()]
        return Table(
            caption=tuple(caption),
            head=(kind, "metric", *estimate_columns(self.level)),
            rows=tuple((block, name, *estimate_cells(e)) for block, name, e in estimates),
            notes=method_notes((e.method for _, _, e in estimates), self.seed),
        )


def cases_line(n: int, n_patients: int | None) -> str:
    """How many cases there are, and of how many patients."""
    if n_patients is None:
        return f"{n} cases, taken for independent (no `patients` given)"
    return f"{n} cases of {n_patients} patients"


def point_line(point: OperatingPoint) -> str:
    """Where a threshold comes from."""
    of_patients = "" if point.n_patients is None else f" of {point.n_patients} patients"
    return f"{point.rule} on {point.fitted_on} ({point.n} cases{of_patients})"
