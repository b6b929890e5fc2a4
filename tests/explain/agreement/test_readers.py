import math

import pytest
import torch

from seattn.explain import reader_dice


@pytest.mark.parametrize("shape", [(3, 4, 7, 5), (2, 3, 4, 3, 5), (1, 2, 6)])
def test_it_equals_the_definition_pair_by_pair(shape):
    masks = torch.rand(shape, generator=torch.Generator().manual_seed(7)) < 0.4
    masks[0, 0] = False
    result = reader_dice(masks)
    readers, cases = shape[:2]
    assert result.shape == (readers, readers, cases)
    for a in range(readers):
        for b in range(readers):
            for case in range(cases):
                one, other = masks[a, case], masks[b, case]
                both = int(one.sum() + other.sum())
                expected = 2 * int((one & other).sum()) / both if both else math.nan
                assert result[a, b, case].item() == pytest.approx(expected, nan_ok=True)


def test_a_mask_without_readers_is_an_error():
    with pytest.raises(ValueError, match=r"`masks` \(shape \(4, 5\)\) must be \(R, N"):
        reader_dice(torch.zeros(4, 5))
