import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score

from seattn.explain import (
    FittedThreshold,
    dice,
    fit_threshold,
    iou,
    label_regions,
    mean_mask_map,
    reader_dice,
    region_recall,
)
from tests import references
from tests.strategies import maps_and_masks


def worked_case():
    """Four pixels of 9, four of 5, eight of 1; a mask of six, half of which lies beside the map."""
    cam, mask = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    cam[0, 0, :4], cam[0, 1, :4], cam[0, 2] = 9, 5, 1
    mask[0, :2, 2:5] = 1
    return cam, mask


@pytest.mark.parametrize(
    ("threshold", "expected_iou", "expected_dice"),
    [
        ("area", 3 / 9, 3 / 6),  # four of 9, and of the four of 5 two places: 2 + 2 * 1/2 hit
        (0.5, 4 / 10, 8 / 14),
        (0.6, 2 / 8, 4 / 10),  # 5 < 5.4
        (1.0, 2 / 8, 4 / 10),
        (0.01, 4 / 18, 8 / 22),  # not the pixels at 0
    ],
)
def test_a_worked_case(threshold, expected_iou, expected_dice):
    cam, mask = worked_case()
    assert iou(cam, mask, threshold=threshold).item() == pytest.approx(expected_iou, abs=1e-12)
    assert dice(cam, mask, threshold=threshold).item() == pytest.approx(expected_dice, abs=1e-12)


def test_arrays_are_no_maps_and_no_masks():
    cam, mask = worked_case()
    with pytest.raises(TypeError, match=r"`cam` \(ndarray\) must be a tensor; `torch.from_numpy`"):
        dice(cam.numpy(), mask)
    with pytest.raises(TypeError, match=r"`mask` \(ndarray\) must be a tensor"):
        iou(cam, mask.numpy())
    with pytest.raises(TypeError, match=r"`regions` \(ndarray\) must be a tensor"):
        region_recall(cam, mask.long().numpy())
    with pytest.raises(TypeError, match=r"`mask` \(list\) must be a tensor"):
        label_regions(mask.tolist())
    with pytest.raises(TypeError, match=r"`masks` \(ndarray\) must be a tensor"):
        mean_mask_map(mask.numpy())
    with pytest.raises(TypeError, match=r"`masks` \(list\) must be a tensor"):
        reader_dice([mask, mask])


def test_pixels_at_zero_are_not_marked_to_fill_the_area():
    cam, mask = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    cam[0, 0, 0], mask[0, 0, :4] = 3, 1
    assert (iou(cam, mask).item(), dice(cam, mask).item()) == (1 / 4, 2 / 5)


def test_blank_maps_find_nothing_and_empty_masks_are_undefined():
    blank, full = torch.zeros(1, 3, 3), torch.ones(1, 3, 3)
    for measure, threshold in itertools.product((iou, dice), ("area", 0.5)):
        assert measure(blank, full, threshold=threshold).item() == 0
        assert measure(full, full, threshold=threshold).item() == 1
        assert math.isnan(measure(full, blank, threshold=threshold).item())


@given(maps_and_masks(), st.sampled_from(["area", 0.03, 0.5, 1.0]))
def test_both_equal_the_slow_reference(case, threshold):
    cam, mask = case
    measured = (measure(cam, mask, threshold=threshold) for measure in (iou, dice))
    scores = zip(*measured, strict=True)
    cases = zip(cam.flatten(1).double().tolist(), mask.flatten(1).tolist(), scores, strict=True)
    for values, inside, (one, other) in cases:
        if not any(inside):
            assert one.isnan()
            assert other.isnan()
            continue
        if threshold == "area":
            marks = references.strongest(values, sum(inside))
        else:
            marks = [float(v > 0 and v >= threshold * max(values)) for v in values]
        expected = references.overlap(marks, inside)
        assert (one.item(), other.item()) == pytest.approx(expected, rel=1e-12)


