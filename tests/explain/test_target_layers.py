"""Which layer is explained: several, the network's own, another layout, and the list of them."""

from functools import partial

import pytest
import torch
from torch import nn

import seattn
from seattn.explain import GradCAM, from_channels_last, from_tokens, list_layers, tap


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.stage = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(torch.tanh(self.stage(self.stem(x))).mean((2, 3)))


# ---- several layers --------------------------------------------------------------------------


def test_several_layers_take_one_forward_pass_and_equal_single_calls():
    net, x = Net().double(), torch.randn(2, 2, 9, 8, dtype=torch.float64)
    layers = ["stage", "stem", net.stage[0]]
    singles = [GradCAM(net, layer).explain(x, classes=[2, 0]) for layer in layers]
    calls = []
    handle = net.stem.register_forward_hook(lambda *_: calls.append(1))
    results = GradCAM(net, layers).explain(x, classes=[2, 0])
    assert len(calls) == 1
    handle.remove()
    assert isinstance(results, tuple)
    assert [result.layer for result in results] == ["stage", "stem", "stage.0"]
    for result, single in zip(results, singles, strict=True):
        for field in ("maps", "raw", "activation", "gradient", "output", "target"):
            torch.testing.assert_close(
                getattr(result, field), getattr(single, field), rtol=1e-12, atol=1e-16
            )
        assert result.mode == single.mode == "head"
    maps = GradCAM(net, layers)(x, classes=[2, 0])
    assert all(torch.equal(m, result.maps) for m, result in zip(maps, results, strict=True))
    assert isinstance(GradCAM(net, ["stem"])(x), tuple)
    with pytest.raises(ValueError, match="`target_layer` is empty; give at least one layer"):
        GradCAM(net, [])
    with pytest.raises(ValueError, match="`target_layer` 'stam' not found; did you mean 'stem'"):
        GradCAM(net, ["stem", "stam"])


def test_the_explanation_holds_activation_and_gradient():
    net, x = Net(), torch.randn(2, 2, 9, 8)
    with tap(net, "stage") as t:
        output = net(x)
        grads = [t.grads(output[:, column]) for column in (2, 0)]
    result = GradCAM(net, "stage").explain(x, classes=[2, 0])
    assert torch.equal(result.activation, grads[0][0][0])
    wanted = torch.stack([gradient for _, (gradient,) in grads], 1)
    torch.testing.assert_close(result.gradient, wanted)
    assert result.gradient.shape == (2, 2, 6, 5, 4)
    one = GradCAM(net, "stage").explain(x, target=0)
    torch.testing.assert_close(one.gradient, wanted[:, 1])
    assert not any(t.requires_grad for t in (one.gradient, one.activation))
    half = GradCAM(net.half(), "stage").explain(x.half(), target=0)
    assert half.gradient.dtype == half.activation.dtype == torch.float32
    assert (half.gradient - one.gradient).abs().max() < 1e-2 * one.gradient.abs().max()


# ---- the network's own -----------------------------------------------------------------------


@pytest.mark.parametrize("name", seattn.list_models())
def test_our_networks_state_their_last_stage(name):
    with torch.device("meta"):
        net = seattn.create_model(name)
    (layer,) = GradCAM(net).names
    assert layer == ("blocks.6" if name.startswith("efficientnet") else "layer4")
    stage = net.get_submodule(layer)
    assert type(stage).__name__ == "Stage"
    following = list(net.trunk)[list(net.trunk).index(layer) + 1 :]
    # Nothing after it but the 1x1 convolution on the same grid that the pooling reads.
    assert following == (["conv_head", "bn2", "act2"] if layer == "blocks.6" else [])


def test_the_stated_layer_is_the_default():
    torch.manual_seed(0)
    net, x = seattn.se_resnet18(layers=(1, 1, 1, 1), in_chans=1), torch.randn(2, 1, 64, 70)
    assert torch.equal(GradCAM(net)(x), GradCAM(net, "layer4")(x))
    assert GradCAM(net).explain(x).layer == "layer4"
    assert torch.equal(GradCAM(torch.compile(net, backend="eager"))(x), GradCAM(net)(x))


def test_a_network_that_states_nothing_is_an_error_with_candidates():
    with pytest.raises(ValueError, match="`target_layer` is missing, and this Net states no"):
        GradCAM(Net())
    with pytest.raises(ValueError, match=r"one of \['stage'\], see `list_layers\(model, x\)`"):
        GradCAM(Net())
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 3), nn.Flatten())
    with pytest.raises(ValueError, match=r"perhaps one of \['0', '2'\]"):
        GradCAM(net)
    for net in (nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU())):
        message = "a map: none of its modules holds a convolution of more than one pixel, see `list"
        with pytest.raises(ValueError, match=message):
            GradCAM(net)
    for info, states in [
        ([{"module": "s5"}], "states 's5', which is none of its modules"),
        ([{"num_chs": 3}], "states no layer"),
        ([], "states no layer"),
        (None, "states no layer"),
    ]:
        net = Net()
        net.feature_info = info
        with pytest.raises(ValueError, match=states):
            GradCAM(net)


