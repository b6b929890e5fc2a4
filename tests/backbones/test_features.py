"""Feature maps from inside a network, and the trunk of a network alone."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from seattn.backbones import EfficientNet, FeatureNet, se_resnet18, se_resnet50

_small = {"layers": (1, 1, 1, 1), "channels": (16, 16, 24, 32), "in_chans": 1, "num_classes": 3}
NETWORKS = {
    "se_resnet18": partial(se_resnet18, **_small),
    "se_resnet50": partial(se_resnet50, **_small, stem="deep"),
    "efficientnet": partial(EfficientNet, width=0.25, depth=0.3, in_chans=1),
}
every_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
X = torch.linspace(-1, 1, 2 * 70 * 64).reshape(2, 1, 70, 64)


def hooked(network: nn.Module, names: list[str]) -> list[torch.Tensor]:
    """The outputs of these modules, by hooks."""
    seen = {}
    for name in names:
        module = network.get_submodule(name)
        module.register_forward_hook(lambda m, args, out, name=name: seen.update({name: out}))
    network(X)
    return [seen[name] for name in names]


@every_network
@pytest.mark.parametrize(
    ("indices", "positions"),
    [(None, [0, 1, 2, 3, 4]), (2, [3, 4]), ((1, 3), [1, 3]), ([-1, 0], [0, 4]), ((2,), [2])],
)
@pytest.mark.parametrize("stop_early", [False, True])
def test_intermediates_are_what_the_modules_return(build, indices, positions, stop_early):
    network = build().eval()
    names = [network.feature_info[i]["module"] for i in positions]
    expected = hooked(copy.deepcopy(network), names)
    last, maps = network.forward_intermediates(X, indices, stop_early=stop_early)
    assert len(maps) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    assert torch.equal(last, maps[-1] if stop_early else network.forward_features(X))
    only = network.forward_intermediates(X, indices, intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(only, maps, strict=True))


@every_network
@pytest.mark.parametrize("indices", [0, 6, (5,), (-6, 1), ()])
def test_feature_maps_that_do_not_exist_are_refused(build, indices):
    with pytest.raises(ValueError, match=r"among the 5 feature maps, 0 to 4"):
        build().forward_intermediates(X, indices)


def test_another_layout_is_refused():
    with pytest.raises(ValueError, match=r"`output_fmt` \(='NHWC'\)"):
        NETWORKS["se_resnet18"]().forward_intermediates(X, output_fmt="NHWC")


@every_network
@pytest.mark.parametrize("out_indices", [None, (1, 2), (0, -2)])
def test_the_trunk_returns_the_networks_maps(build, out_indices):
    network = build().eval()
    expected = network.forward_intermediates(X, out_indices, intermediates_only=True)
    encoder = FeatureNet(network, out_indices=out_indices)
    maps = encoder(X)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    info = encoder.feature_info
    assert [m.shape[1] for m in maps] == info.channels()
    assert [-(-70 // m.shape[2]) for m in maps] == info.reduction() or info.reduction()[-1] > 8
    assert len(info.module_name()) == len(maps)
    assert not any(module.training for module in encoder.modules())


@every_network
def test_the_trunk_keeps_names_and_nothing_that_it_does_not_run(build):
    network = build()
    weights = network.state_dict()
    encoder = FeatureNet(network, out_indices=(2,)).train()
    kept = encoder.state_dict()
    assert kept
    assert all(torch.equal(value, weights[name]) for name, value in kept.items())
    encoder(X)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@every_network
def test_the_trunk_says_what_the_whole_network_offers(build):
    network = build()
    encoder = FeatureNet(network, out_indices=(1,))
    assert len(encoder.feature_info) == 5
    assert list(encoder.feature_info) == network.feature_info
    assert encoder.feature_info.out_indices == (1,)


@every_network
@pytest.mark.parametrize(
    "transform",
    [
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        torch.fx.symbolic_trace,
        lambda m: torch.compile(m, fullgraph=True, backend="aot_eager"),
        lambda m: torch.export.export(m, (X,)).module(),
    ],
    ids=["deepcopy", "pickle", "fx", "compile", "export"],
)
def test_the_trunk_travels(build, transform):
    encoder = FeatureNet(build().eval(), out_indices=(1, 3))
    expected = encoder(X)
    for actual, wanted in zip(transform(encoder)(X), expected, strict=True):
        torch.testing.assert_close(actual, wanted)


@every_network
def test_the_trunk_checkpoints_gradients(build):
    encoder = FeatureNet(build())
    encoder.set_grad_checkpointing()
    flags = [m.grad_checkpointing for m in encoder.modules() if hasattr(m, "grad_checkpointing")]
    assert flags
    assert all(flags)
    encoder(X)[-1].sum().backward()


def test_the_trunk_keeps_where_its_weights_come_from():
    network = NETWORKS["se_resnet18"]()
    network.pretrained_cfg = "here"
    assert FeatureNet(network).pretrained_cfg == "here"
