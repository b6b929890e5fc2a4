"""Montages: the right slices, in the right cells, with one scale."""

import numpy as np
import pytest
import torch

from seattn.explain import montage, overlay

RNG = np.random.default_rng(0)
VOLUME, CAM = RNG.random((7, 20, 30)), RNG.random((7, 20, 30))


def cells(picture, rows, columns, height=20, width=30):
    """Cut the cells out of a montage with lines of one pixel, and check the lines."""
    assert picture.dtype == np.uint8
    assert picture.shape == (rows * (height + 1) - 1, columns * (width + 1) - 1, 3)
    assert (picture[height :: height + 1] == 96).all()
    assert (picture[:, width :: width + 1] == 96).all()
    return [
        picture[row * (height + 1) :][:height, column * (width + 1) :][:, :width]
        for row in range(rows)
        for column in range(columns)
    ]


def test_cells_are_overlays_of_the_slices_with_the_scale_of_the_volume():
    expected = overlay(VOLUME, CAM, vmax=CAM.max())
    found = cells(montage(VOLUME, CAM, columns=3, numbers=False), 3, 3)
    for cell, picture in zip(found, expected, strict=False):
        assert np.array_equal(cell, picture)
    assert all((cell == 0).all() for cell in found[7:])  # of the last row


def test_the_scale_is_that_of_slices_that_are_not_shown_too():
    cam = CAM.copy()
    cam[6] *= 5
    (cell,) = cells(montage(VOLUME, cam, slices=[2], numbers=False), 1, 1)
    assert np.array_equal(cell, overlay(VOLUME[2], cam[2], vmax=cam.max()))
    (cell,) = cells(montage(VOLUME, cam, slices=[2], numbers=False, vmax=0.7), 1, 1)
    assert np.array_equal(cell, overlay(VOLUME[2], cam[2], vmax=0.7))


def test_every_layout_of_a_volume_gives_one_picture():
    expected = montage(VOLUME, CAM)
    for volume in (VOLUME[None], VOLUME[:, None], VOLUME[..., None].repeat(3, -1)):
        assert np.array_equal(montage(volume, CAM), expected)
    assert np.array_equal(montage(torch.from_numpy(VOLUME)[None], torch.from_numpy(CAM)), expected)


@pytest.mark.parametrize(
    ("depth", "count", "expected"),
    [
        (7, 7, [0, 1, 2, 3, 4, 5, 6]),
        (7, 1, [3]),
        (7, 12, [0, 1, 2, 3, 4, 5, 6]),
        (9, 3, [1, 4, 7]),
        (100, 4, [12, 37, 62, 87]),
        (8, 3, [1, 4, 6]),
    ],
)
def test_even_slices_are_the_middles_of_equal_parts(depth, count, expected):
    volume = np.zeros((depth, 2, 2), np.uint8)
    volume[:, 0, 0] = np.arange(depth)
    picture = montage(volume, np.zeros((depth, 2, 2)), slices=count, columns=count, numbers=False)
    assert picture[0, ::3, 0][: len(expected)].tolist() == expected


def test_strongest_slices_have_the_largest_sums_and_keep_their_order():
    cam = np.zeros((7, 20, 30))
    cam[5], cam[1], cam[4] = 9, 3, 5
    cam[2, 0, 0] = 50  # one strong pixel is not much mass
    picture = montage(VOLUME, cam, slices=3, pick="strongest", columns=3)
    assert np.array_equal(picture, montage(VOLUME, cam, slices=[1, 4, 5], columns=3))


def test_chosen_slices_come_in_the_order_given():
    for chosen in ([5, 0, 5], range(5, 2, -1), np.array([1, 3, 0])):
        found = cells(montage(VOLUME, CAM, slices=chosen, columns=3, numbers=False), 1, 3)
        for cell, number in zip(found, chosen, strict=True):
            assert np.array_equal(cell, overlay(VOLUME[number], CAM[number], vmax=CAM.max()))


@pytest.mark.parametrize(
    ("count", "size", "grid"),
    [
        (12, (64, 64), (3, 4)),
        (1, (64, 64), (1, 1)),
        (12, (20, 200), (12, 1)),
        (6, (90, 30), (2, 3)),
    ],
)
def test_without_columns_the_picture_is_about_4_to_3(count, size, grid):
    blank = np.zeros((count, *size))
    cells(montage(blank, blank, numbers=False), *grid, *size)


