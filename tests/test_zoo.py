import pytest
import torch

from seattn import backbones
from seattn.attention import SqueezeExcite
from seattn.zoo import create_model, list_models


def test_every_builder_is_in_the_table_under_its_own_name():
    builders = {name for name in backbones.__all__ if name.islower()} - {
        "fused_paths",
        "layer_decay_groups",
    }
    assert set(list_models()) == builders


@pytest.mark.parametrize("name", list_models())
def test_create_model_calls_the_builder_of_that_name(name):
    with torch.device("meta"):
        network = create_model(name, num_classes=7, in_chans=1)
        expected = getattr(backbones, name)(num_classes=7, in_chans=1)
    assert str(network) == str(expected)
    assert network.num_classes == 7
    assert network.in_chans == 1


@pytest.mark.parametrize("name", list_models())
def test_every_argument_of_a_builder_reaches_the_network(name):
    arguments = {"num_classes": 5, "in_chans": 2, "drop_rate": 0.1, "drop_path_rate": 0.2}
    arguments["global_pool"] = "avgmax"
    if "resnet" in name:
        arguments |= {"layers": (1, 2, 1, 1), "channels": (16, 32, 64, 128), "stem": "small"}
        arguments |= {"attention": SqueezeExcite, "zero_init_last": False}
    device = "cpu" if "resnet" in name else "meta"  # the EfficientNets have no small form
    with torch.device(device):
        network, x = create_model(name, **arguments), torch.randn(2, 2, 32, 32)
    assert network.dropout.p == 0.1
    assert network.global_pool.kind == "avgmax"
    assert network.get_classifier().out_features == 5
    assert max(m.rate for m in network.modules() if hasattr(m, "rate")) > 0.18
    assert network.train()(x).shape == (2, 5)
    if "resnet" in name:
        assert len(network.layer2) == 2
        assert network.conv1.weight.shape == (16, 2, 3, 3)
        assert isinstance(network.layer4[0].se, SqueezeExcite)
        assert all(p.any() for key, p in network.named_parameters() if key.endswith(".weight"))
        assert network.num_features in (128, 512)


def test_list_models_takes_wildcards_and_sorts():
    assert list_models("se_resnet*") == sorted(
        f"se_resnet{depth}" for depth in (18, 34, 50, 101, 152)
    )
    assert list_models("*b[0-1]") == ["efficientnet_b0", "efficientnet_b1"]
    assert list_models("RESNET*") == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("seresnet50", "did you mean 'se_resnet50'"),
        ("resnet5", "'resnet50'"),
        ("xyz", "see `list_models\\(\\)`"),
    ],
)
def test_an_unknown_name_gets_a_hint(name, hint):
    with pytest.raises(ValueError, match=hint) as error:
        create_model(name)
    assert repr(name) in str(error.value)


def test_an_unknown_keyword_is_named_with_those_accepted():
    with pytest.raises(TypeError, match="'resnet18' takes no `weights`, `depth`; it takes") as e:
        create_model("resnet18", weights="a1", depth=3)
    assert "`num_classes`" in str(e.value)
    with pytest.raises(TypeError, match="`attention`"):
        create_model("efficientnet_b0", attention=None)
