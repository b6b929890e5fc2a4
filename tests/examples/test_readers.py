"""The simulated readers differ from the reference standard by what their rules say."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from examples.ankle_fracture.readers import (
    IN_MM,
    IN_SHARES,
    RULES,
    pixel_spacing,
    simulated_readers,
)
from seattn.data import DicomDataset, DicomIndex
from tests.data.files import write_dicom


@st.composite
def marked(draw):
    """A mask of one to three rectangles, (1, H, W), and mm between rows and columns, (1, 2)."""
    height, width = draw(st.integers(8, 24)), draw(st.integers(8, 24))
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    for _ in range(draw(st.integers(1, 3))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        down, right = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        mask[0, top : top + down, left : left + right] = True
    spacing = st.floats(0.6, 4.0)
    return mask, torch.tensor([[draw(spacing), draw(spacing)]], dtype=torch.float64)


def places(mask):
    return {tuple(place) for place in mask.nonzero().tolist()}


@given(marked())
def test_the_shifted_reader_moves_every_pixel_sideways_by_the_distance(case):
    masks, spacing = case
    columns = max(1, round(IN_MM[0] / float(spacing[0, 1])))
    used = masks[0].any(0).nonzero()
    room_left, room_right = int(used.min()), masks.shape[2] - 1 - int(used.max())
    step = columns if room_right >= room_left else -columns
    moved = {(row, column + step) for row, column in places(masks[0])}
    inside = {(row, column) for row, column in moved if 0 <= column < masks.shape[2]}
    found = simulated_readers(masks, spacing)["shifted"][0]
    assert places(found) == inside
    if len(inside) == len(moved):  # the distance in mm, to half a pixel
        centres = [m.nonzero().double().mean(0) * spacing[0] for m in (masks[0], found)]
        distance = float((centres[1] - centres[0]).norm())
        one_pixel = float(spacing[0, 1])
        assert abs(distance - max(IN_MM[0], one_pixel)) <= one_pixel / 2 + 1e-9


@given(marked())
def test_the_dilated_reader_marks_all_within_the_distance(case):
    masks, spacing = case
    found = simulated_readers(masks, spacing)["dilated"][0]
    down, right = spacing[0].tolist()
    reach = max(IN_MM[1], down, right)
    distance = ndimage.distance_transform_edt(~masks[0].numpy(), sampling=(down, right))
    unsure = abs(distance - reach) < 1e-6
    assert np.array_equal(found.numpy()[~unsure], (distance <= reach)[~unsure])
    assert (found | ~masks[0]).all()
    assert found.sum() > masks.sum() or masks.all()


@given(marked())
def test_the_partial_reader_misses_the_smallest_region_or_half_of_the_only_one(case):
    masks, spacing = case
    found = simulated_readers(masks, spacing)["partial"][0]
    labels, count = ndimage.label(masks[0].numpy(), structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    missing = masks[0] & ~found
    assert not (found & ~masks[0]).any()
    if count == 1:
        assert found.sum() == math.ceil(sizes[0] / 2)
    else:
        (label,) = set(labels[missing.numpy()].tolist())
        assert missing.sum() == sizes[label - 1] == sizes.min()


def test_half_of_a_region_is_cut_across_its_length_in_mm():
    masks = torch.ones(1, 4, 6, dtype=torch.bool)
    wide = simulated_readers(masks, torch.tensor([[1.0, 1.0]]))["partial"][0]
    assert torch.equal(wide, torch.arange(6).expand(4, 6) < 3)
    tall = simulated_readers(masks, torch.tensor([[3.0, 1.0]]))["partial"][0]
    assert torch.equal(tall, (torch.arange(4) < 2)[:, None].expand(4, 6))


def test_without_spacing_lengths_are_shares_of_the_shorter_side():
    masks = torch.zeros(1, 100, 200, dtype=torch.bool)
    masks[0, 40:60, 50:70] = True
    found = simulated_readers(masks, None)
    columns = [int(found[name][0].any(0).nonzero().min()) for name in ("shifted", "dilated")]
    assert columns == [50 + round(100 * IN_SHARES[0]), 50 - int(100 * IN_SHARES[1])]
    assert list(found) == list(RULES)
    again = simulated_readers(masks, None)
    assert all(torch.equal(found[name], again[name]) for name in found)


def dataset(folder, spacing):
    tags = {} if spacing is None else {"PixelSpacing": spacing}
    write_dicom(folder / "one.dcm", np.zeros((64, 32), np.int16), **tags)
    index = DicomIndex.scan(folder, key=b"test", progress=False)
    rows = tuple(dataclasses.replace(row, label=0) for row in index.rows)
    return DicomDataset(dataclasses.replace(index, rows=rows), size=(32, 64), window=(0, 100))


def test_spacing_is_that_of_the_resized_images(tmp_path):
    found = pixel_spacing(dataset(tmp_path, [0.5, 0.8]), [0])
    assert found.tolist() == [[pytest.approx(1.0), pytest.approx(0.4)]]


def test_spacing_is_none_where_a_file_has_none(tmp_path):
    assert pixel_spacing(dataset(tmp_path, None), [0]) is None
