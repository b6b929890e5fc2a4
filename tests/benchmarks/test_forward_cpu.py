"""The comparison of outputs, on the smallest case."""

import pytest
import torch
from torch import nn

from benchmarks.forward_cpu import check


def test_a_contestant_with_other_outputs_is_refused():
    images = torch.rand(2, 3, 8, 8)
    right, wrong = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    with pytest.raises(RuntimeError, match="no time is taken"):
        check({"seattn": wrong, "timm": right}, images)
    wrong.load_state_dict(right.state_dict())
    assert check({"seattn": wrong, "timm": right}, images) == 0
