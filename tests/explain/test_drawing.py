import matplotlib as mpl
import numpy as np
import pytest
import torch
from scipy import ndimage

from seattn.explain import overlay
from seattn.explain.colours import colourise


@pytest.mark.parametrize("cmap", ["inferno", "viridis"])
def test_colours_are_within_2_of_255_of_matplotlib(cmap):
    theirs = np.array(mpl.colormaps[cmap].colors)
    ours = colourise(np.linspace(0, 1, len(theirs)), cmap)
    assert np.abs(255 * (ours - theirs)).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_a_blank_map_gives_the_plain_image(dtype):
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    given = image if dtype == np.uint8 else (image / 255).astype(dtype)
    picture = overlay(given, np.zeros((16, 16)))
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, image[0, ..., None].repeat(3, axis=-1))


def test_the_map_is_mixed_in_by_its_strength():
    image = torch.full((1, 1, 3), 0.4)
    picture = overlay(image, torch.tensor([[0.0, 1.0, 4.0]]), alpha=0.8, cmap="viridis")
    assert picture.shape == (1, 3, 3)
    for pixel, strength in zip(picture[0], [0.0, 0.25, 1.0], strict=True):
        colour = np.array(mpl.colormaps["viridis"](strength)[:3])
        expected = 255 * ((1 - 0.8 * strength) * 0.4 + 0.8 * strength * colour)
        assert np.abs(pixel - expected).max() <= 2.5  # the colours' 2, and half of rounding


def test_each_map_is_scaled_by_its_own_maximum_or_by_vmax():
    image, cam = torch.zeros(2, 1, 4, 4), torch.rand(4, 4)
    cam = torch.stack([cam, cam / 2])
    own, fixed = overlay(image, cam), overlay(image, cam, vmax=1.0)
    assert np.array_equal(own[0], own[1])
    assert fixed[0].sum() > fixed[1].sum()


def test_values_above_vmax_are_drawn_at_full_strength():
    image = torch.zeros(2, 2)
    picture = overlay(image, torch.tensor([[1.0, 2.0], [9.0, 0.5]]), vmax=1.0)
    assert np.array_equal(picture[0, 0], picture[0, 1])
    assert np.array_equal(picture[0, 0], picture[1, 0])
    assert not np.array_equal(picture[0, 0], picture[1, 1])


def test_alpha_zero_shows_the_image_and_one_the_colour():
    image = torch.rand(3, 4, 5)
    cam = torch.full((4, 5), 7.0)
    plain = np.rint(255 * image.permute(1, 2, 0).double().numpy())
    assert np.array_equal(overlay(image, cam, alpha=0), plain)
    assert (overlay(image, cam, alpha=1) == (252, 255, 164)).all()  # the last colour of inferno


def test_every_layout_and_type_of_one_image_gives_one_picture():
    grey = torch.randint(0, 256, (2, 6, 5), dtype=torch.uint8)
    cam = torch.rand(2, 6, 5)
    expected = overlay(grey, cam)
    layouts = [
        grey[:, None],
        grey[..., None],
        grey[:, None].expand(2, 3, 6, 5),
        grey[..., None].expand(2, 6, 5, 3),
        grey.numpy(),
        grey.double() / 255,
        (grey.double() / 255).numpy()[:, None],
    ]
    for image in layouts:
        assert np.array_equal(overlay(image, cam), expected)
    assert np.array_equal(overlay(grey, cam.numpy()), expected)
    for i in range(2):
        assert np.array_equal(overlay(grey[i], cam[i]), expected[i])
    assert overlay(cam[:1].bfloat16(), cam[:1].requires_grad_()).shape == (1, 6, 5, 3)


def test_colour_images_keep_their_channels():
    image = torch.rand(2, 3, 4, 4)
    picture = overlay(image, torch.zeros(2, 4, 4))
    assert np.array_equal(picture, np.rint(255 * image.double().permute(0, 2, 3, 1).numpy()))


def test_the_contour_is_the_inner_border_of_the_mask():
    mask = np.zeros((2, 6, 7), bool)
    mask[0, 1:5, 1:5] = True
    mask[1, :, 4:] = True  # reaches three edges of the image
    picture = overlay(np.zeros((2, 6, 7)), np.zeros((2, 6, 7)), contour=torch.from_numpy(mask))
    drawn = (picture == (0, 255, 255)).all(-1)
    expected = mask.copy()
    expected[0, 2:4, 2:4] = False
    expected[1, 1:5, 5] = False
    assert np.array_equal(drawn, expected)
    assert (picture[~drawn] == 0).all()


