"""Pretrained networks from a hub on the loopback interface, with weights made for the test."""

import copy
import hashlib
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from seattn.attention import SEBlock
from seattn.pretrained import get_pretrained_cfg, input_transform, table
from seattn.zoo import create_model
from tests.pretrained.hub import Hub

SMALL = {"layers": (1, 1, 1, 1), "channels": (8, 16, 16, 32)}
CFG = replace(get_pretrained_cfg("resnet18"), sha256=None)
FILE = "timm/resnet18.a1_in1k/model.safetensors"


def serve(hub: Hub, file: str = FILE, **kwargs: int) -> nn.Module:
    """Put a small network's weights on the hub, no residual zero, and return the network."""
    network = create_model("resnet18", **SMALL, **kwargs).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    hub.files[file] = save(network.state_dict())
    return network


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in a.state_dict().items())


def test_the_default_weights_are_loaded_and_described(hub):
    original = serve(hub)
    network = create_model("resnet18", pretrained=True, **SMALL)
    assert same_weights(network, original)
    assert network.pretrained_cfg == CFG
    assert network.training
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.eval()(x), original(x))


def test_a_tag_chooses_others(hub):
    serve(hub)
    original = serve(hub, "timm/resnet18.tv_in1k/model.safetensors")
    network = create_model("resnet18", pretrained="tv_in1k", **SMALL)
    assert same_weights(network, original)
    assert network.pretrained_cfg == get_pretrained_cfg("resnet18", "tv_in1k")


def test_a_configuration_of_ones_own_is_taken(hub):
    original = serve(hub, "hospital/wrists/best.safetensors", num_classes=2)
    cfg = replace(CFG, repository="hospital/wrists", file="best.safetensors", num_classes=2)
    network = create_model("resnet18", pretrained=cfg, num_classes=2, **SMALL)
    assert same_weights(network, original)
    assert network.pretrained_cfg is cfg


def test_the_second_network_comes_from_the_cache(hub):
    serve(hub)
    first = create_model("resnet18", pretrained=True, **SMALL)
    hub.close()
    assert same_weights(create_model("resnet18", pretrained=True, **SMALL), first)
    assert hub.sent[FILE] == 1


def test_random_weights_have_no_configuration_and_ask_no_hub(hub):
    assert create_model("resnet18", **SMALL).pretrained_cfg is None
    assert hub.requests == 0


@pytest.mark.parametrize("num_classes", [0, 2])
def test_another_number_of_classes_keeps_the_random_classifier(hub, num_classes):
    original = serve(hub)
    torch.manual_seed(5)
    network = create_model("resnet18", pretrained=True, num_classes=num_classes, **SMALL)
    torch.manual_seed(5)
    fresh = create_model("resnet18", num_classes=num_classes, **SMALL)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.eval().forward_features(x), original.forward_features(x))
    assert network(x).shape == (2, num_classes or 32)
    assert same_weights(network.get_classifier(), fresh.get_classifier())


def test_as_many_other_classes_are_taken_for_the_weights_own(hub):
    original = serve(hub)
    network = create_model("resnet18", pretrained=True, num_classes=1000, **SMALL)
    assert same_weights(network.fc, original.fc)


def test_features_only_has_the_weights_and_their_configuration(hub):
    original = serve(hub)
    encoder = create_model("resnet18", pretrained=True, features_only=True, **SMALL)
    assert encoder.pretrained_cfg == CFG
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(encoder.eval()(x)[-1], original.forward_features(x))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_keeps_the_configuration(hub, duplicate):
    serve(hub)
    assert duplicate(create_model("resnet18", pretrained=True, **SMALL)).pretrained_cfg == CFG


# ---- one channel ----------------------------------------------------------------------------


def gray_and_colour(hub: Hub, adapt_input: str) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """A network for one channel, the colour network, and a gray image prepared for each."""
    colour = serve(hub)
    gray = create_model("resnet18", pretrained=True, in_chans=1, adapt_input=adapt_input, **SMALL)
    image = torch.rand(2, 1, 90, 70)
    x = input_transform(gray.pretrained_cfg, in_chans=1, size=64)(image)
    return gray.eval(), colour, x, input_transform(CFG, size=64)(image.expand(-1, 3, -1, -1))


