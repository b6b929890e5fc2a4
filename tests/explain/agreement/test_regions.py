import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from seattn.explain import (
    dice,
    iou,
    label_regions,
    pixel_average_precision,
    region_recall,
    region_table,
)
from tests import references
from tests.strategies import maps_and_masks


def two_fractures():
    """Area 1 of 2 x 3 pixels under the map's peak, area 2 of 3 x 1 where it is weak."""
    cam, mask = torch.full((1, 8, 8), 0.1), torch.zeros(1, 8, 8)
    cam[0, 1, 1], cam[0, 1, 2], cam[0, 2, 1], cam[0, 5, 6] = 9, 8, 7, 3
    mask[0, 1:3, 1:4] = 1
    mask[0, 5:8, 6] = 1
    return cam, label_regions(mask)


def test_area_one_hit_area_two_missed():
    cam, regions = two_fractures()
    assert region_recall(cam, regions, top=3 / 64).item() == 0.5
    assert region_recall(cam, regions, top=4 / 64).item() == 1
    assert region_recall(cam, regions, top=3 / 64, share=0.5).item() == 0.5
    assert region_recall(cam, regions, top=3 / 64, share=0.51).item() == 0
    one, two = region_table(cam, regions, top=3 / 64, spacing=(2.0, 0.5), reader="A")
    assert (one.case, one.reader, one.label, one.size, one.covered) == (0, "A", 1, 6.0, 0.5)
    assert (two.label, two.size, two.covered) == (2, 3.0, 0.0)
    assert (one.hit, two.hit) == (True, False)


def test_the_table_shows_regions_by_size():
    cam, regions = two_fractures()
    table = region_table(cam, regions, top=3 / 64)
    assert len(table) == 2
    assert str(table).splitlines() == [
        "1 of 2 regions hit: 0 of 1 up to 3 pixels, 1 of 1 above",
        "case  reader  label  size/pixels  covered  hit",
        "   0  -           1            6     50%   yes",
        "   0  -           2            3      0%   no",
    ]
    assert region_table(cam, 0 * regions).summary == "no region"
    assert (
        region_table(cam, regions.clamp(max=1)).summary
        == "1 of 1 regions hit: 1 of 1 up to 9 pixels"
    )


def test_units_and_sizes_follow_the_spacing_of_each_case():
    regions = torch.ones(2, 2, 3, 4, dtype=torch.int64)
    spacing = torch.tensor([[1.0, 0.5, 0.5], [2.0, 1.0, 1.0]])
    table = region_table(torch.rand(2, 2, 3, 4), regions, spacing=spacing)
    assert [row.size for row in table] == [6.0, 48.0]
    assert table.unit == "mm3"
    assert region_table(torch.rand(2, 3), regions[:, 0, :, 0], spacing=(0.5,)).unit == "mm"


def test_ties_at_the_cut_count_by_fraction_and_zeros_are_not_in_the_top():
    cam, regions = torch.ones(1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)
    regions[0, 0], regions[0, 4, :2] = 1, 2
    rows = region_table(cam, regions, top=8 / 64).rows  # each pixel counts an eighth
    assert [row.covered for row in rows] == [1 / 8, 1 / 8]
    assert [row.hit for row in rows] == [True, False]  # 8 / 8 and 2 / 8 of a pixel
    cam[0, 0] = 0
    assert region_recall(cam, regions, top=1.0).item() == 0.5
    assert region_recall(0 * cam, regions, top=1.0).item() == 0


def test_a_case_without_region_is_undefined_and_alone_in_that():
    cam = torch.rand(3, 4, 4)
    regions = torch.zeros(3, 4, 4, dtype=torch.int64)
    regions[1] = 5
    assert region_recall(cam, regions).isnan().tolist() == [True, False, True]


