"""Networks that use the fused operators; on the CPU, where these are plain torch."""

import copy

import pytest
import torch
from torch import distributed, nn
from torch.nn.utils import parametrize

import seattn
from seattn.attention import (
    CBAMBlock,
    ECABlock,
    EffectiveSE,
    SEBlock,
    SqueezeExcite,
    record_gates,
)
from seattn.backbones import BasicBlock, Bottleneck, ResNet, fused_paths
from seattn.ops import SyncBatchNorm
from tests.backbones.fusing import (
    assert_same,
    compiled,
    errors,
    images,
    in_bfloat16,
    open_here,
    plain_step,
    step,
    why,
)

BLOCKS = [BasicBlock, Bottleneck]
GATES = [None, SEBlock, SqueezeExcite, ECABlock, EffectiveSE]


def tiny(block=Bottleneck, *, layers=(1, 2, 1, 1), dtype=torch.float64, **options):
    """A small network whose every parameter and statistic is random, in channels-last memory."""
    torch.manual_seed(0)
    options = {"channels": (16, 32, 16, 24), "in_chans": 1, "num_classes": 3} | options
    network = ResNet(block, layers, **options).to(dtype)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_()
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    spatial_dims = options.get("spatial_dims", 2)
    return network.to(memory_format=torch.channels_last) if spatial_dims == 2 else network


# ---- equal to the modules -------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("attention", GATES)
@pytest.mark.parametrize("block", BLOCKS)
def test_logits_gradients_and_statistics_are_those_of_the_modules(
    on_cpu, block, attention, training
):
    network = tiny(block, attention=attention).train(training)
    assert set(why(network, images()).values()) == {None}
    assert_same(network, images())


@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity"])
@pytest.mark.parametrize("block", BLOCKS)
def test_attention_at_any_position(on_cpu, block, position):
    network = tiny(block, attention=SEBlock, attention_position=position)
    reasons = set(why(network, images()).values())
    assert reasons == (
        {None, "the attention is on the shortcut"} if position == "identity" else {None}
    )
    assert_same(network, images())


@pytest.mark.parametrize("attention", [None, SEBlock])
def test_stochastic_depth_drops_the_same_images(on_cpu, attention):
    network = tiny(attention=attention, drop_path_rate=0.5)
    assert set(why(network, images()).values()) == {None}
    assert_same(network, images())
    assert not torch.equal(
        plain_step(network, images())["logits"], plain_step(network.eval(), images())["logits"]
    )


@pytest.mark.parametrize("options", [
    {"stem": "deep"}, {"stem": "small"}, {"output_stride": 8}, {"cardinality": 4, "base_width": 32},
    {"stride_on": "conv1"}, {"shortcut_kernel_size": 3},
])  # fmt: skip
def test_options_of_the_network(on_cpu, options):
    assert_same(tiny(attention=SEBlock, **options), images())


def test_frozen_norms_in_training(on_cpu):
    network = tiny(attention=SEBlock).train()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and "layer2" not in name:
            module.eval()
    assert_same(network, images())
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.ndim > 1)
    assert_same(network, images())


@pytest.mark.parametrize("momentum", [None, 0.3])
def test_any_momentum(on_cpu, momentum):
    network = tiny(attention=SEBlock)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    assert_same(network, images())


def test_norms_without_running_statistics(on_cpu):
    network = tiny(attention=SEBlock)
    for block in network.layer2:
        block.bn3 = nn.BatchNorm2d(128, track_running_stats=False).double()
    assert set(why(network, images()).values()) == {None}
    assert_same(network.eval(), images())


def test_gradient_checkpointing(on_cpu):
    network = tiny(attention=SEBlock, drop_path_rate=0.3)
    network.set_grad_checkpointing(True)
    assert_same(network, images())


def test_a_batch_of_one_and_maps_of_one_pixel(on_cpu):
    network = tiny(attention=SEBlock)
    x = images(1, 1, 32, 32)
    reasons = why(network.eval(), x)
    assert reasons["layer4.0.bn3"] == "the batch has one value a channel"
    assert_same(network, x)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        network.train()(x)  # torch's own error


