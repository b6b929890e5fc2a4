import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seattn.explain import (
    centre_map,
    chance_level,
    mass_in_mask,
    mean_mask_map,
    pointing_game,
)
from tests import references
from tests.strategies import maps_and_masks


@given(maps_and_masks())
def test_measures_equal_the_slow_references(case):
    cam, mask = case
    torch.testing.assert_close(
        pointing_game(cam, mask).tolist(),
        references.pointing_game(cam, mask),
        rtol=1e-12, atol=0, equal_nan=True,
    )  # fmt: skip
    torch.testing.assert_close(
        mass_in_mask(cam, mask).tolist(),
        references.mass_in_mask(cam, mask),
        rtol=1e-12, atol=1e-300, equal_nan=True,
    )  # fmt: skip


@given(maps_and_masks(), st.sampled_from([0.25, 8.0]))
def test_measures_do_not_depend_on_the_unit_of_the_map(case, scale):
    cam, mask = case
    for measure in (pointing_game, mass_in_mask):
        before, after = measure(cam, mask), measure(cam * scale, mask)
        torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


@given(maps_and_masks())
def test_measures_of_a_mask_and_of_its_complement_add_up_to_one(case):
    cam, mask = case
    for measure in (pointing_game, mass_in_mask):
        total = measure(cam, mask) + measure(cam, ~mask)
        decided = ~total.isnan() & (cam.flatten(1) > 0).any(1)
        torch.testing.assert_close(total[decided], torch.ones_like(total[decided]))


@given(maps_and_masks())
def test_a_constant_map_scores_the_chance_level(case):
    _, mask = case
    flat = torch.full(mask.shape, 0.3)
    chance = chance_level(mask)
    torch.testing.assert_close(pointing_game(flat, mask), chance, equal_nan=True)
    torch.testing.assert_close(mass_in_mask(flat, mask), chance, equal_nan=True)


def test_blank_maps_and_empty_masks():
    blank, full = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    mask, empty = torch.eye(2)[None], torch.zeros(1, 2, 2)
    assert pointing_game(blank, mask).item() == 0
    assert math.isnan(mass_in_mask(blank, mask).item())
    for measure in (pointing_game, mass_in_mask):
        assert math.isnan(measure(full, empty).item())
        assert math.isnan(measure(blank, empty).item())
    assert math.isnan(chance_level(empty).item())


def test_results_are_float64_per_case_for_any_mask_dtype():
    cam = torch.rand(3, 4, 5, dtype=torch.bfloat16)
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float32):
        mask = torch.eye(4, 5).expand(3, 4, 5).to(dtype)
        results = pointing_game(cam, mask), mass_in_mask(cam, mask), chance_level(mask)
        for result in results:
            assert result.shape == (3,)
            assert result.dtype == torch.float64
        assert chance_level(mask)[0] == 0.2


@pytest.mark.parametrize("measure", [pointing_game, mass_in_mask])
def test_wrong_maps_and_masks_are_errors(measure):
    cam, mask = torch.rand(2, 3, 4), torch.ones(2, 3, 4)
    with pytest.raises(ValueError, match=r"`cam` \(shape \(2, 3, 4\)\) and `mask` \(shape \(2, 3"):
        measure(cam, mask[:, :, :3])
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="`cam` must be finite and not negative"):
            measure(torch.full((2, 3, 4), bad), mask)
    with pytest.raises(ValueError, match="`mask` must hold 0 and 1 only"):
        measure(cam, 2 * mask)
    with pytest.raises(ValueError, match=r"`mask` \(shape \(3,\)\) must be \(N, \*spatial\)"):
        measure(cam[0, :, 0], mask[0, :, 0])


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
    with pytest.raises(ValueError, match="`mask` must hold 0 and 1 only"):
        mean_mask_map(torch.full((1, 3, 3), 0.5))
