"""Attention in the networks of torchvision and timm, and folded into timm's SE-ResNets."""

import copy
import re
from functools import cache, partial

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from seattn.attention import CBAMBlock, ECABlock, SEBlock
from seattn.surgery import fold_attention, insert_attention, remove_attention

# Each network with the places that `at="auto"` has to find in it: how many, and a pattern.
NETWORKS: dict[str, tuple[int, str]] = {
    "torchvision resnet18": (8, r"layer\d\.\d\.bn2"),
    "torchvision resnet50": (16, r"layer\d\.\d\.bn3"),
    "torchvision resnext50_32x4d": (16, r"layer\d\.\d\.bn3"),
    "torchvision regnet_y_400mf": (16, r"trunk_output\.block\d\.block\d-\d\.f\.c\.1"),
    "torchvision densenet121": (58, r"features\.denseblock\d\.denselayer\d+\.conv2"),
    "torchvision convnext_tiny": (18, r"features\.\d\.\d\.block\.6"),
    "torchvision efficientnet_b0": (9, r"features\.\d\.\d\.block\.3\.1"),
    "timm resnet50": (16, r"layer\d\.\d\.bn3"),
    "timm seresnet50": (16, r"layer\d\.\d\.se"),
    "timm regnety_004": (16, r"s\d\.b\d\.conv3\.bn"),
    "timm densenet121": (58, r"features\.denseblock\d\.denselayer\d+\.conv2"),
    "timm convnext_atto": (12, r"stages\.\d\.blocks\.\d\.mlp\.fc2"),
    "timm convnext_tiny": (18, r"stages\.\d\.blocks\.\d\.drop_path"),
    "timm efficientnet_b0": (9, r"blocks\.\d\.\d\.bn3"),
}


@cache
def network(name: str) -> nn.Module:
    """The network, no residual of it near zero. It is shared: copy it to change it."""
    library, _, model = name.partition(" ")
    make = timm.create_model if library == "timm" else torchvision.models.get_model
    net = make(model, num_classes=10)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for key, parameter in net.named_parameters():
        if key.endswith(("gamma", "layer_scale")):
            nn.init.constant_(parameter, 0.5)  # it starts at 1e-6, which hides what a block does
    return net


def seeded(model: nn.Module, x: Tensor) -> Tensor:
    """The output, with the same random numbers for stochastic depth in every call."""
    torch.manual_seed(7)
    return model(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NETWORKS)
def test_insertion_is_exact_learns_and_is_undone(name, dtype):
    model = copy.deepcopy(network(name)).to(dtype)
    before, text = copy.deepcopy(model), str(model)
    report = insert_attention(model, SEBlock)
    learner = copy.deepcopy(model).train()

    places, pattern = NETWORKS[name]
    assert len(report.names) == places
    assert all(re.fullmatch(pattern, place) for place in report.names)

    x = torch.randn(2, 3, 64, 64, dtype=dtype)
    expected = seeded(before.train(), x)
    assert torch.equal(seeded(model.train(), x), expected)
    assert torch.equal(model.eval()(x), before.eval()(x))

    if dtype == torch.float32:
        seeded(learner, x).square().sum().backward()
        added = {key: p for key, p in learner.named_parameters() if ".attention." in key}
        for host in report.names:
            assert added[f"{host}.attention.block.fc2.bias"].grad.abs().max() > 0
        # A hidden layer of one or two units can be dead, as everywhere.
        weights = [p for key, p in added.items() if key.endswith("fc2.weight")]
        assert sum(bool(p.grad.any()) for p in weights) >= 0.5 * places
        torch.optim.SGD(added.values(), lr=1.0).step()
        assert not torch.equal(seeded(learner, x), expected)

    assert remove_attention(model) == report.names
    assert str(model) == text
    state = model.state_dict()
    assert list(state) == list(before.state_dict())
    assert all(torch.equal(state[key], value) for key, value in before.state_dict().items())


def test_a_network_for_volumes():
    model, x = torchvision.models.video.r3d_18(num_classes=10).eval(), torch.randn(1, 3, 8, 24, 24)
    expected = model(x)
    report = insert_attention(model, partial(CBAMBlock, spatial_dims=3, kernel_size=3))
    assert len(report.names) == 8
    assert all(re.fullmatch(r"layer\d\.\d\.conv2\.1", place) for place in report.names)
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "googlenet", "squeezenet1_1"])
def test_networks_without_convolutional_residuals_are_refused(name):
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, **extra)
    size = 224 if name == "vit_b_16" else 64
    with pytest.raises(ValueError, match=r"`at` \(='auto'\) found no convolutional branch"):
        insert_attention(model, SEBlock, example_input=torch.ones(1, 3, size, size))


# ---- folding into timm ----------------------------------------------------------------------


def stirred(model: nn.Module) -> nn.Module:
    """As after training: one real step, and blocks far from the identity."""
    model.train()(torch.randn(4, 3, 64, 64)).square().mean().backward()
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".attention." in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize(
    ("plain", "built_in", "block"),
    [
        ("timm resnet50", partial(timm.create_model, "seresnet50"), SEBlock),
        ("torchvision resnet50", partial(timm.create_model, "seresnet50"), SEBlock),
        (
            "torchvision resnet18",
            partial(timm.create_model, "seresnet18"),
            lambda channels: SEBlock(channels, hidden_channels=max(8, channels // 16)),
        ),
        ("torchvision resnext50_32x4d", partial(timm.create_model, "seresnext50_32x4d"), SEBlock),
        (
            "timm resnet50",
            partial(timm.create_model, "resnet50", block_args={"attn_layer": "eca"}),
            ECABlock,
        ),
        (
            "timm resnet50",
            partial(timm.create_model, "resnet50", block_args={"attn_layer": "cbam"}),
            CBAMBlock,
        ),
    ],
)
def test_folding_gives_timms_network(plain, built_in, block):
    model = copy.deepcopy(network(plain))
    insert_attention(model, block)
    stirred(model)
    theirs = built_in(num_classes=10).eval()
    folded = fold_attention(model)
    assert list(folded) == list(theirs.state_dict())
    theirs.load_state_dict(folded, strict=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        y, expected = theirs(x), model(x)
    if block is CBAMBlock:  # timm multiplies the input by one gate after the other
        torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    else:
        assert torch.equal(y, expected)
