"""Near-duplicates: exactly the pairs that a slow search finds, and on real images the true ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from seattn.data import near_duplicates as module
from seattn.data.dataset import DicomDataset
from seattn.data.index import DicomIndex
from seattn.data.near_duplicates import near_duplicates, thumbnails


@given(st.integers(0, 60), st.integers(0, 999), st.sampled_from([0.2, 0.8, 0.98]))
def test_pairs_are_those_of_a_slow_search(count, seed, threshold):
    chance = np.random.default_rng(seed)
    images = chance.random((4, 32, 32))[chance.integers(4, size=count)]
    images += chance.random((count, 1, 1)) * chance.random((count, 32, 32))
    groups, parts = chance.integers(6, size=count), chance.integers(3, size=count)
    expected = {
        (i, j): r
        for i in range(count)
        for j in range(i + 1, count)
        if (r := np.corrcoef(images[i].ravel(), images[j].ravel())[0, 1]) >= threshold
        and groups[i] != groups[j]
        and parts[i] != parts[j]
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", 7)
        found, total = near_duplicates(
            thumbnails(torch.from_numpy(images)),
            groups=torch.from_numpy(groups),
            parts=torch.from_numpy(parts),
            threshold=threshold,
        )
    assert total == len(found) == len(expected)
    assert {(i, j): pytest.approx(r, abs=1e-5) for i, j, r in found} == expected
    assert [r for *_, r in found] == sorted((r for *_, r in found), reverse=True)


def test_of_too_many_pairs_the_most_alike_are_kept(monkeypatch):
    images = torch.rand(1, 32, 32) + 0.1 * torch.rand(40, 32, 32)
    number = torch.arange(40)
    settings = {"groups": number, "parts": number, "threshold": 0.5}
    everything, total = near_duplicates(thumbnails(images), **settings)
    assert total == len(everything) == 780
    monkeypatch.setattr(module, "_KEPT", 11)
    monkeypatch.setattr(module, "_BLOCK", 16)
    kept, total = near_duplicates(thumbnails(images), **settings)
    assert total == 780
    assert [pair[:2] for pair in kept] == [pair[:2] for pair in everything[:11]]


@pytest.mark.parametrize("value", [0.0, 1.0, -1000.0, 40000.1])
def test_images_of_one_value_resemble_nothing(value):
    vectors = thumbnails(torch.full((3, 1, 50, 41), value))
    assert vectors.count_nonzero() == 0


def test_an_image_does_not_depend_on_its_neighbours():
    faint = torch.rand(1, 1, 40, 40)
    loud = 1e9 * torch.rand(1, 1, 40, 40)
    assert torch.equal(thumbnails(torch.cat([faint, loud]))[:1], thumbnails(faint))


def test_any_type_and_number_of_channels_will_do():
    image = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    vectors = thumbnails(image)
    assert vectors.shape == (2, 1024)
    assert (vectors - thumbnails(image.float().mean(1))).abs().max() < 1e-6
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))


def turn(images, degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    theta = torch.tensor([[c, -s, 0], [s, c, 0]], dtype=torch.float32).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


COPIES = {
    "noise": lambda x: (x + 0.02 * torch.randn(x.shape)).clamp(0, 1),
    "gamma": lambda x: x.clamp(0, 1) ** 0.8,
    "contrast": lambda x: 0.8 * x + 0.1,
    "half the size": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
    "16 grey levels": lambda x: (x * 15).round() / 15,
    "a pixel aside": lambda x: torch.roll(x, 1, 3),
    "a degree": lambda x: turn(x, 1.0),
}


@pytest.fixture(scope="module")
def slices(real_images):
    """One real CT slice of each of 54 patients."""
    index = DicomIndex.scan(real_images / "tcga_ct100", key="k", progress=False)
    first = {row.patient: i for i, row in reversed(list(enumerate(index.rows)))}
    dataset = DicomDataset(index.subset(sorted(first.values())), units="minmax")
    return dataset.batch(range(len(dataset))).image


@pytest.mark.parametrize("copy", COPIES)
def test_real_copies_are_found_and_real_patients_told_apart(slices, copy):
    vectors = torch.cat([thumbnails(slices), thumbnails(COPIES[copy](slices))])
    count = len(slices)
    found, total = near_duplicates(
        vectors,
        groups=torch.arange(2 * count),
        parts=torch.arange(2 * count) // count,
        threshold=0.98,
    )
    assert total == count == 54
    assert {(i, j) for i, j, _ in found} == {(i, i + count) for i in range(count)}
