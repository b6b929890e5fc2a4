import itertools
import math
import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn.attention import GateStatistics, GateSummary, SEBlock, record_gates


def summarise(gates: torch.Tensor, labels: object) -> GateSummary:
    statistics = GateStatistics()
    statistics.update({"block": gates}, labels)
    return statistics.summary()["block"]


def reference(gates: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
    """The definitions, in numpy, with all images in memory."""
    x, y = gates.double().numpy(), labels.numpy()
    groups = [x[y == label] for label in np.unique(y)]
    centre = x.mean(0)
    between = sum(len(group) * ((group.mean(0) - centre) ** 2).sum() for group in groups)
    return {
        "classes": np.unique(y),
        "counts": np.array([len(group) for group in groups]),
        "mean": np.stack([group.mean(0) for group in groups]),
        "std": np.stack(
            [group.std(0, ddof=1) if len(group) > 1 else centre * np.nan for group in groups]
        ),
        "overall_mean": centre,
        "eta_squared": between / ((x - centre) ** 2).sum(),
    }


def assert_equal(summary: GateSummary, expected: dict[str, np.ndarray]) -> None:
    assert summary.reason is None
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(getattr(summary, name)), value, rtol=1e-9, atol=1e-12)


@given(
    labels=st.lists(st.integers(0, 3), min_size=3, max_size=30).filter(lambda y: len(set(y)) > 1),
    channels=st.sampled_from([1, 2, 7]),
    cuts=st.lists(st.integers(0, 30), max_size=6),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
def test_any_split_into_batches_gives_numpys_numbers_of_the_whole(
    labels, channels, cuts, dtype, seed
):
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor(labels)
    gates = torch.rand(len(y), channels, generator=generator).to(dtype) / 2
    gates = gates + (y[:, None] == 1).to(dtype) / 4
    statistics = GateStatistics()
    edges = sorted({0, len(y), *(cut for cut in cuts if cut < len(y))})
    for start, end in itertools.pairwise(edges):
        statistics.update({"block": gates[start:end]}, y[start:end])
    assert_equal(statistics.summary()["block"], reference(gates, y))


def test_a_loop_over_a_loader_summarises_every_block():
    torch.manual_seed(0)
    model = nn.Sequential(SEBlock(16), nn.Conv2d(16, 32, 3), SEBlock(32))
    images, labels = torch.randn(10, 16, 6, 6), torch.arange(10) % 3
    statistics = GateStatistics()
    with record_gates(model) as gates:
        for batch, y in zip(images.split(4), labels.split(4), strict=True):
            model(batch)
            statistics.update(gates, y)
    with record_gates(model) as gates:
        model(images)
    summary = statistics.summary()
    assert list(summary) == ["0", "2"]
    for name, block in summary.items():
        expected = reference(gates[name].detach(), labels)
        for field in ("mean", "std", "overall_mean"):  # float32, and batches of another size
            np.testing.assert_allclose(getattr(block, field), expected[field], atol=1e-6)


def test_classes_come_in_order_of_their_labels_whatever_the_order_of_the_images():
    summary = summarise(torch.tensor([[0.9], [0.1], [0.5], [0.3]]), [7, 0, 3, 0])
    assert summary.classes == (0, 3, 7)
    assert summary.counts == (2, 1, 1)
    torch.testing.assert_close(summary.mean, torch.tensor([[0.2], [0.5], [0.9]]).double())


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_labels_are_integers_of_any_kind(dtype):
    gates = torch.rand(4, 2)
    summary = summarise(gates, torch.tensor([0, 1, 1, 2], dtype=dtype))
    torch.testing.assert_close(summary.mean, summarise(gates, [0, 1, 1, 2]).mean)


def test_eta_squared_is_0_without_and_1_with_nothing_but_a_difference_between_classes():
    within = torch.tensor([[0.25, 0.5], [0.75, 0.25], [0.25, 0.5], [0.75, 0.25]])
    assert summarise(within, [0, 0, 1, 1]).eta_squared == 0
    between = torch.tensor([[0.25, 0.5], [0.25, 0.5], [0.75, 0.25], [0.75, 0.25]])
    assert summarise(between, [0, 0, 1, 1]).eta_squared == 1


def test_chance_is_the_mean_over_all_permutations_of_the_labels():
    gates = torch.rand(6, 3, dtype=torch.float64)
    shares = [summarise(gates, y) for y in set(itertools.permutations([0, 0, 0, 1, 1, 2]))]
    mean = sum(summary.eta_squared for summary in shares) / len(shares)
    assert shares[0].chance == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("gate", [0.1, 1.0, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gates_that_never_vary_have_no_share_and_no_deviation(gate, dtype):
    summary = summarise(torch.full((7, 3), gate, dtype=dtype), [0, 1, 2, 0, 1, 2, 0])
    assert math.isnan(summary.eta_squared)
    assert math.isnan(summary.chance)
    assert summary.reason == "no gate varies"
    assert (summary.std == 0).all()
    assert (summary.mean == summary.overall_mean).all()


def test_one_class_has_no_share():
    summary = summarise(torch.rand(5, 2), [3] * 5)
    assert math.isnan(summary.eta_squared)
    assert math.isnan(summary.chance)
    assert summary.reason == "all images are of class 3"
    torch.testing.assert_close(summary.mean[0], summary.overall_mean)


def test_one_image_has_a_mean_and_no_deviation():
    summary = summarise(torch.tensor([[0.25, 0.5]]), [0])
    assert summary.mean.tolist() == [[0.25, 0.5]]
    assert summary.std.isnan().all()


def test_small_deviations_far_from_zero_keep_their_digits():
    noise = torch.rand(1000, 4, dtype=torch.float64)
    labels = torch.arange(1000) % 2
    gates = 0.5 * labels[:, None] + 0.25 + 1e-8 * noise
    summary = summarise(gates, labels)
    expected = torch.stack([noise[labels == k].std(0) for k in (0, 1)]) * 1e-8
    torch.testing.assert_close(summary.std, expected, rtol=1e-6, atol=0)


def test_images_are_averaged_in_float64():
    gates = torch.rand(4096, 1).half()
    summary = summarise(gates, [0] * 4096)
    assert summary.mean.dtype == summary.std.dtype == summary.overall_mean.dtype == torch.float64
    torch.testing.assert_close(summary.mean[0], gates.double().mean(0), rtol=1e-12, atol=0)


def test_memory_does_not_grow_with_the_images():
    statistics, sizes = GateStatistics(), []
    for _ in range(3):
        statistics.update({"block": torch.rand(64, 8)}, torch.arange(64) % 4)
        sizes.append(len(pickle.dumps(statistics)))
    assert sizes[2] == sizes[0]


def test_a_summary_is_not_changed_by_later_batches():
    statistics = GateStatistics()
    statistics.update({"block": torch.rand(4, 2)}, [0, 0, 1, 1])
    before = statistics.summary()["block"]
    copy = pickle.loads(pickle.dumps(before))
    statistics.update({"block": torch.rand(4, 2)}, [0, 0, 1, 1])
    for field in ("mean", "std", "overall_mean"):
        assert torch.equal(getattr(before, field), getattr(copy, field))


def test_the_gates_are_left_alone_and_not_kept():
    gates = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    values = gates.detach().clone()
    statistics = GateStatistics()
    statistics.update({"block": gates}, [0, 0, 1, 1])
    assert torch.equal(gates.detach(), values)
    with torch.no_grad():
        gates.zero_()  # the model's buffer may be filled anew
    summary = statistics.summary()["block"]
    assert not summary.mean.requires_grad
    assert_equal(summary, reference(values, torch.tensor([0, 0, 1, 1])))


@pytest.mark.parametrize("modes", [(True, False), (False, True)])
def test_batches_may_come_from_inside_and_outside_of_inference_mode(modes):
    statistics = GateStatistics()
    for inference in modes:
        with torch.inference_mode() if inference else nullcontext():
            statistics.update({"block": torch.rand(4, 2)}, [0, 0, 1, 1])
    assert statistics.summary()["block"].counts == (4, 4)


def test_blocks_that_run_for_some_batches_count_those():
    statistics = GateStatistics()
    statistics.update({"a": torch.rand(2, 3), "b": torch.rand(2, 5)}, [0, 1])
    statistics.update({"a": torch.rand(3, 3)}, [0, 0, 2])
    summary = statistics.summary()
    assert (summary["a"].classes, summary["a"].counts) == ((0, 1, 2), (3, 1, 1))
    assert (summary["b"].classes, summary["b"].counts) == ((0, 1), (1, 1))


def test_nothing_recorded_is_an_empty_summary():
    statistics = GateStatistics()
    assert statistics.summary() == {}
    statistics.update({"block": torch.rand(0, 3)}, torch.empty(0, dtype=torch.long))
    assert statistics.summary() == {}


@pytest.mark.parametrize(
    ("gates", "labels", "error", "message"),
    [
        (torch.rand(3, 2), [0, 1], ValueError, r"`gates` of 'b' have shape \(3, 2\).* 2 `labels`"),
        (torch.rand(2, 3, 1, 1), [0, 1], ValueError, r"shape \(2, 3, 1, 1\)"),
        (torch.rand(2), [0, 1], ValueError, r"shape \(2,\)"),
        (torch.rand(2, 4), [0, 1], ValueError, "'b' have 4 channels, and had 3"),
        (torch.tensor([[0.0, 1, math.nan]] * 2), [0, 1], ValueError, "'b' hold .* not finite"),
        (torch.tensor([[0.0, 1, math.inf]] * 2), [0, 1], ValueError, "'b' hold .* not finite"),
        (torch.rand(2, 3), [0.0, 1.0], TypeError, r"`labels` \(torch.float32\)"),
        (torch.rand(2, 3), torch.tensor([True, False]), TypeError, r"`labels` \(torch.bool\)"),
        (torch.rand(2, 3), torch.eye(2).long(), ValueError, r"`labels` \(shape \(2, 2\)\)"),
        (torch.rand(2, 3), [0, -100], ValueError, r"`labels` \(-100 among them\)"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_and_leaves_nothing_behind(
    gates, labels, error, message
):
    statistics = GateStatistics()
    statistics.update({"a": torch.rand(2, 3), "b": torch.rand(2, 3)}, [0, 1])
    with pytest.raises(error, match=message):
        statistics.update({"a": torch.rand(2, 3), "b": gates}, labels)
    assert [block.counts for block in statistics.summary().values()] == [(1, 1), (1, 1)]
