"""Every point metric is scikit-learn's, to 1e-12, wherever scikit-learn does not make one up."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as peer

import seattn.metrics as ours
from tests.strategies import class_labels, class_probabilities, findings, labels_and_scores

Binary = tuple[list[int], list[float], list[int]]
AVERAGES = ("macro", "weighted", "micro", None)


def close(expected):
    return pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(labels_and_scores())
def test_binary_counts_and_rates(cases: Binary):
    labels, scores, _ = cases
    predicted = [s >= 0.5 for s in scores]
    both = {"y_true": labels, "y_pred": predicted}
    of = {"zero_division": math.nan}
    assert ours.confusion_matrix(**both).tolist() == (
        peer.confusion_matrix(**both, labels=[0, 1]).tolist()
    )
    assert ours.accuracy(**both) == close(peer.accuracy_score(**both))
    assert ours.precision(**both) == close(peer.precision_score(**both, **of))
    assert ours.recall(**both) == close(peer.recall_score(**both, **of))
    assert ours.f1(**both) == close(peer.f1_score(**both, **of))
    assert ours.npv(**both) == close(peer.precision_score(**both, **of, pos_label=0))
    assert ours.specificity(**both) == close(peer.recall_score(**both, **of, pos_label=0))
    ratios = ours.positive_likelihood_ratio(**both), ours.negative_likelihood_ratio(**both)
    if all(map(math.isfinite, ratios)):
        assert ratios == close(peer.class_likelihood_ratios(**both))


@given(labels_and_scores(min_each=1))
def test_binary_scores(cases: Binary):
    labels, scores, _ = cases
    assert ours.roc_auc(y_true=labels, y_score=scores) == close(peer.roc_auc_score(labels, scores))
    assert ours.average_precision(y_true=labels, y_score=scores) == close(
        peer.average_precision_score(labels, scores)
    )
    assert ours.brier(y_true=labels, y_score=scores) == close(peer.brier_score_loss(labels, scores))
    loss = ours.log_loss(y_true=labels, y_score=scores)
    if math.isfinite(loss):  # scikit-learn clips the probability 0 of what happened
        assert loss == close(peer.log_loss(labels, scores, labels=[0, 1]))


@given(labels_and_scores(min_each=1))
def test_curves(cases: Binary):
    labels, scores, _ = cases
    roc, pr = (f(y_true=labels, y_score=scores) for f in (ours.roc_curve, ours.pr_curve))
    expected = peer.roc_curve(labels, scores, drop_intermediate=False)
    for found, array in zip((roc.fpr, roc.tpr, roc.thresholds), expected, strict=True):
        assert found == close(array)
    expected = peer.precision_recall_curve(labels, scores)
    for found, array in zip((pr.precision, pr.recall, pr.thresholds), expected, strict=True):
        assert found == close(array)


@given(labels_and_scores(min_each=1), st.sampled_from([0.01, 0.1, 0.2, 0.25, 0.5, 0.9, 1.0]))
def test_partial_areas(cases: Binary, max_fpr: float):
    labels, scores, _ = cases
    area = ours.partial_roc_auc(y_true=labels, y_score=scores, max_fpr=max_fpr)
    assert area == close(peer.roc_auc_score(labels, scores, max_fpr=max_fpr))


@given(class_labels())
def test_rates_of_classes(cases: tuple[list[int], list[int], int]):
    true, predicted, classes = cases
    for metric, score in (
        (ours.precision, peer.precision_score),
        (ours.recall, peer.recall_score),
        (ours.f1, peer.f1_score),
    ):
        of = {"labels": range(classes), "zero_division": math.nan}
        each = score(true, predicted, **of, average=None)
        defined = np.isfinite(each)
        for average in AVERAGES:
            value = metric(y_true=true, y_pred=predicted, average=average, num_classes=classes)
            alone = average == "macro" and defined.sum() < 2  # a mean over one class is none
            weightless = average == "weighted" and not set(np.flatnonzero(defined)) & set(true)
            if alone or weightless:
                assert math.isnan(value)
            else:
                assert value == close(score(true, predicted, **of, average=average))


@given(class_labels())
def test_one_number_for_all_classes(cases: tuple[list[int], list[int], int]):
    true, predicted, classes = cases
    both = {"y_true": true, "y_pred": predicted}
    assert ours.confusion_matrix(**both, num_classes=classes).tolist() == (
        peer.confusion_matrix(**both, labels=range(classes)).tolist()
    )
    assert ours.accuracy(**both) == close(peer.accuracy_score(**both))
    if len(set(true)) > 1:
        recalls = peer.recall_score(**both, labels=sorted(set(true)), average="macro")
        assert ours.balanced_accuracy(**both) == close(recalls)
    if len(set(true)) > 1 and len(set(predicted)) > 1:
        assert ours.mcc(**both) == close(peer.matthews_corrcoef(**both))
        for weights in (None, "linear", "quadratic"):
            kappa = peer.cohen_kappa_score(true, predicted, labels=range(classes), weights=weights)
            assert ours.kappa(**both, weights=weights) == close(kappa)


@given(class_probabilities())
def test_scores_of_classes(cases: tuple[list[int], list[list[float]]]):
    labels, rows = cases
    for average in AVERAGES:
        area = ours.roc_auc(y_true=labels, y_score=rows, average=average)
        assert area == close(peer.roc_auc_score(labels, rows, average=average, multi_class="ovr"))
        precision = ours.average_precision(y_true=labels, y_score=rows, average=average)
        assert precision == close(
            peer.average_precision_score(labels, np.array(rows), average=average)
        )
    for average in ("macro", "weighted"):
        area = ours.roc_auc_ovo(y_true=labels, y_score=rows, average=average)
        assert area == close(peer.roc_auc_score(labels, rows, average=average, multi_class="ovo"))
    loss = ours.log_loss(y_true=labels, y_score=rows)
    if math.isfinite(loss):
        assert loss == close(peer.log_loss(labels, rows))
    columns = enumerate(np.array(rows).T)
    by_class = [peer.brier_score_loss(np.array(labels) == k, column) for k, column in columns]
    assert ours.brier(y_true=labels, y_score=rows) == close(sum(by_class))


@given(findings())
def test_findings(cases: tuple[list[list[int]], list[list[float]]]):
    true, rows = cases
    predicted = [[int(s >= 0.5) for s in row] for row in rows]
    for metric, score in (
        (ours.precision, peer.precision_score),
        (ours.recall, peer.recall_score),
        (ours.f1, peer.f1_score),
    ):
        for average in ("micro", None):
            value = metric(y_true=true, y_pred=predicted, average=average)
            expected = score(true, predicted, average=average, zero_division=math.nan)
            assert value == close(expected)
    defined = [0 < sum(column) < len(column) for column in zip(*true, strict=True)]
    if all(defined):
        for average in AVERAGES:
            both = {"y_true": true, "y_score": rows, "average": average}
            assert ours.roc_auc(**both) == close(peer.roc_auc_score(**both))
            assert ours.average_precision(**both) == close(peer.average_precision_score(**both))
