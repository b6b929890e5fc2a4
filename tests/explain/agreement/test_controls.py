import math

import pytest
import torch

from seattn.explain import centre_map, mean_mask_map, pointing_game


@pytest.mark.parametrize("shape", [(7,), (5, 8), (6, 7, 4)])
def test_centre_map_is_a_round_bump_in_the_middle(shape):
    bump = centre_map(shape)
    assert bump.shape == shape
    assert bump.dtype == torch.float32
    for axis in range(len(shape)):
        assert torch.equal(bump, bump.flip(axis))
        steps = bump.narrow(axis, 0, (shape[axis] + 1) // 2).diff(dim=axis)
        assert (steps > 0).all()
    middle = torch.ones((), dtype=torch.bool)
    for size in shape:
        here = torch.zeros(size, dtype=torch.bool)
        here[(size - 1) // 2 : size // 2 + 1] = True
        middle = middle[..., None] & here
    assert pointing_game(bump[None], middle[None]) == 1


def test_centre_map_falls_to_exp_minus_a_half_a_quarter_of_the_shorter_side_away():
    bump = centre_map((9, 21))  # the deviation is 9 / 4; values by hand from exp(-d^2 / (2 s^2))
    assert bump[4, 10] == 1
    assert bump[4, 13].item() == pytest.approx(math.exp(-9 / (2 * 2.25**2)), rel=1e-6)
    assert bump[1, 10] == bump[4, 13] == bump[7, 10]
    assert bump[1, 13].item() == pytest.approx(bump[4, 13].item() ** 2, rel=1e-6)


def test_mean_mask_map_is_the_mean():
    masks = torch.randint(0, 2, (5, 3, 4, 2))
    expected = torch.zeros(3, 4, 2)
    for mask in masks:
        expected += mask
    torch.testing.assert_close(mean_mask_map(masks), expected / 5)
    torch.testing.assert_close(mean_mask_map(masks.bool()), expected / 5)


def test_mean_mask_map_needs_binary_masks():
    with pytest.raises(ValueError, match="`masks` holds no case"):
        mean_mask_map(torch.zeros(0, 3, 3))
    with pytest.raises(ValueError, match=r"`masks` holds values such as .*; give `masks > 0`"):
        mean_mask_map(torch.full((1, 3, 3), 0.5))
