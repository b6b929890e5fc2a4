"""Figures 2a and 2b hold what the networks get, and each step leads to the next."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.items import items_of
from examples.ankle_fracture.report import pictures
from seattn.data import bone_mask, read_dicom
from tests.examples.conftest import TINY


def parts(config, folder):
    return items_of(gather(config, folder).parts, config, seed=config.seed)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    config = dataclasses.replace(PRESETS["quick-paper"], patients=24, size=32)
    return config, parts(config, tmp_path_factory.mktemp("paper"))["train"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    config = dataclasses.replace(TINY, window=(50.0, 500.0))  # not the window of the files
    return config, parts(config, tmp_path_factory.mktemp("sound"))["train"]


def image(panel):
    return panel.sample.image[0]


def test_the_steps_of_the_paper_lead_from_the_file_to_the_item(paper):
    config, items = paper
    original, bone, resized, noisy = pictures.steps(config, items, 3)
    row = items.dataset.index.rows[3]
    path = items.dataset.index.root / row.path
    hu = read_dicom(path, units="modality").pixels
    scaled = (hu - hu.min()) / (hu.max() - hu.min())
    torch.testing.assert_close(image(original), scaled)
    torch.testing.assert_close(image(bone), scaled * bone_mask(hu))
    small = F.interpolate(image(bone)[None], [32, 32], mode="bilinear", antialias=True)[0]
    torch.testing.assert_close(image(resized), small, atol=0.5 / 255 + 1e-6, rtol=0)
    item = items.batch(np.array([4 * 3]))  # the image itself, before its three copies
    assert torch.equal(image(noisy), item.image[0])
    assert (image(noisy) - image(resized)).std() == pytest.approx(0.01, rel=0.5)


def test_the_steps_of_the_sound_protocol_have_a_window_and_no_mask(sound):
    config, items = sound
    original, windowed, resized, noisy = pictures.steps(config, items, 3)
    path = items.dataset.index.root / items.dataset.index.rows[3].path
    hu = read_dicom(path, units="modality").pixels
    expected = ((hu - (50 - 0.5)) / (500 - 1) + 0.5).clamp(0, 1)  # PS3.3 C.11.2.1.2.1
    torch.testing.assert_close(image(windowed), expected, atol=1e-5, rtol=0)
    assert torch.equal(image(resized), items.dataset[3].image)
    # The draw of the first epoch: what remains of the item once it has not been moved.
    change = image(noisy) - image(resized)
    assert 0 < change.abs().max() < 0.06


def test_the_versions_are_the_items(paper, sound):
    for config, items in (paper, sound):
        shown = pictures.versions(items, 5)
        if config.copies:
            batches = [items.batch(np.array([4 * 5 + n])) for n in range(4)]
            assert [panel.title for panel in shown] == ["the image", "copy 1", "copy 2", "copy 3"]
        else:
            batches = [items.batch(np.array([5]), epoch=n) for n in range(config.epochs)]
            assert [panel.title for panel in shown] == ["epoch 1", "epoch 2"]
        for panel, batch in zip(shown, batches, strict=True):
            assert torch.equal(panel.sample.image, batch.image)
            assert torch.equal(panel.sample.mask, batch.mask)


def test_each_change_alone_is_that_of_the_first_version(paper, sound):
    for config, items in (paper, sound):
        before, *changes, together = pictures.alone(items, 5)
        named = ["flips alone"] if config.flips else []
        named += ["rotation alone", "scaling alone", "contrast alone"]
        assert [panel.title for panel in changes] == named
        first = pictures.versions(items, 5)[1 if config.copies else 0]
        assert torch.equal(image(together), image(first))
        for panel in changes[-3:]:
            assert not torch.equal(image(panel), image(before))
        # Contrast is done last, on the rest: the same factor about one half.
        (contrast,) = (panel for panel in changes if panel.title.startswith("contrast"))
        grey = (image(before) > 0.1) & (image(before) < 0.9)
        factor = (image(contrast)[grey] - 0.5) / (image(before)[grey] - 0.5)
        still = dataclasses.replace(items, protocol=dataclasses.replace(config, contrast=0.0))
        moved = still.batch(np.array([5 * items.versions + (1 if config.copies else 0)]))
        expected = ((moved.image[0] - 0.5) * factor.median() + 0.5).clamp(0, 1)
        torch.testing.assert_close(image(together), expected, atol=1e-4, rtol=0)


def test_without_a_change_nothing_is_shown_as_augmented(sound):
    config, items = sound
    still = dataclasses.replace(config, **pictures.STILL)
    assert pictures.alone(dataclasses.replace(items, protocol=still), 5) == []
    fixed = dataclasses.replace(items, protocol=dataclasses.replace(config, online=False))
    assert pictures.alone(fixed, 5) == []
    assert pictures.versions(fixed, 5) == []


def test_the_part_shows_an_annotated_image_and_tells_its_numbers(findings):
    part = pictures.part(findings)
    facts = part.facts["pictures"]
    items = findings.first.items["train"]
    sample = items.dataset[facts["row"]]
    assert sample.mask.any()
    assert facts["class"] == "fracture"
    resized = facts["preprocessing"][-2]
    assert resized["title"] == "resized to 32x32"
    assert resized["pixels"] == [32, 32]
    assert (resized["low"], resized["high"]) == (sample.image.min(), sample.image.max())
    assert len(facts["versions"]) == findings.config.epochs
    assert [b.count("<figure") for b in part.body] == [1, 1]
    assert "contrast ±20%, scaling ±10%, rotation ±15°, flips" in part.body[1]


def test_every_panel_is_drawn_with_its_own_pixels(sound):
    _, items = sound
    panels, whole = pictures.alone(items, 5), pictures.versions(items, 5)
    figure = pictures._rows(panels, whole)
    shown = {ax.get_title(): ax.images[0].get_array() for ax in figure.axes if ax.images}
    assert list(shown) == [panel.title for panel in (*panels, *whole)]
    for panel in (*panels, *whole):
        np.testing.assert_array_equal(shown[panel.title], image(panel)[0])
