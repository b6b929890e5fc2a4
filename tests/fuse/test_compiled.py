"""`compile=True`: frozen weights, no BatchNorm, no gradient, the same logits."""

import copy
import pickle
import shutil

import pytest
import torch

from seattn import fuse_for_inference, record_gates
from seattn.attention import SEBlock
from seattn.backbones import Bottleneck, ResNet
from tests.fuse.networks import SMALL, randomise, relative


def build():
    return randomise(ResNet(Bottleneck, attention=SEBlock, in_chans=1, num_classes=4, **SMALL))


def test_weights_are_frozen_while_the_network_runs_and_gates_are_recorded():
    network, x = build(), torch.randn(3, 1, 64, 64)
    seen = []
    network.layer4.register_forward_hook(
        lambda *args: seen.append((torch._inductor.config.freezing, torch.is_grad_enabled()))
    )
    with torch.compiler.set_stance("force_eager"):
        fused = fuse_for_inference(network, example=x, compile=True)
        assert (True, False) in seen
        seen.clear()
        logits = fused(x)
        assert seen == [(True, False)]
        assert not torch._inductor.config.freezing
        assert not logits.requires_grad
        with record_gates(fused) as gates:
            fused(x)
    assert relative(logits, network(x)) < 1e-5
    with record_gates(network) as expected:
        network(x)
    for name, gate in expected.items():
        torch.testing.assert_close(gates[f"network.{name}"], gate, rtol=1e-4, atol=1e-5)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="Inductor needs a C++ compiler"
)
def test_compiled_network_computes_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    network, x = build(), torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        torch.compile(fuse_for_inference(network))(x)  # not frozen, and not to be taken instead
    fused = fuse_for_inference(network, example=x, compile=True)
    files = [path for path in tmp_path.rglob("*.*") if path.suffix in (".py", ".cpp")]
    code = "".join(path.read_text() for path in files)
    assert "convolution_pointwise" in code  # that is, weights are frozen
    assert "inductor_entry_cpp" in code  # that is, it is called from C++
    assert relative(fused(x), network(x)) < 1e-5
    other_shape = torch.randn(2, 1, 96, 64)  # compiles again
    assert relative(fused(other_shape), network(other_shape)) < 1e-5
    assert not fused(x).requires_grad
    for other in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused))):
        assert other.report == fused.report
        assert other.network._compiled_call_impl is not None
        assert relative(other(x), network(x)) < 1e-5


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="Inductor needs a C++ compiler"
)
def test_a_shape_is_compiled_once_and_a_hook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    network, x = build(), torch.randn(3, 1, 64, 64)
    fused = fuse_for_inference(network, example=x, compile=True)
    expected, code = network(x), len(list(tmp_path.rglob("*.cpp")))
    with torch.inference_mode():
        assert relative(fused(x), expected) < 1e-5
        assert relative(fused(x.clone()), expected) < 1e-5
    assert relative(fused(x.clone().requires_grad_()), expected) < 1e-5
    assert relative(fused(x.to(memory_format=torch.channels_last)), expected) < 1e-5
    assert len(list(tmp_path.rglob("*.cpp"))) == code
    seen = []
    with fused.network.layer3.register_forward_hook(lambda *args: seen.append(args[2].shape)):
        assert relative(fused(x), expected) < 1e-5
    assert len(seen) == 1
    assert relative(fused(x), expected) < 1e-5
    assert len(seen) == 1


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="Inductor needs a C++ compiler"
)
def test_networks_of_a_class_do_not_use_up_what_dynamo_may_compile():
    torch.compiler.reset()
    x = torch.randn(1, 1, 32, 32)
    few = {"recompile_limit": 1, "fail_on_recompile_limit_hit": True}
    with torch._dynamo.config.patch(**few):
        for network in (build(), build(), build()):
            fused = fuse_for_inference(network, example=x, compile=True)
            assert relative(fused(x), network(x)) < 1e-5
