"""Networks survive compilers, exporters, tracers, copies, memory formats, precisions and hooks.

CI runs each check on a choice of networks that meets every family, block and position;
``pytest -m full tests/portability`` runs it on the whole product.
"""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import seattn.attention
from seattn.backbones.stage import DropPath
from tests.portability.cases import (
    ALONE,
    MIXED,
    NETWORKS,
    free_batch_and_size,
    images,
    lively,
    networks,
)

few_networks = networks(MIXED)
some_networks = networks(ALONE)
LABELS = torch.tensor([0, 2])


@pytest.mark.parametrize("names", [MIXED, ALONE], ids=["few", "some"])
def test_no_block_is_left_out(names):
    public = {getattr(seattn.attention, name) for name in seattn.attention.__all__}
    blocks = {c for c in public if isinstance(c, type) and issubclass(c, nn.Module)}
    assert blocks <= {type(module) for name in names for module in NETWORKS[name]().modules()}


@few_networks
def test_torch_compile_trains_in_one_graph(build):
    torch._dynamo.reset()  # else the networks before count as recompilations
    network, x = lively(build()).train().double(), images().double()
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True, backend="aot_eager")
    expected = logits_and_gradients(network, x)
    torch.testing.assert_close(logits_and_gradients(compiled, x), expected)


@few_networks
@pytest.mark.skipif(
    torch.__version__ < "2.7",
    reason="torch 2.6 exports a convolution and max pooling for one parity of sizes",
)
def test_export_keeps_batch_and_size_free(build):
    network = lively(build()).eval()
    exported = torch.export.export(
        network, (images(3, (48, 64)),), dynamic_shapes=(free_batch_and_size(),)
    )
    for x in (images(1, (33, 33)), images(2, (57, 41))):
        torch.testing.assert_close(exported.module()(x), network(x))


@some_networks
def test_fx_traces_the_network(build):
    network, x = lively(build(drop_path_rate=0.3)), images()
    for training in (False, True):
        traced = torch.fx.symbolic_trace(network.train(training))
        torch.manual_seed(3)
        expected = copy.deepcopy(network)(x)
        torch.manual_seed(3)
        assert torch.equal(traced(x), expected)


@some_networks
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_computes_the_same_and_shares_nothing(build, duplicate):
    network, x = lively(build()).eval(), images()
    expected = network(x)
    twin = duplicate(network)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.zero_()
    assert torch.equal(network(x), expected)


@some_networks
def test_channels_last_is_kept(build):
    network, x = lively(build()).eval(), images()
    expected = network(x)
    network = network.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    assert network.forward_features(x).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


@some_networks
def test_bfloat16_autocast_trains_and_stays_near(build):
    network, x = lively(build()), images()
    expected = network.eval()(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        evaluated = network(x)
        loss = F.cross_entropy(network.train()(x), LABELS)
    assert evaluated.dtype == torch.bfloat16
    assert (evaluated - expected).norm() < 0.05 * expected.norm()
    loss.backward()
    assert loss.isfinite()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name


@some_networks
def test_hooks_on_every_module_see_tensors_that_nothing_overwrites_later(build):
    network, x = lively(build()).train().double(), images().double()
    expected = logits_and_gradients(copy.deepcopy(network), x)
    seen, called, gone_back = [], set(), set()

    def remember(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        called.add(module)
        seen.extend((tensor, tensor.clone()) for tensor in (*args, output))

    def remember_gradients(module: nn.Module, into: tuple[Tensor], out: tuple[Tensor]) -> None:
        gone_back.add(module)
        seen.extend((gradient, gradient.clone()) for gradient in (*into, *out))

    for module in network.modules():
        module.register_forward_hook(remember)
        module.register_full_backward_hook(remember_gradients)
    actual = logits_and_gradients(network, x.requires_grad_())
    torch.testing.assert_close(actual, expected)
    assert called == gone_back
    # Where an inverted bottleneck has no shortcut there is nothing to drop a residual for.
    assert all(isinstance(module, DropPath) for module in set(network.modules()) - called)
    assert all(torch.equal(tensor, before) for tensor, before in seen)


def logits_and_gradients(network: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return what one training step computes."""
    logits = network(x)
    F.cross_entropy(logits, LABELS).backward()
    return logits, [parameter.grad for parameter in network.parameters()]
