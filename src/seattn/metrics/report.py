"""Reports on one model: estimates by name, shown as a table or handed on as JSON types."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from seattn.metrics.counts import BinaryCounts
from seattn.metrics.estimate import Estimate

__all__ = ["BinaryReport", "ClassificationReport"]


@dataclass(frozen=True)
class BinaryReport:
    """The metrics of a two-class model; ``print`` shows them as a table.

    Args:
        n: Cases.
        n_patients: Patients, or ``None`` where they were not given.
        n_positive: Cases of class 1.
        threshold: Scores from here on were called positive.
        level: Confidence level of the intervals.
        counts: The confusion table at the threshold.
        estimates: By name: ``roc_auc``, ``average_precision``, ``sensitivity``, ``specificity``,
            ``ppv``, ``npv``, ``f1``, ``accuracy``, ``balanced_accuracy``, ``mcc``, ``brier``.
    """

    n: int
    n_patients: int | None
    n_positive: int
    threshold: float
    level: float
    counts: BinaryCounts
    estimates: Mapping[str, Estimate]

    def __getitem__(self, metric: str) -> Estimate:
        """The estimate of that name."""
        return self.estimates[metric]

    def to_dict(self) -> dict[str, object]:
        """The report in types that JSON has; nan becomes ``None``, beside its reason."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """The table, under a line on the cases and one on the threshold."""
        c = self.counts
        head = f"{_cases(self.n, self.n_patients)}; {self.n_positive} positive\n"
        cells = f"score >= {self.threshold:g}: TP {c.tp}, FP {c.fp}, TN {c.tn}, FN {c.fn}\n\n"
        rows = [(name, *_cells(estimate)) for name, estimate in self.estimates.items()]
        return head + cells + _table(("metric", *_columns(self.level)), rows)


@dataclass(frozen=True)
class ClassificationReport:
    """The metrics of a model of several classes; ``print`` shows them as a table.

    Args:
        n: Cases.
        n_patients: Patients, or ``None`` where they were not given.
        class_names: Names of the classes.
        support: Cases of each class.
        level: Confidence level of the intervals.
        overall: ``accuracy``, ``balanced_accuracy``, ``mcc`` and ``brier`` of all classes together.
        macro: The means over the classes of what ``per_class`` has.
        per_class: By class, that class against the rest: ``roc_auc``, ``average_precision``,
            ``sensitivity``, ``specificity``, ``ppv``, ``npv``, ``f1``.
    """

    n: int
    n_patients: int | None
    class_names: tuple[str, ...]
    support: tuple[int, ...]
    level: float
    overall: Mapping[str, Estimate]
    macro: Mapping[str, Estimate]
    per_class: Mapping[str, Mapping[str, Estimate]]

    def to_dict(self) -> dict[str, object]:
        """The report in types that JSON has; nan becomes ``None``, beside its reason."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """The table, under a line on the cases."""
        sizes = (
            f"class {name}: {n}" for n, name in zip(self.support, self.class_names, strict=True)
        )
        head = f"{_cases(self.n, self.n_patients)}; {', '.join(sizes)}\n\n"
        blocks = [("(all)", self.overall), ("(macro)", self.macro), *self.per_class.items()]
        rows = [
            (block, name, *_cells(estimate))
            for block, estimates in blocks
            for name, estimate in estimates.items()
        ]
        return head + _table(("class", "metric", *_columns(self.level)), rows)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _cases(n: int, n_patients: int | None) -> str:
    if n_patients is None:
        return f"{n} cases, taken for independent (no `patients` given)"
    return f"{n} cases of {n_patients} patients"


def _columns(level: float) -> tuple[str, ...]:
    return "value", f"{100 * level:g}% interval", "n", "patients", "how, or why not"


def _cells(e: Estimate) -> tuple[str, ...]:
    interval = "-" if math.isnan(e.low) else f"[{e.low:.3f}, {e.high:.3f}]"
    value = "-" if math.isnan(e.value) else f"{e.value:.3f}"
    patients = "-" if e.n_patients is None else str(e.n_patients)
    return value, interval, str(e.n), patients, e.reason or e.method or ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
