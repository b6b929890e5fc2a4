"""What every network promises, on small ones of each family."""

import copy
import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seattn.attention import SEBlock
from seattn.backbones import EfficientNet, resnet18, resnet50, se_resnet18, se_resnet50

Build = Callable[..., nn.Module]

_small = {"layers": (1, 1, 1, 1), "channels": (16, 16, 24, 32), "in_chans": 1}
NETWORKS: dict[str, Build] = {
    "resnet18": partial(resnet18, **_small),
    "se_resnet18": partial(se_resnet18, **_small, stem="small"),
    "resnet50": partial(resnet50, **_small, stem="small"),
    "se_resnet50": partial(se_resnet50, **_small),
    "efficientnet": partial(EfficientNet, width=0.25, depth=0.3, in_chans=1),
}
SHORTCUTS = ("se_resnet18", "se_resnet50", "efficientnet")  # one of each kind of block

every_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
one_of_each_block = pytest.mark.parametrize(
    "build", [NETWORKS[name] for name in SHORTCUTS], ids=SHORTCUTS
)


def images(batch: int = 2, size: tuple[int, int] = (32, 40)) -> Tensor:
    return torch.randn(batch, 1, *size)


def lively(network: nn.Module) -> nn.Module:
    """Give every BatchNorm weights and statistics that show, so that no residual is zero."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


# ---- heads ----------------------------------------------------------------------------------


@every_network
def test_forward_is_features_then_head(build):
    network, x = lively(build(num_classes=3)).eval(), images()
    features = network.forward_features(x)
    assert features.shape[:2] == (2, network.num_features)
    assert torch.equal(network(x), network.forward_head(features))
    assert network(x).shape == (2, 3)


@every_network
def test_pre_logits_are_what_the_classifier_is_given(build):
    network, x = lively(build(num_classes=3)).eval(), images()
    features = network.forward_features(x)
    pooled = network.forward_head(features, pre_logits=True)
    torch.testing.assert_close(pooled, features.mean((2, 3)))
    assert torch.equal(network.get_classifier()(pooled), network(x))


@every_network
@pytest.mark.parametrize("kind", ["avg", "max", "avgmax", ""])
def test_without_classes_the_network_returns_pooled_features(build, kind):
    network, x = lively(build(num_classes=0, global_pool=kind)).eval(), images()
    features = network.forward_features(x)
    mean, largest = features.mean((2, 3)), features.flatten(2).max(2).values
    expected = {"avg": mean, "max": largest, "avgmax": (mean + largest) / 2, "": features}[kind]
    torch.testing.assert_close(network(x), expected)
    assert isinstance(network.get_classifier(), nn.Identity)


@every_network
def test_impossible_heads_and_images_are_refused(build):
    with pytest.raises(ValueError, match=r"`global_pool` \(='mean'\) must be"):
        build(global_pool="mean")
    with pytest.raises(ValueError, match=r"`num_classes` \(=-1\)"):
        build(num_classes=-1)
    with pytest.raises(ValueError, match=r"`in_chans` \(=0\) must be positive"):
        build(in_chans=0)
    with pytest.raises(ValueError, match=r"`num_classes` \(=3\) needs pooled features"):
        build(num_classes=3, global_pool="")


@every_network
def test_reset_classifier_keeps_what_it_was_not_asked_to_change(build):
    network = build(num_classes=3, global_pool="max").double().eval()
    network.reset_classifier(5)
    assert network.num_classes == 5
    assert network.get_classifier().weight.dtype == torch.float64
    assert not any(module.training for module in network.modules())
    x = images().double()
    assert network(x).shape == (2, 5)
    largest = network.forward_features(x).amax((2, 3))
    assert torch.equal(network.forward_head(network.forward_features(x), pre_logits=True), largest)


@every_network
def test_reset_classifier_changes_the_pooling_when_asked(build):
    network = build(num_classes=3)
    network.reset_classifier(0, "")
    assert network(images()).ndim == 4
    with pytest.raises(ValueError, match="needs pooled features"):
        network.reset_classifier(2)
    assert network.num_classes == 0
    network.reset_classifier(2, "avg")
    assert network(images()).shape == (2, 2)


@every_network
def test_reset_classifier_stays_on_the_device(build):
    with torch.device("meta"):
        network = build()
    network.reset_classifier(2)
    assert network.get_classifier().weight.device.type == "meta"


@every_network
def test_feature_info_is_true(build):
    network, x, seen = build().eval(), images(size=(64, 64)), {}
    for info in network.feature_info:
        module = network.get_submodule(info["module"])
        name = info["module"]
        module.register_forward_hook(lambda m, args, out, name=name: seen.update({name: out.shape}))
    network(x)
    for info in network.feature_info:
        side = 64 // info["reduction"]
        assert seen[info["module"]] == (2, info["num_chs"], side, side)


# ---- regularisation -------------------------------------------------------------------------


@every_network
def test_dropout_acts_on_the_pooled_features_in_training_only(build):
    network = build(num_classes=0, drop_rate=0.5)
    features = torch.ones(4, network.num_features, 2, 2)
    dropped = network.train().forward_head(features)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(network.eval().forward_head(features), torch.ones(4, network.num_features))


@one_of_each_block
def test_stochastic_depth_grows_with_depth_and_acts_in_training_only(build):
    plain, network = build(num_classes=3), build(num_classes=3, drop_path_rate=0.5)
    rates = [m.rate for m in network.modules() if hasattr(m, "rate")]
    last = 0.5 * (len(rates) - 1) / len(rates) if isinstance(network, EfficientNet) else 0.5
    assert rates == pytest.approx(torch.linspace(0, last, len(rates)).tolist())
    network.load_state_dict(lively(plain).state_dict())
    x = images()
    assert torch.equal(network.eval()(x), plain.eval()(x))


def test_stochastic_depth_drops_the_residual_of_single_images_and_scales_the_others():
    block = se_resnet18(**_small, drop_path_rate=0.75).layer4[0].train()
    residual = torch.randn(400, 3, 2, 2)
    kept = block.drop_path(residual)
    dropped = (kept == 0).flatten(1).all(1)
    torch.testing.assert_close(kept[~dropped], residual[~dropped] * 4)
    assert dropped.float().mean().item() == pytest.approx(0.75, abs=0.1)  # 4.6 sigma


@every_network
def test_rates_that_are_no_probabilities_are_refused(build):
    with pytest.raises(ValueError, match="`drop_path_rate`"):
        build(drop_path_rate=1.5)
    with pytest.raises(ValueError, match="dropout probability"):
        build(drop_rate=1.5)


# ---- hooks, checkpointing -------------------------------------------------------------------


@every_network
def test_hooks_see_tensors_that_nothing_overwrites_later(build):
    network, seen = lively(build(num_classes=3)).train(), []

    def remember(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        seen.extend((tensor, tensor.detach().clone()) for tensor in (*args, output))

    for module in network.modules():
        module.register_forward_hook(remember)
        module.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    network(images(4).requires_grad_()).sum().backward()
    assert len(seen) > 60
    for output, copied in seen:
        assert torch.equal(output, copied)


@every_network
def test_gradient_checkpointing_changes_no_gradient(build):
    network, x = lively(build(num_classes=3)).train().double(), images(4).double()
    expected = gradients(network, x)
    network.set_grad_checkpointing()
    assert_same_gradients(gradients(network, x), expected)


@one_of_each_block
def test_gradient_checkpointing_holds_less_and_can_be_turned_off(build):
    network, x = build(num_classes=3).train(), images(4)
    plain = saved_bytes(network, x)
    network.set_grad_checkpointing()
    assert saved_bytes(network, x) < 0.6 * plain
    network.set_grad_checkpointing(False)
    assert saved_bytes(network, x) == plain


@one_of_each_block
def test_hooks_on_stages_fire_under_gradient_checkpointing(build):
    network, seen = build(), []
    stage = network.get_submodule(network.feature_info[-1]["module"])
    stage.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    network.set_grad_checkpointing()
    network.train()(images())
    assert len(seen) == 1


def gradients(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    F.cross_entropy(network(x), torch.arange(len(x)) % 3).backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def assert_same_gradients(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, msg=lambda m, name=name: f"{name}: {m}")


def saved_bytes(network: nn.Module, x: Tensor) -> int:
    """Bytes of activations that one forward pass keeps for backward."""
    storages = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(x)
    for parameter in network.parameters():
        storages.pop(parameter.untyped_storage().data_ptr(), None)
    del output
    return sum(storages.values())


# ---- portability ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "training"), [("se_resnet18", False), ("se_resnet50", True), ("efficientnet", True)]
)
def test_torch_compile_makes_one_graph(name, training):
    network, x = lively(NETWORKS[name](num_classes=3)).train(training), images()
    expected = copy.deepcopy(network)(x)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)


@pytest.mark.parametrize(
    "name",
    [
        "se_resnet18",
        "efficientnet",
        pytest.param(
            "se_resnet50",
            marks=pytest.mark.skipif(
                torch.__version__ < "2.7",
                reason="torch 2.6 exports a convolution and max pooling for one parity of sizes",
            ),
        ),
    ],
)
def test_export_keeps_batch_and_size_free(name):
    network = lively(NETWORKS[name](num_classes=3)).eval()
    side = {"min": 33, "max": 512}  # export takes a map of one pixel for another case
    free = {0: torch.export.Dim("N", max=64)}
    free |= {2: torch.export.Dim("H", **side), 3: torch.export.Dim("W", **side)}
    exported = torch.export.export(network, (images(3, (48, 64)),), dynamic_shapes=(free,))
    x = images(2, (57, 41))
    torch.testing.assert_close(exported.module()(x), network(x))


@one_of_each_block
@pytest.mark.parametrize("training", [False, True])
def test_fx_traces_the_network(build, training):
    network = lively(build(num_classes=3, drop_path_rate=0.3)).train(training)
    x = images()
    traced = torch.fx.symbolic_trace(network)
    torch.manual_seed(3)
    expected = copy.deepcopy(network)(x)
    torch.manual_seed(3)
    assert torch.equal(traced(x), expected)


@one_of_each_block
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_computes_the_same(build, duplicate):
    network, x = lively(build(num_classes=3)).eval(), images()
    assert torch.equal(duplicate(network)(x), network(x))


@one_of_each_block
def test_channels_last_is_kept(build):
    network, x = lively(build(num_classes=3)).eval(), images()
    expected = network(x)
    network = network.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    assert network.forward_features(x).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


@one_of_each_block
def test_bfloat16_autocast_trains(build):
    network = lively(build(num_classes=3)).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(network(images()), torch.tensor([0, 2]))
    loss.backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()


@one_of_each_block
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs(build, dtype):
    network, x = lively(build(num_classes=3)).eval(), images()
    half = copy.deepcopy(network).to(dtype)(x.to(dtype))
    assert half.dtype == dtype
    scale = network(x).abs().max().item()
    torch.testing.assert_close(half.float(), network(x), rtol=0, atol=0.05 * scale)


@every_network
def test_one_image_of_odd_size_down_to_a_map_of_one_pixel(build):
    network = build(num_classes=3).eval()
    assert network(images(1, (7, 5))).isfinite().all()
    assert network(images(1, (97, 131))).isfinite().all()


def test_conversion_to_sync_batchnorm_loses_no_activation():
    network, x = lively(NETWORKS["efficientnet"](num_classes=3)).eval(), images()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    assert torch.equal(converted(x), network(x))


def test_blocks_are_se_blocks_where_they_should_be():
    assert isinstance(NETWORKS["se_resnet18"]().layer1[0].se, SEBlock)
    assert isinstance(NETWORKS["resnet18"]().layer1[0].se, nn.Identity)