def drawn_in(picture, colour):
    return (picture == colour).all(-1)


CYAN, MAGENTA, LIME, BLUE = (0, 255, 255), (255, 0, 255), (0, 255, 0), (64, 96, 255)


def test_several_contours_have_a_colour_each_and_the_later_is_on_top():
    masks = [np.zeros((9, 9), bool) for _ in range(4)]
    for number, mask in enumerate(masks):
        mask[number : number + 5, number : number + 5] = True
    blank = np.zeros((9, 9))
    picture = overlay(blank, blank, contour=[masks[0], *map(torch.from_numpy, masks[1:])])
    alone = [drawn_in(overlay(blank, blank, contour=mask), CYAN) for mask in masks]
    for number, colour in enumerate((CYAN, MAGENTA, LIME, BLUE)):
        hidden = np.logical_or.reduce([*alone[number + 1 :], np.zeros((9, 9), bool)])
        assert np.array_equal(drawn_in(picture, colour), alone[number] & ~hidden)
    assert np.array_equal(overlay(blank, blank, contour=[]), overlay(blank, blank))


@pytest.mark.parametrize("thickness", [1, 2, 3, 9])
def test_a_thick_contour_is_all_within_so_many_steps_of_the_outside(thickness):
    rng = np.random.default_rng(0)
    mask = ndimage.binary_opening(ndimage.gaussian_filter(rng.standard_normal((40, 50)), 4) > 0)
    padded = np.pad(mask, 1)  # beyond the image is outside
    steps = ndimage.distance_transform_cdt(padded, metric="taxicab")[1:-1, 1:-1]
    blank = np.zeros((40, 50))
    drawn = drawn_in(overlay(blank, blank, contour=mask, thickness=thickness), CYAN)
    assert np.array_equal(drawn, mask & (steps <= thickness))


@pytest.mark.parametrize(
    ("size", "thickness"),
    [((20, 20), 1), ((512, 512), 1), ((749, 800), 1), ((751, 900), 2), ((2000, 1300), 3)],
)
def test_lines_grow_with_the_shorter_side(size, thickness):
    blank = np.zeros(size, np.uint8)
    given = overlay(blank, blank, contour=np.ones(size))
    assert np.array_equal(given, overlay(blank, blank, contour=np.ones(size), thickness=thickness))
    assert drawn_in(given, CYAN)[: size[0] // 2, size[1] // 2].sum() == thickness


def test_boxes_are_half_open_and_reach_the_borders_of_the_image():
    blank = np.zeros((6, 8))
    whole = drawn_in(overlay(blank, blank, boxes=[[0, 0, 8, 6]]), CYAN)
    expected = np.ones((6, 8), bool)
    expected[1:-1, 1:-1] = False
    assert np.array_equal(whole, expected)
    corner = drawn_in(overlay(blank, blank, boxes=[[7, 5, 8, 6]]), CYAN)  # the last pixel
    assert np.argwhere(corner).tolist() == [[5, 7]]
    inner = drawn_in(overlay(blank, blank, boxes=[[2, 1, 6, 4]]), CYAN)  # x first
    rows, columns = np.nonzero(inner)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 3, 2, 5)
    assert inner.sum() == 3 * 4 - 1 * 2


def test_a_pixel_that_a_box_covers_in_part_is_inside():
    blank = np.zeros((6, 8))
    fraction = overlay(blank, blank, boxes=torch.tensor([[1.9, 2.8, 5.1, 4.2]]))
    assert np.array_equal(fraction, overlay(blank, blank, boxes=[[1, 2, 6, 5]]))


def test_boxes_equal_the_contours_of_their_masks_in_the_next_colour():
    image, cam = torch.rand(3, 20, 30), torch.rand(3, 20, 30)
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 2:9, 4:20] = masks[2, 10:20, 0:5] = True
    boxes = [[[4, 2, 20, 9]], [], [[0, 10, 5, 20]]]
    for thickness in (1, 2):
        given = overlay(image, cam, boxes=boxes, thickness=thickness)
        assert np.array_equal(given, overlay(image, cam, contour=masks, thickness=thickness))
    beside = overlay(image, cam, contour=np.zeros((3, 20, 30)), boxes=boxes)
    assert np.array_equal(
        drawn_in(beside, MAGENTA), drawn_in(overlay(image, cam, boxes=boxes), CYAN)
    )