DIGITS = """
111 010 111 111 101 111 111 111 111 111
101 110 001 001 101 100 100 001 101 101
101 010 111 111 111 111 111 001 111 111
101 010 100 001 001 001 101 010 101 001
111 111 111 111 001 111 111 010 111 111
"""


def test_numbers_are_written_in_white_on_black():
    rows = [line.split() for line in DIGITS.strip().splitlines()]
    expected = {str(d): np.array([list(row[d]) for row in rows], int) for d in range(10)}
    volume = np.full((99, 20, 30), 0.5)
    for number in (0, 7, 12, 34, 56, 89):
        (cell,) = cells(montage(volume, 0 * volume, slices=[number]), 1, 1)
        width = 1 + 4 * len(str(number))
        text = cell[:7, :width, 0] // 255
        assert set(cell[:7, :width].ravel().tolist()) == {0, 255}
        for place, digit in enumerate(str(number)):
            assert np.array_equal(text[1:6, 1 + 4 * place : 4 + 4 * place], expected[digit])
        text[1:6, 1:-1] = 0
        assert not text.any()
        assert (cell[7:] == 128).all()
        assert (cell[:, width:] == 128).all()


def test_numbers_and_lines_grow_with_the_slices_and_fit_into_small_ones():
    volume = np.full((1, 600, 700), 0.5)
    picture = montage(volume, 0 * volume, slices=[0, 0], columns=2)
    assert picture.shape == (600, 1402, 3)
    assert (picture[:35, :25, 0] != 128).all()
    assert (picture[35:, :700] == 128).all()
    tiny = np.full((1001, 3, 4), 0.5)
    assert montage(tiny, 0 * tiny, slices=[1000]).shape == (3, 4, 3)


def test_contours_go_with_their_slices():
    mask = CAM > 0.8
    for contour in (mask, [mask, torch.from_numpy(CAM > 0.6)]):
        expected = overlay(
            VOLUME, CAM, vmax=CAM.max(), contour=contour, thickness=2, alpha=0.9, cmap="viridis"
        )
        picture = montage(
            VOLUME,
            CAM,
            slices=[4, 1],
            columns=2,
            numbers=False,
            contour=contour,
            thickness=2,
            alpha=0.9,
            cmap="viridis",
        )
        for cell, number in zip(cells(picture, 1, 2), [4, 1], strict=True):
            assert np.array_equal(cell, expected[number])


def test_a_blank_map_shows_the_volume():
    found = cells(montage(VOLUME, 0 * CAM, columns=7, numbers=False), 1, 7)
    for cell, number in zip(found, range(7), strict=True):
        assert np.array_equal(cell[..., 0], np.rint(255 * VOLUME[number]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cam": CAM[0]}, r"`cam` \(shape \(20, 30\)\) must be \(D, H, W\)"),
        ({"cam": CAM[:0]}, r"`cam` \(shape \(0, 20, 30\)\) must be"),
        ({"volume": VOLUME[:6]}, r"`volume` \(shape \(6, 20, 30\)\) does not fit `cam`"),
        ({"volume": VOLUME[:, :9]}, r"`image` .* does not fit `cam`"),
        ({"slices": 0}, r"`slices` \(=0\) must be a whole number, 1 or more"),
        ({"slices": 2.5}, r"`slices` \(=2.5\) must be a whole number"),
        ({"slices": []}, r"`slices` \(=\[\]\) must be in 0\.\.6"),
        ({"slices": [7]}, r"`slices` \(=\[7\]\) must be in 0\.\.6"),
        ({"slices": [-1]}, r"`slices` \(=\[-1\]\) must be in 0\.\.6"),
        ({"pick": "best"}, r"`pick` \(='best'\) must be 'even' or 'strongest'"),
        ({"columns": 0}, r"`columns` \(=0\) must be a whole number, 1 or more"),
        ({"columns": 1.5}, r"`columns` \(=1.5\) must be a whole number"),
        ({"contour": CAM[:3] > 0}, r"`contour` 0 \(shape \(3, 20, 30\)\)"),
        ({"cam": -CAM}, "`cam` must be finite and not negative"),
    ],
)
def test_wrong_arguments_are_errors(change, message):
    with pytest.raises(ValueError, match=message):
        montage(**({"volume": VOLUME, "cam": CAM} | change))