@given(maps_and_masks(), st.sampled_from([0.01, 0.3, 1.0]), st.sampled_from([0.0, 0.5, 1.0]))
def test_recall_equals_the_slow_reference(case, top, share):
    cam, mask = case
    regions = torch.stack([references.connected_regions(m, diagonal=False) for m in mask])
    found = region_recall(cam, regions, top=top, share=share)
    for result, values, labels in zip(found, cam.flatten(1), regions.flatten(1), strict=True):
        count = math.ceil(round(top * len(values), 9))
        marks = references.strongest(values.double().tolist(), count)
        hits = []
        for label in range(1, int(labels.max()) + 1):
            where = (labels == label).nonzero().flatten().tolist()
            amount = math.fsum(marks[i] for i in where)
            hits.append(amount > max(1, share * len(where)) - 1e-6)
        if hits:
            assert result.item() == pytest.approx(sum(hits) / len(hits))
        else:
            assert result.isnan()


@given(maps_and_masks())
def test_scale_order_and_increasing_changes_do_not_matter(case):
    cam, mask = case
    regions = label_regions(mask)
    before = region_recall(cam, regions, top=0.2)
    after = region_recall(cam.double().sqrt().flip(0) * 3, regions.flip(0), top=0.2).flip(0)
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


@given(maps_and_masks(), st.booleans())
def test_labels_equal_a_flood(case, diagonal):
    _, mask = case
    expected = torch.stack([references.connected_regions(m, diagonal=diagonal) for m in mask])
    assert torch.equal(label_regions(mask, diagonal=diagonal), expected)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("shape", [(61, 47), (13, 17, 11)])
@pytest.mark.parametrize("density", [0.1, 0.35, 0.6, 1.0])
def test_labels_are_scipys(shape, density, diagonal):
    mask = np.random.default_rng(3).random((4, *shape)) < density
    rank = len(shape)
    structure = ndimage.generate_binary_structure(rank, rank if diagonal else 1)
    expected = np.stack([ndimage.label(m, structure)[0] for m in mask])
    ours = label_regions(torch.from_numpy(mask), diagonal=diagonal)
    assert np.array_equal(ours.numpy(), expected)


def test_a_long_spiral_is_one_region():
    size = 63
    mask = torch.zeros(1, size, size)
    for ring in range(0, size // 2, 2):  # nested squares, each opened and joined to the next
        low, high = ring, size - 1 - ring
        mask[0, low, low : high + 1] = mask[0, high, low : high + 1] = 1
        mask[0, low : high + 1, low] = mask[0, low : high + 1, high] = 1
        mask[0, low + 1, low] = 0
        mask[0, low + 2, low + 1] = 1
    expected = ndimage.label(mask[0].numpy())[0]
    assert np.array_equal(label_regions(mask, diagonal=False)[0].numpy(), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regions": torch.ones(1, 8, 8)}, "`regions` .* must be a label map of integers"),
        ({"regions": torch.ones(1, 8, 8) > 0}, r"label_regions\(mask\) makes one"),
        ({"regions": -torch.ones(1, 8, 8).long()}, "must be a label map of integers"),
        ({"regions": torch.ones(1, 8, 7).long()}, r"`cam` .* and `regions` .* one shape"),
        ({"top": 0.0}, r"`top` \(=0.0\) must be a share of the image"),
        ({"top": 1.5}, r"`top` \(=1.5\) must be a share of the image"),
        ({"share": -0.1}, r"`share` \(=-0.1\) must be a share of the region"),
        ({"share": 1.1}, r"`share` \(=1.1\) must be a share of the region"),
    ],
)
def test_wrong_arguments_are_errors(change, message):
    cam, regions = two_fractures()
    with pytest.raises(ValueError, match=message):
        region_recall(cam, **{"regions": regions, **change})


def test_a_batch_of_no_case_is_one_of_no_result():
    none = torch.zeros(0, 4, 4)
    assert label_regions(none).shape == none.shape
    assert region_recall(none, label_regions(none)).shape == (0,)
    for measure in (iou, dice, pixel_average_precision):
        assert measure(none, none).shape == (0,)
