"""Numbers in, numbers with intervals out: labels and scores of arrays, lists or tensors."""

from seattn.metrics.agreement import kappa
from seattn.metrics.area_comparison import delong_test
from seattn.metrics.bands import net_benefit_band, pr_band, roc_band
from seattn.metrics.calibration import Calibrator, fit_calibrator
from seattn.metrics.calibration_error import Reliability, ece, reliability
from seattn.metrics.calibration_line import Recalibration, recalibration
from seattn.metrics.classes import ClassValues, by_class
from seattn.metrics.classification import classification_report
from seattn.metrics.comparison import Comparison
from seattn.metrics.counts import (
    BinaryCounts,
    accuracy,
    balanced_accuracy,
    confusion,
    confusion_matrix,
    mcc,
)
from seattn.metrics.crossed import CrossedEstimate, crossed_bootstrap
from seattn.metrics.curve_band import CurveBand
from seattn.metrics.curve_plots import plot_pr, plot_roc
from seattn.metrics.curves import (
    PrecisionRecallCurve,
    RocCurve,
    partial_roc_auc,
    pr_curve,
    roc_curve,
)
from seattn.metrics.decision import DecisionCurve, decision_curve, net_benefit
from seattn.metrics.decision_plot import plot_decision
from seattn.metrics.delong import roc_auc_interval
from seattn.metrics.diagnosis import (
    negative_likelihood_ratio,
    npv_at_prevalence,
    positive_likelihood_ratio,
    ppv_at_prevalence,
    youden_j,
)
from seattn.metrics.estimate import Estimate
from seattn.metrics.evaluation import binary_report
from seattn.metrics.mcnemar import McNemar, mcnemar_test
from seattn.metrics.model_comparison import ModelComparison, ModelDifference
from seattn.metrics.model_differences import compare_models
from seattn.metrics.multiple_testing import holm
from seattn.metrics.operating_points import OperatingPoint, choose_threshold
from seattn.metrics.paired import compare_metric
from seattn.metrics.patient_bootstrap import BootstrapEstimate, bootstrap, paired_bootstrap
from seattn.metrics.patients import PatientScores, by_patient
from seattn.metrics.permutation import permutation_test
from seattn.metrics.predictions import Predictions
from seattn.metrics.probabilities import brier, brier_skill, log_loss
from seattn.metrics.proportion import clopper_pearson, share_interval, wilson
from seattn.metrics.ranking import average_precision, roc_auc, roc_auc_ovo
from seattn.metrics.rates import f1, npv, ppv, precision, recall, sensitivity, specificity
from seattn.metrics.reliability_plot import plot_reliability
from seattn.metrics.report import BinaryReport, ClassificationReport
from seattn.metrics.subgroups import SubgroupReport, by_subgroup
from seattn.metrics.table_plots import plot_confusion, plot_forest
from seattn.metrics.tables import Table
from seattn.metrics.torchmetric import as_torchmetric

__all__ = [
    "BinaryCounts",
    "BinaryReport",
    "BootstrapEstimate",
    "Calibrator",
    "ClassValues",
    "ClassificationReport",
    "Comparison",
    "CrossedEstimate",
    "CurveBand",
    "DecisionCurve",
    "Estimate",
    "McNemar",
    "ModelComparison",
    "ModelDifference",
    "OperatingPoint",
    "PatientScores",
    "PrecisionRecallCurve",
    "Predictions",
    "Recalibration",
    "Reliability",
    "RocCurve",
    "SubgroupReport",
    "Table",
    "accuracy",
    "as_torchmetric",
    "average_precision",
    "balanced_accuracy",
    "binary_report",
    "bootstrap",
    "brier",
    "brier_skill",
    "by_class",
    "by_patient",
    "by_subgroup",
    "choose_threshold",
    "classification_report",
    "clopper_pearson",
    "compare_metric",
    "compare_models",
    "confusion",
    "confusion_matrix",
    "crossed_bootstrap",
    "decision_curve",
    "delong_test",
    "ece",
    "f1",
    "fit_calibrator",
    "holm",
    "kappa",
    "log_loss",
    "mcc",
    "mcnemar_test",
    "negative_likelihood_ratio",
    "net_benefit",
    "net_benefit_band",
    "npv",
    "npv_at_prevalence",
    "paired_bootstrap",
    "partial_roc_auc",
    "permutation_test",
    "plot_confusion",
    "plot_decision",
    "plot_forest",
    "plot_pr",
    "plot_reliability",
    "plot_roc",
    "positive_likelihood_ratio",
    "ppv",
    "ppv_at_prevalence",
    "pr_band",
    "pr_curve",
    "precision",
    "recalibration",
    "recall",
    "reliability",
    "roc_auc",
    "roc_auc_interval",
    "roc_auc_ovo",
    "roc_band",
    "roc_curve",
    "sensitivity",
    "share_interval",
    "specificity",
    "wilson",
    "youden_j",
]
