"""Our networks against timm's: names, initial distributions, logits, gradients."""

import math

import pytest
import timm
import torch
from timm.layers import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite as TimmSqueezeExcite
from torch import Tensor, nn

from seattn.attention import SEBlock, SqueezeExcite
from seattn.zoo import create_model, list_models

TIMM_NAMES = {name: name.replace("se_res", "seres") for name in list_models()}
# timm's own seresnet18 and 34 round the hidden width to 8; the released ones, as we, take C // 16.
LEGACY = {f"se_resnet{depth}": f"legacy_seresnet{depth}" for depth in (18, 34)}
NETWORKS = [name for name in TIMM_NAMES if name not in LEGACY]


def twins(name: str, **kwargs: int | str | float) -> tuple[nn.Module, nn.Module]:
    """Our network and timm's, strictly loaded with the same random numbers, no residual zero."""
    theirs = timm.create_model(TIMM_NAMES[name], **kwargs)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    with torch.device("meta"):
        ours = create_model(name, **kwargs)
    ours.to_empty(device="cpu").load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest value."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()


# ---- names and shapes -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_shapes_dtypes_and_order_are_timms(name):
    with torch.device("meta"):
        ours, theirs = create_model(name), timm.create_model(TIMM_NAMES[name])
    assert layout(ours) == layout(theirs)
    names = [list(dict(network.named_parameters())) for network in (ours, theirs)]
    assert names[0] == names[1]


@pytest.mark.parametrize(("name", "legacy"), LEGACY.items())
def test_small_se_resnets_have_the_shapes_of_the_released_ones(name, legacy):
    with torch.device("meta"):
        ours, theirs = create_model(name), timm.create_model(legacy)
    renamed = []
    for key, shape, dtype in layout(theirs):
        new = key.removeprefix("layer0.").replace("se_module", "se")
        renamed.append((new.replace("last_linear", "fc"), shape, dtype))
    assert layout(ours) == renamed


@pytest.mark.parametrize("name", NETWORKS)
def test_protocol_attributes_are_timms(name):
    with torch.device("meta"):
        ours = create_model(name, num_classes=5, in_chans=1)
        theirs = timm.create_model(TIMM_NAMES[name], num_classes=5, in_chans=1)
    for attribute in ("num_features", "num_classes", "in_chans"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    fields = ("num_chs", "reduction", "module")
    assert ours.feature_info == [{k: info[k] for k in fields} for info in theirs.feature_info]


def layout(network: nn.Module) -> list[tuple[str, torch.Size, torch.dtype]]:
    return [(key, tensor.shape, tensor.dtype) for key, tensor in network.state_dict().items()]


# ---- initial distributions ------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_starts_with_timms_distribution(name):
    """Equal where constant; else mean and deviation within six standard errors."""
    ours, theirs = create_model(name).state_dict(), timm.create_model(TIMM_NAMES[name]).state_dict()
    for key, expected in theirs.items():
        actual, n = ours[key], expected.numel()
        if expected.min() == expected.max():
            assert torch.equal(actual, expected), key
        else:
            deviation = expected.std().item()
            assert abs(actual.mean() - expected.mean()) <= 6 * deviation * math.sqrt(2 / n), key
            assert abs(actual.std() - deviation) <= 6 * deviation / math.sqrt(n), key


# ---- logits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_logits_are_timms(name, channels):
    ours, theirs = twins(name, in_chans=channels, num_classes=10)
    for size in [(224, 224), (97, 131)]:
        x = torch.randn(2, channels, *size)
        assert relative_error(ours.eval()(x), theirs.eval()(x)) < 1e-5


@pytest.mark.parametrize("kind", ["avg", "max", "avgmax", ""])
@torch.inference_mode()
def test_pooled_features_are_timms(kind):
    ours, theirs = twins("resnet18", num_classes=0, global_pool=kind)
    x = torch.randn(2, 3, 64, 64)
    actual, expected = ours.eval()(x), theirs.eval()(x)
    assert actual.shape == expected.shape
    assert relative_error(actual, expected) < 1e-5


# ---- training -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "size"), [(1, (224, 224)), (3, (97, 131))], ids=["1x224x224", "3x97x131"]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_every_parameter_are_timms(name, channels, size):
    ours, theirs = (n.train() for n in twins(name, num_classes=10, in_chans=channels))
    x = torch.randn(2, channels, *size)
    for network in (ours, theirs):
        nn.functional.cross_entropy(network(x), torch.tensor([3, 7])).backward()
    for (key, actual), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert expected.grad.norm() > 0, key
        assert (actual.grad - expected.grad).norm() <= 1e-4 * expected.grad.norm(), key
    for (key, actual), expected in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(actual, expected, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", ["resnet18", "se_resnet50", "efficientnet_b0"])
def test_dropout_and_stochastic_depth_draw_the_same_numbers_as_timm(name):
    ours, theirs = twins(name, num_classes=10, drop_rate=0.3, drop_path_rate=0.5)
    x = torch.randn(4, 3, 64, 64)
    outputs = []
    for network in (ours, theirs):
        torch.manual_seed(5)
        outputs.append(network.train()(x))
    assert relative_error(*outputs) < 1e-5


# ---- blocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 64, 7, 5), (1, 256, 1, 1), (3, 128, 14, 14)])
def test_se_block_is_timms(shape):
    ours = SEBlock(shape[1])
    theirs = SEModule(shape[1], rd_channels=shape[1] // 16)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(shape)
    assert relative_error(ours(x), theirs(x)) < 1e-6


def test_squeeze_excite_is_timms():
    ours = SqueezeExcite(96, hidden_channels=4)
    theirs = TimmSqueezeExcite(96, rd_channels=4, act_layer=nn.SiLU)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 96, 7, 5)
    assert relative_error(ours(x), theirs(x)) < 1e-6


def test_timms_own_se_resnet18_rounds_the_hidden_width():
    with torch.device("meta"):
        theirs, ours = timm.create_model("seresnet18"), create_model("se_resnet18")
    assert [n.layer1[0].se.fc1.out_channels for n in (theirs, ours)] == [8, 64 // 16]


@torch.inference_mode()
def test_released_se_resnet18_shares_our_convolutions_and_gates():
    """The released block rectifies once more, before the gate; without that it is ours."""
    ours = create_model("se_resnet18", channels=(64, 128, 256, 512)).eval().layer2[0]
    theirs = timm.create_model("legacy_seresnet18").eval().layer2[0]
    weights = {k.replace("se_module", "se"): v for k, v in theirs.state_dict().items()}
    ours.load_state_dict(weights, strict=True)
    x = torch.randn(2, 64, 9, 9)
    residual = theirs.bn2(theirs.conv2(theirs.bn1(theirs.conv1(x)).relu()))
    expected = (theirs.se_module(residual) + theirs.downsample(x)).relu()
    assert relative_error(ours(x), expected) < 1e-6
