"""The tables and figure of the heat maps hold what the library says when asked directly."""

import dataclasses
import math
import re
from types import SimpleNamespace

import pytest
import torch

from examples.ankle_fracture.cams import annotated, cams
from examples.ankle_fracture.explanation import Agreement
from examples.ankle_fracture.readers import REFERENCE, pixel_spacing, simulated_readers
from examples.ankle_fracture.report import annotation_figure, heat_maps
from seattn.explain import (
    dice,
    label_regions,
    localisation_report,
    mean_mask_map,
    randomised_copy,
    reader_dice,
)

NAMES = {
    "pointing_game": "pointing game",
    "mass_in_mask": "mass in mask",
    "iou": "IoU",
    "dice": "Dice",
    "average_precision": "average precision",
    "region_recall": "region recall",
}


@pytest.fixture(scope="module")
def asked(findings):
    """Localisation reports of the first network's maps of the predicted class, by tolerance."""
    cohort, result = findings.first.cohort, findings.first.results["se_resnet_small"]
    positions, examples = annotated(cohort.test), annotated(cohort.train)
    masks = cohort.test.batch(positions).mask[:, 0] == 1

    def maps(network):
        return cams(network, "layer4", cohort.test, positions, target="predicted")

    def report(annotations, **options):
        return localisation_report(
            maps(result.network)[0],
            annotations,
            randomised=maps(randomised_copy(result.network, 0))[0],
            mean_mask=mean_mask_map(cohort.train.batch(examples).mask[:, 0] == 1),
            grid=maps(result.network)[1],
            patients=[cohort.test.index.rows[i].patient for i in positions],
            spacing=(1.2, 1.2),  # 0.6 mm at 64 pixels
            **options,
        )

    readers = simulated_readers(masks, pixel_spacing(cohort.test, positions))
    several = torch.stack([masks, *readers.values()])
    return {
        "plain": report(masks),
        "near": report(masks, tolerance=5.0),
        "readers": report(several, readers=[REFERENCE, *readers]),
        "masks": several,
    }


def test_every_measure_is_that_of_the_library(findings, asked):
    found = findings.first.results["se_resnet_small"].agreement["predicted"]
    scores = {NAMES[name]: score for name, score in asked["plain"].scores.items()}
    scores["pointing game, 5 mm"] = asked["near"]["pointing_game"]
    assert [each.name for each in found.measures] == list(scores)
    for each in found.measures:
        score = scores[each.name]
        assert (each.model, each.low, each.high) == (
            score.value.value,
            score.value.low,
            score.value.high,
        )
        assert (each.chance, each.ceiling) == (score.chance, score.ceiling)
        assert each.controls == score.controls
        assert each.differences == {n: (d.low, d.high) for n, d in score.differences.items()}
        assert each.verdict == score.verdict
    assert found.regions == asked["plain"].regions.summary
    assert found.blank == asked["plain"].blank


def test_the_page_shows_those_numbers(findings, asked):
    page = "".join(heat_maps.part(findings).body)
    score = asked["plain"]["dice"]
    value = f"{score.value.value:.3f} [{score.value.low:.3f}, {score.value.high:.3f}]"
    cells = [value, f"{score.chance:.3f}", f"{score.ceiling:.3f}"]
    for name, control in score.controls.items():
        difference = score.differences[name]
        cells.append(f"{control:.3f} ({difference.low:+.3f} to {difference.high:+.3f})")
    row = "".join(f"<td>{cell}</td>" for cell in ["Dice", *cells, score.verdict])
    assert row in page
    assert "randomised weights" in page


def test_readers_are_beside_the_network_and_said_to_be_simulated(findings, asked):
    page = "".join(heat_maps.part(findings).body)
    names = [REFERENCE, "shifted", "dilated", "partial"]
    found = findings.first.results["se_resnet_small"].agreement["predicted"].readers
    between = reader_dice(asked["masks"]).nanmean(2)
    for one, row in zip(names, between.tolist(), strict=True):
        assert list(found.dice[one].values()) == pytest.approx(row)
        score = asked["readers"]
        network = [score["dice"].per_reader[one], score["pointing_game"].per_reader[one]]
        assert [found.network["Dice"][one], found.network["pointing game"][one]] == network
        cells = "".join(f"<td>{value:.3f}</td>" for value in [*row, *network])
        assert f"<td>{one}</td>{cells}" in page
    assert "Nobody has drawn these: simulated readers" in page


