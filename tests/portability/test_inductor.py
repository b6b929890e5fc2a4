"""Inductor, torch.compile's default backend, trains three networks as eager PyTorch does.

Only with ``pytest -m full``: the C++ compiler takes a minute for each.
"""

import copy
import shutil

import pytest
import torch
from torch.nn import functional as F

from tests.portability.cases import NETWORKS, images, lively

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "clang++"))), reason="Inductor needs a C++ compiler"
    ),
]


@pytest.mark.parametrize(
    "name", ["basic-SEBlock-standard", "basic-CBAMBlock-standard", "efficientnet"]
)
def test_inductor_trains_as_eager_does(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    network, x, labels = lively(NETWORKS[name]()).train(), images(8, (64, 64)), torch.arange(8) % 3
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True)
    expected, actual = network(x), compiled(x)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    for logits in (expected, actual):
        F.cross_entropy(logits, labels).backward()
    for (key, ours), theirs in zip(network.named_parameters(), compiled.parameters(), strict=True):
        difference = (ours.grad - theirs.grad).norm()
        # A bias that a later BatchNorm takes away has a gradient of zero, up to rounding.
        assert difference <= 1e-4 * ours.grad.norm() + 1e-5, key
