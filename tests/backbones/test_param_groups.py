import pytest
import torch

from seattn.backbones import EfficientNet, layer_decay_groups, se_resnet18


def small(**kwargs: int) -> torch.nn.Module:
    return se_resnet18(layers=(1, 2, 1, 1), channels=(16, 16, 16, 16), **kwargs)


def rates(network: torch.nn.Module, **kwargs: float) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of every parameter by name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = layer_decay_groups(network, lr=1.0, **kwargs)
    chosen = [(names[id(p)], (g["lr"], g["weight_decay"])) for g in groups for p in g["params"]]
    assert len(dict(chosen)) == len(chosen)
    return dict(chosen)


def test_every_layer_learns_faster_than_the_one_before():
    found = rates(small(), layer_decay=0.5, weight_decay=0.1)
    layers = ["conv1", "layer1.0.conv1", "layer2.0.conv2", "layer2.1.se.fc1", "layer3.0.conv1"]
    layers += ["layer4.0.conv2", "fc"]
    for depth, layer in enumerate(reversed(layers)):
        assert found[f"{layer}.weight"] == (0.5**depth, 0.1)
    assert found["bn1.weight"] == (0.5**6, 0.0)
    assert found["layer4.0.se.fc2.bias"] == (0.5, 0.0)
    assert found["fc.bias"] == (1.0, 0.0)


@pytest.mark.parametrize("network", [small(), EfficientNet(width=0.25, depth=0.3)])
def test_every_parameter_is_in_one_group(network):
    assert set(rates(network)) == dict(network.named_parameters()).keys()


def test_frozen_parameters_are_left_out():
    network = small()
    network.layer1.requires_grad_(False)
    network.fc.requires_grad_(False)
    names = {name for name, p in network.named_parameters() if p.requires_grad}
    assert set(rates(network)) == names


def test_without_classifier_the_last_block_has_the_full_rate():
    assert rates(small(num_classes=0))["layer4.0.conv1.weight"][0] == 1.0


def test_an_optimizer_takes_the_groups():
    network = small()
    optimizer = torch.optim.SGD(layer_decay_groups(network, lr=0.1, layer_decay=0.5))
    before = network.state_dict()["conv1.weight"].clone()
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    step = network.conv1.weight.grad.clone()
    optimizer.step()
    expected = before - 0.1 * 0.5**6 * (step + 0.05 * before)
    torch.testing.assert_close(network.conv1.weight.detach(), expected)


@pytest.mark.parametrize("wrong", [0, -0.5, 1.5])
def test_a_decay_that_is_no_fraction_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`layer_decay` \(="):
        layer_decay_groups(small(), lr=1.0, layer_decay=wrong)
