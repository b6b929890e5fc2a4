"""Names and shapes from one layout to another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seattn.attention import ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck, EfficientNet, ResNet
from seattn.weights import convert
from seattn.weights.layouts import LAYOUTS, NAMES
from seattn.weights.layouts.layout import matches, rename

SMALL = {"channels": (16, 16, 16, 16), "attention": SEBlock}


def state(block=Bottleneck, **kwargs):
    """A small SE-ResNet's, the biases of its gates zero."""
    weights = ResNet(block, (1, 1, 1, 1), **SMALL | kwargs).state_dict()
    for key in weights:
        if ".se." in key and key.endswith("bias"):
            weights[key].zero_()
    return weights


@pytest.mark.parametrize(
    ("to", "stem"),
    [
        *((name, "standard") for name in ("monai", "legacy", "moskomule", "radimagenet", "timm")),
        *((name, "deep") for name in ("monai", "legacy", "timm")),
    ],
)
def test_there_and_back_is_the_same_bit_by_bit_and_in_order(to, stem):
    weights = state(stem=stem)
    converted = convert(weights, to=to)
    assert (converted.keys() == weights.keys()) == (to == "timm")
    back = convert(converted)
    assert list(back) == list(weights)
    for key, value in weights.items():
        assert torch.equal(back[key], value)
        assert back[key].dtype == value.dtype


@pytest.mark.parametrize("pair", [("monai", "legacy"), ("legacy", "moskomule")])
def test_from_any_layout_to_any(pair):
    weights = state()
    first, second = pair
    there = convert(convert(weights, to=first), to=second)
    direct = convert(weights, to=second)
    assert list(there) == list(direct)
    assert all(torch.equal(there[key], value) for key, value in direct.items())


def test_efficientnet_to_torchvision_and_back():
    weights = EfficientNet(width=0.25, depth=0.5).state_dict()
    converted = convert(weights, to="torchvision")
    assert converted["features.8.0.weight"] is weights["conv_head.weight"]
    assert list(convert(converted)) == list(weights)


def test_containers_and_prefixes_are_removed():
    weights = state()
    wrapped = {"state_dict": {f"module.{key}": value for key, value in weights.items()}}
    assert convert(wrapped).keys() == weights.keys()


def test_memory_is_shared_and_nothing_given_is_changed():
    weights = state()
    keys = list(weights)
    converted = convert(weights, to="monai")
    assert list(weights) == keys
    linear = converted["layer1.0.se_layer.fc.0.weight"]
    assert linear.shape == (4, 64)
    assert linear.data_ptr() == weights["layer1.0.se.fc1.weight"].data_ptr()


def test_gates_with_biases_cannot_become_moskomules():
    weights = state()
    weights["layer2.0.se.fc2.bias"][3] = 1e-30
    with pytest.raises(ValueError, match=r"`layer2.0.se.fc2.bias` is not zero") as caught:
        convert(weights, to="moskomule")
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize("first", [True, False])
def test_moskomules_first_checkpoints_keep_their_biases(first):
    theirs = convert(state(), to="moskomule")
    bias = {"layer1.0.se.fc.0.bias": torch.full((4,), 2.0)}
    converted = convert(bias | theirs if first else theirs | bias)
    assert torch.equal(converted["layer1.0.se.fc1.bias"], torch.full((4,), 2.0))
    assert torch.equal(converted["layer1.0.se.fc2.bias"], torch.zeros(64))


def test_basic_blocks_cannot_become_caffes():
    for to in ("monai", "legacy"):
        with pytest.raises(ValueError, match="rectify the residual once more"):
            convert(state(BasicBlock), to=to)
    assert convert(state(BasicBlock), to="moskomule")


def test_tensors_without_counterpart_are_named():
    weights = state(attention=ECABlock)
    with pytest.raises(ValueError, match=r"`layer1.0.se.conv.weight` has no counterpart") as caught:
        convert(weights, to="monai")
    assert str(caught.value).count("\n") == 4


def test_foreign_tensors_are_named():
    weights = convert(state(), to="monai") | {"decoder.weight": torch.ones(1)}
    with pytest.raises(ValueError, match=r"`decoder.weight` is no name of layout 'monai'"):
        convert(weights)


@pytest.mark.parametrize(
    ("kwargs", "name"), [({"source": "keras"}, "source"), ({"to": "auto"}, "to")]
)
def test_layouts_that_are_not_known_are_refused(kwargs, name):
    with pytest.raises(ValueError, match=f"`{name}`.*must be one of.*'timm'"):
        convert(state(), **kwargs)


def test_every_layout_but_timms_is_told_by_the_keys():
    weights = state()
    for name in ("monai", "legacy", "moskomule", "radimagenet"):
        keys = convert(weights, to=name)
        assert next(layout.name for layout in LAYOUTS if layout.fits(keys)) == name
        assert next(layout.name for layout in LAYOUTS if layout.fits(weights)) == "timm"
    assert set(NAMES) == {layout.name for layout in LAYOUTS}


part = st.text("abc019_", min_size=1, max_size=4)


@given(st.lists(part, min_size=3, max_size=3))
def test_a_rule_undoes_itself(parts):
    first, second, third = parts
    key = f"layer{first}.conv{second}.x.{third}.y"
    renamed = rename(key, "layer*.conv*.x.**", "stage*.*.**")
    assert renamed == f"stage{first}.{second}.{third}.y"
    assert rename(renamed, "stage*.*.**", "layer*.conv*.x.**") == key


def test_one_star_stands_for_one_part_only():
    assert matches("layer1.0.conv1.weight", "layer*.*.conv*.weight")
    assert not matches("layer1.0.1.conv1.weight", "layer*.*.conv*.weight")
    assert not matches("layer1x0.conv1.weight", "layer*.*.conv*.weight")
    assert not matches("layer1.0.conv.weight", "layer*.*.conv*.weight")
    assert rename("0.weight", "1.*", "bn1.*") is None
