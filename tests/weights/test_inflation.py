"""2D weights in 3D networks."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from seattn.attention import ECABlock, record_gates
from seattn.backbones import resnet18, se_resnet50
from seattn.weights import inflate, load_weights

_small = {"layers": (1, 1, 1, 1), "channels": (16, 16, 24, 32), "in_chans": 1, "num_classes": 3}
BUILD = {
    "se_resnet50": partial(se_resnet50, **_small),
    "eca resnet18": partial(resnet18, **_small, attention=ECABlock, stem="deep"),
}
every_network = pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)


def pair(build: partial[nn.Module], mode: str) -> tuple[nn.Module, nn.Module]:
    """A 2D network whose residuals show, and the 3D network made of it."""
    flat, volumes = build().eval(), build(spatial_dims=3).eval()
    for module in flat.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    report = load_weights(volumes, inflate(flat.state_dict(), volumes, mode=mode))
    assert set(report.loaded) == set(volumes.state_dict())
    return flat, volumes


def assert_near(actual: Tensor, expected: Tensor) -> None:
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@every_network
@pytest.mark.parametrize("depth", [1, 2, 5, 32])
@torch.inference_mode()
def test_centred_kernels_see_every_slice_as_the_2d_network_does(build, depth):
    flat, volumes = pair(build, "center")
    x = torch.randn(2, 1, 49, 64)
    deep = x[:, :, None].repeat(1, 1, depth, 1, 1)
    assert_near(volumes(deep), flat(x))
    with record_gates(flat) as expected, record_gates(volumes) as gates:
        flat(x)
        volumes(deep)
    assert gates.keys() == expected.keys()
    for name in gates:
        assert_near(gates[name], expected[name])


@torch.inference_mode()
def test_mean_kernels_agree_away_from_the_first_and_last_slices():
    flat, volumes = pair(BUILD["se_resnet50"], "mean")
    kernel, deep = flat.conv1.weight, volumes.conv1.weight
    torch.testing.assert_close(deep, kernel[:, :, None].repeat(1, 1, 7, 1, 1) / 7)
    x = torch.randn(2, 1, 33, 40)
    map = volumes.conv1(x[:, :, None].repeat(1, 1, 21, 1, 1))
    assert_near(map[:, :, 4], flat.conv1(x))
    assert not torch.allclose(map[:, :, 0], flat.conv1(x), rtol=0.1)


def test_the_2d_weights_stay_as_they_were():
    flat, volumes = BUILD["se_resnet50"](), BUILD["se_resnet50"](spatial_dims=3)
    before = {key: value.clone() for key, value in flat.state_dict().items()}
    weights = inflate(flat.state_dict(), volumes)
    assert weights["layer1.0.se.fc1.weight"].shape == before["layer1.0.se.fc1.weight"].shape
    assert weights["layer1.0.conv2.weight"].shape == (16, 16, 3, 3, 3)
    assert all(torch.equal(value, before[key]) for key, value in flat.state_dict().items())


def test_another_shape_is_left_for_the_loader_to_name():
    flat = BUILD["se_resnet50"]().state_dict()
    volumes = se_resnet50(**_small | {"num_classes": 5}, spatial_dims=3)
    weights = inflate(flat, volumes)
    assert weights["fc.weight"] is flat["fc.weight"]
    with pytest.raises(ValueError, match=r"fc\.weight"):
        load_weights(volumes, weights)


def test_a_2d_model_is_refused():
    flat = BUILD["se_resnet50"]()
    with pytest.raises(ValueError, match="has no 3D kernel for any 2D kernel"):
        inflate(flat.state_dict(), flat)


def test_another_mode_is_refused():
    flat = BUILD["se_resnet50"]()
    with pytest.raises(ValueError, match=r"`mode` \(='repeat'\)"):
        inflate(flat.state_dict(), flat, mode="repeat")
