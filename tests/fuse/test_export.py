"""Fused networks leave Python as graphs of standard operators, and compute the same there."""

import warnings
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch

from seattn import fuse_for_inference
from seattn.attention import ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck, EfficientNet, ResNet
from tests.fuse.networks import SMALL, randomise, relative

NETWORKS = {
    "se_bottlenecks": partial(ResNet, Bottleneck, attention=SEBlock, **SMALL),
    "eca_bottlenecks": partial(ResNet, Bottleneck, attention=ECABlock, **SMALL),
    "se_basic": partial(ResNet, BasicBlock, attention=SEBlock, **SMALL),
    "plain": partial(ResNet, Bottleneck, **SMALL),
    "efficientnet": partial(EfficientNet, width=0.25, depth=0.5),
}
OTHERS = [(1, 64, 96), (5, 65, 47), (3, 130, 33)]  # batch and sides, beside those of the example


def fused_and_original(name, **options):
    network = randomise(NETWORKS[name](in_chans=1, num_classes=4, **options))
    return fuse_for_inference(network), network


def free(dims=2):
    sides = {i + 2: torch.export.Dim(f"side{i}", min=33, max=512) for i in range(dims)}
    return ({0: torch.export.Dim("images", max=64), **sides},)


@pytest.mark.parametrize("name", NETWORKS)
def test_exported_graph_has_standard_operators_only_and_computes_the_same(name):
    fused, network = fused_and_original(name)
    exported = torch.export.export(fused, (torch.randn(2, 1, 64, 80),), dynamic_shapes=free())
    targets = {str(n.target) for n in exported.graph.nodes if n.op == "call_function"}
    assert not [t for t in targets if not (t.startswith(("aten.", "<built-in")) or "sym" in t)]
    assert not [t for t in targets if "batch_norm" in t]
    loaded = exported.module()
    for images, height, width in OTHERS:
        x = torch.randn(images, 1, height, width)
        assert relative(loaded(x), network(x)) < 1e-5


def test_gate_of_the_exported_graph_does_not_wait_for_the_last_convolution():
    fused, _ = fused_and_original("se_bottlenecks")
    graph = torch.export.export(fused, (torch.randn(2, 1, 64, 80),)).graph
    scaled = [node for node in graph.nodes if "addcmul" in str(node.target)]
    assert len(scaled) == 5
    for node in scaled:
        _, residual, gate = node.args
        assert "conv2d" in str(residual.target)
        assert residual not in _ancestors(gate)


def _ancestors(node):
    found, waiting = set(), [node]
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


@pytest.mark.parametrize(
    ("name", "dims"), [*((name, 2) for name in NETWORKS), ("se_bottlenecks", 3)]
)
def test_onnxruntime_computes_the_same(tmp_path, name, dims):
    fused, network = fused_and_original(name, **({} if dims == 2 else {"spatial_dims": dims}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*treespec.*is deprecated", FutureWarning)
        program = torch.onnx.export(
            fused,
            (torch.randn(2, 1, *(64, 80, 40)[:dims]),),
            dynamo=True,
            dynamic_shapes=free(dims),
            verbose=False,
        )
    graph = program.model_proto
    assert {node.domain for node in graph.graph.node} == {""}
    assert not graph.functions
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    program.save(tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "network.onnx", providers=["CPUExecutionProvider"]
    )
    for images, height, width in OTHERS:
        x = torch.randn(images, 1, *(height, width, 35)[:dims])
        (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        expected = network(x).detach().numpy()
        assert np.abs(logits - expected).max() / np.abs(expected).max() < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_fx_traces_it(name):
    fused, _ = fused_and_original(name)
    x = torch.randn(2, 1, 64, 64)
    assert torch.equal(torch.fx.symbolic_trace(fused)(x), fused(x))


@pytest.mark.parametrize("name", ["se_bottlenecks", "efficientnet"])
def test_the_compiler_takes_it_whole(name):
    fused, network = fused_and_original(name)
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 1, 64, 64)
    assert relative(compiled(x), network(x)) < 1e-5
