import pytest
import torch
import torch.nn.functional as F

from seattn.explain import dice, mask_on_grid, mass_in_mask, pixel_average_precision, pointing_game


@pytest.mark.parametrize(
    ("size", "grid", "mode"),
    [((9,), (3,), "linear"), ((12, 8), (3, 4), "bilinear"), ((4, 6, 8), (2, 3, 2), "trilinear")],
)
def test_it_is_the_mean_of_each_cell_interpolated_as_grad_cam_does(size, grid, mode):
    mask = torch.rand(3, *size, generator=torch.Generator().manual_seed(5)) < 0.4
    cells = mask.double()
    for axis, count in enumerate(grid, start=1):
        cells = torch.stack([part.mean(axis) for part in cells.chunk(count, axis)], axis)
    expected = F.interpolate(cells[:, None], size, mode=mode, align_corners=False)[:, 0]
    torch.testing.assert_close(mask_on_grid(mask, grid), expected)


def whole_cells(width):
    mask = torch.zeros(2, 6 * width, 6 * width)
    mask[0, width : 2 * width, width : 2 * width] = 1
    mask[1, 2 * width : 4 * width, width : 2 * width] = 1
    return mask


def test_a_mask_of_whole_cells_has_ceiling_one_where_the_page_says_so():
    for width in (1, 2, 4, 5, 8):
        mask = whole_cells(width)
        on_grid = mask_on_grid(mask, (6, 6))
        assert pointing_game(on_grid, mask).tolist() == [1, 1]
        assert (mass_in_mask(on_grid, mask) < 1).all() == (width > 1)
        sharp = [m(on_grid, mask).tolist() == [1, 1] for m in (dice, pixel_average_precision)]
        assert sharp == [width <= 4] * 2


def test_a_mask_beside_every_cell_centre_has_ceiling_zero_in_the_pointing_game():
    mask = torch.zeros(1, 8, 8)
    mask[:, 3, 4] = 1
    on_grid = mask_on_grid(mask, (2, 2))
    assert pointing_game(on_grid, mask).item() == 0
    assert pointing_game(on_grid, mask, tolerance=3, spacing=(1, 1)).item() > 0


def test_the_full_grid_is_the_mask_and_one_cell_its_mean():
    mask = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(6)) < 0.5
    assert torch.equal(mask_on_grid(mask, (5, 7)), mask.double())
    mean = mask.double().mean((1, 2), keepdim=True).expand(2, 5, 7)
    torch.testing.assert_close(mask_on_grid(mask, (1, 1)), mean)


@pytest.mark.parametrize("grid", [(2,), (0, 2), (2, 9), (2, 2, 2)])
def test_a_grid_that_does_not_fit_is_an_error(grid):
    with pytest.raises(ValueError, match=r"`grid` .* must have 1 .. size cells"):
        mask_on_grid(torch.zeros(1, 8, 8), grid)