class Wrapper(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net


def headless():
    """As torchvision's networks are often used: the last layer replaced, the pooling there."""
    net = Net()
    net.pool, net.fc = nn.AdaptiveAvgPool2d(1), nn.Identity()
    return net


@pytest.mark.parametrize(
    ("wrapped", "layer"),
    [
        (lambda: Wrapper(Net()), "net.stage"),
        (lambda: Wrapper(Wrapper(headless())), "net.net.stage"),
        (lambda: nn.Sequential(headless(), nn.Linear(6, 2)), "0.stage"),
        (lambda: Wrapper(seattn.se_resnet18(layers=(1, 1, 1, 1))), "net.layer4"),
        (lambda: Wrapper(Wrapper(seattn.efficientnet_b0())), "net.net.blocks.6"),
        (
            lambda: nn.Sequential(Wrapper(seattn.create_model("resnet18", features_only=True))),
            "0.net.layer4",
        ),
    ],
)
def test_the_candidates_of_a_wrapped_network_lie_inside_it(wrapped, layer):
    with pytest.raises(ValueError, match=rf"perhaps one of \['{layer}'\], see"):
        GradCAM(wrapped())


def test_an_empty_name_is_no_layer():
    for layer in ("", [""], []):
        with pytest.raises(ValueError, match="`target_layer` is empty; give at least one layer"):
            GradCAM(Net(), layer)
    net = nn.Conv2d(1, 2, 3)  # the whole model is one
    assert GradCAM(net, net)(torch.rand(2, 1, 5, 5), target=lambda y: y[:, 0, 0, 0]).any()


# ---- layouts ---------------------------------------------------------------------------------


class ChannelsLast(nn.Module):
    """``Net`` whose stage returns (N, H, W, C)."""

    def __init__(self, net):
        super().__init__()
        self.net, self.stage = net, nn.Identity()

    def forward(self, x):
        y = self.stage(self.net.stage(self.net.stem(x)).permute(0, 2, 3, 1))
        return self.net.fc(torch.tanh(y).mean((1, 2)))


class Tokens(ChannelsLast):
    """``Net`` whose stage returns tokens, two of which are not of the image."""

    def forward(self, x):
        y = self.net.stage(self.net.stem(x)).flatten(2).transpose(1, 2)
        y = self.stage(torch.cat([torch.ones_like(y[:, :2]), y], 1))
        return self.net.fc(torch.tanh(y[:, 2:]).mean(1))


@pytest.mark.parametrize(
    ("wrapper", "layout"),
    [
        (ChannelsLast, from_channels_last),
        (Tokens, partial(from_tokens, prefix=2, grid=(5, 4))),
        (Tokens, lambda y: y[:, 2:].transpose(1, 2).unflatten(2, (5, 4))),
    ],
)
def test_another_layout_gives_the_same_map(wrapper, layout):
    net, x = Net().double(), torch.randn(2, 2, 9, 8, dtype=torch.float64)
    wanted = GradCAM(net, "stage").explain(x, classes=[1, 2])
    got = GradCAM(wrapper(net), "stage", layout=layout).explain(x, classes=[1, 2])
    for field in ("maps", "raw", "activation", "gradient"):
        torch.testing.assert_close(
            getattr(got, field), getattr(wanted, field), rtol=1e-12, atol=1e-16
        )
    with pytest.raises(ValueError, match=r"choose another layer, or a `layout` such as `from_tok"):
        GradCAM(wrapper(net), "net.fc", layout=lambda y: y)(x)


def test_tokens_in_three_dimensions():
    tokens = torch.arange(2 * 25 * 3).reshape(2, 25, 3)
    maps = from_tokens(tokens, grid=(2, 3, 4))
    assert maps.shape == (2, 3, 2, 3, 4)
    assert maps[1, 2, 1, 2, 3] == tokens[1, 24, 2]
    assert maps[1, 2, 0, 1, 2] == tokens[1, 1 + 6, 2]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 3, 4, 4), {}, r"must be \(N, L, C\), not \(2, 3, 4, 4\); choose another `layout`"),
        ((2, 12, 3), {}, r"12 tokens without `prefix` \(=1\) do not fill `grid` \(3, 3\); `lay"),
        ((2, 12, 3), {"grid": (3, 4)}, r"do not fill `grid` \(3, 4\)"),
        ((2, 3, 3), {"prefix": 3}, r"3 tokens without `prefix` \(=3\) do not fill"),
        ((2, 3, 3), {"prefix": 4}, r"do not fill `grid` \(0, 0\)"),
    ],
)
def test_tokens_that_do_not_fill_the_grid_are_errors(shape, options, message):
    with pytest.raises(ValueError, match=message):
        from_tokens(torch.zeros(shape), **options)


