"""What tests of networks share."""

import pytest

from tests.backbones.fusing import open_here


@pytest.fixture
def on_cpu(monkeypatch):
    """Let the fused operators run on the CPU, in float64 too."""
    open_here(monkeypatch)