@pytest.mark.parametrize("attention", GATES)
def test_in_bfloat16_the_errors_are_no_larger_than_the_modules_own(on_cpu, attention):
    network = tiny(attention=attention, dtype=torch.float32)
    ratios = []
    for seed in range(5):
        x = images(16, 1, 64, 64, seed=seed, dtype=torch.float32)
        exact = plain_step(copy.deepcopy(network).double(), x.double())
        ours = errors(step(network, x, in_bfloat16), exact)
        theirs = errors(plain_step(network, x, in_bfloat16), exact)
        ratios += [ours[name] / theirs[name] for name in ours]
    # One tensor's error is a matter of luck: a rounded zero opens a ReLU. Their mean is not.
    assert torch.tensor(ratios).log().mean().exp() < 1.02


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("attention", [None, SEBlock, ECABlock])
def test_compiles_as_one_graph(on_cpu, attention, training):
    network = tiny(attention=attention, layers=(1, 1, 1, 1)).train(training)
    assert_same(network, images(), compiled)


@pytest.mark.parametrize("spatial_dims", [1, 3])
def test_maps_of_other_ranks_that_lie_channels_last(on_cpu, spatial_dims):
    network = tiny(attention=SEBlock, spatial_dims=spatial_dims)
    x = images(2, 1, *[35] * spatial_dims)
    expected = plain_step(network, x)
    # torch's convolutions return the usual memory here: lay it out as the operators want it
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv3d)):
            module.register_forward_hook(lay_channels_last)
    assert set(why(network, x).values()) == {None}
    found = step(network, x)
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=0, atol=1e-9 * max(1, float(value.abs().max()))
        )


def lay_channels_last(module, args, output):
    rows = output.flatten(2).transpose(1, 2).contiguous()
    return rows.transpose(1, 2).view_as(output)


# ---- what keeps working ---------------------------------------------------------------------


def test_gates_and_maps_are_those_of_the_plain_network(on_cpu):
    network, x = tiny(attention=SEBlock).eval(), images()
    seattn.set_fused("off")
    with record_gates(network) as expected:
        network(x)
    expected_map = seattn.GradCAM(network, "layer4.0.conv3")(x, target=1)
    seattn.set_fused("auto")
    with record_gates(network) as gates:
        network(x)
    assert list(gates) == list(expected)
    for name, gate in expected.items():
        torch.testing.assert_close(gates[name], gate, rtol=1e-12, atol=1e-12)
    for layer in ("layer4.0.conv3", "layer4.0.bn3", "layer4", "layer4.0.se"):
        seattn.GradCAM(network, layer)(x, target=1)
    found = seattn.GradCAM(network, "layer4.0.conv3")(x, target=1)
    torch.testing.assert_close(found, expected_map, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["bn1", "act1", "layer1.0.bn2", "layer1.0.act2", "layer1.0.bn3",
                                  "layer1.0.se", "layer1.0.drop_path", "layer1.0.downsample",
                                  "layer1.0.downsample.1"])  # fmt: skip
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook",
                                  "register_full_backward_hook"])  # fmt: skip
@pytest.mark.parametrize("attention", [None, SEBlock])
def test_a_hook_on_a_module_that_would_be_left_out_fires(on_cpu, name, kind, attention):
    network, calls = tiny(attention=attention), []
    getattr(network.get_submodule(name), kind)(lambda *args: calls.append(name))
    x = images().requires_grad_()
    network(x).sum().backward()
    assert calls == [name]
    assert sum(reason is not None for reason in why(network, x).values()) == 1
    assert_same(network, images())


def test_a_hook_on_all_modules_fires(on_cpu):
    network, seen = tiny(attention=SEBlock), set()
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.add(module))
    try:
        network(images())
    finally:
        handle.remove()
    called = {m for m in network.modules() if not isinstance(m, nn.ModuleList)}
    assert {type(m) for m in called - seen} <= {nn.Identity}


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def quarter(x):
    return x / 4


def other_norm(network):
    network.layer1[0].bn2 = nn.InstanceNorm2d(16, affine=True).double()


def parametrized_norm(network):
    parametrize.register_parametrization(network.layer1[0].bn2, "weight", Doubled())


def other_forward(network):
    network.layer1[0].bn2.forward = quarter


def other_activation(network):
    network.layer1[0].act2 = nn.GELU()