@given(
    st.lists(st.integers(1, 3), min_size=6, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_dice_at_the_area_is_the_mean_over_all_ways_to_break_ties(levels, inside):
    size = sum(inside)
    if size == 0:
        return
    orders = [
        order
        for order in itertools.permutations(range(6))
        if all(levels[a] >= levels[b] for a, b in itertools.pairwise(order))
    ]
    shares = [sum(inside[i] for i in order[:size]) / size for order in orders]
    result = dice(torch.tensor(levels)[None, None], torch.tensor(inside)[None, None])
    assert result.item() == pytest.approx(math.fsum(shares) / len(shares), abs=1e-12)


@given(maps_and_masks())
def test_at_the_area_iou_follows_from_dice(case):
    cam, mask = case
    share = dice(cam + 1, mask)  # all pixels above 0
    torch.testing.assert_close(iou(cam + 1, mask), share / (2 - share), equal_nan=True)


@given(maps_and_masks(), st.sampled_from(["area", 0.25]))
def test_scale_and_order_of_the_cases_do_not_matter(case, threshold):
    cam, mask = case
    for measure in (iou, dice):
        before = measure(cam, mask, threshold=threshold)
        after = measure(cam.flip(0) * 8, mask.flip(0), threshold=threshold).flip(0)
        torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


@given(maps_and_masks())
def test_an_increasing_change_of_the_map_leaves_the_area_matched_scores_alone(case):
    cam, mask = case
    cam = cam.double()
    for measure in (iou, dice):
        torch.testing.assert_close(
            measure(cam.sqrt(), mask), measure(cam, mask), rtol=0, atol=0, equal_nan=True
        )


@pytest.mark.parametrize("shape", [(4, 9, 7), (3, 5, 6, 7)])
def test_a_fixed_threshold_is_scikit_learns_score(shape):
    generator = torch.Generator().manual_seed(1)
    cam, mask = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator) < 0.3
    found = (cam.flatten(1) >= 0.4 * cam.flatten(1).amax(1, keepdim=True)).numpy()
    truth = mask.flatten(1).numpy()
    for ours, theirs in ((iou, jaccard_score), (dice, f1_score)):
        expected = [theirs(t, f) for t, f in zip(truth, found, strict=True)]
        assert ours(cam, mask, threshold=0.4).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 1.1, -0.5, math.nan, "otsu"])
def test_a_threshold_out_of_range_is_an_error(threshold):
    with pytest.raises(ValueError, match="must be a share of the map's maximum"):
        iou(*worked_case(), threshold=threshold)


def test_the_fitted_threshold_is_the_best_candidate_and_remembers_its_origin():
    generator = torch.Generator().manual_seed(2)
    cam = torch.rand(5, 9, 9, generator=generator)
    mask = cam > 0.62
    mask[4] = False  # nothing annotated
    for measure in (iou, dice):
        means = {
            t: measure(cam[:4], mask[:4], threshold=t).mean().item() for t in (0.3, 0.5, 0.6, 0.9)
        }
        fitted = fit_threshold(
            cam, mask, measure=measure, candidates=means, patients=[1, 1, 2, 3, 4], source="fold 2"
        )
        assert fitted.value == 0.6 == max(means, key=means.get)
        assert (fitted.measure, fitted.n, fitted.source) == (measure.__name__, 4, "fold 2")
        assert fitted.score == pytest.approx(means[0.6])
        assert fitted.patients == {1, 2, 3, 4}
        assert "patients" not in repr(fitted)
        assert torch.equal(
            measure(cam[:4], mask[:4], threshold=fitted), measure(cam[:4], mask[:4], threshold=0.6)
        )


def test_the_first_of_equal_candidates_is_taken():
    cam, mask = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
    cam[..., 0] = mask[..., 0] = 1
    assert fit_threshold(cam, mask).value == 0.05
    assert fit_threshold(cam, mask, candidates=(0.7, 0.2)).value == 0.7


def test_what_cannot_be_fitted_is_an_error():
    cam, mask = worked_case()
    with pytest.raises(ValueError, match="`candidates` holds no threshold"):
        fit_threshold(cam, mask, candidates=())
    with pytest.raises(ValueError, match="`mask` marks no pixel in any case"):
        fit_threshold(cam, 0 * mask)
    with pytest.raises(ValueError, match="`patients` has 2 entries for 1 cases"):
        fit_threshold(cam, mask, patients=[1, 2])
    with pytest.raises(ValueError, match=r"`threshold` \(=2.0\)"):
        fit_threshold(cam, mask, candidates=(2.0,))
    with pytest.raises(ValueError, match=r"`threshold` \(=2.0\)"):
        iou(cam, mask, threshold=FittedThreshold(2.0, "iou", 0.1, 3, "validation"))
