"""Splits, resizing and affine changes beside scikit-learn, Pillow and torchvision."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvf

from seattn.data.index import DicomIndex, IndexRow
from seattn.data.kfold import kfold_by_patient
from seattn.data.preprocess import Preprocessing
from seattn.data.sample import Sample
from seattn.data.split import split_by_patient
from seattn.data.transforms import RandomAffine, augment

FRACTIONS = (0.6, 0.2, 0.2)


def make_study(patients, seed):
    """Four classes, the rarest at 5 %; log-normal numbers of images; 15 % of patients mixed."""
    chance = np.random.default_rng(seed)
    rows = []
    for k in range(patients):
        label = int(chance.choice(4, p=[0.55, 0.25, 0.15, 0.05]))
        mixed = chance.random() < 0.15
        for i in range(max(1, int(chance.lognormal(1, 0.8)))):
            this = int(chance.integers(4)) if mixed and i % 2 else label
            rows.append(IndexRow(f"{k}/{i}", 0, f"p{k}", "", "", "axial", 8, 8, 128, 0, this))
    return DicomIndex(Path("scans"), tuple(rows), (), tuple("abcd"))


def fewest_holders(index):
    return min(len({row.patient for row in index.rows if row.label == k}) for k in range(4))


def deviations(index, parts):
    """The largest deviations from 60, 20, 20 %: of the patients, and of the images of a class.

    From 20 % each, if there are five parts.
    """
    fractions = FRACTIONS if len(parts) == 3 else (0.2,) * 5
    labels = np.array([row.label for row in index.rows])
    patients = len({row.patient for row in index.rows})
    of_patients = [
        abs(len({row.patient for row in part.rows}) / patients - fraction)
        for part, fraction in zip(parts, fractions, strict=True)
    ]
    of_classes = [
        abs(sum(row.label == label for row in part.rows) / (labels == label).sum() - fraction)
        for part, fraction in zip(parts, fractions, strict=True)
        for label in range(4)
    ]
    return max(of_patients), max(of_classes)


def split_with_sklearn(index, seed):
    labels = [row.label for row in index.rows]
    groups = [row.patient for row in index.rows]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
    tests = [test for _, test in folds]
    return [index.subset(part) for part in (np.concatenate(tests[:3]), tests[3], tests[4])]


# At 60 patients some studies have a class in fewer than three patients, and no split at all.
@pytest.mark.parametrize("patients", [60, 150, 600])
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_splits_are_better_balanced_than_those_of_stratified_group_k_fold(patients):
    ours, theirs = [], []
    for seed in range(20):
        index = make_study(patients, seed)
        if fewest_holders(index) < 3:
            continue
        ours.append(deviations(index, split_by_patient(index, *FRACTIONS, seed=seed)))
        theirs.append(deviations(index, split_with_sklearn(index, seed)))
    assert len(ours) >= 19
    assert np.max(ours, axis=0)[0] <= 0.02
    assert np.max(ours, axis=0)[0] < np.max(theirs, axis=0)[0]
    factor = 1 if patients == 600 else 0.7
    assert np.median(ours, axis=0)[1] <= factor * np.median(theirs, axis=0)[1]


# A fold of a small study is as uneven as its patient with the most images, for them and for us.
@pytest.mark.parametrize("patients", [60, 150, 600])
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_folds_are_balanced_like_those_of_stratified_group_k_fold_with_equal_patients(patients):
    ours, theirs = [], []
    for seed in range(20):
        index = make_study(patients, seed)
        if fewest_holders(index) < 5:
            continue
        labels = [row.label for row in index.rows]
        groups = [row.patient for row in index.rows]
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        folds = [index.subset(test) for _, test in splitter.split(labels, labels, groups)]
        theirs.append(deviations(index, folds))
        ours.append(deviations(index, [t for _, t in kfold_by_patient(index, 5, seed=seed)]))
    assert len(ours) >= 13
    assert np.max(ours, axis=0)[0] < np.max(theirs, axis=0)[0]
    assert np.median(ours, axis=0)[1] <= np.median(theirs, axis=0)[1] + 1e-9


@pytest.mark.parametrize("size", [(224, 224), (40, 100), (37, 11), (300, 200)])
def test_images_are_resized_as_by_pillow(tmp_path, size, monkeypatch):
    pixels = torch.rand(1, 120, 150)
    row = replace(make_study(1, 0).rows[0], rows=120, columns=150)
    monkeypatch.setattr(Preprocessing, "_read", lambda self, file, path, frame: pixels)
    image, _ = Preprocessing(size=size)(tmp_path, row)
    picture = Image.fromarray(pixels[0].numpy())
    expected = np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.abs(image[0].numpy() - expected).max() <= 1e-4


@pytest.mark.parametrize("draw", [-1.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(32, 32), (25, 40)])
def test_rotation_scaling_and_shift_are_those_of_torchvision(monkeypatch, draw, shape):
    monkeypatch.setattr(
        "seattn.data.transforms._uniform",
        lambda generators, count: torch.full((len(generators), count), draw),
    )
    image = torch.rand(2, 3, *shape)
    mask = torch.randint(0, 2, (2, 1, *shape), dtype=torch.uint8)
    batch = Sample(image, torch.zeros(2), mask, torch.arange(2))
    result = augment(batch, [RandomAffine(33.0, 0.25, 0.1)], seed=0, epoch=0)
    translate = [0.1 * draw * shape[1], 0.1 * draw * shape[0]]
    change = {"angle": 33.0 * draw, "scale": 1 + 0.25 * draw, "translate": translate}
    change["shear"] = [0, 0]
    expected = tvf.affine(image, **change, interpolation=InterpolationMode.BILINEAR)
    assert (result.image - expected).abs().max() <= 1e-4
    nearest = tvf.affine(mask, **change, interpolation=InterpolationMode.NEAREST)
    assert (result.mask != nearest).float().mean() <= 0.002  # halves that round either way
