"""Epilogues: every way computes what the convolution and all behind it do; the fastest is kept."""

import copy
import math
from functools import partial, partialmethod

import pytest
import torch
from torch import nn

from seattn import GradCAM, fuse_for_inference, record_gates, resnet50, se_resnet18, se_resnet50
from seattn.attention import ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck
from seattn.fuse import chosen, gpu, recorded
from seattn.fuse.chosen import Chosen
from seattn.fuse.epilogue import Epilogue
from seattn.fuse.gates import Gate
from seattn.fuse.gpu_parts import FusedGate, FusedPool
from seattn.fuse.hooks import hook_tables
from seattn.fuse.recorded import RecordedNetwork
from seattn.ops.dense import LAUNCHES
from tests.fuse.networks import randomise

LAUNCHED = [f"Triton {number}" for number in range(len(LAUNCHES))]
WAYS = ["torch", "one pass", "Triton", *LAUNCHED]  # on the CPU the kernels are plain torch
small = partial(se_resnet50, layers=(1, 1, 1, 1), in_chans=1, num_classes=5)


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch):
    """Let the ways run on the CPU, where the kernels are plain torch."""
    monkeypatch.setattr(chosen, "_DEVICES", ("cpu", "cuda"))


def take(way, module, args):
    can = module.ways(*args)
    module.way = next((each for each in (way, "Triton", "one pass") if each in can), "torch")


def fitted(network, images, way):
    """The fused copy with epilogues in one way, where it can do the layer."""
    fused = fuse_for_inference(network, example=images)
    gpu.put_epilogues(fused)
    for module in fused.modules():
        if isinstance(module, Chosen):
            module.register_forward_pre_hook(partial(take, way))
    fused(images)
    for module in fused.modules():
        module._forward_pre_hooks.clear()
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


