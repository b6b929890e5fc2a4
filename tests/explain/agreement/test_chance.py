import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seattn.explain import dice, iou, label_regions, pixel_average_precision, region_recall
from seattn.explain.agreement.chance import (
    average_precision_chance,
    dice_chance,
    iou_chance,
    region_recall_chance,
)


def moved(cam):
    """The map at every place, cyclically."""
    axes = tuple(range(1, cam.dim()))
    shifts = itertools.product(*(range(size) for size in cam.shape[1:]))
    return [torch.roll(cam, shift, axes) for shift in shifts]


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=6),
    st.integers(1, 6),
)
def test_by_formula_it_is_the_mean_over_all_orders_of_the_pixels(levels, size):
    size = min(size, len(levels))
    mask = torch.tensor([[[i < size for i in range(len(levels))]]])
    orders = torch.tensor(list(itertools.permutations(levels)))[:, None]  # (orders, 1, pixels)
    masks = mask.expand(orders.shape)
    cam = orders[:1]
    expected = pixel_average_precision(orders, masks).mean().item()
    assert average_precision_chance(cam, mask).item() == pytest.approx(expected, abs=1e-12)
    for threshold in ("area", 0.5):
        expected = dice(orders, masks, threshold=threshold).mean().item()
        assert dice_chance(cam, mask, threshold=threshold).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(2, 7), (3, 5, 6), (2, 3, 4, 5)])
@pytest.mark.parametrize("levels", [3, 1000])
def test_by_place_it_is_the_mean_over_all_moves_of_the_map(shape, levels):
    generator = torch.Generator().manual_seed(4)
    cam = torch.rand(shape, generator=generator).mul(levels).ceil().sub(1)
    mask = torch.rand(shape, generator=generator) < 0.25
    mask.flatten(1)[:, 0] = True
    regions = label_regions(mask)
    for threshold in ("area", 0.6):
        for measure, chance in ((iou, iou_chance), (dice, dice_chance)):
            expected = torch.stack([measure(c, mask, threshold=threshold) for c in moved(cam)])
            torch.testing.assert_close(
                chance(cam, mask, threshold=threshold), expected.mean(0), rtol=1e-9, atol=1e-12
            )
    for top, share in ((0.1, 0.0), (0.3, 0.5)):
        every = [region_recall(c, regions, top=top, share=share) for c in moved(cam)]
        torch.testing.assert_close(
            region_recall_chance(cam, regions, top=top, share=share), torch.stack(every).mean(0)
        )


def test_a_ranking_without_ties_follows_the_known_formula():
    n, k = 12, 5
    cam, mask = torch.arange(n).float()[None, None], (torch.arange(n) < k)[None, None]
    harmonic = math.fsum(1 / i for i in range(1, n + 1))
    expected = (k - 1) / (n - 1) + (n - k) / (n * (n - 1)) * harmonic
    assert average_precision_chance(cam, mask).item() == pytest.approx(expected, abs=1e-12)


def test_an_empty_mask_has_none():
    cam, mask = torch.rand(1, 4, 4), torch.zeros(1, 4, 4)
    assert average_precision_chance(cam, mask).isnan()
    assert dice_chance(cam, mask, threshold=0.5).isnan()
    assert iou_chance(cam, mask, threshold=0.5).isnan()
    assert region_recall_chance(cam, label_regions(mask), top=0.1, share=0.0).isnan()
