"""Several models on the same cases: the difference of every metric, shown as a table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from seattn.metrics.comparison import Comparison
from seattn.metrics.operating_points import OperatingPoint
from seattn.metrics.report import CHOSEN_HERE, cases_line, point_line
from seattn.metrics.tables import (
    Table,
    Tabled,
    how_cell,
    interval_cell,
    method_notes,
    number_cell,
)

__all__ = ["ModelComparison", "ModelDifference"]


@dataclass(frozen=True)
class ModelDifference(Comparison):
    """A ``Comparison`` of two of the models.

    Args:
        model_a: Name of the one model.
        model_b: Name of the other.
        p_holm: ``p_value`` adjusted by ``holm`` for the comparisons of this metric.
        variance_seeds: Of models trained several times, the part of the seeds in the variance of
            the difference; ``None`` of models trained once.
        variance_patients: The part of the patients.

    Examples:
        >>> from seattn.metrics import compare_models
        >>> (gain,) = compare_models(
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     scores={
        ...         "se": [0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...         "plain": [0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ...     },
        ...     metrics=["roc_auc"],
        ... )["roc_auc"]
        >>> gain.model_a, gain.model_b, round(gain.difference, 3), gain.p_value, gain.p_holm
        ('se', 'plain', 0.167, 0.5625, 0.5625)
    """

    model_a: str
    model_b: str
    p_holm: float
    variance_seeds: float | None
    variance_patients: float | None


@dataclass(frozen=True)
class ModelComparison(Tabled):
    """Differences between models; ``print`` shows them as a table, and so do notebooks.

    Args:
        n: Cases.
        n_patients: Patients, or ``None`` where they were not given.
        n_positive: Cases of class 1.
        models: The names, in the order given.
        reference: The model that the others were compared with; ``None`` for all pairs.
        trainings: How many of each model were compared.
        thresholds: Of each model: scores from here on were called positive.
        operating_points: Of those models whose threshold comes from one.
        chosen_here: Of those, the models whose threshold was chosen on these very cases.
        level: Confidence level of the intervals.
        seed: Of bootstraps and swaps.
        differences: Metric by metric, and within a metric pair by pair.

    Raises:
        KeyError: ``comparison[metric]`` asks for a metric that was not compared.

    Examples:
        >>> from seattn.metrics import compare_models
        >>> comparison = compare_models(
        ...     y_true=[1, 1, 1, 0, 0, 0],
        ...     scores={
        ...         "plain": [0.7, 0.4, 0.8, 0.6, 0.7, 0.2],
        ...         "se": [0.9, 0.8, 0.7, 0.3, 0.75, 0.1],
        ...     },
        ...     metrics=["roc_auc", "accuracy"],
        ... )
        >>> comparison.models, comparison.reference, len(comparison.differences)
        (('plain', 'se'), None, 2)
        >>> round(comparison["roc_auc"][0].difference, 3)
        -0.167
    """

    n: int
    n_patients: int | None
    n_positive: int
    models: tuple[str, ...]
    reference: str | None
    trainings: Mapping[str, int]
    thresholds: Mapping[str, float]
    operating_points: Mapping[str, OperatingPoint]
    chosen_here: tuple[str, ...]
    level: float
    seed: int
    differences: tuple[ModelDifference, ...]

    def __getitem__(self, metric: str) -> tuple[ModelDifference, ...]:
        """The differences of that metric, one per pair."""
        found = tuple(d for d in self.differences if d.metric == metric)
        if not found:
            raise KeyError(metric)
        return found

    def table(self) -> Table:
        """A row per metric and pair; columns of p and of seeds only where they say something."""
        caption = [
            f"{cases_line(self.n, self.n_patients)}; {self.n_positive} positive",
            *(self._threshold(name) for name in self.models),
        ]
        if self.chosen_here:
            caption.append(f"of {', '.join(self.chosen_here)} {CHOSEN_HERE}")
        columns = {
            "metric": [d.metric for d in self.differences],
            "A": [d.model_a for d in self.differences],
            "B": [d.model_b for d in self.differences],
            "of A": [number_cell(d.value_a) for d in self.differences],
            "of B": [number_cell(d.value_b) for d in self.differences],
            "A - B": [number_cell(d.difference) for d in self.differences],
            f"{100 * self.level:g}% interval": [
                interval_cell(d.low, d.high) for d in self.differences
            ],
        }
        notes = []
        if any(d.variance_seeds is not None for d in self.differences):
            columns["sd, seeds"] = [_sd_cell(d.variance_seeds) for d in self.differences]
            columns["sd, patients"] = [_sd_cell(d.variance_patients) for d in self.differences]
            notes.append("sd: of A - B, if only seeds or only patients were drawn again")
        else:
            columns["p"] = [_p_cell(d.p_value) for d in self.differences]
            pairs = len(self.differences) // len({d.metric for d in self.differences})
            if pairs > 1:
                columns["p, Holm"] = [_p_cell(d.p_holm) for d in self.differences]
                notes.append(f"Holm: of the {pairs} comparisons of a metric")
        columns["how, or why not"] = [how_cell(d.method, d.reason) for d in self.differences]
        return Table(
            caption=tuple(caption),
            head=tuple(columns),
            rows=tuple(zip(*columns.values(), strict=True)),
            notes=(*notes, *method_notes((d.method for d in self.differences), self.seed)),
        )

    def _threshold(self, name: str) -> str:
        point, times = self.operating_points.get(name), self.trainings[name]
        line = f"{name}: score >= {self.thresholds[name]:g}"
        line += f", {point_line(point)}" if point else ""
        return line + (f"; trained {times} times" if times > 1 else "")


def _p_cell(p: float) -> str:
    return "< 0.001" if p < 0.001 else number_cell(p)


def _sd_cell(variance: float | None) -> str:
    return "-" if variance is None else number_cell(math.sqrt(variance))
