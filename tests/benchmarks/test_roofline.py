"""The priced passes, against a dispatch count of the real step."""

import pytest
import torch
from torch import nn

import seattn
from benchmarks.roofline import Kernel, count, floor, kernels, walk, walk_named

BATCH = 32


def dispatched(name, *, train):
    """What eager PyTorch does in one forward (and backward) pass in bfloat16, by operator."""
    with torch.device("meta"):
        net = seattn.create_model(name).bfloat16().train(train)
        images = torch.empty(BATCH, 3, 224, 224, dtype=torch.bfloat16)
    with count() as counted, torch.set_grad_enabled(train):
        out = net(images)
        if train:
            out.sum().backward()
    return counted.kernels


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", ["resnet50", "se_resnet50"])
def test_the_eager_level_moves_what_a_real_step_moves(name, train):
    real = dispatched(name, train=train)
    priced = list(kernels(walk_named(name, BATCH, 3, 224), train=train, level="eager"))
    priced = [k for k in priced if k.name != "optimizer"]  # the step above has none

    def split(found):
        conv = sum(k.bytes for k in found if "convolution" in k.name)
        return conv, sum(k.bytes for k in found) - conv

    # A strided 1x1 convolution is priced with the positions it samples, not with its whole input;
    # the head and the gates' vectors are not priced.
    for mine, theirs in zip(split(priced), split(real), strict=True):
        assert mine == pytest.approx(theirs, rel=0.06)
        assert mine < theirs
    assert sum(k.flops for k in priced) == pytest.approx(sum(k.flops for k in real), rel=2e-3)


def test_a_gate_costs_passes_when_eager_and_none_when_fused_in_training():
    plain, gated = (walk_named(name, BATCH, 3, 64) for name in ("resnet50", "se_resnet50"))

    def moved(walked, level):
        priced = kernels(walked, train=True, level=level)
        return sum(k.bytes for k in priced if k.name != "optimizer")

    assert moved(gated, "eager") > 1.2 * moved(plain, "eager")
    assert moved(gated, "fused") == moved(plain, "fused")


def test_one_convolution_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1, stride=2))
    walked = walk(net.eval(), torch.rand(2, 3, 6, 6))
    first, second = walked.convolutions
    assert (first.read, first.written, first.weight) == (2 * 3 * 36, 2 * 8 * 36, 216)
    assert (second.read, second.written, second.weight) == (2 * 8 * 9, 2 * 4 * 9, 32)
    assert (first.flops, second.flops) == (2 * 216 * 72, 2 * 32 * 18)
    trained = [k for k in kernels(walked, train=True, level="fused") if k.name == "convolution"]
    assert len(trained) == 2 + 3  # the first has no gradient of its input


def test_a_kernel_takes_the_longer_of_arithmetic_and_traffic():
    priced = [Kernel("a", flops=10, bytes=1), Kernel("b", flops=1, bytes=40)]
    assert floor(priced, flops=10, bandwidth=20) == 1 + 2
