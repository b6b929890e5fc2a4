"""First convolutions for other numbers of channels."""

import pytest
import torch
from torch import nn

from seattn.attention import SEBlock
from seattn.backbones import BasicBlock, EfficientNet, ResNet
from seattn.weights import gray_normalization, load_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resnet(in_chans: int, stem: str = "standard") -> nn.Module:
    widths = (16, 16, 16, 16)
    return ResNet(
        BasicBlock, (1, 1, 1, 1), channels=widths, stem=stem, attention=SEBlock, in_chans=in_chans
    )


def deep(in_chans: int) -> nn.Module:
    return resnet(in_chans, "deep")


def efficientnet(in_chans: int) -> nn.Module:
    return EfficientNet(width=0.25, depth=0.3, in_chans=in_chans)


NETWORKS = {"resnet": resnet, "deep stem": deep, "efficientnet": efficientnet}
each_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)


def pair(build, in_chans: int, **kwargs: object) -> tuple[nn.Module, nn.Module]:
    """A colour network with random statistics, and one of its weights for other channels."""
    colour, net = build(3).double(), build(in_chans).double()
    for module in colour.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    load_weights(net, colour.state_dict(), **kwargs)
    return colour.eval(), net.eval()


def first_map(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What follows the first convolution and its BatchNorm."""
    if hasattr(network, "conv_stem"):
        return network.bn1(network.conv_stem(x))
    if isinstance(network.conv1, nn.Sequential):
        return network.conv1[1](network.conv1[0](x))
    return network.bn1(network.conv1(x))


def colours(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)


@each_network
@pytest.mark.parametrize("in_chans", [1, 2, 5])
@torch.inference_mode()
def test_the_sum_gives_what_the_gray_image_in_colour_gave(build, in_chans):
    colour, net = pair(build, in_chans, adapt_input="sum")
    x = torch.randn(2, 1, 48, 65).double()
    actual, expected = net(x.expand(-1, in_chans, -1, -1)), colour(x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(actual, expected)


def test_the_mean_is_a_third_of_the_sum():
    colour, net = pair(resnet, 1, adapt_input="mean")
    expected = colour.conv1.weight.mean(1, keepdim=True)
    torch.testing.assert_close(net.conv1.weight, expected, rtol=0, atol=1e-12)
    _, wide = pair(resnet, 2, adapt_input="mean")
    assert torch.equal(wide.conv1.weight[:, 0], wide.conv1.weight[:, 1])


@each_network
@pytest.mark.parametrize("in_chans", [1, 2])
@torch.inference_mode()
def test_normalized_is_exact_inside_and_off_only_at_the_border(build, in_chans):
    colour, net = pair(build, in_chans, adapt_input="normalized", mean=MEAN, std=STD)
    gray = torch.rand(2, 1, 40, 41).double()
    mean, std = (colours(values) for values in (MEAN, STD))
    gray_mean, gray_std = gray_normalization(MEAN, STD)
    expected = first_map(colour, (gray - mean) / std)
    actual = first_map(net, ((gray - gray_mean) / gray_std).expand(-1, in_chans, -1, -1))
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(actual[inside], expected[inside], rtol=1e-9, atol=1e-9)
    assert (actual - expected).abs().max() > 1e-3  # the padding is another gray


@torch.inference_mode()
def test_normalized_is_exact_inside_in_training_too():
    colour, net = pair(resnet, 1, adapt_input="normalized", mean=MEAN, std=STD)
    colour.conv1.padding = net.conv1.padding = (0, 0)
    gray = torch.rand(4, 1, 40, 41).double()
    mean, std = (colours(values) for values in (MEAN, STD))
    gray_mean, gray_std = gray_normalization(MEAN, STD)
    expected = first_map(colour.train(), (gray - mean) / std)
    actual = first_map(net.train(), (gray - gray_mean) / gray_std)
    torch.testing.assert_close(actual, expected)


def test_normalized_shifts_a_bias_where_the_convolution_has_one():
    colour, net = nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Conv2d(1, 4, 3))
    report = load_weights(net, colour.state_dict(), adapt_input="normalized", mean=MEAN, std=STD)
    assert report.changed.keys() == {"0.weight", "0.bias"}
    gray = torch.rand(2, 1, 9, 9)
    mean, std = (colours(values).float() for values in (MEAN, STD))
    gray_mean, gray_std = gray_normalization(MEAN, STD)
    torch.testing.assert_close(net((gray - gray_mean) / gray_std), colour((gray - mean) / std))


def test_normalized_without_anything_to_shift_is_refused():
    bare = [nn.Conv2d(channels, 4, 3, bias=False) for channels in (3, 1)]
    colour, net = (nn.Sequential(layer, nn.Flatten(), nn.Linear(4, 2)) for layer in bare)
    with pytest.raises(ValueError, match="needs a bias or BatchNorm"):
        load_weights(net, colour.state_dict(), adapt_input="normalized", mean=MEAN, std=STD)


@pytest.mark.parametrize("how", ["sum", "mean", "normalized"])
def test_what_was_changed_is_reported(how):
    normalisation = {"mean": MEAN, "std": STD} if how == "normalized" else {}
    net = resnet(1)
    report = load_weights(net, resnet(3).state_dict(), adapt_input=how, **normalisation)
    shifted = {"bn1.running_mean": "takes up the mean of each colour"}
    assert report.changed == {"conv1.weight": f"3 input channels to 1, {how!r}"} | (
        shifted if how == "normalized" else {}
    )


def test_nothing_is_adapted_where_the_number_of_channels_agrees():
    colour, net = pair(resnet, 3, adapt_input="normalized", mean=MEAN, std=STD)
    for key, value in colour.state_dict().items():
        assert torch.equal(value, net.state_dict()[key])


def test_half_precision_weights_are_summed_in_double():
    weights = {key: value.half() for key, value in resnet(3).state_dict().items()}
    net = resnet(1)
    load_weights(net, weights, adapt_input="sum")
    exact = weights["conv1.weight"].double()
    assert torch.equal(net.conv1.weight, exact.sum(1, keepdim=True).half().float())
    load_weights(net, weights, adapt_input="normalized", mean=MEAN, std=STD)
    scaled = exact * (gray_normalization(MEAN, STD)[1] / colours(STD))
    assert torch.equal(net.conv1.weight, scaled.sum(1, keepdim=True).half().float())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"adapt_input": "normalized"}, "needs `mean` and `std`"),
        ({"adapt_input": "normalized", "mean": MEAN}, "needs `mean` and `std`"),
        ({"adapt_input": "sum", "mean": MEAN}, "serve `adapt_input='normalized'` only"),
        ({"std": STD}, "serve `adapt_input='normalized'` only"),
        ({"adapt_input": "normalized", "mean": MEAN, "std": (1, 1, 0)}, "`std` positive"),
        ({"adapt_input": "normalized", "mean": MEAN, "std": (1, 1)}, "of one length"),
        ({"adapt_input": "normalized", "mean": (0, 0), "std": (1, 1)}, "`mean` has 2 values"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(kwargs, message):
    net = resnet(1)
    before = net.conv1.weight.clone()
    with pytest.raises(ValueError, match=message):
        load_weights(net, resnet(3).state_dict(), **kwargs)
    assert torch.equal(net.conv1.weight, before)


def test_gray_normalization_is_the_average():
    assert gray_normalization((0.1, 0.2, 0.6), (1.0, 2.0, 3.0)) == (pytest.approx(0.3), 2.0)
