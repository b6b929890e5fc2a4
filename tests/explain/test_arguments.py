"""The shared checks of arguments, and that the functions of ``explain`` use them."""

import numpy as np
import pytest
import torch
from torch import nn

from seattn.explain import randomised_copy
from seattn.explain.arguments import check_tensor, check_whole


@pytest.mark.parametrize("value", [1, np.int64(3), 10**9])
def test_whole_numbers_pass(value):
    check_whole("draws", value, least=1)


@pytest.mark.parametrize("value", [0, 1.0, np.float64(2), "2", None, True, torch.tensor(1)])
def test_others_do_not(value):
    with pytest.raises(ValueError, match=r"`draws` \(=.+\) must be a whole number, 1 or more"):
        check_whole("draws", value, least=1)


@pytest.mark.parametrize("seed", ["a", 0.5, -1])
def test_the_seed_of_a_copy_is_a_whole_number(seed):
    with pytest.raises(ValueError, match=r"`seed` \(=.+\) must be a whole number, 0 or more"):
        randomised_copy(nn.Linear(1, 1), seed)


def test_an_array_is_no_tensor():
    check_tensor("x", torch.zeros(1))
    with pytest.raises(TypeError, match=r"`x` \(ndarray\) must be a tensor; `torch.from_numpy`"):
        check_tensor("x", np.zeros(1))