def test_a_score_that_reads_the_class_token_alone_is_a_warning():
    class ClassToken(Tokens):
        def forward(self, x):
            y = self.net.stage(self.net.stem(x)).flatten(2).transpose(1, 2)
            return self.net.fc(self.stage(torch.cat([y.mean(1, keepdim=True), y], 1))[:, 0])

    layout = partial(from_tokens, grid=(5, 4))
    with pytest.warns(UserWarning, match="gradient is 0 at every position of layer 'stage', and"):
        maps = GradCAM(ClassToken(Net()), "stage", layout=layout)(torch.randn(2, 2, 9, 8))
    assert not maps.any()


def test_a_layer_that_splits_the_batch_is_an_error():
    class Windows(Net):
        def forward(self, x):
            y = self.stage(self.stem(x.reshape(-1, 2, 4, 8)))
            return self.fc(torch.tanh(y).mean((2, 3))).reshape(2, -1, 3).mean(1)

    message = r"'stage' returned the shape \(4, 6, 2, 4\); a map needs \(2, channels, \*grid\)"
    with pytest.raises(ValueError, match=message):
        GradCAM(Windows(), "stage")(torch.randn(2, 2, 8, 8))


# ---- the list --------------------------------------------------------------------------------


def test_the_list_of_layers():
    net = seattn.se_resnet18(layers=(1, 1, 1, 1), in_chans=1, num_classes=2)
    listed = list_layers(net, torch.rand(1, 1, 64, 96))
    by_name = {layer.name: layer for layer in listed}
    stage = by_name["layer4"]
    assert (stage.kind, stage.shape, stage.calls) == ("Stage", (1, 512, 2, 3), 1)
    assert stage.stride == (32.0, 32.0)
    assert by_name["conv1"].stride == (2.0, 2.0)
    assert all(name.count(".") < 2 for name in by_name)
    assert "fc" not in by_name
    assert [layer.name for layer in listed][-2:] == ["layer4.0", "layer4"]
    deep = list_layers(net, torch.rand(1, 1, 64, 96), depth=9)
    assert {layer.name for layer in listed} < {layer.name for layer in deep}
    gates = [n for n, m in net.named_modules() if ".se." in n and isinstance(m, nn.Conv2d)]
    assert gates
    assert not {layer.name for layer in deep} & set(gates)  # one cell only
    assert "layer4    Stage" in str(listed)
    with pytest.raises(ValueError, match=r"`depth` \(=0\) must be at least 1"):
        list_layers(net, torch.rand(1, 1, 64, 96), depth=0)


def test_every_listed_layer_that_is_a_map_can_be_explained():
    net, x = seattn.se_resnet18(layers=(1, 1, 1, 1), in_chans=1), torch.rand(1, 1, 64, 64)
    for layer in list_layers(net, x, depth=9):
        assert layer.stride is None or GradCAM(net, layer.name)(x).shape == (1, 64, 64)


def test_the_list_of_a_transformer_and_of_repeated_calls():
    class Twice(ChannelsLast):
        def forward(self, x):
            self.stage(x)
            return super().forward(x)

    listed = list_layers(Twice(Net()), torch.randn(1, 2, 9, 8))
    by_name = {layer.name: layer for layer in listed}
    assert by_name["stage"].shape == (1, 5, 4, 6)
    assert by_name["stage"].calls == 2
    assert listed[-1].name == "stage"
    assert by_name["stage"].stride == (9 / 4, 8 / 6)  # taken for (N, C, *grid): it has that form
    small = list_layers(ChannelsLast(Net()), torch.randn(1, 2, 5, 5))
    assert (small[-1].shape, small[-1].stride) == ((1, 3, 3, 6), None)
    listed = list_layers(Tokens(Net()), torch.randn(1, 2, 9, 8))
    assert {layer.name: layer.stride for layer in listed}["stage"] is None
    assert "stage      Identity    1x22x6   -       1" in str(listed)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_listing_leaves_the_model_as_it_was(mode):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
    before = net[1].running_mean.clone()
    handle = net[0].register_forward_hook(lambda m, args, y: recorded.append(y.requires_grad))
    recorded = []
    with mode():
        list_layers(net, torch.rand(1, 1, 4, 4))
        with pytest.raises(RuntimeError):
            list_layers(net, torch.rand(1, 7, 4, 4))
    handle.remove()
    assert recorded == [False]
    assert net.training
    assert net[1].training
    assert torch.equal(net[1].running_mean, before)
    assert not any(module._forward_hooks for module in net.modules())
