"""``tap`` on models in which recording the head alone is not enough, or nothing can be recorded.

The oracle is ordinary autograd on the same model, which keeps the layer's output by a hook.
"""

from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from seattn.explain import GradCAM, tap

Pair = namedtuple("Pair", "fine coarse")


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.last = nn.Conv2d(8, 8, 3, 2, 1)
        self.mix = nn.Conv2d(8, 8, 3, 1, 1)
        self.same = nn.Identity()
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(8, 3)

    def trunk(self, x):
        return self.last(torch.relu(self.stem(x)))

    def head(self, y):
        return self.fc(torch.tanh(self.mix(y)).flatten(2).mean(2))


class Skip(Base):
    def forward(self, x):
        y = self.trunk(x)
        return self.fc((torch.relu(self.mix(y)) + y * y).flatten(2).mean(2))


class Identity(Base):
    layer = "same"

    def forward(self, x):
        y = self.trunk(x)
        return self.head(self.same(y)) + self.fc(torch.tanh(y).flatten(2).mean(2))


class Dropout(Base):
    layer = "drop"

    def forward(self, x):
        y = self.trunk(x)
        return self.head(self.drop(y)) + self.fc(torch.tanh(y).flatten(2).mean(2))


class Stashing(nn.Conv2d):
    def forward(self, x):
        self.kept = super().forward(x)
        return self.kept


class Stash(Base):
    def __init__(self):
        super().__init__()
        self.last = Stashing(8, 8, 3, 2, 1)

    def forward(self, x):
        return self.head(self.trunk(x)) + self.fc(torch.tanh(self.last.kept).flatten(2).mean(2))


class Siamese(Base):
    def forward(self, x):
        one, other = (torch.tanh(self.trunk(side)).flatten(2).mean(2) for side in (x, x.flip(3)))
        return self.fc(one * other)


class Loop(Base):
    layer = "mix"

    def forward(self, x):
        y = self.trunk(x)
        for _ in range(3):
            y = y + torch.tanh(self.mix(y))
        return self.fc(y.flatten(2).mean(2))


class Slice(nn.Conv2d):
    def forward(self, x):
        return super().forward(x)[:, ::2]


class View(Base):
    def __init__(self):
        super().__init__()
        self.last = Slice(8, 16, 3, 2, 1)

    def forward(self, x):
        return self.head(self.trunk(x))


class InPlace(Base):
    def forward(self, x):
        return self.head(self.trunk(x).mul_(2).relu_())


class CheckpointAround(Base):
    def forward(self, x):
        y = checkpoint(lambda z: torch.relu_(self.trunk(z)), x, use_reentrant=False)
        return self.head(y)


class CheckpointAfter(Base):
    def forward(self, x):
        y = self.trunk(x)
        return self.fc(
            checkpoint(lambda z: torch.tanh(self.mix(z)), y, use_reentrant=False).flatten(2).mean(2)
        )


class CheckpointBefore(Base):
    def forward(self, x):
        y = checkpoint(lambda z: torch.relu(self.stem(z)), x, use_reentrant=False)
        return self.head(self.last(y))


AWKWARD = [
    Skip, Identity, Dropout, Stash, Siamese, Loop, View, InPlace,
    CheckpointAround, CheckpointAfter, CheckpointBefore,
]  # fmt: skip


def plain_gradient(net, layer, x, column, *, call=-1, pick=lambda output: output):
    """Output and gradient of a layer by a hook that keeps the one and passes on a copy."""
    kept = []

    def keep(module, args, output):
        kept.append(pick(output))
        return output.clone() if isinstance(output, torch.Tensor) else None

    handle = net.get_submodule(layer).register_forward_hook(keep)
    score = net(x)[:, column].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[call])
    return kept[call].detach(), gradient


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    assert (ours - theirs).abs().max() <= 1e-12 * theirs.abs().max()


@pytest.fixture
def x():
    return torch.randn(2, 3, 16, 24, dtype=torch.float64)


