"""Our metrics in torchmetrics' loops: the same numbers as the functions, and as its own."""

import copy
import math
import pickle
import sys

import pytest
import torch
import torchmetrics

import seattn.metrics.torchmetric
from seattn.metrics import as_torchmetric, binary_report, brier, roc_auc
from tests.metrics.worked import P3, PATIENTS, Y3, A, B, Y


def lower_end(*, y_true, y_score, patients):
    return binary_report(y_true=y_true, y_score=y_score, patients=patients)["roc_auc"].low


def fed(metric, scores, size=6, **more):
    for start in range(0, 20, size):
        part = slice(start, start + size)
        metric.update(
            torch.tensor(scores)[part],
            torch.tensor(Y)[part],
            **{name: torch.tensor(values)[part] for name, values in more.items()},
        )
    return metric


@pytest.mark.parametrize("scores", [A, B])
@pytest.mark.parametrize("size", [1, 6, 20])
def test_the_numbers_are_ours_and_torchmetrics(scores, size):
    value = fed(as_torchmetric(roc_auc), scores, size).compute()
    assert value.dtype == torch.float64
    single = torch.tensor(scores).tolist()  # in float32
    assert value.item() == roc_auc(y_true=Y, y_score=single)
    peer = fed(torchmetrics.classification.BinaryAUROC(thresholds=None), scores, size).compute()
    assert value.item() == pytest.approx(peer.item(), abs=1e-6)


def test_one_class_and_nan_have_an_area_there_and_none_here():
    peer = torchmetrics.classification.BinaryAUROC(thresholds=None)
    with pytest.warns(UserWarning, match="No negative samples"):
        assert peer(torch.tensor([0.2, 0.7, 0.3]), torch.tensor([1, 1, 1])) == 0
    assert math.isnan(roc_auc(y_true=[1, 1, 1], y_score=[0.2, 0.7, 0.3]))
    scores = [math.nan, 0.1, 0.3, 0.2]
    assert peer(torch.tensor(scores), torch.tensor([1, 0, 1, 0])).isfinite()
    with pytest.raises(ValueError, match="`y_score` must be finite"):
        roc_auc(y_true=[1, 0, 1, 0], y_score=scores)


def test_columns():
    metric = as_torchmetric(brier)
    metric.update(torch.tensor(P3, dtype=torch.float64), torch.tensor(Y3))
    assert metric.compute().item() == pytest.approx(0.341764208, abs=1e-9)


def test_patients_reach_the_metric():
    value = fed(as_torchmetric(lower_end), A, patients=PATIENTS).compute().item()
    single = torch.tensor(A).tolist()
    assert value == lower_end(y_true=Y, y_score=single, patients=PATIENTS)


def test_with_ids_a_repeated_case_counts_once():
    metric = fed(as_torchmetric(brier), A, ids=list(range(20)))
    once = metric.compute()
    metric.update(torch.tensor(A[:5]), torch.tensor(Y[:5]), ids=torch.arange(5))
    assert metric.compute() == once
    twice = fed(as_torchmetric(brier), A)
    before = twice.compute()
    twice.update(torch.tensor(A[:5]), torch.tensor(Y[:5]))
    assert twice.compute() != before


@pytest.mark.parametrize(("ids", "cases"), [({}, 40), ({"ids": list(range(20))}, 20)])
def test_processes_are_put_behind_each_other(ids, cases):
    metric = fed(as_torchmetric(lambda y_true, y_score: float(len(y_true))), A, **ids)
    # As if another process had the same cases.
    metric.dist_sync_fn = lambda tensor, group: [tensor, tensor]
    metric.distributed_available_fn = lambda: True
    assert metric.compute().item() == cases


def test_reset_forward_and_collections():
    metric = as_torchmetric(roc_auc)
    batch = torch.tensor(A)[:6], torch.tensor(Y)[:6]
    assert metric(*batch).item() == roc_auc(y_true=Y[:6], y_score=A[:6])
    metric.reset()
    both = torchmetrics.MetricCollection({"auc": metric, "brier": as_torchmetric(brier)})
    fed(both, A, 20)
    assert {name: round(v.item(), 5) for name, v in both.compute().items()} == {
        "auc": 0.92857,
        "brier": 0.1202,
    }


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_it_can_be_copied_and_pickled(again):
    metric = fed(as_torchmetric(roc_auc), A)
    other = again(metric)
    assert other.compute() == metric.compute()
    other.update(torch.tensor([0.99]), torch.tensor([0]))
    assert other.compute() < metric.compute()


def test_a_batch_that_is_none_is_an_error_at_once():
    metric = as_torchmetric(roc_auc)
    with pytest.raises(ValueError, match="arguments swapped"):
        metric.update(torch.tensor([1, 0]), torch.tensor([0.9, 0.2]))


def test_without_torchmetrics_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    seattn.metrics.torchmetric._adapter.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'seattn\[torchmetrics\]'"):
        as_torchmetric(roc_auc)
