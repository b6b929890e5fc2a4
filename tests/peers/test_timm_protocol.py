"""timm's protocol around our networks: the same tensors and names for the same calls."""

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from seattn.backbones import layer_decay_groups
from seattn.zoo import create_model

# One of each family; tiny pictures, so that a forward pass costs little.
NAMES = {
    "se_resnet50": "seresnet50",
    "resnet18": "resnet18",
    "se_resnext50_32x4d": "seresnext50_32x4d",
    "efficientnet_b0": "efficientnet_b0",
}
every_family = pytest.mark.parametrize(("name", "theirs"), NAMES.items())


def twins(name: str, theirs: str, **kwargs: object) -> tuple[nn.Module, nn.Module]:
    """Both networks with the same random weights, no residual zero."""
    peer = timm.create_model(theirs, **kwargs).eval()
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    with torch.device("meta"):
        ours = create_model(name, **kwargs).eval()
    kept = ours.state_dict()  # timm's EfficientNet trunk has blocks that it does not run
    weights = {
        k: v for k, v in peer.state_dict().items() if k in kept or "features_only" not in kwargs
    }
    ours.to_empty(device="cpu").load_state_dict(weights, strict=True)
    return ours, peer


def assert_near(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@every_family
@pytest.mark.parametrize("out_indices", [None, (1, 2, 3), (0, -1)])
@torch.inference_mode()
def test_features_only_returns_timms_maps_under_timms_names(name, theirs, out_indices):
    options = {} if out_indices is None else {"out_indices": out_indices}
    ours, peer = twins(name, theirs, features_only=True, **options)
    if out_indices != (1, 2, 3) or "efficientnet" not in name:
        assert list(ours.state_dict()) == list(peer.state_dict())
    for what in ("channels", "reduction", "module_name"):
        assert getattr(ours.feature_info, what)() == getattr(peer.feature_info, what)()
    x = torch.randn(2, 3, 97, 75)
    maps, expected = ours(x), peer(x)
    assert len(maps) == len(expected)
    for actual, wanted in zip(maps, expected, strict=True):
        assert_near(actual, wanted)


@every_family
@pytest.mark.parametrize("indices", [None, 2, [1, 3], [-1]])
@torch.inference_mode()
def test_forward_intermediates_are_timms(name, theirs, indices):
    ours, peer = twins(name, theirs)
    x = torch.randn(1, 3, 64, 75)
    final, maps = ours.forward_intermediates(x, indices)
    wanted_final, wanted = peer.forward_intermediates(x, indices)
    assert_near(final, wanted_final)
    for actual, expected in zip(maps, wanted, strict=True):
        assert_near(actual, expected)
    early = ours.forward_intermediates(x, indices, stop_early=True, intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(early, maps, strict=True))


@every_family
@pytest.mark.parametrize("output_stride", [8, 16])
@torch.inference_mode()
def test_output_stride_is_timms(name, theirs, output_stride):
    if name == "resnet18":  # timm's basic blocks of 18 layers take it too
        name, theirs = "resnet34", "resnet34"
    ours, peer = twins(name, theirs, output_stride=output_stride, num_classes=7)
    assert [i["reduction"] for i in ours.feature_info] == [
        i["reduction"] for i in peer.feature_info
    ]
    x = torch.randn(1, 3, 96, 71)
    assert_near(ours.forward_features(x), peer.forward_features(x))
    assert_near(ours(x), peer(x))


@torch.inference_mode()
def test_senet154_with_its_wide_shortcuts_takes_an_output_stride_as_timm():
    ours, peer = twins("senet154", "senet154", output_stride=8, num_classes=3)
    x = torch.randn(1, 3, 64, 64)
    assert_near(ours(x), peer(x))


@every_family
def test_layer_decay_groups_are_timms(name, theirs):
    with torch.device("meta"):
        ours, peer = create_model(name, num_classes=5), timm.create_model(theirs, num_classes=5)
    expected = rates(peer, param_groups_layer_decay(peer, weight_decay=0.05, layer_decay=0.7))
    mine = layer_decay_groups(ours, lr=2.0, weight_decay=0.05, layer_decay=0.7)
    assert rates(ours, mine) == pytest.approx(expected)
    assert all(group["lr"] == 2 * group["lr_scale"] for group in mine)
    through_timm = param_groups_layer_decay(ours, weight_decay=0.05, layer_decay=0.7)
    assert rates(ours, through_timm) == pytest.approx(expected)


@every_family
@pytest.mark.parametrize("coarse", [False, True])
def test_group_matchers_are_timms(name, theirs, coarse):
    with torch.device("meta"):
        ours, peer = create_model(name), timm.create_model(theirs)
    assert ours.group_matcher(coarse=coarse) == peer.group_matcher(coarse=coarse)


def rates(network: nn.Module, groups: list[dict]) -> dict[str, tuple[float, float]]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(p)] + what: group[what]
        for group in groups
        for p in group["params"]
        for what in ("lr_scale", "weight_decay")
    }