@pytest.mark.parametrize("model", AWKWARD)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("record_trunk", [False, True])
def test_equals_plain_autograd(x, model, frozen, record_trunk):
    net = model().double().eval()
    layer = getattr(model, "layer", "last")
    wanted = [plain_gradient(net, layer, x, column) for column in range(3)]
    net.requires_grad_(not frozen)
    with tap(net, layer, record_trunk=record_trunk) as t:
        output = net(x)
        for column, (activation, gradient) in enumerate(wanted):
            (ours,), (our_gradient,) = t.grads(output[:, column])
            assert_close(ours, activation)
            assert_close(our_gradient, gradient)


def test_a_checkpoint_that_runs_a_second_layer_again(x):
    net = CheckpointAfter().double().eval()
    wanted = [plain_gradient(net, "mix", x, column)[1] for column in range(3)]
    with tap(net, ["stem", "mix"]) as t:
        output = net(x)
        for column in range(3):
            assert_close(t.grads(output[:, column])[1][1], wanted[column])


@pytest.mark.parametrize("call", [0, 1, 2, -1, -2])
def test_one_call_of_many(x, call):
    net = Loop().double().eval()
    activation, gradient = plain_gradient(net, "mix", x, 1, call=call)
    with tap(net, "mix", call=call) as t:
        (ours,), (our_gradient,) = t.grads(net(x)[:, 1])
    assert_close(ours, activation)
    assert_close(our_gradient, gradient)
    assert_close(GradCAM(net, "mix", call=call).explain(x, target=1).gradient, gradient)


@pytest.mark.parametrize("call", [3, -4])
def test_a_call_that_did_not_happen_is_an_error(x, call):
    net = Loop().double()
    message = rf"`call` \(={call}\) must lie in -3\.\.2: layer 'mix' ran 3 times"
    with pytest.raises(ValueError, match=message):
        GradCAM(net, "mix", call=call)(x)


# ---- layers that return several tensors ------------------------------------------------------


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        y = self.conv(x)
        return OrderedDict(fine=y, coarse=nn.functional.avg_pool2d(x, 2), size=3)


class Named(Dictionary):
    def forward(self, x):
        return Pair(*list(super().forward(x).values())[:2])


class Nested(Dictionary):
    def forward(self, x):
        y = super().forward(x)
        return ["text", {"maps": (y["coarse"], y["fine"])}]