def test_an_image_may_have_many_boxes_or_none():
    blank = np.zeros((10, 10))
    both = overlay(blank, blank, boxes=np.array([[0, 0, 3, 3], [5, 5, 9, 9]]))
    assert drawn_in(both, CYAN).sum() == 8 + 12
    assert np.array_equal(overlay(blank, blank, boxes=[]), overlay(blank, blank))
    assert np.array_equal(overlay(blank, blank, boxes=np.empty((0, 4))), overlay(blank, blank))


def test_the_inputs_are_not_changed():
    image, cam, mask = torch.rand(1, 5, 5), torch.rand(5, 5), torch.eye(5)
    before = image.clone(), cam.clone(), mask.clone()
    overlay(image, cam, contour=mask)
    for now, then in zip((image, cam, mask), before, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": torch.full((4, 4), 1.1)}, ValueError, r"float `image` must lie in 0\.\.1"),
        ({"image": torch.full((4, 4), -0.1)}, ValueError, r"float `image` must lie in 0\.\.1"),
        ({"image": torch.full((4, 4), torch.nan)}, ValueError, r"float `image` must lie in 0\.\.1"),
        ({"image": torch.ones(4, 4, dtype=torch.int16)}, TypeError, r"`image` \(int16\) must be"),
        ({"image": torch.ones(2, 4, 4)}, ValueError, r"`image` \(shape \(2, 4, 4\)\) does not fit"),
        ({"image": torch.ones(4, 5)}, ValueError, r"does not fit `cam` \(shape \(4, 4\)\)"),
        ({"cam": torch.ones(2, 4, 4)}, ValueError, r"does not fit `cam` \(shape \(2, 4, 4\)\)"),
        ({"cam": torch.ones(4)}, ValueError, r"`cam` \(shape \(4,\)\) must be"),
        ({"cam": -torch.ones(4, 4)}, ValueError, "`cam` must be finite and not negative"),
        ({"cam": torch.full((4, 4), torch.nan)}, ValueError, "`cam` must be finite"),
        ({"cam": torch.full((4, 4), torch.inf)}, ValueError, "`cam` must be finite"),
        ({"alpha": 1.5}, ValueError, r"`alpha` \(=1.5\) must lie in 0\.\.1"),
        ({"vmax": 0.0}, ValueError, r"`vmax` \(=0.0\) must be greater than 0"),
        ({"vmax": float("nan")}, ValueError, r"`vmax` \(=nan\) must be"),
        ({"cmap": "jet"}, ValueError, r"`cmap` 'jet' not found; choose one of \['inferno'"),
        ({"contour": torch.ones(4, 5)}, ValueError, r"`contour` 0 \(shape \(4, 5\)\) must have"),
        ({"contour": [torch.ones(4, 4), torch.ones(4)]}, ValueError, r"`contour` 1 \(shape \(4,\)"),
        ({"contour": [torch.ones(4, 4)] * 5}, ValueError, "`contour` has 5 regions; 4 colours"),
        ({"thickness": 0}, ValueError, r"`thickness` \(=0\) must be 1"),
        ({"boxes": [0, 0, 1, 1]}, ValueError, r"`boxes` \(shape \(4,\)\) must be \(K, 4\)"),
        ({"boxes": [[0, 0, 1]]}, ValueError, r"`boxes` \(shape \(1, 3\)\) must be \(K, 4\)"),
        ({"boxes": [[0, 0, 5, 4]]}, ValueError, r"`boxes` \(0, 0, 5, 4\) must have 0 <= x0"),
        ({"boxes": [[0, 0, 4, 4.1]]}, ValueError, r"`boxes` \(0, 0, 4, 4\.1\)"),
        ({"boxes": [[-1, 0, 4, 4]]}, ValueError, r"`boxes` \(-1, 0, 4, 4\)"),
        ({"boxes": [[2, 0, 2, 4]]}, ValueError, r"`boxes` \(2, 0, 2, 4\)"),
        ({"boxes": [[0, 3, 2, 1]]}, ValueError, r"`boxes` \(0, 3, 2, 1\)"),
        ({"boxes": [[0, 0, 2, np.nan]]}, ValueError, r"`boxes` \(0, 0, 2, nan\)"),
        (
            {"image": torch.ones(2, 4, 4), "cam": torch.ones(2, 4, 4), "boxes": [[[0, 0, 1, 1]]]},
            ValueError,
            "`boxes` has 1 entries for 2 images",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_errors(change, error, message):
    arguments = {"image": torch.ones(1, 4, 4), "cam": torch.ones(4, 4)} | change
    with pytest.raises(error, match=message):
        overlay(**arguments)
