import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from seattn.explain import chance_level, mass_in_mask, pointing_game
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
    with pytest.raises(ValueError, match=r"`mask` holds values such as .*; give `mask > 0`"):
        measure(cam, 2 * mask)
    with pytest.raises(ValueError, match=r"`mask` \(shape \(3,\)\) must be \(N, \*spatial\)"):
        measure(cam[0, :, 0], mask[0, :, 0])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 0.7), (2.0, 0.5, 1.1)])
@pytest.mark.parametrize("tolerance", [0.0, 0.5, 0.9, 2.1, 40.0])
def test_the_tolerance_is_the_exact_distance_in_mm(spacing, tolerance):
    shape = (3, *(11, 7, 5)[: len(spacing)])
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(shape, generator=generator) < 0.02
    mask.flatten(1)[:, 17] = True
    near = references.near_mask(mask, tolerance, spacing)
    distances = np.stack([distance_transform_edt(~m, sampling=spacing) for m in mask.numpy()])
    assert np.array_equal(near, distances <= tolerance + 1e-9)
    assert tolerance < 1 or not torch.equal(near, mask)

    cam = torch.rand(shape, generator=generator).mul(20).round()
    settings = {"tolerance": tolerance, "spacing": spacing}
    torch.testing.assert_close(
        pointing_game(cam, mask, **settings).tolist(), references.pointing_game(cam, near)
    )
    assert chance_level(mask, **settings).tolist() == near.double().flatten(1).mean(1).tolist()


def test_a_pixel_exactly_at_the_tolerance_hits_whatever_its_decimals():
    mask, cam = torch.zeros(1, 1, 9), torch.zeros(1, 1, 9)
    mask[..., 0] = cam[..., 3] = 1
    for step in (0.1, 0.3, 0.7, 1.1):  # 3 * 0.1 > 0.3 in floating point
        spacing = (1.0, step)
        assert pointing_game(cam, mask, tolerance=round(3 * step, 1), spacing=spacing) == 1
        assert pointing_game(cam, mask, tolerance=3 * step - 0.001, spacing=spacing) == 0


def test_each_case_may_have_a_spacing_of_its_own():
    mask, cam = torch.zeros(3, 1, 9), torch.zeros(3, 1, 9)
    mask[..., 0] = cam[..., 3] = 1
    spacing = torch.tensor([[1.0, 0.7], [1.0, 1.0], [9.0, 0.7]])
    assert pointing_game(cam, mask, tolerance=2.5, spacing=spacing).tolist() == [1, 0, 1]


def test_an_empty_mask_stays_undefined_and_a_blank_map_a_miss_with_a_tolerance():
    settings = {"tolerance": 3.0, "spacing": (1.0, 1.0)}
    empty, full = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    assert math.isnan(pointing_game(full, empty, **settings).item())
    assert math.isnan(chance_level(empty, **settings).item())
    assert pointing_game(empty, full, **settings).item() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": 2.0}, r"`tolerance` \(=2.0\) is in mm and needs `spacing`"),
        ({"tolerance": -1.0, "spacing": (1, 1)}, r"`tolerance` \(=-1.0\) must be finite"),
        ({"tolerance": math.nan, "spacing": (1, 1)}, r"`tolerance` \(=nan\) must be finite"),
        ({"spacing": (1, 1, 1)}, r"`spacing` \(shape \(3,\)\) must give mm for each of the 2"),
        ({"spacing": (1, 0)}, r"`spacing` \(=\[1.0, 0.0\]\) must be finite and above 0"),
    ],
)
def test_wrong_distances_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        pointing_game(torch.ones(2, 3, 3), torch.ones(2, 3, 3), **settings)
