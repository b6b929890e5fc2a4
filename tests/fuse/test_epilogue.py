"""Epilogues: every way computes what the convolution and all behind it do; the fastest is kept."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from seattn import fuse_for_inference, record_gates, resnet50, se_resnet18, se_resnet50
from seattn.attention import ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck
from seattn.fuse import epilogue, gpu
from seattn.fuse.epilogue import Epilogue, FusedGate, ways_of
from seattn.fuse.gates import Gate
from seattn.fuse.recorded import RecordedNetwork
from tests.fuse.networks import randomise

WAYS = [way for way in epilogue._WAYS if way != "cuDNN"]  # on the CPU the kernels are plain torch
small = partial(se_resnet50, layers=(1, 1, 1, 1), in_chans=1, num_classes=5)


def fitted(network, images, way):
    """The fused copy with epilogues in one way, where it can do the layer."""
    fused = fuse_for_inference(network, example=images)
    gpu.put_epilogues(fused)
    for module in fused.modules():
        if isinstance(module, Epilogue):
            can = dict(ways_of(module.conv, None, None))
            module.way = way if way in can else "one pass"
    return fused


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("gate", [None, SEBlock, ECABlock])
@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_in_every_way(way, gate, stride):
    for channels, built in (
        (32, Bottleneck(32, 8, stride=stride, attention=gate)),
        (16, BasicBlock(16, 24, stride=stride, attention=gate)),
    ):
        block = randomise(built).double()
        x = torch.randn(3, channels, 7, 6, dtype=torch.float64)
        x = x.to(memory_format=torch.channels_last)
        fused = fitted(block, x, way)
        assert any(isinstance(module, Epilogue) for module in fused.modules())
        torch.testing.assert_close(fused(x), block(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("way", ["torch", "one pass", "Triton 0"])
def test_networks(way):
    images = torch.randn(2, 1, 49, 65, dtype=torch.float64)
    for built in (small(), resnet50(layers=(1, 1, 1, 1), in_chans=1), se_resnet18(in_chans=1)):
        network = randomise(built).double()
        fused = fitted(network, images, way)
        assert isinstance(fused.conv1, Epilogue)
        assert type(fused.act1) is nn.Identity
        torch.testing.assert_close(fused(images), network(images), rtol=1e-10, atol=1e-10)


def test_everything_behind_a_convolution_joins_it():
    fused = fitted(small(), torch.randn(2, 1, 32, 32), "torch")
    block = fused.layer1[0]
    assert [type(module) for module in block.body] == [Epilogue, Epilogue]
    assert block.conv.relu
    assert type(block.act) is nn.Identity
    assert type(block.se) is FusedGate
    assert not block.downsample[0].relu
    lone = [m for m in fused.modules() if type(m) is nn.Conv2d]
    inside = [m.conv for m in fused.modules() if isinstance(m, Epilogue)]
    gates = [m for e in fused.modules() if isinstance(e, FusedGate) for m in e.modules()]
    assert all(any(conv is other for other in inside + gates) for conv in lone)


@pytest.mark.parametrize("biases", [(True, True), (False, True), (True, False), (False, False)])
def test_gate_is_that_of_its_layers(biases):
    layers = (
        nn.Conv2d(12, 3, 1, bias=biases[0]),
        nn.ReLU(),
        nn.Conv2d(3, 20, 1, bias=biases[1]),
        nn.Sigmoid(),
    )
    gate = Gate(nn.Sequential(*layers)).double()
    x = torch.randn(3, 12, 5, 7, dtype=torch.float64)
    assert FusedGate.takes(gate)
    expected = gate(x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(FusedGate(gate.excitation)(x), expected, rtol=1e-12, atol=1e-12)


def test_other_gates_stay():
    sequence = nn.Sequential
    for excitation in (
        sequence(nn.Conv2d(4, 4, 1), nn.Sigmoid()),
        sequence(nn.Conv2d(4, 2, 1), nn.SiLU(), nn.Conv2d(2, 4, 1), nn.Sigmoid()),
        sequence(nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 1), nn.Hardsigmoid()),
        nn.Sigmoid(),
    ):
        assert not FusedGate.takes(Gate(excitation))
    assert not FusedGate.takes(None)


def test_gates_are_recorded():
    network, images = randomise(small()), torch.randn(2, 1, 40, 40)
    fused = fitted(network, images, "Triton 1")
    with record_gates(network) as expected:
        network(images)
    with record_gates(fused) as gates:
        fused(images)
    assert gates.keys() == expected.keys()
    for name, gate in gates.items():
        torch.testing.assert_close(gate, expected[name], rtol=1e-4, atol=1e-5)


def test_exported_graph_holds_standard_operators_only():
    images = torch.randn(2, 1, 40, 40)
    fused = fitted(randomise(small()), images, "Triton 0")
    exported = torch.export.export(fused, (images,))
    names = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert {name.split(".")[0] for name in names} == {"aten"}
    torch.testing.assert_close(exported.module()(images), fused(images), rtol=1e-4, atol=1e-5)


# ---- the choice -----------------------------------------------------------------------------


def chosen(monkeypatch, seconds, wrong=(), failing=()):
    """The ways of a network whose calls take the given seconds."""

    def spoilt(name, way):
        def call(*args, **options):
            if name in failing:
                raise RuntimeError("out of resources")
            return way(*args, **options) * (1.1 if name in wrong else 1)

        return call

    ways = {name: spoilt(name, way) for name, way in epilogue._WAYS.items()}
    monkeypatch.setattr(epilogue, "_WAYS", ways)
    names = {id(way): name for name, way in ways.items()}
    monkeypatch.setattr(gpu, "seconds_called", lambda call: seconds[names[id(call.func)]])
    images = torch.randn(2, 1, 32, 32, dtype=torch.bfloat16)
    fused = fuse_for_inference(randomise(small()), example=images, dtype=torch.bfloat16)
    return gpu.fit_to_gpu(fused, images, recorded=False)


def seconds(**better):
    return dict.fromkeys(epilogue._WAYS, 1.0) | {k.replace("_", " "): v for k, v in better.items()}


def test_fastest_way_is_kept(monkeypatch):
    ways = chosen(monkeypatch, seconds(Triton_2=0.5, one_pass=0.7))
    assert ways["layer1.0.conv"] == ways["layer2.0.downsample.0"] == "Triton 2"
    assert ways["conv1"] == ways["layer1.0.body.1"] == "one pass"  # not 1x1


def test_wrong_and_failing_ways_are_not_kept(monkeypatch):
    times = seconds(Triton_2=0.5, Triton_3=0.6, Triton_4=0.7)
    ways = chosen(monkeypatch, times, wrong=["Triton 2"], failing=["Triton 3"])
    assert ways["layer1.0.conv"] == "Triton 4"


def test_nan_does_not_pass_for_a_result():
    expected = torch.ones(3, dtype=torch.float16)
    assert gpu._agree(expected * 1.001, expected)
    assert not gpu._agree(expected * 1.01, expected)
    assert not gpu._agree(expected * math.nan, expected)
    assert not gpu._agree(expected.float(), expected)


def test_hooks_of_the_choice_are_gone(monkeypatch):
    images = torch.randn(2, 1, 32, 32, dtype=torch.bfloat16)
    fused = fuse_for_inference(randomise(small()), example=images, dtype=torch.bfloat16)
    monkeypatch.setattr(gpu, "seconds_called", lambda call: 1.0)
    gpu.fit_to_gpu(fused, images, recorded=False)
    assert not any(module._forward_pre_hooks for module in fused.modules())


def test_cpu_and_single_precision_have_no_epilogues():
    assert not gpu.runs_kernels(torch.device("cpu"), torch.bfloat16)
    assert not gpu.runs_kernels(torch.device("cuda"), torch.float32)
    assert fuse_for_inference(small()).report.ways == {}


def test_recorded_network_runs_elsewhere_as_it_comes():
    network = small().eval()
    images = torch.randn(2, 1, 32, 32)
    recorded = RecordedNetwork(network, images.shape)
    assert torch.equal(recorded(images), network(images))
    assert torch.equal(copy.deepcopy(recorded)(images), network(images))
    assert recorded.state_dict().keys() == {f"network.{key}" for key in network.state_dict()}


# ---- with a GPU -----------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compile", [False, True])
def test_on_a_gpu(dtype, compile):
    network = randomise(small()).cuda()
    images = torch.randn(4, 1, 96, 80, device="cuda")
    fused = fuse_for_inference(network, example=images, dtype=dtype, compile=compile)
    assert set(fused.report.ways.values()) != {"torch"}
    for batch in (images, torch.randn_like(images), images[:3]):
        expected = network(batch)
        gap = (fused(batch.to(dtype)).float() - expected).norm() / expected.norm()
        assert gap < 10 * torch.finfo(dtype).eps
    again = copy.deepcopy(fused)
    assert torch.equal(again(images.to(dtype)), fused(images.to(dtype)))