@pytest.mark.parametrize(
    ("layer", "select", "read"),
    [
        (Dictionary, "fine", lambda out: out["fine"]),
        (
            Dictionary,
            lambda out: out["fine"] if isinstance(out, OrderedDict) else out,
            lambda out: out["fine"],
        ),
        (Named, 0, lambda out: out.fine),
        (Named, -2, lambda out: out[0]),
        (
            Nested,
            lambda out: out[1]["maps"][1] if isinstance(out, list) else out,
            lambda out: out[1]["maps"][1],
        ),
    ],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_select_takes_one_tensor_and_the_model_gets_the_others_too(x, layer, select, read, frozen):
    class Net(Base):
        def __init__(self):
            super().__init__()
            self.last = layer()

        def forward(self, x):
            out = self.last(torch.relu(self.stem(x)))
            assert type(out) is type(self.last(torch.zeros(1, 8, 2, 2, dtype=x.dtype)))
            # In place, which the recorded tensor must not see.
            return self.head(read(out).mul_(2)) if self.in_place else self.head(2 * read(out))

    net = Net().double().eval()
    net.in_place = False
    wanted = plain_gradient(net, "last", x, 1, call=0, pick=read)
    net.in_place = True
    net.requires_grad_(not frozen)
    with tap(net, ["last", "stem"], select=select, call=0) as t:
        activations, gradients = t.grads(net(x)[:, 1])
    assert_close(activations[0], wanted[0])
    assert_close(gradients[0], wanted[1])
    assert activations[1].shape == (2, 8, 8, 12)
    result = GradCAM(net, "last", select=select, call=0).explain(x, target=1)
    assert_close(result.gradient, wanted[1])


@pytest.mark.parametrize("select", [0, "out"])
def test_a_select_that_fits_no_layer_is_an_error(x, select):
    net = Skip().double()
    message = r"`select` \(=.*\) fits no layer: 'stem', 'last' returned one tensor; leave"
    with tap(net, ["stem", "last"], select=select) as t:
        output = net(x)
        with pytest.raises(ValueError, match=message):
            t.grads(output[:, 0])


def test_a_function_is_asked_for_every_layer(x):
    net, asked = Skip().double(), []
    with tap(net, ["stem", "last"], select=lambda y: (asked.append(y), y)[1]) as t:
        (stem, last), _ = t.grads(net(x)[:, 0])
    for seen, recorded in zip(asked, (stem, last), strict=True):
        assert torch.equal(seen, recorded)
    with pytest.raises(ValueError, match="`select` made a new tensor from the output of layer 'la"):
        GradCAM(net, "last", select=lambda y: y[0])(x)


def test_the_mapping_that_the_layer_returned_is_not_changed(x):
    class Keeping(Dictionary):
        def forward(self, x):
            self.kept = super().forward(x)
            self.fine = self.kept["fine"]
            return self.kept

    net = nn.Sequential(nn.Conv2d(3, 8, 1), Keeping()).double()
    with tap(net, "1", select="fine"):
        passed_on = net(x)["fine"]
    assert net[1].kept["fine"] is net[1].fine
    assert passed_on is not net[1].fine


def test_the_output_of_an_lstm(x):
    class Recurrent(Base):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(8, 8, batch_first=True)

        def forward(self, x):
            y, _ = self.lstm(torch.relu(self.stem(x)).flatten(2).transpose(1, 2))
            return self.fc(torch.tanh(y).mean(1))

    net = Recurrent().double().eval()
    wanted = plain_gradient(net, "lstm", x, 0, pick=lambda output: output[0])
    with tap(net, "lstm", select=0) as t:
        (activation,), (gradient,) = t.grads(net(x)[:, 0])
    assert_close(activation, wanted[0])
    assert_close(gradient, wanted[1])


@pytest.mark.parametrize(
    ("select", "error", "message"),
    [
        (
            None,
            TypeError,
            r"returned a OrderedDict with the keys \['fine', 'coarse', 'size'\]",
        ),
        ("p3", ValueError, r"`select` \(='p3'\) not found: layer 'last' returned a OrderedDict"),
        (0, ValueError, r"`select` \(=0\) not found"),
        ("size", TypeError, "layer 'last' returned int, not a floating-point tensor"),
        (lambda out: out["fine"][:, :3], ValueError, "`select` made a new tensor"),
    ],
)
def test_a_wrong_select_is_an_error(x, select, error, message):
    class Net(Base):
        def __init__(self):
            super().__init__()
            self.last = Dictionary()

        def forward(self, x):
            return self.head(self.last(self.stem(x))["fine"])

    with pytest.raises(error, match=message):
        GradCAM(Net().double(), "last", select=select)(x)


# ---- where the head alone is not enough, or nothing is --------------------------------------


class PartlyUnrecorded(Base):
    """In head mode nothing of ``mix`` would be recorded, and the score depend on the rest."""

    def forward(self, x):
        with torch.no_grad():
            y = self.trunk(x)
        z = torch.tanh(self.mix(y))
        with torch.enable_grad():
            return self.fc((z + y * y).flatten(2).mean(2))


class NoGradForward(Base):
    @torch.no_grad()
    def forward(self, x):
        return self.head(self.trunk(x))


@pytest.mark.parametrize("model", [PartlyUnrecorded, NoGradForward])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_that_switches_recording_off_is_recorded_as_a_whole(x, model, frozen):
    net = model().double().requires_grad_(not frozen)
    y = net.trunk(x).detach().requires_grad_()
    plain = torch.tanh(net.mix(y))
    if model is PartlyUnrecorded:
        plain = plain + y * y
    (wanted,) = torch.autograd.grad(net.fc(plain.flatten(2).mean(2))[:, 1].sum(), y)
    result = GradCAM(net, "last").explain(x, target=1)
    assert result.mode == "full"
    assert_close(result.gradient, wanted)
    assert GradCAM(Skip().double(), "last").explain(x).mode == "head"
    message = "does not depend on the output of layer 'last'.* `tap.*record_trunk=True.* helps"
    with tap(net, "last") as t, pytest.raises(RuntimeError, match=message):
        t.grads(net(x)[:, 1])


class Overwritten(Base):
    layer = "same"

    def forward(self, x):
        y = self.trunk(x)
        z = self.same(y)
        y.relu_()
        return self.head(z) + self.head(y)


class OverwrittenView(Base):
    """torch notices nothing here: the layer's view is overwritten with its base."""

    layer = "second"

    def __init__(self):
        super().__init__()
        self.second = SecondHalf()
        self.mix = nn.Conv2d(4, 8, 1)

    def forward(self, x):
        y = self.trunk(x)
        z = self.second(y)
        y.mul_(2)
        return self.head(z)


class SecondHalf(nn.Module):
    def forward(self, x):
        return x[:, 4:]


@pytest.mark.parametrize("model", [Overwritten, OverwrittenView])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("record_trunk", [False, True])
def test_an_output_overwritten_by_another_reference_is_an_error(x, model, frozen, record_trunk):
    net = model().double().requires_grad_(not frozen)
    message = f"overwrites the output of layer '{model.layer}' in place, by another reference"
    with pytest.raises(RuntimeError, match=message):
        GradCAM(net, model.layer)(x)
    with (
        pytest.raises(RuntimeError, match=message),
        tap(net, model.layer, record_trunk=record_trunk) as t,
    ):
        t.grads(net(x)[:, 0])


def test_other_errors_of_the_block_pass():
    with pytest.raises(RuntimeError, match="my own"), tap(Skip(), "last"):
        raise RuntimeError("my own")


class Functional(Base):
    def forward(self, x):
        y = nn.functional.conv2d(torch.relu(self.stem(x)), self.last.weight, stride=2, padding=1)
        return self.head(y)


class DirectCall(Base):
    def forward(self, x):
        return self.head(self.last.forward(torch.relu(self.stem(x))))


class Detached(Base):
    def forward(self, x):
        return self.head(self.trunk(x).detach())


class ReentrantAround(Base):
    def forward(self, x):
        return self.head(checkpoint(self.trunk, x, use_reentrant=True))


class ReentrantAfter(Base):
    def forward(self, x):
        return checkpoint(self.head, self.trunk(x), use_reentrant=True)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Functional, "layer 'last' has not run inside"),
        (DirectCall, "layer 'last' has not run inside"),
        (Detached, "does not depend on the output of layer 'last': the model does not use it"),
        (ReentrantAround, "checkpoints it with `use_reentrant=True`"),
        (ReentrantAfter, "use_reentrant=False"),  # torch's own words
    ],
)
def test_what_cannot_be_explained_says_why(x, model, message):
    with pytest.raises(RuntimeError, match=message):
        GradCAM(model().double(), "last")(x)