@pytest.mark.parametrize("way", ["torch", "Triton 0"])
def test_networks(way):
    images = torch.randn(2, 1, 49, 65, dtype=torch.float64)
    for built in (small(), resnet50(layers=(1, 1, 1, 1), in_chans=1), se_resnet18(in_chans=1)):
        network = randomise(built).double()
        fused = fitted(network, images, way)
        assert isinstance(fused.conv1, Epilogue)
        assert isinstance(fused.maxpool, FusedPool)
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
    fused = FusedGate(gate.excitation)
    assert FusedGate.takes(gate)
    expected = gate(x.mean((2, 3), keepdim=True))
    for way in fused.ways(x):
        torch.testing.assert_close(fused.run(way, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_pooling(sizes):
    pool, x = nn.MaxPool2d(*sizes), torch.randn(2, 5, 9, 12)
    assert FusedPool.takes(pool)
    fused = FusedPool(pool)
    for way in fused.ways(x):
        assert torch.equal(fused.run(way, x), pool(x))


def test_other_poolings_stay():
    for pool in (
        nn.MaxPool2d(3, ceil_mode=True),
        nn.MaxPool2d(3, dilation=2),
        nn.MaxPool2d((3, 2)),
        nn.AvgPool2d(2),
        nn.Identity(),
    ):
        assert not FusedPool.takes(pool)


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


def note(called, run, way, *args):
    called.append(way)
    return run(way, *args)


def test_gradients_and_traces_and_other_devices_take_plain_torch(monkeypatch):
    network, images = randomise(small()), torch.randn(2, 1, 40, 40)
    fused = fitted(network, images, "Triton 0")
    called = []
    for module in fused.modules():
        if isinstance(module, Chosen):
            monkeypatch.setattr(module, "run", partial(note, called, module.run))
    fused(images)
    assert {way.split()[0] for way in called} == {"Triton", "one"}
    called.clear()
    maps = GradCAM(fused, "layer2")(images)
    torch.testing.assert_close(maps, GradCAM(network, "layer2")(images), rtol=1e-3, atol=1e-4)
    x = images.clone().requires_grad_()
    fused(x).sum().backward()
    assert x.grad.norm() > 0
    called.clear()
    traced = torch.jit.trace(fused, images)
    assert "seattn::" not in str(traced.inlined_graph)
    called.clear()
    monkeypatch.setattr(chosen, "_DEVICES", ("cuda",))
    fused(images)
    assert set(called) == {"torch"}


def test_hooks_in_the_stem_keep_their_modules():
    network = randomise(small())
    fused = fuse_for_inference(network)
    seen = []
    for name in ("act1", "maxpool"):
        fused.get_submodule(name).register_forward_hook(lambda *args, n=name: seen.append(n))
    gpu.put_epilogues(fused)
    fused(torch.randn(2, 1, 32, 32))
    assert seen == ["act1", "maxpool"]


def test_it_compiles_without_a_break():
    images = torch.randn(2, 1, 40, 40)
    fused = fitted(randomise(small()), images, "Triton 0")
    compiled = torch.compile(fused, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), fused(images), rtol=1e-4, atol=1e-5)


# ---- the choice -----------------------------------------------------------------------------


def choice(monkeypatch, faster, wrong=(), failing=()):
    """The ways of a network of which the named take the given seconds and the others one."""

    def run(own, module, way, *args):
        if way in failing:
            raise RuntimeError("out of resources")
        return own(module, way, *args) * (1.1 if way in wrong else 1)

    for kind in (Epilogue, FusedGate, FusedPool):
        monkeypatch.setattr(kind, "run", partialmethod(lambda m, o, *a: run(o, m, *a), kind.run))
    monkeypatch.setattr(chosen, "seconds_called", lambda call: faster.get(call.args[0], 1.0))
    images = torch.randn(2, 1, 32, 32, dtype=torch.bfloat16)
    fused = fuse_for_inference(randomise(small()), example=images, dtype=torch.bfloat16)
    ways = gpu.fit_to_gpu(fused, images, recorded=False)
    assert not any(module._forward_pre_hooks for module in fused.modules())
    return ways


def test_fastest_way_is_kept(monkeypatch):
    ways = choice(monkeypatch, {"Triton 2": 0.5, "Triton": 0.6, "one pass": 0.7})
    assert ways["layer1.0.conv"] == ways["layer2.0.downsample.0"] == "Triton 2"
    assert ways["layer1.0.body.1"] == "one pass"  # neither 1x1 nor of few channels
    assert ways["conv1"] == ways["maxpool"] == ways["layer1.0.se"] == "Triton"


def test_wrong_and_failing_ways_are_not_kept(monkeypatch):
    faster = {"Triton 2": 0.5, "Triton 3": 0.6, "Triton 4": 0.7}
    ways = choice(monkeypatch, faster, wrong=["Triton 2"], failing=["Triton 3"])
    assert ways["layer1.0.conv"] == "Triton 4"


def test_nan_does_not_pass_for_a_result():
    expected = torch.ones(3, dtype=torch.float16)
    assert chosen.agree(expected * 1.001, expected)
    assert not chosen.agree(expected * 1.01, expected)
    assert not chosen.agree(expected * math.nan, expected)
    assert not chosen.agree(expected[:1], expected)


def test_cpu_and_single_precision_have_no_epilogues():
    assert not gpu.runs_kernels(torch.device("cpu"), torch.bfloat16)
    assert not gpu.runs_kernels(torch.device("cuda"), torch.float32)
    assert fuse_for_inference(small()).report.ways == {}


def test_recorded_network_runs_elsewhere_as_it_comes():
    network = small().eval()
    images = torch.randn(2, 1, 32, 32)
    copied = RecordedNetwork(network, images.shape)
    assert torch.equal(copied(images), network(images))
    assert torch.equal(copy.deepcopy(copied)(images), network(images))
    copied._recorded = "a graph"
    copied.to(torch.float64)
    assert copied._recorded is None
    copied._recorded = "a graph"
    copied.load_state_dict(copied.state_dict(), assign=True)
    assert copied._recorded is None
    assert copied.state_dict().keys() == {f"network.{key}" for key in network.state_dict()}


def test_recording_is_replayed_for_its_shape_and_while_there_are_no_hooks(monkeypatch):
    made = []

    class Graph:  # what a graph does, without a card: the same work on the same tensors
        def __init__(self, network, x):
            self.network, self.given = network, torch.zeros_like(x)
            self.returned = {"logits": network(self.given)}
            made.append(self)

        def replay(self):
            self.returned["logits"].copy_(self.network(self.given))

    def record(network, x):
        graph = Graph(network, x)
        return graph, graph.given, graph.returned, hook_tables(*network.modules())

    monkeypatch.setattr(recorded, "_DEVICE", "cpu")
    monkeypatch.setattr(recorded, "_record", record)
    network, images = small().eval(), torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        copied = RecordedNetwork(network, images.shape)
        with network.layer1.register_forward_hook(lambda *args: None):
            assert torch.equal(copied(images), network(images))  # not recorded with a hook
        assert not made
        first = copied(images)["logits"]
        second = copied(-images)["logits"]
        assert torch.equal(first, network(images))  # and not overwritten by the second
        assert torch.equal(second, network(-images))
        for other in (images[:1], torch.randn(2, 1, 40, 40), images.double()):
            same = network.double() if other.dtype == torch.float64 else network
            assert torch.equal(copied(other), same(other))
            network.float()
        with network.layer1.register_forward_hook(lambda *args: None):
            assert torch.equal(copied(images), network(images))
        assert len(made) == 1
        copy.deepcopy(copied)(images)
        copied.to("cpu")(images)
        assert len(made) == 3


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
