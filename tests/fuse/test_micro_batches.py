"""A compiled network divides a batch where that is right and faster, and nobody sees it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn import fuse_for_inference
from seattn.attention import SEBlock
from seattn.backbones import Bottleneck, ResNet
from seattn.fuse import compiled, micro_batches
from seattn.fuse.micro_batches import fitting_micro_batch, is_joined, run_in_micro_batches
from tests.fuse.networks import SMALL, randomise, relative


@given(size=st.integers(1, 9), more=st.integers(0, 30))
def test_a_divided_batch_gives_what_the_whole_one_gives(size, more):
    seen = []

    def network(x):
        seen.append(len(x))
        return {"sum": x.sum((1, 2)), "maps": [x, 2 * x]}

    x = torch.randn(size + more, 2, 3)
    output, expected = run_in_micro_batches(network, x, size), network(x)
    assert torch.equal(output["sum"], expected["sum"])
    assert all(map(torch.equal, output["maps"], expected["maps"]))
    assert set(seen[:-1]) == {size}  # one size, which is compiled once
    assert len(seen) - 1 == math.ceil(len(x) / size)


@pytest.mark.parametrize(("images", "at_once"), [(1, 1), (2, 2), (4, 2), (7, 2), (32, 2)])
def test_the_largest_map_decides_how_many_images_run_at_once(monkeypatch, images, at_once):
    network = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 3, padding=1))
    monkeypatch.setattr(micro_batches, "_KEPT", int(2.9 * 5 * 8 * 9 * 4))
    assert fitting_micro_batch(network, torch.randn(images, 1, 8, 9)) == at_once
    monkeypatch.setattr(micro_batches, "_KEPT", 1)
    assert fitting_micro_batch(network, torch.randn(images, 1, 8, 9)) == 1
    assert not any(module._forward_hooks for module in network.modules())


def test_micro_batches_are_of_even_sizes(monkeypatch):
    monkeypatch.setattr(micro_batches, "_KEPT", 8 * 4)
    assert fitting_micro_batch(nn.Identity(), torch.randn(32, 1)) == 8
    assert fitting_micro_batch(nn.Identity(), torch.randn(33, 1)) == 7  # in five, not 8 and 1
    assert fitting_micro_batch(nn.Identity(), torch.randn(8, 1)) == 8
    assert fitting_micro_batch(nn.Identity(), torch.randn(9, 1)) == 5


def test_only_what_has_an_entry_for_each_image_is_joined():
    x = torch.randn(3, 2)
    assert is_joined({"a": x, "b": (x, [x])}, 3)
    for other in (x.sum(), x.T, None, 1.0, [x, x.T]):
        assert not is_joined(other, 3)
        assert not is_joined((x, other), 3)


def build(head=None):
    torch.manual_seed(0)
    network = ResNet(Bottleneck, attention=SEBlock, in_chans=1, num_classes=4, **SMALL)
    return randomise(nn.Sequential(network, head or nn.Identity()))


def fuse(monkeypatch, network, x, seconds_divided=0.9):
    """Compile for x, as if the whole batch took a second; return the copy and the sizes run."""
    sizes = []
    largest = network[0].conv1(x[:1]).nbytes
    monkeypatch.setattr(micro_batches, "_KEPT", 2 * largest)
    monkeypatch.setattr(
        compiled,
        "_fastest",
        lambda network, x: (network(x), seconds_divided if network.micro_batch else 1.0),
    )
    run = run_in_micro_batches
    monkeypatch.setattr(
        compiled, "run_in_micro_batches", lambda *args: sizes.append(args[2]) or run(*args)
    )
    with torch.compiler.set_stance("force_eager"):
        return fuse_for_inference(network, example=x, compile=True), sizes


@pytest.mark.parametrize(("seconds", "size"), [(0.9, 2), (1.1, None)])
def test_a_batch_is_divided_where_that_is_faster(monkeypatch, seconds, size):
    network = build()
    fused, sizes = fuse(monkeypatch, network, torch.randn(7, 1, 64, 64), seconds)
    assert fused.micro_batch == size
    for images in (1, 2, 3, 7, 8):
        x = torch.randn(images, 1, 64, 64)
        sizes.clear()
        with torch.compiler.set_stance("force_eager"):
            assert relative(fused(x), network(x)) < 1e-5
        assert sizes == ([2] if size and images > 2 else [])


def test_hooks_see_the_whole_batch(monkeypatch):
    x, seen = torch.randn(7, 1, 64, 64), []
    fused, sizes = fuse(monkeypatch, build(), x)
    sizes.clear()
    hook = lambda *args: seen.append(len(args[2]))  # noqa: E731
    with (
        torch.compiler.set_stance("force_eager"),
        fused.network[0].layer4.register_forward_hook(hook),
    ):
        fused(x)
    assert seen == [7]
    assert sizes == []


class Together(nn.Module):
    """A part that no rule knows, of which the images see each other."""

    def forward(self, x):
        return x - x.mean(0)


class Mean(nn.Module):
    """A part that returns one number."""

    def forward(self, x):
        return x.mean()


@pytest.mark.parametrize(
    ("head", "error", "message"),
    [
        (Together(), RuntimeError, "differs from it"),
        (Mean(), RuntimeError, "differs from it"),
        (nn.Flatten(0), ValueError, "one entry for each image, or `example` must have two images"),
    ],
)
def test_dividing_does_not_hide_that_images_see_each_other(monkeypatch, head, error, message):
    network = build(head)
    with pytest.raises(error, match=message):
        fuse(monkeypatch, network, torch.randn(7, 1, 64, 64))
    two = torch.randn(2, 1, 64, 64)
    fused, _ = fuse(monkeypatch, network, two)
    assert fused.micro_batch is None
    with torch.compiler.set_stance("force_eager"):
        assert relative(fused(two), network(two)) < 1e-5
