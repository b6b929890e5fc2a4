"""Grad-CAM for any network, pictures of it, and its agreement with annotations."""

from seattn.explain.agreement import (
    FittedThreshold,
    LocalisationReport,
    LocalisationScore,
    Region,
    RegionTable,
    centre_map,
    chance_level,
    dice,
    fit_threshold,
    iou,
    label_regions,
    localisation_report,
    mask_on_grid,
    mass_in_mask,
    mean_mask_map,
    pixel_average_precision,
    pointing_game,
    reader_dice,
    region_recall,
    region_table,
)
from seattn.explain.drawing import overlay
from seattn.explain.gate_plot import plot_gates
from seattn.explain.gradcam import Explanation, GradCAM
from seattn.explain.panels import side_by_side
from seattn.explain.png import save_pictures
from seattn.explain.randomise import randomised_copy
from seattn.explain.recording import Tap, tap
from seattn.explain.slices import montage

__all__ = [
    "Explanation",
    "FittedThreshold",
    "GradCAM",
    "LocalisationReport",
    "LocalisationScore",
    "Region",
    "RegionTable",
    "Tap",
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
    "montage",
    "overlay",
    "pixel_average_precision",
    "plot_gates",
    "pointing_game",
    "randomised_copy",
    "save_pictures",
    "side_by_side",
    "reader_dice",
    "region_recall",
    "region_table",
    "tap",
]
