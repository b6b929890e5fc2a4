"""One measure of a report: scored for the maps, the controls, the readers and the grid."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seattn.explain.agreement.grid import mask_on_grid
from seattn.explain.agreement.localisation import LocalisationScore
from seattn.explain.agreement.measures import Annotation, Measure, Score
from seattn.explain.agreement.resampling import mean_estimate

__all__ = ["scored"]


def scored(
    measure: Measure,
    maps: Tensor,
    controls: dict[str, Tensor],
    mute: set[str],
    truths: list[Annotation],
    names: list[str],
    grid: Sequence[int],
    codes: npt.NDArray[np.int64] | None,
    level: float,
    seed: int,
) -> LocalisationScore:
    """The score of one measure.

    Args:
        measure: How to score, and what chance scores.
        maps: ``(N, *spatial)``.
        controls: Maps of that shape, by name.
        mute: The controls whose maps are all blank.
        truths: What each reader marked.
        names: Of the readers, or none for a single one.
        grid: The cells of the maps.
        codes: (N,) patients, or ``None``.
        level: Confidence level.
        seed: Of the draws.
    """
    by_reader = _by_reader(measure.score, [maps] * len(truths), truths)  # (R, N)
    values = by_reader.nanmean(0)
    others = {
        name: _by_reader(measure.score, [control] * len(truths), truths).nanmean(0)
        for name, control in controls.items()
    }
    chance = _by_reader(measure.chance, [maps] * len(truths), truths)
    on_grid = [mask_on_grid(truth.mask, grid) for truth in truths]
    ceiling = _by_reader(measure.score, on_grid, truths)
    pairs = [(one, other) for one in truths for other in truths if one is not other]
    between = math.nan
    if pairs:
        as_maps = [one.mask.double() for one, _ in pairs]
        between = _mean(_by_reader(measure.score, as_maps, [other for _, other in pairs]))
    per_reader = {name: float(row.nanmean()) for name, row in zip(names, by_reader, strict=False)}
    differences = {
        name: mean_estimate(_numpy(values - other), codes, level=level, seed=seed)
        for name, other in others.items()
    }
    for name in mute:  # it shows nothing that could be beaten
        reason = f"all maps of the control {name} are blank"
        differences[name] = replace(
            differences[name], low=math.nan, high=math.nan, method=None, reason=reason
        )
    return LocalisationScore(
        value=mean_estimate(_numpy(values), codes, level=level, seed=seed),
        chance=_mean(chance),
        ceiling=_mean(ceiling),
        between_readers=between,
        per_reader=per_reader,
        controls={name: float(other.nanmean()) for name, other in others.items()},
        differences=differences,
    )


def _by_reader(score: Score, cams: list[Tensor], truths: list[Annotation]) -> Tensor:
    """The scores of each pair of maps and annotation, (R, N), nan where nothing is marked."""
    rows = []
    for cam, truth in zip(cams, truths, strict=True):
        row = score(cam, truth)
        # A blank map has no mass anywhere: it found nothing.
        rows.append(row.masked_fill(row.isnan() & truth.mask.flatten(1).any(1), 0.0))
    return torch.stack(rows)


def _mean(by_reader: Tensor) -> float:
    """The mean over the cases of the mean over the readers who marked something."""
    return float(by_reader.nanmean(0).nanmean())


def _numpy(values: Tensor) -> npt.NDArray[np.float64]:
    return values.cpu().numpy()