def test_silu_in_a_resnet_is_fused(on_cpu):
    network = tiny(attention=SEBlock)
    network.layer1[0].act2 = nn.SiLU()
    assert set(why(network, images()).values()) == {None}
    assert_same(network, images())


@pytest.mark.parametrize("change", [other_norm, parametrized_norm, other_forward, other_activation])
def test_modules_that_the_operators_do_not_stand_for_run(on_cpu, change):
    network = tiny(attention=SEBlock)
    change(network)
    reasons = why(network, images())
    assert [name for name, reason in reasons.items() if reason] == ["layer1.0.bn2"]
    if change is not other_forward:  # whose copy calls the original's
        assert_same(network, images())
    found = network.eval()(images())
    seattn.set_fused("off")
    torch.testing.assert_close(found, network(images()))
    seattn.set_fused("auto")


def test_dtypes_that_do_not_fit_are_left_to_the_modules_and_their_errors(on_cpu):
    network = tiny(attention=SEBlock)
    network.layer1[0].se.float()
    network.layer2[0].bn1.bfloat16()
    with pytest.raises(RuntimeError):
        network(images())
    for name, x in (("layer1.0", images(2, 16, 9, 9)), ("layer2.0", images(2, 64, 9, 9))):
        with pytest.raises(RuntimeError):
            network.get_submodule(name)(x)
    network.layer1[0].se.double()
    network.layer2[0].bn1.double()
    assert_same(network, images())


