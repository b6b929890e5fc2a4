"""Inserted attention becomes the attention of the network."""

from functools import partial

import pytest
import torch
from torch import nn

from seattn.attention import (
    BAMBlock,
    CBAMBlock,
    CoordAttention,
    ECABlock,
    EffectiveSE,
    GatherExcite,
    GlobalContext,
    SCSEBlock,
    SEBlock,
    SimAM,
    SqueezeExcite,
    TripletAttention,
)
from seattn.surgery import fold_attention, insert_attention
from tests.surgery.networks import UserNet, small_resnet


def train(model: nn.Module) -> nn.Module:
    """Three steps, on every parameter, so large that no gate stays near 1."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    model.train()
    for _ in range(3):
        optimiser.zero_grad()
        x, y = torch.randn(8, 1, 18, 15), torch.randint(3, (8,))
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".attention." in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize(
    ("block", "init", "bottleneck"),
    [
        (SEBlock, "identity", False),
        (SEBlock, "identity", True),
        (SEBlock, "default", False),
        (SqueezeExcite, "identity", False),
        (ECABlock, "identity", False),
        (GlobalContext, "identity", False),
        (CBAMBlock, "identity", False),
        (partial(CBAMBlock, bias=True, pool_order="max_mean"), "identity", False),
        (partial(CoordAttention, reduction=8), "identity", False),
        (partial(CoordAttention, reduction=8, bias=True), "identity", False),
        (EffectiveSE, "identity", False),
        (SCSEBlock, "identity", False),
        (SimAM, "default", False),
        (TripletAttention, "identity", False),
        (BAMBlock, "default", False),
        (partial(GatherExcite, extent=2, mlp=True), "identity", False),
        (partial(GatherExcite, extent=2, learn_gather=True), "identity", False),
        (partial(GatherExcite, extent=4, learn_gather=True, mlp=True), "identity", False),
    ],
)
def test_the_folded_network_has_the_same_logits(block, init, bottleneck):
    model = small_resnet(bottleneck=bottleneck)
    insert_attention(model, block, init=init)
    train(model)
    built_in = small_resnet(bottleneck=bottleneck, attention=block).eval()
    folded = fold_attention(model)
    assert list(folded) == list(built_in.state_dict())
    built_in.load_state_dict(folded, strict=True)
    x = torch.randn(4, 1, 18, 15)
    torch.testing.assert_close(built_in(x), model(x), rtol=1e-6, atol=1e-6)
    # Batch statistics are folded as well as running ones.
    torch.testing.assert_close(built_in.train()(x), model.train()(x), rtol=1e-5, atol=1e-5)


def test_squeeze_and_excitation_folds_bit_for_bit():
    model = small_resnet()
    insert_attention(model, SEBlock)
    train(model)
    built_in = small_resnet(attention=SEBlock).eval()
    built_in.load_state_dict(fold_attention(model), strict=True)
    x = torch.randn(4, 1, 18, 15)
    assert torch.equal(built_in(x), model(x))


def test_folding_leaves_the_network_as_it_was():
    model = small_resnet()
    insert_attention(model, SEBlock)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fold_attention(model)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_some_blocks_and_a_network_within_another():
    model = small_resnet()
    whole = nn.ModuleDict({"encoder": model})
    insert_attention(model, SEBlock, at="layer[34].*.bn2")
    inner, outer = fold_attention(model), fold_attention(whole)
    assert [name for name in inner if ".se." in name] == [
        f"layer{i}.0.se.{layer}.{kind}"
        for i in (3, 4)
        for layer in ("fc1", "fc2")
        for kind in ("weight", "bias")
    ]
    assert list(outer) == [f"encoder.{name}" for name in inner]


@pytest.mark.parametrize(
    ("model", "block", "at", "match"),
    [
        (small_resnet(), SimAM, "auto", "SimAM at 'layer1.0.bn2' is mixed in by"),
        (small_resnet(), SEBlock, "layer2.0.bn1", "'layer2.0.bn1' is not after the last BatchNorm"),
        (small_resnet(bottleneck=True), SEBlock, "layer1.0.bn2", "is not after the last"),
        (small_resnet(), SEBlock, "layer2.0.downsample", "is not after the last"),
        (small_resnet(), SEBlock, "bn1", "is not after the last"),
        (UserNet(), SEBlock, "auto", "'body.0.second_norm' is not after the last"),
        (small_resnet(attention=ECABlock), SEBlock, "layer1.0.bn2", "'layer1.0' has attention of"),
    ],
)
def test_what_has_no_counterpart_is_refused(model, block, at, match):
    insert_attention(model, block, at=at)
    with pytest.raises(ValueError, match=match):
        fold_attention(model)


def test_nothing_to_fold_is_an_error():
    with pytest.raises(ValueError, match="no inserted attention to fold"):
        fold_attention(small_resnet())


def test_a_batch_norm_without_weights_cannot_take_the_factor():
    model = small_resnet()
    model.layer1[0].bn2 = nn.BatchNorm2d(16, affine=False)
    insert_attention(model, SEBlock, at="layer1.0.bn2")
    with pytest.raises(ValueError, match=r"'layer1.0.bn2' is after a BatchNorm2d.*affine=False"):
        fold_attention(model)
