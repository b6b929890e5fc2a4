"""The study of heat maps on a tiny folder: what is read, what is measured, what is left behind."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from examples.heat_maps import __main__ as command
from examples.heat_maps import training
from examples.heat_maps.covering import covering_rows, smooth_away
from examples.heat_maps.measures import agreement_rows, move_back
from examples.heat_maps.radiographs import Radiographs, read_radiographs
from tests.data.files import write_dicom

COLUMNS = ("path", "label", "group", "split", "hardware", "mask")
SPLITS = {"train": 8, "val": 4, "test": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Noise, with a bright square where the label is 1; every fourth fracture has an implant."""
    root = tmp_path_factory.mktemp("radiographs")
    for name in ("images", "masks"):
        (root / name).mkdir()
    random = np.random.default_rng(0)
    rows, number = [], 0
    for split, count in SPLITS.items():
        for i in range(count):
            name, label = f"IMG{number:07d}", i % 2
            pixels = random.integers(0, 90, (80, 60), np.uint8)
            mask = np.zeros((80, 60), bool)
            if label:
                mask[20:32, 30:42] = True
                pixels[mask] = 255
                Image.fromarray(mask).save(root / "masks" / f"{name}.png")
            Image.fromarray(pixels).save(root / "images" / f"{name}.jpg", quality=95)
            where = f"masks/{name}.png" if label else ""
            rows.append((f"images/{name}.jpg", label, f"b{i // 2}", split, int(i % 8 == 1), where))
            number += 1
    copy = ("images/IMG0004148.jpg", 0, "b9", "train", 0, "")
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows, copy])
    return root


def options(folder, out, *more):
    small = ["--size", "64", "--width", "16", "--epochs", "2"]
    return command.parse(["--data", str(folder), "--out", str(out), *small, *more])


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, command.run(options(folder, out, "--record", str(out / "rows.jsonl")))


def test_images_are_padded_to_a_square_and_the_mask_goes_with_them(folder):
    test = read_radiographs(folder, size=40, implants=True)["test"]
    batch = test.batch([1])
    assert batch.image.shape == (1, 1, 40, 40)
    assert batch.label.tolist() == [1]
    # 80 x 60 gets 10 columns on each side; halved, the square lies at 10..16 and (30 + 10) / 2
    expected = torch.zeros(40, 40, dtype=torch.uint8)
    expected[10:16, 20:26] = 1
    assert torch.equal(batch.mask[0, 0], expected)
    assert batch.image[0, 0][11:15, 21:25].min() > 0.9
    assert batch.image[0, 0, :, :4].max() == 0
    assert not test.batch([0]).mask.any()


def test_implants_and_copies_of_test_images_are_left_out(folder):
    every = read_radiographs(folder, size=16, implants=True)
    strict = read_radiographs(folder, size=16, implants=False)
    assert {split: len(part) for split, part in every.items()} == SPLITS
    assert {split: len(part) for split, part in strict.items()} == {"train": 7, "val": 3, "test": 5}


def test_the_run_leaves_rows_networks_and_pictures(finished):
    out, rows = finished
    assert [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()] == (
        json.loads(json.dumps(rows))
    )
    networks = [row for row in rows if row["kind"] == "network"]
    assert [(row["implants"], row["images"]["test"]) for row in networks] == [(True, 6), (False, 5)]
    for name in ("with", "without"):
        assert (out / f"{name}_implants_seed0" / "model.safetensors").exists()
        with Image.open(out / f"{name}_implants_seed0_1.png") as page:
            assert page.width == 2 * (3 * 64 + 4)


def test_a_second_run_trains_nothing_and_finds_the_same(folder, finished, monkeypatch):
    out, rows = finished
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert command.run(options(folder, out)) == rows


def test_every_fracture_of_the_test_images_is_a_row_of_each_layer(finished):
    _, rows = finished
    for layer in ("layer3", "layer4"):
        regions = [r for r in rows if r["kind"] == "region" and r["layer"] == layer]
        with_implants = [r["image"] for r in regions if r["implants"]]
        assert with_implants == ["IMG0000013", "IMG0000015", "IMG0000017"]
        assert [r["image"] for r in regions if not r["implants"]] == with_implants[1:]
        # 9.6 x 9.6 pixels from a whole one on: 10 x 10, less the corner, of which 0.36 is marked
        assert {r["pixels"] for r in regions} == {99}


def test_training_ends_with_the_weights_of_the_best_validation_epoch(folder, monkeypatch):
    parts = read_radiographs(folder, size=32, implants=True)
    seen = []
    whole = training.augment

    def watched(batch, *args, epoch, **kwargs):
        seen.extend((epoch, row) for row in batch.row.tolist())
        return whole(batch, *args, epoch=epoch, **kwargs)

    aucs = iter([0.4, 0.9, 0.6])
    weights = []

    def scripted(**_):
        weights.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(aucs)

    monkeypatch.setattr(training, "augment", watched)
    monkeypatch.setattr(training, "roc_auc", scripted)
    network = training.build(seed=0, width=16)
    curve = training.fit(network, parts["train"], parts["val"], epochs=3, seed=0)
    assert [row["val_roc_auc"] for row in curve] == [0.4, 0.9, 0.6]
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[1][name]), name
    labels = parts["train"].labels
    for epoch in range(3):
        rows = [row for e, row in seen if e == epoch]
        assert len(set(rows)) == len(rows) == 8
        assert int(labels[rows].sum()) == 4


class Sees(torch.nn.Module):
    """Two layers that pass on the image averaged over cells, and call bright images fractured."""

    def __init__(self):
        super().__init__()
        self.layer3 = torch.nn.AvgPool2d(8)
        self.layer4 = torch.nn.AvgPool2d(2)

    def forward(self, x):
        logit = self.layer4(self.layer3(x)).mean((2, 3))
        return torch.cat([-logit, logit], 1)


