"""Class activation maps of any network, pictures and checks of them, agreement with annotations."""

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
from seattn.explain.class_activation import ClassActivationMap
from seattn.explain.drawing import overlay
from seattn.explain.explanation import Explanation
from seattn.explain.gate_plot import plot_gates
from seattn.explain.gradcam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from seattn.explain.label_permutation import LabelPermutationTest, label_permutation_test
from seattn.explain.layouts import from_channels_last, from_tokens
from seattn.explain.listing import LayerInfo, LayerList, list_layers
from seattn.explain.map_pairs import MapSimilarity
from seattn.explain.panels import side_by_side
from seattn.explain.perturbation import PerturbationCurve, deletion_curve, insertion_curve
from seattn.explain.png import save_pictures
from seattn.explain.randomisation import RandomisationTest, randomisation_test
from seattn.explain.randomise import randomised_copy
from seattn.explain.recording import Tap, tap
from seattn.explain.sanity_plot import plot_label_permutation, plot_randomisation
from seattn.explain.similarity import rank_correlation, structural_similarity
from seattn.explain.slices import montage

__all__ = [
    "ClassActivationMap",
    "Explanation",
    "FittedThreshold",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "LabelPermutationTest",
    "LayerCAM",
    "LayerInfo",
    "LayerList",
    "LocalisationReport",
    "LocalisationScore",
    "MapSimilarity",
    "PerturbationCurve",
    "RandomisationTest",
    "Region",
    "RegionTable",
    "Tap",
    "centre_map",
    "chance_level",
    "deletion_curve",
    "dice",
    "fit_threshold",
    "from_channels_last",
    "from_tokens",
    "insertion_curve",
    "iou",
    "label_permutation_test",
    "label_regions",
    "list_layers",
    "localisation_report",
    "mask_on_grid",
    "mass_in_mask",
    "mean_mask_map",
    "montage",
    "overlay",
    "pixel_average_precision",
    "plot_gates",
    "plot_label_permutation",
    "plot_randomisation",
    "pointing_game",
    "randomisation_test",
    "randomised_copy",
    "rank_correlation",
    "reader_dice",
    "region_recall",
    "region_table",
    "save_pictures",
    "side_by_side",
    "structural_similarity",
    "tap",
]
