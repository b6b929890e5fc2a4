import itertools

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from seattn.explain import rank_correlation, structural_similarity

SHAPES = [(3, 40), (3, 17, 23), (2, 12, 11, 14)]


def maps(shape, levels):
    """Two related maps, the first rectified, with ties if there are few levels."""
    generator = torch.Generator().manual_seed(len(shape))
    a, b = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    a, b = a.relu(), a + b
    return (a, b) if levels is None else ((a * levels).round(), (b * levels).round())


def slow_ssim(a, b, data_range):
    """Every window in turn, from the definition."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = taps / taps.sum()
    for _ in a.shape[1:]:
        weights = np.multiply.outer(weights, taps / taps.sum())
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for corner in itertools.product(*(range(size - 10) for size in a.shape)):
        window = tuple(slice(start, start + 11) for start in corner)
        p, q = a[window], b[window]
        mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
        variance_p, variance_q = (
            (weights * (p - mean_p) ** 2).sum(),
            (weights * (q - mean_q) ** 2).sum(),
        )
        covariance = (weights * (p - mean_p) * (q - mean_q)).sum()
        values.append(
            ((2 * mean_p * mean_q + c1) * (2 * covariance + c2))
            / ((mean_p**2 + mean_q**2 + c1) * (variance_p + variance_q + c2))
        )
    return np.mean(values)


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_rank_correlation_equals_scipy_with_and_without_ties(shape, levels):
    a, b = maps(shape, levels)
    expected = [spearmanr(p.flatten(), q.flatten()).statistic for p, q in zip(a, b, strict=True)]
    assert rank_correlation(a, b).numpy() == pytest.approx(expected, abs=1e-12)


def test_rank_correlation_knows_order_only():
    a, b = maps((4, 9, 9), None)
    assert torch.equal(rank_correlation(a, b), rank_correlation(a.sqrt(), b.exp()))
    assert rank_correlation(b, -b).tolist() == pytest.approx([-1.0] * 4, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_equals_every_window_in_turn(shape):
    a, b = maps(shape, None)
    expected = [slow_ssim(p.numpy(), q.numpy(), 4.0) for p, q in zip(a, b, strict=True)]
    assert structural_similarity(a, b, data_range=4.0).numpy() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_equals_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = maps(shape, 3)
    expected = [
        metrics.structural_similarity(
            p.numpy(),
            q.numpy(),
            gaussian_weights=True,
            use_sample_covariance=False,
            data_range=9.0,
        )
        for p, q in zip(a, b, strict=True)
    ]
    assert structural_similarity(a, b, data_range=9.0).numpy() == pytest.approx(expected, abs=1e-10)


def test_ssim_scales_each_map_to_its_own_range():
    a, b = maps((3, 15, 16), None)
    scaled = [
        torch.stack([(m - m.min()) / (m.max() - m.min()) for m in several]) for several in (a, b)
    ]
    expected = structural_similarity(*scaled, data_range=1.0)
    assert torch.equal(structural_similarity(a, b), expected)
    assert structural_similarity(1000 * a - 5, b).numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("measure", [rank_correlation, structural_similarity])
@pytest.mark.parametrize("value", [0.0, 3.0, float("nan"), float("inf")])
def test_blank_and_infinite_maps_are_undefined(measure, value):
    a, b = maps((3, 16, 16), None)
    a[1] = value
    if value == float("inf"):
        a[1, 0] = 0
    for result in (measure(a, b), measure(b, a)):
        assert result.isnan().tolist() == [False, True, False]


def test_half_precision_is_compared_in_double():
    a, b = (m.half() for m in maps((2, 60, 60), None))
    assert torch.equal(rank_correlation(a, b), rank_correlation(a.double(), b.double()))
    assert torch.equal(structural_similarity(a, b), structural_similarity(a.double(), b.double()))


@pytest.mark.parametrize("measure", [rank_correlation, structural_similarity])
def test_maps_of_two_shapes_are_an_error(measure):
    with pytest.raises(ValueError, match=r"`a` \(shape \(2, 16, 16\)\) and `b` .* one shape"):
        measure(torch.rand(2, 16, 16), torch.rand(2, 16, 15))
    with pytest.raises(ValueError, match=r"\(N, \*spatial\)"):
        measure(torch.rand(16), torch.rand(16))


def test_ssim_names_small_maps_and_empty_ranges():
    with pytest.raises(TypeError, match=r"`b` \(ndarray\) must be a tensor"):
        rank_correlation(torch.rand(2, 4), np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"\(2, 10, 16\)\) is smaller than the window of 11"):
        structural_similarity(torch.rand(2, 10, 16), torch.rand(2, 10, 16))
    with pytest.raises(ValueError, match=r"`data_range` \(=0\) must be above 0"):
        structural_similarity(torch.rand(2, 16, 16), torch.rand(2, 16, 16), data_range=0)