@pytest.mark.parametrize("compiler", [torch.jit.script, lambda net: torch.jit.trace(net, X32)])
def test_torchscript_is_refused(compiler):
    net = compiler(nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(ValueError, match="`model` is TorchScript, which runs no hooks: explain"):
        GradCAM(net, "0")(X32)


X32 = torch.zeros(1, 3, 4, 4)


# ---- transformers ----------------------------------------------------------------------------


class Encoder(nn.Module):
    """PyTorch's encoder, whose layers run as one fused operation where nothing is recorded."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize(
    "layer",
    ["encoder", *(f"encoder.layers.{part}" for part in ("1", "2", "1.norm1", "0.linear2"))],
)
def test_the_fused_layers_of_a_transformer(x, layer):
    net = Encoder().double().eval()
    activation, gradient = plain_gradient(net, layer, x, 1)
    with tap(net, layer) as t:
        (ours,), (our_gradient,) = t.grads(net(x)[:, 1])
    assert_close(ours, activation)
    assert_close(our_gradient, gradient)


def test_the_attention_of_a_transformer_is_selected(x):
    net = Encoder().double().eval()
    layer = "encoder.layers.1.self_attn"
    _, gradient = plain_gradient(net, layer, x, 1, pick=lambda output: output[0])
    with tap(net, layer, select=0) as t:
        _, (ours,) = t.grads(net(x)[:, 1])
    assert_close(ours, gradient)
