"""Quantus' localisation metrics beside ours: equal where both are defined, the rest pinned.

Quantus takes attributions of any sign and asks for no ties; our maps are rectified, so many pixels
are 0 and equal. Where it breaks ties by the order of a sort, the maps here have none.
"""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from seattn.explain import dice, iou, mass_in_mask, pointing_game, region_table

with warnings.catch_warnings():  # of escapes in its docstrings, where it was never compiled
    warnings.simplefilter("ignore")
    import quantus

SHAPES = [(5, 1, 9, 7), (4, 1, 8, 8)]


def cases(shape, seed=0):
    """Maps without ties and masks that are not empty."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(shape, generator=generator, dtype=torch.float64)
    masks = torch.rand(shape, generator=generator) < 0.3
    masks[:, :, 0, 0] = True
    return maps, masks


def score(metric, maps, masks):
    return metric.evaluate_batch(
        x_batch=maps.numpy(), a_batch=maps.numpy(), s_batch=masks.numpy().astype(int)
    )


def metric(name, **settings):
    return getattr(quantus, name)(disable_warnings=True, **settings)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_pointing_game_mass_and_rank_are_equal(shape, seed):
    maps, masks = cases(shape, seed)
    cam, mask = maps[:, 0], masks[:, 0]
    assert pointing_game(cam, mask).tolist() == score(metric("PointingGame"), maps, masks).tolist()
    mass = score(metric("RelevanceMassAccuracy"), maps, masks)
    assert mass_in_mask(cam, mask).tolist() == pytest.approx(mass, rel=1e-12)
    rank = score(metric("RelevanceRankAccuracy"), maps, masks)
    assert dice(cam, mask).tolist() == pytest.approx(rank, rel=1e-12)
    assert iou(cam, mask).tolist() == pytest.approx(rank / (2 - rank), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_top_k_intersection_is_the_covered_share_of_one_region(shape):
    maps, masks = cases(shape)
    k, pixels = 10, shape[2] * shape[3]
    rows = region_table(maps[:, 0], masks[:, 0].long(), top=k / pixels)
    shared = [row.covered * row.size / k for row in rows]
    assert shared == pytest.approx(score(metric("TopKIntersection", k=k), maps, masks))
    weighted = score(metric("TopKIntersection", k=k, concept_influence=True), maps, masks)
    assert [row.covered * pixels / k for row in rows] == pytest.approx(weighted)


def test_auc_is_the_roc_area_of_the_pixels_which_we_leave_to_the_metrics():
    maps, masks = cases(SHAPES[0])
    flat = zip(masks.flatten(1).numpy(), maps.flatten(1).numpy(), strict=True)
    expected = [roc_auc_score(truth, values) for truth, values in flat]
    assert score(metric("AUC"), maps, masks) == pytest.approx(expected, rel=1e-12)


def test_an_empty_mask_is_a_hit_there_and_undefined_here():
    maps, masks = cases(SHAPES[0])
    masks[0] = False
    assert score(metric("PointingGame"), maps, masks)[0] == 1
    assert pointing_game(maps[:, 0], masks[:, 0])[0].isnan()
    for name, ours in (("RelevanceMassAccuracy", mass_in_mask), ("RelevanceRankAccuracy", dice)):
        with np.errstate(invalid="ignore"), pytest.warns(UserWarning, match="segmentation"):
            theirs = score(metric(name), maps, masks)
        assert np.isnan(theirs[0])
        assert ours(maps[:, 0], masks[:, 0])[0].isnan()


def test_a_blank_map_is_a_hit_there_and_a_miss_here():
    maps, masks = cases(SHAPES[0])
    maps[0] = 0
    assert score(metric("PointingGame"), maps, masks)[0] == 1
    assert pointing_game(maps[:, 0], masks[:, 0])[0] == 0


def test_one_of_several_maxima_is_a_hit_there_and_a_fraction_here():
    maps, masks = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    maps[..., 0, :] = masks[..., 0, 0] = 1
    assert score(metric("PointingGame"), maps, masks).tolist() == [1]
    assert pointing_game(maps[:, 0], masks[:, 0]).tolist() == [0.25]


def test_ties_at_the_rank_follow_the_sort_there_and_count_by_fraction_here():
    maps, masks = torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    masks[..., 0, :] = 1
    rank = [score(metric("RelevanceRankAccuracy"), maps, m)[0] for m in (masks, masks.flip(2))]
    assert rank[0] != rank[1]
    assert [dice(maps[:, 0], m[:, 0]).item() for m in (masks, masks.flip(2))] == [0.25, 0.25]


def test_the_weighted_pointing_game_fails_there_on_batches():
    maps, masks = cases(SHAPES[0])
    maps[:, :, 0, 0] = 2
    with pytest.raises(TypeError, match="boolean array indexing"):
        score(metric("PointingGame", weighted=True), maps, masks)
