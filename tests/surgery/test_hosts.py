"""Which modules ``at`` stands for, and which cannot carry a block."""

import re

import pytest
import torch
from torch import Tensor, nn

from seattn.attention import ECABlock, SEBlock
from seattn.surgery import insert_attention
from tests.surgery.networks import DenseNet, Unit, UserNet, small_resnet


@pytest.mark.parametrize(
    ("at", "names"),
    [
        ("layer2.0.bn1", ["layer2.0.bn1"]),
        (["layer3.0.bn2", "layer1.0.bn1"], ["layer1.0.bn1", "layer3.0.bn2"]),
        ("layer[23].*.bn2", ["layer2.0.bn2", "layer3.0.bn2"]),
        (["layer1.*.bn1", "layer1.0.conv1"], ["layer1.0.conv1", "layer1.0.bn1"]),
        (re.compile(r"layer\d\.0\.bn1"), [f"layer{i}.0.bn1" for i in (1, 2, 3, 4)]),
        (re.compile(r"bn1"), ["bn1"]),
        (
            lambda name, module: isinstance(module, nn.Conv2d) and "downsample" in name,
            [f"layer{i}.0.downsample.0" for i in (2, 3, 4)],
        ),
        # The last module of a Sequential: a child would become one more layer.
        ("layer2.0.downsample", ["layer2.0.downsample.1"]),
    ],
)
def test_names_patterns_and_predicates(at, names):
    assert insert_attention(small_resnet(), SEBlock, at=at).names == names


def test_a_sequential_runs_its_block_once():
    model, x = UserNet().eval(), torch.randn(2, 1, 9, 9)
    report = insert_attention(model, SEBlock, at="body", init="default")
    assert report.names == ["body.2"]
    assert len(model.body) == 3
    features = model.body[1](model.body[0](model.entry(x)))
    expected = model.body[2].attention(Unit.forward(model.body[2], features))
    assert torch.equal(model.body(model.entry(x)), expected)


def test_automatic_places_end_the_residual_branches():
    assert insert_attention(small_resnet(), SEBlock).names == [
        f"layer{i}.0.bn2" for i in (1, 2, 3, 4)
    ]
    assert insert_attention(small_resnet(attention=SEBlock), SEBlock).names == [
        f"layer{i}.0.se" for i in (1, 2, 3, 4)
    ]


def test_automatic_places_come_before_stochastic_depth():
    report = insert_attention(small_resnet(drop_path_rate=0.5), SEBlock)
    assert report.names[-1] == "layer4.0.bn2"


def test_automatic_places_in_a_dense_network_are_the_new_features():
    report = insert_attention(DenseNet(), SEBlock)
    assert report.names == ["layers.0", "layers.1", "layers.2"]


class Wrapper(nn.Module):
    """Adds nothing to what it wraps."""

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped = wrapped

    def forward(self, x: Tensor) -> Tensor:
        return self.wrapped(x)


class Forms(nn.Module):
    """Additions in many forms; a name in ``_yes`` ends a residual branch."""

    def __init__(self) -> None:
        super().__init__()

        def conv() -> nn.Conv2d:
            return nn.Conv2d(16, 16, 3, padding=1)

        self.entry = nn.Conv2d(1, 16, 3, padding=1)
        self.a_yes = conv()
        self.b, self.b_norm_yes, self.b_activation = conv(), nn.BatchNorm2d(16), nn.ReLU(True)
        self.c = nn.Sequential(conv(), nn.BatchNorm2d(16))
        self.c_scale = nn.Parameter(torch.full((16, 1, 1), 0.5))
        self.c_dropout = nn.Dropout(0.5)
        self.d_yes, self.d_shortcut = nn.Sequential(conv(), conv()), conv()
        self.e, self.e_permuted_yes = conv(), nn.Identity()
        self.left, self.right, self.context = conv(), conv(), conv()
        self.f = Wrapper(conv())
        self.g_yes, self.gate, self.dense = conv(), conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x) + 1.0
        x = x + self.a_yes(x)
        x = self.b_activation(self.b_norm_yes(self.b(x))).add_(x)
        residual = self.c_dropout(self.c(x) * self.c_scale)
        residual += x
        x = torch.add(self.d_shortcut(residual), self.d_yes(residual))
        x = x + self.e_permuted_yes(self.e(x).transpose(2, 3))
        x = self.left(x) + self.right(x)  # as deep as each other: no shortcut
        x = x + self.context(x.mean((2, 3), keepdim=True))  # one number for each channel
        x = x + self.f(x)
        gated = self.g_yes(x)
        x = x + gated * torch.sigmoid(self.gate(gated.mean((2, 3), keepdim=True)))
        x = torch.cat([x, self.dense(x)], 1)  # dense, in a network that is residual
        return x.mean((2, 3)) + x.amax((2, 3))