def bright(masks):
    count = len(masks)
    labels = torch.ones(count, dtype=torch.int64)
    names = tuple(str(i) for i in range(count))
    return Radiographs(names, names, 255 * masks, masks, labels)


def test_a_network_that_sees_the_fracture_reaches_the_ceiling_and_beats_the_mean_mask():
    masks = torch.zeros(5, 1, 64, 64, dtype=torch.uint8)
    for i in range(5):
        masks[i, :, 8:14, 8 * i + 8 : 8 * i + 14] = 1
    rows = agreement_rows(Sees(), bright(masks.flip(2)), bright(masks), seed=0)
    reports = {(r["layer"], r["subset"]): r for r in rows if r["kind"] == "agreement"}
    assert len(reports) == 6
    for (layer, subset), report in reports.items():
        assert (report["n_annotated"], report["n_patients"]) == (5, 5)
        if subset == "moved back":  # this network's cells are where they are drawn
            mass = report["scores"]["mass_in_mask"]
            assert mass["value"]["value"] < 0.7 * mass["ceiling"]
            continue
        for measure, score in report["scores"].items():
            assert score["value"]["value"] == pytest.approx(score["ceiling"])
            if layer == "layer3" or measure not in ("iou", "dice"):  # of 4x4 cells too coarse
                assert report["verdicts"][measure] == "not better than chance of place"
                assert score["differences"]["mean training mask"]["low"] > 0
            # It has no weights: the randomised copy is the network itself.
            assert score["differences"]["randomised weights"]["high"] == 0
        assert report["scores"]["region_recall"]["value"]["value"] == 1
    nearest = reports["layer3", "all"]["scores"]["pointing_game"]
    # Within half a cell, 4 pixels, of 6 x 6 marked ones: the rim with round corners.
    assert nearest["value"]["value"] == 1
    corner = sum(x * x + y * y <= 16 for x in range(1, 5) for y in range(1, 5))
    assert nearest["chance"] == pytest.approx((36 + 4 * 6 * 4 + 4 * corner) / 64**2)
    regions = [r for r in rows if r["kind"] == "region"]
    assert len(regions) == 10
    assert all(r["hit"] and r["pixels"] == 36 for r in regions)


def test_a_cell_of_the_network_is_centred_half_a_cell_before_where_it_is_drawn():
    network = training.build(seed=0, width=16).eval()
    generator = torch.Generator().manual_seed(0)
    for name, stride in (("layer4", 32), ("layer3", 16)):
        image = torch.rand(4, 1, 224, 224, generator=generator, requires_grad=True)
        stages = {"layer4": network.forward_features}
        if name == "layer3":
            stages["layer3"] = torch.nn.Sequential(*list(network.children())[:-4])
        cell = stages[name](image)[:, :, 3, 3].square().sum()
        weight = torch.autograd.grad(cell, image)[0].square().sum((0, 1))
        for axis in (0, 1):
            share = weight.sum(axis).cumsum(0) / weight.sum()
            median = int((share < 0.5).sum())
            assert median == pytest.approx(3 * stride, abs=stride / 8), name


def test_maps_move_up_and_to_the_left():
    maps = torch.arange(12.0).reshape(1, 3, 4)
    expected = [[5, 6, 7, 7], [9, 10, 11, 11], [9, 10, 11, 11]]
    assert move_back(maps, 1)[0].tolist() == expected
    assert torch.equal(move_back(maps, 0), maps)


def test_a_fracture_is_smoothed_away_and_nothing_else():
    image = torch.rand(2, 1, 64, 64)
    mask = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    mask[0, 0, 30, 40] = mask[1, 0, 2, 63] = 1
    out = smooth_away(image, mask)
    assert torch.equal(out[mask == 0], image[mask == 0])
    assert out[0, 0, 30, 40] == pytest.approx(image[0, 0, 15:46, 25:56].mean().item(), abs=1e-6)
    assert out[1, 0, 2, 63] == pytest.approx(image[1, 0, :18, 48:].mean().item(), abs=1e-6)


def test_a_network_that_sees_the_fracture_needs_it():
    masks = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    masks[0, :, 24:32, 24:32] = masks[1, :, 28:32, 20:28] = 1
    for row, area in zip(covering_rows(Sees(), bright(masks)), (64, 32), strict=True):
        # Its log odds are twice the mean of the image; the mean of 31 x 31 pixels stays behind.
        assert row["log_odds"] == pytest.approx(2 * area / 64**2, abs=1e-4)
        left = 2 * area / 64**2 * area / 31**2
        assert row["without_fracture"] == pytest.approx(left, abs=1e-4)


def test_a_volume_gets_a_map_of_its_own_shape(folder, finished, tmp_path):
    out, _ = finished
    series = tmp_path / "series"
    series.mkdir()
    for k in range(40):
        write_dicom(
            series / f"{k}.dcm",
            np.full((32, 32), 10 * k, np.uint16),
            ImagePositionPatient=[0, 0, 2 * k],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1.5, 1.5],
        )
    row = command.run(options(folder, out, "--volume", str(series)))[-1]
    assert row["kind"] == "volume"
    assert row["shape"] == (40, 64, 64)
    assert row["map"] == (1, 40, 64, 64)
    assert row["grid"] == (2, 2, 2)
    assert row["spacing_mm"] == [2, 0.75, 0.75]
    assert row["cell_mm"] == [40, 24, 24]
    assert set(row["costs"]) == {"forward", "Grad-CAM"}
    assert (out / "volume.png").exists()