def test_one_channel_sees_in_gray_what_the_weights_see_in_colour(hub):
    gray, colour, x, rgb = gray_and_colour(hub, "normalized")
    actual, expected = gray.bn1(gray.conv1(x)), colour.bn1(colour.conv1(rgb))
    inside = (..., slice(2, -2), slice(2, -2))  # where no zero is padded
    torch.testing.assert_close(actual[inside], expected[inside], rtol=0, atol=1e-5)
    assert relative_error(gray(x), colour(rgb)) < 0.05


def test_summed_weights_are_further_off(hub):
    gray, colour, x, rgb = gray_and_colour(hub, "sum")
    assert torch.allclose(gray.conv1.weight, colour.conv1.weight.sum(1, keepdim=True))
    normalized = create_model("resnet18", pretrained=True, in_chans=1, **SMALL).eval()
    assert relative_error(gray(x), colour(rgb)) > 2 * relative_error(normalized(x), colour(rgb))


def test_equal_means_are_exact_to_the_border(hub):
    tag = "ra4_e3600_r224_in1k"
    colour = serve(hub, f"timm/resnet34.{tag}/model.safetensors")
    gray = create_model("resnet34", pretrained=tag, in_chans=1, **SMALL).eval()
    image, cfg = torch.rand(2, 1, 64, 64), gray.pretrained_cfg
    x, rgb = input_transform(cfg, 1, size=64)(image), input_transform(cfg, size=64)
    assert relative_error(gray(x), colour(rgb(image.expand(-1, 3, -1, -1)))) < 1e-5


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max()).item()


# ---- refusals -------------------------------------------------------------------------------


def test_an_unknown_tag_and_a_network_without_weights_are_refused(hub):
    with pytest.raises(ValueError, match="none of the pretrained weights of 'resnet18': a1_in1k, "):
        create_model("resnet18", pretrained="a1")
    with pytest.raises(ValueError, match=r"`tag` \(=''\)"):
        create_model("resnet18", pretrained="")
    with pytest.raises(ValueError, match=r"'se_resnet18'.* has no pretrained weights"):
        create_model("se_resnet18", pretrained=True)
    assert hub.requests == 0


@pytest.mark.parametrize("pretrained", [1, None, {"tag": "a1_in1k"}])
def test_nothing_else_is_taken_for_random_weights(pretrained):
    with pytest.raises(TypeError, match="`pretrained`"):
        create_model("resnet18", pretrained=pretrained)


def test_an_unknown_adaptation_is_refused_before_anything_is_fetched(hub):
    with pytest.raises(ValueError, match=r"`adapt_input` \(='luma'\)"):
        create_model("resnet18", pretrained=True, adapt_input="luma", **SMALL)
    assert hub.requests == 0


def test_a_stated_sha256_is_required(hub, monkeypatch):
    serve(hub)
    monkeypatch.setitem(table._SHA256, CFG.repository, "0" * 64)
    with pytest.raises(RuntimeError, match="0" * 64):
        create_model("resnet18", pretrained=True, **SMALL)
    digest = hashlib.sha256(hub.files[FILE]).hexdigest()
    monkeypatch.setitem(table._SHA256, CFG.repository, digest)
    assert create_model("resnet18", pretrained=True, **SMALL).pretrained_cfg.sha256 == digest


def test_offline_the_file_is_named(hub):
    hub.close()
    with pytest.raises(FileNotFoundError, match=r"timm/resnet18.a1_in1k/resolve/main/model"):
        create_model("resnet18", pretrained=True, **SMALL)


def test_weights_that_do_not_fit_are_refused(hub):
    serve(hub)
    with pytest.raises(ValueError, match=r"layer4\.0\.conv1\.weight"):
        create_model("resnet18", pretrained=True, layers=(1, 1, 1, 1))
    with pytest.raises(ValueError, match=r"layer1\.0\.se\.fc1\.weight"):
        create_model("resnet18", pretrained=True, attention=SEBlock, layers=SMALL["layers"])
