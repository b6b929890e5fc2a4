"""The result of comparing maps with annotations, as tables or as JSON types."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from seattn.explain.agreement.regions import RegionTable
from seattn.metrics import Estimate

__all__ = ["LocalisationReport", "LocalisationScore"]


@dataclass(frozen=True)
class LocalisationScore:
    """One measure of agreement, its mean over the annotated cases; of several readers their mean.

    Args:
        value: Of the maps.
        chance: Of maps that do not know where the mask is.
        ceiling: Of the masks themselves, seen through the grid of the maps (``mask_on_grid``).
        between_readers: Of each reader's mask as a map, against each other reader's mask; nan with
            one reader.
        per_reader: Of the maps, against each reader's masks; empty with one reader.
        controls: Of each map that did not see the image, or did not learn.
        differences: Of the maps minus each control, case by case.

    Examples:
        >>> import torch
        >>> from seattn.explain import localisation_report, mean_mask_map
        >>> masks = torch.zeros(12, 16, 16)
        >>> for case in range(12):
        ...     masks[case, case : case + 4, 8 - case // 2 :][:, :4] = 1
        >>> score = localisation_report(
        ...     masks,  # maps that know the truth
        ...     masks,
        ...     randomised=masks.flip(-1),
        ...     mean_mask=mean_mask_map(masks),
        ...     grid=(4, 4),
        ...     measures=["dice"],
        ... )["dice"]
        >>> score.value.value, round(score.chance, 3), round(score.ceiling, 3)
        (1.0, 0.062, 0.759)
        >>> score.beats_all_controls, list(score.controls)
        (True, ['randomised weights', 'constant centre', 'mean training mask'])
    """

    value: Estimate
    chance: float
    ceiling: float
    between_readers: float
    per_reader: Mapping[str, float]
    controls: Mapping[str, float]
    differences: Mapping[str, Estimate]

    @property
    def beats_all_controls(self) -> bool:
        """Whether the interval of every difference lies above 0."""
        return all(difference.low > 0 for difference in self.differences.values())

    @property
    def verdict(self) -> str:
        """The same in words; without intervals there is none."""
        reasons = [d.reason for d in self.differences.values() if math.isnan(d.low)]
        if reasons:
            return f"none: {reasons[0]}"
        return "beats all three" if self.beats_all_controls else "not better than chance of place"


@dataclass(frozen=True)
class LocalisationReport:
    """How maps agree with annotations, beside chance, ceiling and controls; ``print`` shows it.

    Args:
        n: Cases.
        n_patients: Patients, or ``None`` where they were not given.
        n_annotated: Cases in which a reader marked something; only these are scored.
        unmarked: Cases in which each reader marked nothing, by reader; with one reader under
            ``"annotation"``.
        blank: Maps of annotated cases that are 0 everywhere, the network's under ``"maps"`` and
            each control's; they found nothing and score 0 where the measure is not defined. A
            control that is often blank is easily beaten.
        grid: The cells that the maps were computed on.
        level: Confidence level of the intervals.
        rules: What is marked, hit and near, in words.
        scores: By measure.
        regions: Every annotated region, and whether the maps hit it.
        reader_dice: The mean Dice of each two readers, by reader and reader; empty with one reader.

    Examples:
        >>> import torch
        >>> from seattn.explain import localisation_report, mean_mask_map
        >>> masks = torch.zeros(12, 16, 16)
        >>> for case in range(12):
        ...     masks[case, case : case + 4, 8 - case // 2 :][:, :4] = 1
        >>> report = localisation_report(
        ...     masks,  # maps that know the truth
        ...     masks,
        ...     randomised=masks.flip(-1),
        ...     mean_mask=mean_mask_map(masks),
        ...     grid=(4, 4),
        ...     patients=range(12),
        ...     measures=["pointing_game", "dice"],
        ... )
        >>> for line in str(report).splitlines()[3:6]:
        ...     print(line)
        measure        value  95% interval    chance  ceiling
        pointing_game  1.000  [1.000, 1.000]  0.062   0.861
        dice           1.000  [1.000, 1.000]  0.062   0.759
        >>> report.to_dict()["verdicts"]
        {'pointing_game': 'beats all three', 'dice': 'beats all three'}
    """

    n: int
    n_patients: int | None
    n_annotated: int
    unmarked: Mapping[str, int]
    blank: Mapping[str, int]
    grid: tuple[int, ...]
    level: float
    rules: Mapping[str, str]
    scores: Mapping[str, LocalisationScore]
    regions: RegionTable
    reader_dice: Mapping[str, Mapping[str, float]]

    def __getitem__(self, measure: str) -> LocalisationScore:
        """The score of that name."""
        return self.scores[measure]

    def to_dict(self) -> dict[str, object]:
        """The report in types that JSON has; nan becomes ``None``. No patient is named."""
        plain = {name: _plain(value) for name, value in asdict(self).items()}
        plain["verdicts"] = {name: score.verdict for name, score in self.scores.items()}
        return plain

    def __str__(self) -> str:
        """The cases, the measures, their differences to the controls, and the regions."""
        return "\n\n".join(
            part for part in (self._head(), self._values(), self._differences(), self._tail())
        )

    def _head(self) -> str:
        of = (
            "taken for independent" if self.n_patients is None else f"of {self.n_patients} patients"
        )
        cells = "x".join(map(str, self.grid))
        lines = [f"{self.n} cases {of}, {self.n_annotated} annotated; maps of {cells} cells"]
        lines += [f"{name}: {rule}" for name, rule in self.rules.items()]
        return "\n".join(lines)

    def _values(self) -> str:
        interval = f"{100 * self.level:g}% interval"
        names = list(self.reader_dice)
        head = ["measure", "value", interval, "chance", "ceiling"]
        head += ["between readers", *names] if names else []
        rows = []
        for name, score in self.scores.items():
            numbers = [score.chance, score.ceiling]
            if names:
                numbers += [score.between_readers, *(score.per_reader[name] for name in names)]
            value = [_number(score.value.value), _interval(score.value, "")]
            rows.append([name, *value, *map(_number, numbers)])
        return _table(head, rows)

    def _differences(self) -> str:
        controls = list(next(iter(self.scores.values())).differences)
        rows = []
        for name, score in self.scores.items():
            cells = [
                "-" if math.isnan(d.value) else f"{d.value:+.3f} {_interval(d, '+')}"
                for d in score.differences.values()
            ]
            rows.append([name, *cells, score.verdict])
        return _table(["difference to", *controls, "verdict"], rows)

    def _tail(self) -> str:
        lines = [
            self.regions.summary,
            f"cases with nothing marked, not scored: {_counts(self.unmarked)}",
            f"blank maps: {_counts(self.blank)}",
        ]
        names = list(self.reader_dice)
        for at, one in enumerate(names):
            lines += [
                f"Dice of {one} and {other}: {_number(self.reader_dice[one][other])}"
                for other in names[at + 1 :]
            ]
        return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _interval(estimate: Estimate, sign: str) -> str:
    if math.isnan(estimate.low):
        return "-"
    return f"[{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
