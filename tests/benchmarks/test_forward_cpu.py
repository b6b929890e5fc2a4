"""The benchmark's harness, on the smallest case; never its times."""

import pytest
import torch
from torch import nn

from benchmarks.forward_cpu import check, measure


def test_a_contestant_with_other_outputs_is_refused():
    images = torch.rand(2, 3, 8, 8)
    right, wrong = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    with pytest.raises(RuntimeError, match="no time is taken"):
        check({"seattn": wrong, "timm": right}, images)
    wrong.load_state_dict(right.state_dict())
    assert check({"seattn": wrong, "timm": right}, images) == 0


def test_rounds_are_counted_without_the_warm_up():
    calls = {"a": 0, "b": 0}

    class Counter(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            calls[self.name] += 1
            return x

    ticks = iter(range(1000))
    seconds = measure(
        {"a": Counter("a"), "b": Counter("b")}, torch.zeros(1), rounds=3, clock=lambda: next(ticks)
    )
    assert calls == {"a": 5, "b": 5}
    assert seconds == {"a": [1, 1, 1], "b": [1, 1, 1]}
