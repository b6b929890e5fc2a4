"""Do heat maps agree with annotations better than maps that saw no image, or learnt nothing?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seattn.explain.agreement.arguments import flat_maps, flat_mask
from seattn.explain.agreement.components import label_regions
from seattn.explain.agreement.controls import centre_map
from seattn.explain.agreement.localisation import LocalisationReport
from seattn.explain.agreement.measures import (
    MEASURES,
    Annotation,
    measures_by_name,
    rules_in_words,
)
from seattn.explain.agreement.overlap import FittedThreshold, Threshold
from seattn.explain.agreement.readers import reader_dice
from seattn.explain.agreement.regions import RegionTable, region_table
from seattn.explain.agreement.scoring import scored
from seattn.explain.arguments import check_tensor, check_whole
from seattn.metrics.inputs import as_patients, check_level

__all__ = ["localisation_report"]


def localisation_report(
    maps: Tensor,
    masks: Tensor,
    *,
    randomised: Tensor,
    mean_mask: Tensor,
    grid: Sequence[int],
    patients: npt.ArrayLike | None = None,
    readers: Sequence[str] | None = None,
    regions: Tensor | None = None,
    spacing: Sequence[float] | Tensor | None = None,
    tolerance: float = 0.0,
    threshold: Threshold = "area",
    top: float = 0.05,
    share: float = 0.0,
    measures: Sequence[str] = MEASURES,
    level: float = 0.95,
    seed: int = 0,
) -> LocalisationReport:
    """Compare maps with annotations, beside chance, the grid's ceiling, readers and three controls.

    A map may agree with annotations for reasons that have nothing to do with what the network
    learnt: because regions lie where most of them lie, or because any map of this grid would. The
    controls are the maps of a network with random weights, a constant bump in the centre, and the
    mean mask of the training images. A measure whose differences to all three do not have an
    interval above 0 is "not better than chance of place". Agreement says where a map is strong, not
    that it tells why the network decided.

    Values are means over the cases in which something is marked; with several readers first over
    those who marked something. Intervals draw patients with replacement 2000 times and take the
    percentiles of the mean (of the difference, case by case); below 5 patients there is none. A
    blank map finds nothing: where a measure is not defined for it, it scores 0. Against a control
    whose maps are all blank there is no interval and no verdict.

    Chance levels: ``pointing_game`` and ``mass_in_mask``, the share of the image that the mask
    covers (with its tolerance); ``dice`` and ``average_precision``, the mean over all orders of the
    map's pixels, by formula; ``iou`` and ``region_recall``, the mean over all places that the map
    can be moved to, where what leaves on one side comes in on the other.

    Args:
        maps: The maps, finite and not negative, in their own units (not min-max scaled).
        masks: The annotated regions, bool or 0 and 1, by one reader or by several.
        randomised: The maps of ``randomised_copy`` of the network, for the same cases.
        mean_mask: ``mean_mask_map`` of training masks.
        grid: The cells that the maps were computed on: ``GradCAM(...).explain(x).raw.shape[1:]``.
        patients: (N,) identifiers. ``None`` takes the cases for independent.
        readers: Names of the readers; "reader 1" and so on by default.
        regions: Label maps of the masks. By default connected pixels, also over corners, are a
            region.
        spacing: The distance of neighbouring pixels along each spatial axis, in mm, (D,) or (N, D).
        tolerance: Of ``pointing_game``, in mm.
        threshold: Of ``iou`` and ``dice``.
        top: Of ``region_recall``.
        share: Of ``region_recall``.
        measures: Some of ``"pointing_game"``, ``"mass_in_mask"``, ``"iou"``, ``"dice"``,
            ``"average_precision"``, ``"region_recall"``.
        level: Confidence level of the intervals.
        seed: Of the draws of patients.

    Shape:
        - maps, randomised: ``(N, *spatial)``, with one to three spatial dimensions.
        - masks, regions: ``(N, *spatial)``, or ``(R, N, *spatial)`` of R readers.
        - mean_mask: ``(*spatial)``.

    Returns:
        The report.

    Raises:
        TypeError: Maps or masks are no tensors.
        ValueError: Shapes do not fit, values are out of range, a measure is unknown, ``regions``
            do not cover the masks, or a ``FittedThreshold`` was fitted on one of the patients.

    Examples:
        >>> import torch
        >>> from seattn.explain import localisation_report, mean_mask_map
        >>> masks = torch.zeros(12, 16, 16)
        >>> for case in range(12):
        ...     masks[case, case : case + 4, 8 - case // 2 :][:, :4] = 1
        >>> report = localisation_report(
        ...     masks,  # maps that know the truth
        ...     masks,
        ...     randomised=torch.rand(12, 16, 16),
        ...     mean_mask=mean_mask_map(masks),
        ...     grid=(4, 4),
        ...     patients=[f"p{case // 2}" for case in range(12)],
        ... )
        >>> report["dice"].value.value, report["dice"].verdict
        (1.0, 'beats all three')
        >>> report.regions.summary
        '12 of 12 regions hit: 12 of 12 up to 16 pixels'
    """
    given = {"maps": maps, "masks": masks, "randomised": randomised, "mean_mask": mean_mask}
    for name, tensor in given.items():
        check_tensor(name, tensor)
    truths, names = _annotations(maps, masks, regions, readers)
    shape = tuple(maps.shape)
    if tuple(randomised.shape) != shape or tuple(mean_mask.shape) != shape[1:]:
        raise ValueError(
            f"`randomised` (shape {tuple(randomised.shape)}) must have the shape of `maps` "
            f"(={shape}), and `mean_mask` (shape {tuple(mean_mask.shape)}) that of one map"
        )
    measures = [measures] if isinstance(measures, str) else list(measures)
    unknown = [name for name in measures if name not in MEASURES]
    if unknown or not measures:
        known = ", ".join(MEASURES)
        raise ValueError(f"`measures` (={unknown}) must be one or more of {known}")
    check_level(level)
    check_whole("seed", seed, least=0)
    _check_patients(threshold, patients)
    codes = None if patients is None else as_patients(patients, len(maps))
    every = measures_by_name(
        tolerance=tolerance, spacing=spacing, threshold=threshold, top=top, share=share
    )
    controls = {
        "randomised weights": randomised,
        "constant centre": centre_map(shape[1:]).to(maps.device).expand(shape),
        "mean training mask": mean_mask.to(maps.device).expand(shape),
    }
    annotated = torch.stack([t.mask.flatten(1).any(1) for t in truths])  # (R, N)
    blank = {
        name: int((annotated.any(0) & ~(flat_maps(cam) > 0).any(1)).sum())
        for name, cam in {"maps": maps, **controls}.items()
    }
    n_annotated = int(annotated.any(0).sum())
    mute = {name for name in controls if blank[name] == n_annotated > 0}
    scores = {
        name: scored(every[name], maps, controls, mute, truths, names, grid, codes, level, seed)
        for name in measures
    }
    of_reader: list[str | None] = [*names] or [None]
    tables = [
        region_table(maps, t.regions, top=top, share=share, spacing=spacing, reader=name)
        for t, name in zip(truths, of_reader, strict=True)
    ]
    return LocalisationReport(
        n=len(maps),
        n_patients=None if codes is None else len(np.unique(codes)),
        n_annotated=n_annotated,
        unmarked=dict(zip(names or ["annotation"], (~annotated).sum(1).tolist(), strict=True)),
        blank=blank,
        grid=tuple(grid),
        level=level,
        rules=rules_in_words(
            measures, tolerance=tolerance, threshold=threshold, top=top, share=share
        ),
        scores=scores,
        regions=RegionTable(tuple(row for table in tables for row in table), tables[0].unit),
        reader_dice=_dice_by_name(truths, names),
    )


def _annotations(
    maps: Tensor, masks: Tensor, regions: Tensor | None, readers: Sequence[str] | None
) -> tuple[list[Annotation], list[str]]:
    """What each reader marked, and their names: none where there is one without a name."""
    several = masks.dim() == maps.dim() + 1
    if (masks.shape[1:] if several else masks.shape) != maps.shape or len(masks) == 0:
        raise ValueError(
            f"`masks` (shape {tuple(masks.shape)}) must have the shape of `maps` "
            f"(={tuple(maps.shape)}), with several readers one such batch for each"
        )
    if regions is not None and not torch.equal(regions != 0, masks != 0):
        raise ValueError("`regions` must be above 0 exactly where `masks` are 1; label the masks")
    stack = masks if several else masks[None]
    flags = [flat_mask(mask, name="masks").reshape(mask.shape) for mask in stack]
    if regions is None:
        labels = [label_regions(flag) for flag in flags]
    else:
        labels = list(regions if several else regions[None])
    names = [f"reader {r}" for r in range(1, len(stack) + 1)] if readers is None else list(readers)
    if len(names) != len(stack) or len(set(names)) != len(names):
        raise ValueError(
            f"`readers` (={names}) must be {len(stack)} different names, as many as `masks` has"
        )
    alone = not several and readers is None
    return [Annotation(*pair) for pair in zip(flags, labels, strict=True)], [] if alone else names


def _check_patients(threshold: Threshold, patients: npt.ArrayLike | None) -> None:
    if isinstance(threshold, FittedThreshold) and patients is not None:
        shared = threshold.patients & set(np.asarray(patients).tolist())
        if shared:
            raise ValueError(
                f"`threshold` was fitted on {len(shared)} of these `patients`; fit it on others"
            )


def _dice_by_name(truths: list[Annotation], names: list[str]) -> dict[str, dict[str, float]]:
    if len(truths) == 1:
        return {}
    means = reader_dice(torch.stack([truth.mask for truth in truths])).nanmean(2).tolist()
    return {one: dict(zip(names, row, strict=True)) for one, row in zip(names, means, strict=True)}