def test_automatic_places_in_every_form_of_addition():
    report = insert_attention(Forms(), SEBlock, example_input=torch.ones(1, 1, 12, 12))
    assert report.names == [
        "a_yes",
        "b_norm_yes",
        "c.1",
        "d_yes.1",
        "e_permuted_yes",
        "f.wrapped",
        "g_yes",
    ]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU()), id="plain"),
        pytest.param(
            nn.Sequential(
                nn.Conv2d(1, 16, 8, 8),
                nn.Flatten(2),
                nn.TransformerEncoderLayer(64, 2, 32, batch_first=True),
            ),
            id="tokens",
        ),
    ],
)
def test_automatic_places_are_missing_where_nothing_is_residual(model):
    x = torch.ones(1, 1, 64, 64)
    with pytest.raises(ValueError, match=r"`at` \(='auto'\) found no convolutional branch"):
        insert_attention(model, SEBlock, example_input=x)


# ---- modules that cannot carry a block ------------------------------------------------------


class Awkward(nn.Module):
    """One of each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.twice = nn.ReLU()
        self.one = self.other = nn.BatchNorm2d(16)
        self.never = nn.Conv2d(16, 16, 1)
        self.pair = nn.MaxPool2d(2, return_indices=True)
        self.pooled = nn.Flatten()
        self.tokens = nn.Flatten(2)
        self.counted = Counted()
        self.own = Own()
        self.last = NHWC()
        self.integers = Integers()
        self.iterating = Iterating()

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.one(self.twice(self.conv(x))))
        x, _ = self.pair(x)
        x = self.iterating(self.own(self.counted(x)))
        return self.pooled(self.last(x)), self.tokens(x), self.integers(x)


class Counted(nn.Identity):
    pass


class Own(nn.Identity):
    attention = "mine"


class NHWC(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1)


class Integers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.int()


class Iterating(nn.Module):
    """Runs whatever children it has."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(16, 16, 1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x


@pytest.mark.parametrize(
    ("at", "match"),
    [
        ("twice", "'twice' ran 2 times in a forward pass"),
        ("one", "'one' is one module in 2 places, one, other,"),
        ("never", "'never' did not run"),
        ("pair", "'pair' does not return one tensor"),
        ("pooled", r"'pooled' returns \(2, 16384\) of torch.float32; .* \(N, C, \*spatial\)"),
        ("tokens", r"'tokens' returns \(2, 16, 1024\)"),
        ("integers", r"'integers' returns \(2, 16, 32, 32\) of torch.int32"),
        ("own", r"'own' \(Own\) has an attribute `attention`"),
        ("iterating", "'iterating' runs its children itself.* ran 2 times"),
        # The number of pixels differs between the two images, that of channels does not.
        ("last", r"this block takes \(N, 32, \*spatial\)"),
        ("conv2", "`at` 'conv2' matches no module; did you mean 'conv'"),
        ("zzz", "'zzz' matches no module; see `model.named_modules"),
        (["conv", "zzz"], "'zzz' matches no module"),
        ([], r"`at` \(=\[\]\) matches no module"),
        (re.compile("conv1"), "matches no module"),
        (lambda name, module: not name, "matches no module"),
    ],
)
def test_modules_that_cannot_carry_a_block_are_refused(at, match):
    model = Awkward()
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=match):
        insert_attention(model, SEBlock, at=at)
    assert list(model.state_dict()) == keys
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    "at", ["layer1.0.bn2", "layer1.0.bn2.attention", "layer1.0.bn2.attention.block.fc1", "auto"]
)
def test_a_second_block_in_one_place_is_refused(at):
    model = small_resnet()
    insert_attention(model, SEBlock)
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=r"'layer1.0.bn2' has a block already"):
        insert_attention(model, ECABlock, at=at)
    assert list(model.state_dict()) == keys
