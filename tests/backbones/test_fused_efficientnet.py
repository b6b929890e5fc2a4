"""EfficientNets that use the fused operators; on the CPU, where these are plain torch."""

import copy

import pytest
import torch
from torch import nn

import seattn
from seattn.attention import record_gates
from seattn.backbones import EfficientNet
from tests.backbones.fusing import (
    assert_same,
    compiled,
    errors,
    images,
    in_bfloat16,
    plain_step,
    step,
    why,
)


def tiny(dtype=torch.float64, **options):
    """A narrow network whose every parameter and statistic is random."""
    torch.manual_seed(0)
    options = {"width": 0.25, "depth": 0.5, "in_chans": 1, "num_classes": 3} | options
    network = EfficientNet(**options).to(dtype)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_()
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return network.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("training", [True, False])
def test_logits_gradients_and_statistics_are_those_of_the_modules(on_cpu, training):
    network = tiny().train(training)
    reasons = why(network, images())
    assert set(reasons.values()) == {None}
    assert {"bn1", "bn2", "blocks.0.0.bn1", "blocks.2.0.bn1", "blocks.2.0.bn2"} <= set(reasons)
    assert_same(network, images())


def test_stochastic_depth_drops_the_same_images(on_cpu):
    network = tiny(drop_path_rate=0.5, depth=1.1)
    assert "blocks.1.1.bn3" in why(network, images())  # it has a shortcut
    assert_same(network, images())


def test_gradient_checkpointing(on_cpu):
    network = tiny()
    network.set_grad_checkpointing(True)
    assert_same(network, images())


def test_in_bfloat16_the_errors_are_no_larger_than_the_modules_own(on_cpu):
    network, ratios = tiny(torch.float32), []
    for seed in range(5):
        x = images(8, 1, 64, 64, seed=seed, dtype=torch.float32)
        exact = plain_step(copy.deepcopy(network).double(), x.double())
        ours = errors(step(network, x, in_bfloat16), exact)
        theirs = errors(plain_step(network, x, in_bfloat16), exact)
        ratios += [ours[name] / theirs[name] for name in ours]
    assert torch.tensor(ratios).log().mean().exp() < 1.02


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does
def test_compiles_as_one_graph(on_cpu):
    assert_same(tiny(), images(), compiled)


@pytest.mark.parametrize("name", ["bn1", "act1", "blocks.2.0.act1", "blocks.2.0.bn2",
                                  "blocks.2.0.act2", "blocks.2.0.se", "blocks.0.0.se",
                                  "blocks.1.1.bn3", "blocks.1.1.drop_path"])  # fmt: skip
def test_a_hook_on_a_module_that_would_be_left_out_fires(on_cpu, name):
    network, calls = tiny(depth=1.1), []
    network.get_submodule(name).register_forward_hook(lambda *args: calls.append(name))
    network(images())
    assert calls == [name]
    assert sum(reason is not None for reason in why(network, images()).values()) == 1
    assert_same(network, images())


def test_gates_and_maps_are_those_of_the_plain_network(on_cpu):
    network, x = tiny().eval(), images()
    found = []
    for mode in ("off", "auto"):
        seattn.set_fused(mode)
        with record_gates(network) as gates:
            network(x)
        found.append((dict(gates), seattn.GradCAM(network, "conv_head")(x, target=1)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)