def test_the_figures_numbers_follow_from_maps_and_masks(findings):
    cohort = findings.first.cohort
    facts = heat_maps.part(findings).facts["annotation_figure"]
    assert len(facts) == 4 * len(findings.first.results)
    titles = {r.title: r for r in findings.first.results.values()}
    labels = cohort.labels("test")
    for fact in facts:
        result, place = titles[fact["network"]], fact["test_image"]
        scores = result.probabilities["test"][place]
        assert fact["explained"] == cohort.class_names[int(scores.argmax())]
        assert fact["probability"] == float(scores.max())
        assert fact["label"] == cohort.class_names[labels[place]]
        maps, _ = cams(result.network, "layer4", cohort.test, [place], target="predicted")
        mask = cohort.test.batch([place]).mask[:, 0] == 1
        assert fact["dice"] == float(dice(maps, mask))
        assert fact["blank"] == (maps.max() == 0)
        # A region is hit where one of its pixels is at least as strong as the top 5 percent.
        regions = label_regions(mask)[0]
        assert fact["regions"] == int(regions.max())
        least = maps[0].flatten().sort(descending=True).values[math.ceil(0.05 * 32 * 32) - 1]
        top = (maps[0] >= least) & (maps[0] > 0)
        if int(top.sum()) == math.ceil(0.05 * 32 * 32):  # no ties
            hit = {int(label) for label in regions[top].unique()} - {0}
            assert fact["regions_hit"] == len(hit)


class Marked:
    """A dataset of images with so many regions, of these patients, in these views."""

    def __init__(self, *images):
        self.regions = [regions for regions, _, _ in images]
        rows = [SimpleNamespace(mask="m", patient=p, view=v) for _, p, v in images]
        self.index = SimpleNamespace(rows=rows)

    def __getitem__(self, position):
        mask = torch.zeros(1, 2, 9, dtype=torch.uint8)
        mask[0, 0, : 2 * self.regions[position] : 2] = 1
        return SimpleNamespace(mask=mask)

    def batch(self, positions):
        return SimpleNamespace(mask=torch.stack([self[i].mask for i in positions]))


@pytest.mark.parametrize(
    ("regions", "shown"),
    [
        ([1, 3, 1, 2, 2, 1, 2], [1, 3, 0, 2]),  # half with several
        ([1, 1, 1, 2, 1], [3, 0, 1, 2]),
        ([2, 2, 2, 1, 2, 2], [0, 1, 3, 2]),
        ([1, 0, 1], [0, 2]),
        ([0, 0], []),
    ],
)
def test_half_of_the_shown_images_have_several_regions(regions, shown):
    test = Marked(*((count, f"p{n}", "axial") for n, count in enumerate(regions)))
    assert annotation_figure._chosen(SimpleNamespace(test=test)) == shown


def test_shown_images_are_of_different_patients_and_then_views():
    views = ("axial", "coronal", "sagittal")
    test = Marked(*((1, patient, view) for patient in "abcde" for view in views))
    found = annotation_figure._chosen(SimpleNamespace(test=test))
    assert found == [0, 4, 8, 9]  # a axial, b coronal, c sagittal, d axial


def test_without_masks_maps_are_shown_and_nothing_is_scored(findings):
    cohort = findings.first.cohort

    def bare(dataset):
        copy = object.__new__(type(dataset))
        copy.__dict__.update(dataset.__dict__)
        rows = tuple(dataclasses.replace(row, mask=None) for row in dataset.index.rows)
        copy.index = dataclasses.replace(dataset.index, rows=rows)
        return copy

    reason = Agreement(0, 0, (), reason="the test or the training images have no annotated region")
    results = {
        name: dataclasses.replace(r, agreement=dict.fromkeys(r.agreement, reason))
        for name, r in findings.first.results.items()
    }
    unmarked = dataclasses.replace(cohort, test=bare(cohort.test))
    first = dataclasses.replace(findings.first, cohort=unmarked, results=results)
    found = heat_maps.part(dataclasses.replace(findings, replicates=(first,)))
    page = re.sub(r"base64,[^\"]+", "", "".join(found.body))
    assert page.count("<figure>") == 1
    assert "None of the test images has a mask" in page
    assert "simulated" not in page
    assert page.count("not scored, since the test or the training images") == 4
    assert all("dice" not in fact for fact in found.facts["annotation_figure"])
