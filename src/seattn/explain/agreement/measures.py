"""The measures of a report by name: how a batch is scored, and what it would score by chance."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from torch import Tensor

from seattn.explain.agreement.chance import (
    average_precision_chance,
    dice_chance,
    iou_chance,
    region_recall_chance,
)
from seattn.explain.agreement.overlap import Threshold, describe_threshold, dice, iou
from seattn.explain.agreement.pointing import chance_level, mass_in_mask, pointing_game
from seattn.explain.agreement.ranking import pixel_average_precision
from seattn.explain.agreement.regions import region_recall

__all__ = ["MEASURES", "Annotation", "Measure", "measures_by_name", "rules_in_words"]

MEASURES = ("pointing_game", "mass_in_mask", "iou", "dice", "average_precision", "region_recall")


class Annotation(NamedTuple):
    """What one reader marked: masks and label maps, both ``(N, *spatial)``."""

    mask: Tensor
    regions: Tensor


Score: TypeAlias = Callable[[Tensor, Annotation], Tensor]


class Measure(NamedTuple):
    """Two functions of maps and an annotation: the (N,) scores, and their chance levels."""

    score: Score
    chance: Score


def measures_by_name(
    *,
    tolerance: float,
    spacing: Sequence[float] | Tensor | None,
    threshold: Threshold,
    top: float,
    share: float,
) -> dict[str, Measure]:
    """All measures with their settings."""
    return {
        "pointing_game": Measure(
            lambda cam, t: pointing_game(cam, t.mask, tolerance=tolerance, spacing=spacing),
            lambda cam, t: chance_level(t.mask, tolerance=tolerance, spacing=spacing),
        ),
        "mass_in_mask": Measure(
            lambda cam, t: mass_in_mask(cam, t.mask), lambda cam, t: chance_level(t.mask)
        ),
        "iou": Measure(
            lambda cam, t: iou(cam, t.mask, threshold=threshold),
            lambda cam, t: iou_chance(cam, t.mask, threshold=threshold),
        ),
        "dice": Measure(
            lambda cam, t: dice(cam, t.mask, threshold=threshold),
            lambda cam, t: dice_chance(cam, t.mask, threshold=threshold),
        ),
        "average_precision": Measure(
            lambda cam, t: pixel_average_precision(cam, t.mask),
            lambda cam, t: average_precision_chance(cam, t.mask),
        ),
        "region_recall": Measure(
            lambda cam, t: region_recall(cam, t.regions, top=top, share=share),
            lambda cam, t: region_recall_chance(cam, t.regions, top=top, share=share),
        ),
    }


def rules_in_words(
    chosen: Sequence[str], *, tolerance: float, threshold: Threshold, top: float, share: float
) -> dict[str, str]:
    """What the chosen measures take for near, marked and hit."""
    hit = f"{share:.0%} of its pixels" if share else "one pixel"
    rules = {
        "pointing_game": f"hits up to {tolerance:g} mm from the mask" if tolerance else "",
        "iou": f"marks {describe_threshold(threshold)}",
        "dice": f"marks {describe_threshold(threshold)}",
        "region_recall": f"hits a region by {hit} in the top {100 * top:g} % of the image",
    }
    return {name: rules[name] for name in chosen if rules.get(name)}
