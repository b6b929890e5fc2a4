"""The bone mask, against scipy.ndimage."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from seattn.data.roi import bone_mask

BONE, SOFT = 700.0, 40.0


def reference(dense, *, closing, dilation):
    """The same with scipy, on a wide margin, which takes the border of the array off its steps."""
    margin = slice(8, -8)
    closed = ndimage.binary_closing(np.pad(dense, 8), np.ones((2 * closing + 1,) * 2))
    filled = ndimage.binary_fill_holes(closed[margin, margin])
    return ndimage.binary_dilation(filled, np.ones((2 * dilation + 1,) * 2))


shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))


@given(arrays(bool, shapes), st.integers(0, 3), st.integers(0, 3))
def test_random_images_agree_with_scipy(dense, closing, dilation):
    hu = np.where(dense, BONE, SOFT)
    mask = bone_mask(hu, closing=closing, dilation=dilation)
    np.testing.assert_array_equal(mask, reference(dense, closing=closing, dilation=dilation))


@pytest.mark.parametrize("density", [0.2, 0.38, 0.6])
def test_large_images_agree_with_scipy(density):
    dense = np.random.default_rng(0).random((131, 97)) < density
    hu = torch.from_numpy(np.where(dense, BONE, SOFT))
    mask = bone_mask(hu, closing=0, dilation=0)
    np.testing.assert_array_equal(mask.numpy(), ndimage.binary_fill_holes(dense))


def test_a_spiral_is_open_and_a_ring_is_a_hole():
    spiral = np.zeros((41, 41), dtype=bool)
    for k in range(0, 20, 2):  # walls of a spiral corridor, each open to the next
        spiral[k, k : 41 - k] = spiral[40 - k, k : 41 - k] = True
        spiral[k : 41 - k, k] = spiral[k : 41 - k, 40 - k] = True
        spiral[k + 1, k] = False
    hu = torch.where(torch.from_numpy(spiral), BONE, SOFT)
    assert torch.equal(bone_mask(hu, closing=0, dilation=0), torch.from_numpy(spiral))
    hu[1, 0] = BONE  # the door of the outermost wall
    assert bone_mask(hu, closing=0, dilation=0).all()


def test_a_diagonal_step_leads_nowhere():
    hu = torch.tensor([[0, 9, 0, 0], [9, 0, 9, 0], [0, 9, 0, 0]]) * 100.0
    assert bone_mask(hu, closing=0, dilation=0)[1, 1]


def test_only_what_is_above_the_threshold_is_bone():
    hu = torch.tensor([[149.0, 150.0, 150.5, float("nan")]])
    assert bone_mask(hu, closing=0, dilation=0).tolist() == [[False, False, True, False]]
    assert bone_mask(hu, threshold=149.5, closing=0, dilation=0)[0, 1]


def test_a_gap_in_the_cortex_is_closed_and_the_marrow_filled():
    hu = torch.full((30, 30), SOFT)
    hu[8:22, 8:22] = BONE
    hu[10:20, 10:20] = SOFT
    hu[8:10, 14:17] = SOFT
    whole = torch.zeros(30, 30, dtype=torch.bool)
    whole[8:22, 8:22] = True
    assert torch.equal(bone_mask(hu, dilation=0), whole)
    assert not bone_mask(hu, closing=0, dilation=0)[15, 15]


def test_a_bone_that_the_image_cuts_stays_whole():
    hu = torch.full((12, 12), SOFT)
    hu[:, :3] = BONE
    assert torch.equal(bone_mask(hu, dilation=0), hu > 150)


@pytest.mark.parametrize("shape", [(9, 7), (3, 9, 7), (2, 1, 9, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
def test_arrays_give_arrays_and_tensors_tensors_image_by_image(shape, dtype):
    hu = (torch.rand(shape) * 400).to(dtype)
    mask = bone_mask(hu)
    assert mask.shape == hu.shape
    assert mask.dtype == torch.bool
    array = bone_mask(hu.numpy())
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, mask.numpy())
    for image, one in zip(hu.reshape(-1, 9, 7), mask.reshape(-1, 9, 7), strict=True):
        assert torch.equal(bone_mask(image), one)


def test_the_image_is_not_changed():
    hu = torch.rand(1, 16, 16) * 400
    before = hu.clone()
    bone_mask(hu)
    assert torch.equal(hu, before)


def test_impossible_arguments_are_named():
    with pytest.raises(ValueError, match=r"`hu` has shape \(4,\)"):
        bone_mask(torch.zeros(4))
    with pytest.raises(ValueError, match=r"`closing` \(=-1\)"):
        bone_mask(torch.zeros(4, 4), closing=-1)
    with pytest.raises(ValueError, match=r"`dilation` \(=-2\)"):
        bone_mask(torch.zeros(4, 4), dilation=-2)