def test_a_gate_in_bfloat16_that_autocast_allows_runs_as_a_module(on_cpu):
    network = tiny(attention=SEBlock, dtype=torch.float32)
    network.layer1[0].se.bfloat16()
    x = images(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        reason = why(network, x)["layer1.0.bn3"]
    assert reason == "the attention has another dtype than the norm"
    step(network, x, in_bfloat16)


class MaxGate(SEBlock):
    """Reads more than the mean, and says nothing about it."""

    def gate(self, x):
        return x.amax((2, 3), keepdim=True).sigmoid()


@pytest.mark.parametrize("attention", [CBAMBlock, MaxGate])
def test_a_gate_of_more_than_means_runs_as_a_module(on_cpu, attention):
    network = tiny(attention=attention)
    reasons = {reason for name, reason in why(network, images()).items() if name.endswith("bn3")}
    assert reasons == {f"the gate of {attention.__name__} may read more than the channels' means"}
    assert_same(network, images())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of the checks of shapes
def test_export_fx_and_torch_func_see_the_plain_network(on_cpu):
    network, x = tiny(attention=SEBlock).eval(), images()
    exported = torch.export.export(network, (x,))
    assert "seattn" not in exported.graph_module.code
    modules = [node.target for node in torch.fx.symbolic_trace(network).graph.nodes]
    assert {"bn1", "act1", "layer1.0.bn3", "layer2.1.bn3"} <= set(modules)
    traced = torch.jit.trace(network, x)
    assert "seattn::" not in str(traced.inlined_graph)
    expected = network(x)
    batched = torch.func.vmap(network)(x[:, None])[:, 0]
    torch.testing.assert_close(batched, expected)
    _, tangent = torch.func.jvp(network, (x,), (torch.ones_like(x),))
    assert tangent.shape == expected.shape
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        torch.testing.assert_close(
            torch.autograd.forward_ad.unpack_dual(network(dual)).tangent, tangent
        )


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found."""
    folder = tmp_path_factory.mktemp("two")
    torch.multiprocessing.spawn(one_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("mode", ["auto", "off"])
@pytest.mark.parametrize("images_of_first", [2, 3])
def test_two_processes_with_synchronised_norms_train_as_one(two, images_of_first, mode):
    network = tiny(attention=SEBlock)
    network(images()).square().sum().backward()
    expected = {key: p.grad for key, p in network.named_parameters()}
    expected |= dict(network.named_buffers())
    for found in two:
        share = dict(found["shares"][images_of_first, mode])
        assert share.pop("fused") == (16 if mode == "auto" else 0)
        for name, value in expected.items():
            bound = 1e-9 * max(1, float(value.abs().max()))
            torch.testing.assert_close(share[name], value, rtol=0, atol=bound, msg=name)


def test_distributed_data_parallel_gives_the_gradients_of_the_modules(two):
    found = two
    for each in found:
        for name, gradient in each["plain"].items():
            torch.testing.assert_close(each["fused"][name], gradient, rtol=0, atol=1e-9)
            assert torch.equal(each["fused"][name], found[0]["fused"][name])


def one_of_two(rank, folder):
    """Save one step's gradients under DistributedDataParallel, fused and plain."""
    torch.set_num_threads(1)
    open_here(pytest.MonkeyPatch())
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    x, found = images(3, 1, 40, 40, seed=rank), {}
    for name, mode in (("fused", "auto"), ("plain", "off")):
        seattn.set_fused(mode)
        network = tiny(attention=SEBlock)
        wrapped = nn.parallel.DistributedDataParallel(network)
        wrapped(x).square().sum().backward()
        found[name] = {key: p.grad for key, p in network.named_parameters()}
    found["shares"] = {}
    for images_of_first in (2, 3):  # the second has one, or none
        share = slice(images_of_first) if rank == 0 else slice(images_of_first, None)
        for mode in ("auto", "off"):
            seattn.set_fused(mode)
            found["shares"][images_of_first, mode] = synchronised_step(images()[share])
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def synchronised_step(x):
    """Gradients and statistics, and how many batch norms were fused."""
    network = SyncBatchNorm.convert_sync_batchnorm(tiny(attention=SEBlock))
    fused = [path.why_plain for path in fused_paths(network, x)].count(None)
    wrapped = nn.parallel.DistributedDataParallel(network)
    (2 * wrapped(x).square().sum()).backward()  # gradients are divided by the number of processes
    gradients = {key: p.grad for key, p in network.named_parameters()}
    return {"fused": fused, **gradients, **dict(network.named_buffers())}


def test_state_dicts_and_copies_are_untouched_by_the_switch(on_cpu):
    network = tiny(attention=SEBlock)
    keys = list(network.state_dict())
    network(images())
    assert list(network.state_dict()) == keys
    assert list(copy.deepcopy(network).state_dict()) == keys


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_in_the_usual_memory_run_plain(on_cpu, layout):
    network = tiny(in_chans=3).to(memory_format=torch.contiguous_format)
    x = images(3, 3, 45, 38).contiguous(memory_format=layout)
    reasons = set(why(network, x).values())
    if layout is torch.contiguous_format:
        assert reasons == {"the input is not in channels-last memory"}
    assert_same(network, x)


def test_another_number_of_channels_runs_plain(on_cpu):
    network = tiny(channels=(16, 20, 16, 16))
    reasons = why(network, images())
    assert reasons["layer2.0.bn1"] == "the number of channels (=20) is no multiple of 8"
    assert reasons["layer2.0.bn3"] is None
    assert_same(network, images())


def test_an_empty_batch_runs_plain(on_cpu):
    network = tiny(attention=SEBlock).eval()
    assert None not in why(network, images(0, 1, 40, 40)).values()
    assert network(images(0, 1, 40, 40)).shape == (0, 3)


# ---- fused_paths ----------------------------------------------------------------------------


def test_asking_for_the_paths_moves_nothing():
    network = tiny(attention=SEBlock, drop_path_rate=0.5).train()
    state, x = copy.deepcopy(network.state_dict()), images()
    random = torch.get_rng_state()
    paths = fused_paths(network, x)
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])
    assert [path.name for path in paths][:4] == [
        "bn1",
        "layer1.0.bn1",
        "layer1.0.bn2",
        "layer1.0.bn3",
    ]
    assert str(paths[0]) == "bn1: plain, the input is on cpu; the kernels are for cuda"


def test_paths_of_a_compiled_network_and_of_one_inside_another(on_cpu):
    network = tiny(layers=(1, 1, 1, 1))
    names = [path.name for path in fused_paths(network, images())]
    assert [path.name for path in fused_paths(torch.compile(network), images())] == names
    inside = fused_paths(nn.Sequential(network), images())
    assert [path.name for path in inside] == [f"0.{name}" for name in names]
    assert all(str(path) == f"{path.name}: fused" for path in inside)


def test_the_switch_turns_it_off(on_cpu):
    network = tiny()
    before = seattn.set_fused("off")
    try:
        assert set(why(network, images()).values()) == {"set_fused('off') was called"}
    finally:
        seattn.set_fused(before)
    assert set(why(network, images()).values()) == {None}
