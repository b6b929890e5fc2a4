"""Numbers in, numbers with intervals out: labels and scores of arrays, lists or tensors."""

from seattn.metrics.counts import (
    BinaryCounts,
    accuracy,
    balanced_accuracy,
    confusion,
    confusion_matrix,
    mcc,
)
from seattn.metrics.evaluation import binary_report, classification_report
from seattn.metrics.intervals import Estimate, wilson
from seattn.metrics.probabilities import brier
from seattn.metrics.ranking import average_precision, roc_auc
from seattn.metrics.rates import f1, npv, ppv, precision, recall, sensitivity, specificity
from seattn.metrics.report import BinaryReport, ClassificationReport

__all__ = [
    "BinaryCounts",
    "BinaryReport",
    "ClassificationReport",
    "Estimate",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "binary_report",
    "brier",
    "classification_report",
    "confusion",
    "confusion_matrix",
    "f1",
    "mcc",
    "npv",
    "ppv",
    "precision",
    "recall",
    "roc_auc",
    "sensitivity",
    "specificity",
    "wilson",
]
