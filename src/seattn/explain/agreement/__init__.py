"""How well heat maps agree with annotations, and what maps that saw no image would score.

Agreement says where a map is strong, not that it tells why the network decided. Report each measure
beside its chance level, beside the maps here that ignore the image, and beside a network with
random weights (``randomised_copy``): ``localisation_report`` does.
"""

from seattn.explain.agreement.components import label_regions
from seattn.explain.agreement.controls import centre_map, mean_mask_map
from seattn.explain.agreement.grid import mask_on_grid
from seattn.explain.agreement.localisation import LocalisationReport, LocalisationScore
from seattn.explain.agreement.overlap import FittedThreshold, dice, fit_threshold, iou
from seattn.explain.agreement.pointing import chance_level, mass_in_mask, pointing_game
from seattn.explain.agreement.ranking import pixel_average_precision
from seattn.explain.agreement.readers import reader_dice
from seattn.explain.agreement.regions import (
    Region,
    RegionTable,
    region_recall,
    region_table,
)
from seattn.explain.agreement.report import localisation_report

__all__ = [
    "FittedThreshold",
    "LocalisationReport",
    "LocalisationScore",
    "Region",
    "RegionTable",
    "centre_map",
    "chance_level",
    "dice",
    "fit_threshold",
    "iou",
    "label_regions",
    "localisation_report",
    "mask_on_grid",
    "mass_in_mask",
    "mean_mask_map",
    "pixel_average_precision",
    "pointing_game",
    "reader_dice",
    "region_recall",
    "region_table",
]
