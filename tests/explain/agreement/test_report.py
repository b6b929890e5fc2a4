import json
import math

import numpy as np
import pytest
import torch

from seattn.explain import (
    centre_map,
    chance_level,
    dice,
    fit_threshold,
    iou,
    label_regions,
    localisation_report,
    mask_on_grid,
    mass_in_mask,
    mean_mask_map,
    pixel_average_precision,
    pointing_game,
    reader_dice,
    region_recall,
)
from seattn.explain.agreement.measures import MEASURES
from seattn.explain.agreement.resampling import RESAMPLES, mean_estimate

CASES, SIZE = 24, 16
PATIENTS = [f"patient {case // 2:02}" for case in range(CASES)]


def masks_of(seed, cases=CASES, size=SIZE):
    """Two blocks of 3 x 4 pixels somewhere in each image."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(cases, size, size)
    for mask in masks:
        for row, column in torch.randint(0, size - 4, (2, 2), generator=generator).tolist():
            mask[row : row + 3, column : column + 4] = 1
    return masks


def noise(seed, shape=(CASES, SIZE, SIZE)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def report(maps, masks, **settings):
    controls = {"randomised": noise(9), "mean_mask": mean_mask_map(masks_of(8))}
    return localisation_report(
        maps, masks, **{**controls, "grid": (4, 4), "patients": PATIENTS, **settings}
    )


def test_maps_that_know_the_truth_beat_all_three_and_noise_does_not():
    masks = masks_of(0)
    right, wrong = report(masks, masks), report(noise(1), masks)
    assert list(right.scores) == list(MEASURES)
    for name in MEASURES:
        assert right[name].value.value == 1
        assert (right[name].beats_all_controls, right[name].verdict) == (True, "beats all three")
        assert not wrong[name].beats_all_controls
        assert wrong[name].verdict == "not better than chance of place"


def test_one_lost_control_is_enough_to_fail():
    masks = masks_of(0)
    tied = report(masks, masks, randomised=masks)["dice"]
    assert tied.differences["constant centre"].low > 0
    assert tied.differences["randomised weights"].low == 0
    assert not tied.beats_all_controls


def test_every_number_is_that_of_the_measure_alone():
    masks, maps = masks_of(0), noise(2) + masks_of(0) * noise(3)
    training, random = mean_mask_map(masks_of(8)), noise(9)
    spacing = {"tolerance": 1.5, "spacing": (0.5, 0.8)}
    found = report(maps, masks, threshold=0.6, top=0.1, share=0.2, **spacing)
    regions = label_regions(masks)
    measures = {
        "pointing_game": lambda cam: pointing_game(cam, masks, **spacing),
        "mass_in_mask": lambda cam: mass_in_mask(cam, masks),
        "iou": lambda cam: iou(cam, masks, threshold=0.6),
        "dice": lambda cam: dice(cam, masks, threshold=0.6),
        "average_precision": lambda cam: pixel_average_precision(cam, masks),
        "region_recall": lambda cam: region_recall(cam, regions, top=0.1, share=0.2),
    }
    controls = {
        "randomised weights": random,
        "constant centre": centre_map((SIZE, SIZE)).expand_as(masks),
        "mean training mask": training.expand_as(masks),
    }
    for name, measure in measures.items():
        score, values = found[name], measure(maps)
        assert score.value.value == pytest.approx(values.mean().item())
        assert score.ceiling == pytest.approx(measure(mask_on_grid(masks, (4, 4))).mean().item())
        for control, cam in controls.items():
            other = measure(cam)
            assert score.controls[control] == pytest.approx(other.mean().item())
            difference = score.differences[control]
            assert difference.value == pytest.approx((values - other).mean().item())
            expected = mean_estimate(
                (values - other).numpy(), np.arange(CASES) // 2, level=0.95, seed=0
            )
            assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high))
    chance = chance_level(masks, **spacing).mean().item()
    assert found["pointing_game"].chance == pytest.approx(chance)
    assert found["mass_in_mask"].chance == pytest.approx(chance_level(masks).mean().item())
    hits = [row.hit for row in found.regions]
    assert len(hits) == int(regions.flatten(1).amax(1).sum())
    assert {row.size % (3 * 4 * 0.4) for row in found.regions if row.size < 5} == {0.0}


def test_the_chance_of_a_noise_map_is_about_what_noise_scores():
    masks = masks_of(0)
    found = report(noise(1), masks)
    for name in ("mass_in_mask", "iou", "dice", "average_precision"):
        assert found[name].chance == pytest.approx(found[name].value.value, abs=0.03)


def test_cases_without_annotation_are_counted_and_change_nothing():
    masks, maps = masks_of(0), noise(1)
    masks[4:6] = 0
    kept = [case for case in range(CASES) if case not in (4, 5)]
    found = report(maps, masks)
    alone = report(
        maps[kept], masks[kept], randomised=noise(9)[kept], patients=[PATIENTS[k] for k in kept]
    )
    assert (found.n, found.n_annotated, found.unmarked) == (CASES, CASES - 2, {"annotation": 2})
    assert found.n_patients == 12
    for name in MEASURES:
        assert found[name].value == alone[name].value
        assert found[name].value.n_patients == 11
        assert found[name].differences == alone[name].differences
        assert found[name].chance == pytest.approx(alone[name].chance)
    assert "cases with nothing marked, not scored: annotation 2" in str(found)


def test_a_blank_map_found_nothing_and_is_counted():
    masks = masks_of(0)
    maps = masks.clone()
    maps[3] = 0
    found = report(maps, masks)
    counts = {"randomised weights": 0, "constant centre": 0, "mean training mask": 0}
    assert found.blank == {"maps": 1, **counts}
    for name in ("pointing_game", "mass_in_mask", "iou", "dice", "region_recall"):
        assert found[name].value.value == pytest.approx(1 - 1 / CASES)
    masks[3] = 0  # a blank map of a case that nobody asks about
    assert report(maps, masks).blank == {"maps": 0, **counts}
    dead = report(maps, masks, randomised=torch.zeros_like(masks))
    assert dead.blank["randomised weights"] == CASES - 1
    assert "blank maps: maps 0, randomised weights 23, constant centre 0" in str(dead)
    assert dead["dice"].verdict == "none: all maps of the control randomised weights are blank"
    assert not dead["dice"].beats_all_controls
    assert dead["dice"].differences["constant centre"].low > 0


def test_readers_stand_beside_their_own_agreement():
    one, two = masks_of(0), masks_of(0)
    two[:, :, 1:] = one[:, :, :-1].clone()  # the second reader is a pixel to the right
    two[:2] = 0  # and marks nothing in two cases
    masks, maps = torch.stack([one, two]), noise(2) + one
    found = report(maps, masks, readers=["A", "B"])
    assert found.unmarked == {"A": 0, "B": 2}
    assert found.n_annotated == CASES
    first, second = dice(maps, one), dice(maps, two)
    score = found["dice"]
    assert score.per_reader["A"] == pytest.approx(first.mean().item())
    assert score.per_reader["B"] == pytest.approx(second.nanmean().item())
    both = torch.stack([first, second]).nanmean(0)
    assert score.value.value == pytest.approx(both.mean().item())
    assert score.value.n == CASES
    # B's blank masks miss what A marked; A's are not asked about what B did not mark
    pairs = torch.stack([dice(two, one), dice(one, two)]).nanmean(0)
    assert score.between_readers == pytest.approx(pairs.mean().item())
    expected = reader_dice(masks).nanmean(2)
    assert found.reader_dice["A"]["B"] == pytest.approx(expected[0, 1].item())
    assert {row.reader for row in found.regions} == {"A", "B"}
    assert f"Dice of A and B: {expected[0, 1]:.3f}" in str(found)
    assert report(maps, masks).unmarked == {"reader 1": 0, "reader 2": 2}


def test_one_reader_given_as_a_stack_is_the_same_as_one_alone():
    masks, maps = masks_of(0), noise(1)
    alone, stacked = report(maps, masks), report(maps, masks[None])
    assert stacked["iou"].value == alone["iou"].value
    assert math.isnan(stacked["iou"].between_readers)
    assert stacked["iou"].per_reader == pytest.approx({"reader 1": alone["iou"].value.value})


@pytest.mark.parametrize("patients", [["a"] * 20 + ["b", "c", "d", "d"], None])
def test_with_few_patients_there_is_no_interval_and_no_verdict(patients):
    masks = masks_of(0)
    cases = CASES if patients else 4
    found = report(masks[:cases], masks[:cases], randomised=noise(9)[:cases], patients=patients)
    unit = "patients" if patients else "cases"
    reason = f"4 {unit} are too few for an interval, 5 are needed"
    score = found["dice"]
    assert (score.value.value, score.value.reason) == (1, reason)
    assert math.isnan(score.value.low)
    assert (score.beats_all_controls, score.verdict) == (False, f"none: {reason}")
    assert reason in str(found)


def test_nothing_annotated_is_said():
    found = report(noise(1), torch.zeros(CASES, SIZE, SIZE))
    assert math.isnan(found["dice"].value.value)
    assert found["dice"].verdict == "none: no case has an annotated region"
    assert "no region" in str(found)
    assert "nan" not in str(found)
    lines = [line.split() for line in str(found).splitlines()]
    assert ["dice", "-", "-", "-", "none:"] in [line[:5] for line in lines]


def test_label_maps_may_divide_what_is_connected():
    masks = torch.zeros(CASES, SIZE, SIZE)
    masks[:, 4:6, 4:10] = 1
    regions = masks.long()
    regions[:, :, 7:] *= 2
    maps = masks.clone()
    maps[:, :, 7:] = 0
    assert report(maps, masks)["region_recall"].value.value == 1
    assert report(maps, masks, regions=regions)["region_recall"].value.value == 0.5
    with pytest.raises(ValueError, match="`regions` must be above 0 exactly where `masks` are 1"):
        report(maps, masks, regions=regions.roll(1, 1))


def test_a_threshold_fitted_on_other_patients_is_used_and_named():
    masks, maps = masks_of(0), noise(1) + masks_of(0)
    fitted = fit_threshold(maps, masks, patients=["x"] * CASES)
    found = report(maps, masks, threshold=fitted)
    assert found["iou"].value.value == pytest.approx(iou(maps, masks, threshold=fitted).mean())
    assert found.rules["iou"] == (
        f"marks pixels from {fitted.value:g} of the maximum, "
        "fitted to dice on 24 cases (validation)"
    )
    leaked = fit_threshold(maps, masks, patients=["x"] * (CASES - 2) + ["patient 01", "patient 02"])
    with pytest.raises(ValueError, match="`threshold` was fitted on 2 of these `patients`"):
        report(maps, masks, threshold=leaked)


def test_the_report_is_json_and_names_no_patient():
    masks = masks_of(0)
    masks[0] = 0
    fitted = fit_threshold(noise(1), masks, patients=["secret"] * CASES)
    found = report(noise(1), torch.stack([masks, masks]), threshold=fitted)
    text = json.dumps(found.to_dict(), allow_nan=False)
    for shown in (text, str(found)):
        assert "secret" not in shown
        assert "patient 0" not in shown
    facts = json.loads(text)
    assert facts["scores"]["dice"]["value"]["value"] == found["dice"].value.value
    assert facts["verdicts"]["dice"] == found["dice"].verdict
    assert len(facts["regions"]["rows"]) == len(found.regions)
    assert report(noise(1), masks).to_dict()["scores"]["dice"]["between_readers"] is None


def test_the_same_seed_gives_the_same_report_and_volumes_are_taken():
    shape = (6, 4, 5, 6)
    mask = noise(1, shape) > 0.8
    arguments = {
        "randomised": noise(2, shape),
        "mean_mask": mean_mask_map(mask),
        "grid": (2, 2, 3),
        "spacing": (2.0, 0.5, 0.5),
        "tolerance": 1.0,
    }
    one, same, other = (
        localisation_report(noise(3, shape), mask, seed=seed, **arguments) for seed in (0, 0, 1)
    )
    assert str(one) == str(same) != str(other)
    assert one.n_patients is None
    assert one.regions.unit == "mm3"


def test_the_table():
    masks = torch.zeros(6, 8, 8)
    masks[:, 0, :2] = 1
    found = localisation_report(
        masks,
        masks,
        randomised=1 - masks,
        mean_mask=torch.ones(8, 8),
        grid=(4, 4),
        measures=["mass_in_mask", "region_recall"],
    )
    assert str(found).splitlines() == [
        "6 cases taken for independent, 6 annotated; maps of 4x4 cells",
        "region_recall: hits a region by one pixel in the top 5 % of the image",
        "",
        "measure        value  95% interval    chance  ceiling",
        "mass_in_mask   1.000  [1.000, 1.000]  0.031   0.438",
        "region_recall  1.000  [1.000, 1.000]  0.047   1.000",
        "",
        "difference to  randomised weights       constant centre          mean training mask"
        "       verdict",
        "mass_in_mask   +1.000 [+1.000, +1.000]  +0.994 [+0.994, +0.994]  "
        "+0.969 [+0.969, +0.969]  beats all three",
        "region_recall  +1.000 [+1.000, +1.000]  +1.000 [+1.000, +1.000]  "
        "+1.000 [+1.000, +1.000]  beats all three",
        "",
        "6 of 6 regions hit: 6 of 6 up to 2 pixels",
        "cases with nothing marked, not scored: annotation 0",
        "blank maps: maps 0, randomised weights 0, constant centre 0, mean training mask 0",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": torch.ones(CASES, SIZE, SIZE - 1)}, "`masks` .* must have the shape of `maps`"),
        ({"masks": torch.ones(0, CASES, SIZE, SIZE)}, "`masks` .* must have the shape of `maps`"),
        (
            {"masks": 255 * masks_of(0).byte()},
            "`masks` holds values such as 255, not 0 and 1 only; give `masks > 0`, or of a label",
        ),
        ({"maps": -torch.ones(CASES, SIZE, SIZE)}, "`cam` must be finite and not negative"),
        ({"randomised": noise(1)[1:]}, "`randomised` .* must have the shape of `maps`"),
        ({"mean_mask": torch.ones(SIZE)}, "`mean_mask` .* that of one map"),
        (
            {"measures": ["iou", "hausdorff"]},
            r"`measures` \(=\['hausdorff'\]\) must be one or more of poi",
        ),
        ({"measures": ()}, r"`measures` \(=\[\]\) must be one or more of pointing_game"),
        ({"measures": "dices"}, r"`measures` \(=\['dices'\]\) must be one or more of"),
        ({"seed": -1}, r"`seed` \(=-1\) must be a whole number, 0 or more"),
        ({"readers": ["A", "B"]}, "`readers` .* must be 1 different names"),
        ({"patients": ["a"]}, "`patients` has shape"),
        ({"level": 95}, r"`level` \(=95\) must be between 0 and 1"),
        ({"grid": (4,)}, "`grid` .* must have 1"),
    ],
)
def test_wrong_arguments_are_errors(change, message):
    arguments = {"maps": noise(1), "masks": masks_of(0), **change}
    with pytest.raises(ValueError, match=message):
        report(**arguments)


@pytest.mark.parametrize("name", ["maps", "masks", "randomised", "mean_mask"])
def test_arrays_are_named(name):
    arguments = {"maps": noise(1), "masks": masks_of(0), "mean_mask": torch.ones(SIZE, SIZE)}
    arguments |= {"randomised": noise(2)}
    arguments[name] = arguments[name].numpy()
    with pytest.raises(TypeError, match=rf"`{name}` \(ndarray\) must be a tensor; `torch.from_nu"):
        report(**arguments)


def test_one_measure_may_be_a_name():
    assert list(report(noise(1), masks_of(0), measures="dice").scores) == ["dice"]


def test_intervals_draw_patients_not_cases():
    values = np.repeat([0.0, 1.0, 0.0, 1.0, 0.5], 30)
    patients = np.repeat(range(5), 30)
    found = mean_estimate(values, patients, level=0.95, seed=0)
    assert (found.low, found.high) == pytest.approx((0.1, 0.9), abs=0.11)  # of cases: 0.43 to 0.57
    alone = mean_estimate(values, None, level=0.95, seed=0)
    assert (alone.low, alone.high) == pytest.approx((0.43, 0.57), abs=0.02)
    assert (found.n, found.n_patients, alone.n_patients) == (150, 5, None)


def test_the_interval_is_the_percentiles_of_means_drawn_one_by_one():
    values = np.array([0.2, np.nan, 0.9, 0.4, 0.1, 0.7, 0.8, 0.3])
    patients = np.array([0, 0, 1, 1, 2, 3, 4, 4])
    found = mean_estimate(values, patients, level=0.8, seed=7)
    drawn = np.random.default_rng(7).integers(0, 5, (RESAMPLES, 5))
    kept = {
        p: [v for v, q in zip(values, patients, strict=True) if q == p and not np.isnan(v)]
        for p in range(5)
    }
    means = [np.mean([v for p in draw for v in kept[p]]) for draw in drawn]
    assert found.value == pytest.approx(np.nanmean(values))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.1, 0.9])))
