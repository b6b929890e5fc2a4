import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn

from seattn.pretrained import get_pretrained_cfg, input_transform

CFG = get_pretrained_cfg("se_resnet50")


def test_one_channel_has_the_average_mean_and_standard_deviation():
    transform = input_transform(CFG, in_chans=1)
    assert transform.mean == pytest.approx((0.449,))
    assert transform.std == pytest.approx((0.226,))
    image = torch.full((1, 224, 224), 0.449 + 0.226)
    torch.testing.assert_close(transform(image), torch.ones(1, 224, 224), rtol=0, atol=1e-5)


def test_colour_has_the_weights_own_and_other_channels_the_average():
    assert (input_transform(CFG).mean, input_transform(CFG).std) == (CFG.mean, CFG.std)
    assert input_transform(CFG, 4).mean == input_transform(CFG, 1).mean * 4
    assert input_transform(CFG, 2).std == input_transform(CFG, 1).std * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_that_fits_is_only_normalised(dtype):
    image = torch.rand(3, 100, 100, dtype=dtype)
    mean, std = (torch.tensor(v, dtype=dtype)[:, None, None] for v in (CFG.mean, CFG.std))
    actual = input_transform(CFG, size=100, crop=1.0)(image)
    rounding = 20 * torch.finfo(dtype).eps
    torch.testing.assert_close(actual, (image - mean) / std, rtol=0, atol=rounding)


def test_the_centre_is_cropped():
    image = torch.zeros(1, 60, 80)
    image[:, 10:50, 20:60] = 1
    cfg = replace(CFG, size=40, crop=40 / 60, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert input_transform(cfg, 1)(image).eq(1).all()


def test_the_shorter_side_is_resized_and_with_squash_both():
    stripes = torch.zeros(1, 32, 64)
    stripes[:, :, :16] = 1  # a quarter of the width
    keeps = input_transform(replace(CFG, size=32, crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3), 1)
    squashes = copy.deepcopy(keeps)
    squashes.keep_aspect = False
    assert keeps(stripes)[0, 16].sum() == 0
    assert squashes(stripes)[0, 16].sum() == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_and_single_images_agree_and_keep_their_dtype(dtype):
    transform = input_transform(CFG, 1, size=33, crop=0.9)
    images = torch.rand(2, 3, 1, 50, 41, dtype=dtype)
    batch = transform(images)
    assert batch.shape == (2, 3, 1, 33, 33)
    assert batch.dtype == dtype
    assert torch.equal(batch[1, 2], transform(images[1, 2]))


def test_small_and_long_images_are_enlarged():
    transform = input_transform(CFG, 1)
    assert transform(torch.rand(1, 1, 1)).shape == (1, 224, 224)
    assert transform(torch.rand(1, 7, 200)).shape == (1, 224, 224)


def test_nothing_overshoots():
    image = torch.zeros(1, 50, 50)
    image[:, 20:30, 20:30] = 1
    cfg = replace(CFG, mean=(0.0,) * 3, std=(1.0,) * 3)
    result = input_transform(cfg, 1)(image)
    assert result.min() == 0
    assert result.max() == 1


def test_the_image_is_left_alone():
    image = torch.rand(3, 224, 224)
    before = image.clone()
    input_transform(CFG, crop=1.0)(image).zero_()
    assert torch.equal(image, before)


def test_it_travels():
    transform, image = input_transform(CFG, 1, size=32), torch.rand(1, 40, 50)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(image), transform(image))
    assert torch.equal(nn.Sequential(transform)(image), transform(image))
    compiled = torch.compile(transform, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(image), transform(image))
    assert list(transform.state_dict()) == []
    assert "size=32" in repr(transform)


def test_bytes_are_refused():
    with pytest.raises(TypeError, match=r"`image` is of torch\.uint8; divide it"):
        input_transform(CFG)(torch.zeros(3, 9, 9, dtype=torch.uint8))


@pytest.mark.parametrize("shape", [(1, 9, 9), (9, 9), (4, 1, 9, 9)])
def test_another_number_of_channels_is_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(..., 3, H, W\).*`in_chans`"):
        input_transform(CFG)(torch.rand(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, r"`size` \(=0\)"),
        ({"crop": 0.0}, r"`crop` \(=0.0\)"),
        ({"crop": 1.1}, r"`crop` \(=1.1\)"),
        ({"in_chans": -1}, r"`in_chans` \(=-1\)"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        input_transform(CFG, **arguments)
