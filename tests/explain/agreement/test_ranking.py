import math

import pytest
import torch
from hypothesis import given
from sklearn.metrics import average_precision_score

from seattn.explain import pixel_average_precision
from tests.strategies import maps_and_masks


@given(maps_and_masks())
def test_it_is_scikit_learns_with_ties_and_nan_for_an_empty_mask(case):
    cam, mask = case
    scores = pixel_average_precision(cam, mask)
    for value, map_, inside in zip(scores.tolist(), cam, mask, strict=True):
        if inside.any():
            expected = average_precision_score(inside.flatten(), map_.flatten().double())
            assert value == pytest.approx(expected, abs=1e-9)
        else:
            assert math.isnan(value)


@given(maps_and_masks())
def test_increasing_changes_and_the_order_of_the_cases_do_not_matter(case):
    cam, mask = case
    before = pixel_average_precision(cam, mask)
    after = pixel_average_precision(cam.double().sqrt().flip(0) * 7, mask.flip(0)).flip(0)
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


def test_a_worked_case():
    cam, mask = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    cam[0, 0, 0], cam[0, 0, 1], cam[0, 0, 2:4] = 9, 5, 2
    mask[0, 0, 0] = mask[0, 0, 3] = mask[0, 7, 7] = 1
    # precision 1/1 for the first, 2/4 for the second (its tie ends at rank 4), 3/64 for the last
    assert pixel_average_precision(cam, mask).item() == pytest.approx((1 + 2 / 4 + 3 / 64) / 3)
    assert pixel_average_precision(0 * cam, mask).item() == pytest.approx(3 / 64)
