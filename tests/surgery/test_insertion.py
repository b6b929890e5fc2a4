"""Attention that is put in changes nothing at first, learns, and comes out again."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seattn.attention import (
    BAMBlock,
    CBAMBlock,
    CoordAttention,
    ECABlock,
    EffectiveSE,
    GatherExcite,
    GlobalContext,
    GlobalContextAdd,
    SCSEBlock,
    SEBlock,
    SimAM,
    SqueezeExcite,
    TripletAttention,
    record_gates,
)
from seattn.explain import GradCAM
from seattn.surgery import InsertReport, insert_attention, remove_attention
from tests.surgery.networks import Unit, UserNet, small_resnet


class Averaging(nn.Module):
    """A user's block: no gate, no identity, parameters of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.mix(x))


# Each block with how it starts as the identity.
BLOCKS: dict[str, tuple[Any, str]] = {
    "SEBlock": (SEBlock, "scaled"),
    "SqueezeExcite": (SqueezeExcite, "scaled"),
    "ECABlock": (ECABlock, "scaled"),
    "GlobalContext": (GlobalContext, "scaled"),
    "CBAMBlock": (CBAMBlock, "scaled"),
    "CBAMBlock with biases": (partial(CBAMBlock, bias=True), "scaled"),
    "CoordAttention": (partial(CoordAttention, reduction=8), "scaled"),
    "CoordAttention with biases": (partial(CoordAttention, reduction=8, bias=True), "scaled"),
    "EffectiveSE": (EffectiveSE, "own"),
    "SCSEBlock": (SCSEBlock, "own"),
    "GlobalContextAdd": (GlobalContextAdd, "own"),
    "SimAM": (SimAM, "blended"),
    "TripletAttention": (TripletAttention, "scaled"),
    "BAMBlock": (BAMBlock, "blended"),
    "GatherExcite": (GatherExcite, "blended"),
    "GatherExcite with a mean and layers": (partial(GatherExcite, extent=2, mlp=True), "scaled"),
    "GatherExcite theta": (partial(GatherExcite, extent=2, learn_gather=True), "scaled"),
    "GatherExcite theta-plus": (
        partial(GatherExcite, extent=4, learn_gather=True, mlp=True, reduction=4),
        "scaled",
    ),
    "a user's": (Averaging, "blended"),
    "a function": (lambda channels: SEBlock(channels, hidden_channels=2), "scaled"),
}
every_block = pytest.mark.parametrize(
    ("block", "identity"), [pytest.param(*value, id=name) for name, value in BLOCKS.items()]
)


def gradients(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    y = model(x)
    y.square().sum().backward()
    return y, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def structure(model: nn.Module) -> dict[str, Any]:
    """Everything that insertion and removal must not change, and the values of all tensors."""
    return {
        "text": str(model),
        "tensors": [(k, v.clone()) for k, v in model.state_dict(keep_vars=True).items()],
        "identities": [id(m) for m in model.modules()],
        "attributes": [sorted(m.__dict__) + list(m._modules) for m in model.modules()],
        "hooks": [list(m._forward_hooks.values()) for m in model.modules()],
        "modes": [m.training for m in model.modules()],
        "trained": [p.requires_grad for p in model.parameters()],
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    a, b = one.pop("tensors"), other.pop("tensors")
    equal = len(a) == len(b) and all(
        k == m and torch.equal(v, w) for (k, v), (m, w) in zip(a, b, strict=True)
    )
    return equal and one == other


# ---- the identity ---------------------------------------------------------------------------


@every_block
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_statistics_and_gradients_are_those_of_the_network_before(block, identity, dtype):
    model = small_resnet().to(dtype)
    before, x = copy.deepcopy(model), torch.randn(4, 1, 18, 15, dtype=dtype)
    report = insert_attention(model, block)
    assert {insertion.identity for insertion in report.insertions} == {identity}
    (y, after), (expected_y, expected) = gradients(model, x), gradients(before, x)
    assert torch.equal(y, expected_y)
    for name, gradient in expected.items():
        assert torch.equal(after[name], gradient), name
    state = model.state_dict()
    for name, tensor in before.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert torch.equal(model.eval()(x), before.eval()(x))


@every_block
def test_blocks_learn_from_the_first_step(block, identity):
    model, x = small_resnet().train(), torch.randn(4, 1, 18, 15)
    insert_attention(model, block)
    _, found = gradients(model, x)
    for name in ("layer1.0.bn2", "layer4.0.bn2"):
        added = [g for key, g in found.items() if key.startswith(f"{name}.attention.")]
        assert any(g.abs().max() > 0 for g in added), name
    before = copy.deepcopy(model).eval()(x)
    torch.optim.SGD(
        [p for name, p in model.named_parameters() if ".attention." in name], lr=0.5
    ).step()
    assert not torch.equal(model.eval()(x), before)


def test_the_identity_is_exact_under_autocast():
    model, x = small_resnet().eval(), torch.randn(2, 1, 18, 15)
    before = copy.deepcopy(model)
    insert_attention(model, SEBlock, at="*.0.bn1")
    insert_attention(model, CBAMBlock, at="*.0.bn2")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(x), before(x))


@pytest.mark.parametrize(
    ("dims", "shape"), [(1, (2, 1, 33)), (2, (2, 1, 9, 7)), (3, (2, 1, 5, 4, 6))]
)
def test_networks_of_any_rank(dims, shape):
    model, x = UserNet(dims), torch.randn(shape)
    before = copy.deepcopy(model)
    report = insert_attention(model, SEBlock)
    assert report.names == ["body.0.second_norm", "body.2.second_norm"]
    assert [len(insertion.spatial) for insertion in report.insertions] == [dims, dims]
    assert torch.equal(model(x), before(x))


def test_default_initialisation_is_the_blocks_own():
    model, x = small_resnet().eval(), torch.randn(2, 1, 18, 15)
    before = model(x)
    torch.manual_seed(1)
    report = insert_attention(model, SEBlock, at="layer1.0.bn2", init="default")
    torch.manual_seed(1)
    expected = SEBlock(16)
    assert report.insertions[0].identity is None
    inserted = model.layer1[0].bn2.attention
    assert type(inserted) is SEBlock
    assert all(map(torch.equal, inserted.parameters(), expected.parameters()))
    assert not torch.equal(model(x), before)


# ---- what is kept ---------------------------------------------------------------------------


def test_device_dtype_and_mode_are_those_of_the_host():
    model = small_resnet().double()
    model.layer2.eval()
    insert_attention(model, CBAMBlock)
    for stage in (model.layer1, model.layer2):
        attention = stage[0].bn2.attention
        assert {p.dtype for p in attention.parameters()} == {torch.float64}
        assert {m.training for m in attention.modules()} == {stage.training}


def test_autocast_round_the_insertion_does_not_narrow_the_blocks():
    model = small_resnet()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        insert_attention(model, SEBlock)
        assert torch.is_autocast_enabled("cpu")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_frozen_weights_stay_frozen_and_new_ones_are_trained():
    model = small_resnet().requires_grad_(False)
    insert_attention(model, SEBlock)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {name for name in model.state_dict() if ".attention." in name}


def test_hooks_are_kept_and_see_what_they_saw():
    model, x, seen = small_resnet().eval(), torch.randn(1, 1, 18, 15), []
    host = model.layer1[0].bn2
    host.register_forward_hook(lambda module, args, output: seen.append(output.clone()))
    host.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    model(x)
    plain = list(seen)
    insert_attention(model, SEBlock, init="default")
    seen.clear()
    model(x)
    assert len(seen) == len(plain) == 2
    assert all(map(torch.equal, seen, plain))


def test_backward_hooks_are_kept_and_see_what_they_saw():
    model, x, seen = small_resnet().eval(), torch.randn(1, 1, 18, 15), []
    host = model.layer1[0].bn2
    host.register_full_backward_hook(lambda module, into, out: seen.append((into[0], out[0])))
    model(x).sum().backward()
    insert_attention(model, ECABlock)
    model(x).sum().backward()
    plain, attended = seen
    assert all(map(torch.equal, attended, plain))


def test_random_numbers_gradients_and_modes_are_left_alone():
    class Noisy(UserNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.rand(3)

    model = Noisy()
    model.body[0].eval()
    model(torch.randn(2, 1, 9, 9)).sum().backward()
    grads = [p.grad.clone() for p in model.parameters()]
    statistics = model.body[2].first_norm.running_mean.clone()
    torch.manual_seed(3)
    insert_attention(model, SimAM)  # it draws no random numbers
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))
    after = [p.grad for name, p in model.named_parameters() if ".attention." not in name]
    assert all(map(torch.equal, grads, after))
    assert torch.equal(model.body[2].first_norm.running_mean, statistics)
    assert [m.training for m in (model, model.body[0].first, model.body[2])] == [True, False, True]
    assert torch.is_grad_enabled()


def test_inference_mode_round_the_insertion_changes_nothing():
    model, expected = small_resnet(), small_resnet()
    with torch.inference_mode():
        report = insert_attention(model, SEBlock)
    assert report == insert_attention(expected, SEBlock)
    model(torch.randn(2, 1, 18, 15)).square().sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "attention" in name)


def test_the_network_runs_in_eval_mode_and_without_a_graph():
    model, seen = small_resnet(), []
    model.fc.register_forward_hook(
        lambda module, args, output: seen.append((module.training, output.requires_grad))
    )
    insert_attention(model, SEBlock)
    assert seen == [(False, False)] * 2


def test_a_state_dict_of_the_network_before_still_loads():
    model = small_resnet()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    insert_attention(model, SEBlock)
    missing, unexpected = model.load_state_dict(before, strict=False)
    assert not unexpected
    assert missing
    assert all(".attention." in name for name in missing)


def test_removal_restores_the_network_bit_for_bit():
    model = small_resnet()
    model.layer1[0].bn2.register_forward_hook(_note)
    model.layer2.eval()
    model.conv1.requires_grad_(False)
    before = structure(model)
    report = insert_attention(model, SEBlock)
    report_too = insert_attention(model, SimAM, at="*.bn1")
    assert sorted(remove_attention(model)) == sorted(report.names + report_too.names)
    assert same(structure(model), before)
    assert remove_attention(model) == []


def _note(module: nn.Module, args: Any, output: Tensor) -> None:
    """A hook of the user's."""


# ---- the report -----------------------------------------------------------------------------


def test_the_report_says_what_went_where():
    model = small_resnet(bottleneck=True)
    total = sum(p.numel() for p in model.parameters())
    report = insert_attention(
        model, partial(SEBlock, reduction=8), example_input=torch.ones(1, 1, 40, 24)
    )
    assert isinstance(report, InsertReport)
    assert report.names == [f"layer{i}.0.bn3" for i in (1, 2, 3, 4)]
    assert [i.channels for i in report.insertions] == [64, 128, 192, 256]
    assert [i.spatial for i in report.insertions] == [(40, 24), (20, 12), (10, 6), (5, 3)]
    assert {i.block for i in report.insertions} == {"SEBlock"}
    assert report.insertions[0].parameters == 64 * 8 + 8 + 8 * 64 + 64
    assert report.parameters == sum(p.numel() for p in model.parameters()) - total
    lines = str(report).splitlines()
    assert len(lines) == 6
    assert lines[1].split() == ["layer1.0.bn3", "SEBlock", "64", "40x24", "1,096", "scaled"]
    assert lines[-1].split() == ["4", "places", f"{report.parameters:,}"]


# ---- with the rest of the library -----------------------------------------------------------


def test_gates_are_recorded_once_per_place_and_start_at_1():
    model, x = small_resnet().eval(), torch.randn(2, 1, 18, 15)
    report = insert_attention(model, SEBlock)
    with record_gates(model) as gates:
        model(x)
    assert list(gates) == [f"{name}.attention" for name in report.names]
    assert all(torch.equal(gate, torch.ones_like(gate)) for gate in gates.values())


def test_grad_cam_is_that_of_the_network_before():
    model, x = small_resnet().eval(), torch.randn(2, 1, 18, 15)
    before = GradCAM(model, "layer4")(x, target=1)
    insert_attention(model, SEBlock)
    assert torch.equal(GradCAM(model, "layer4")(x, target=1), before)


def test_several_blocks_go_into_one_network():
    model, x = small_resnet().eval(), torch.randn(2, 1, 18, 15)
    before = model(x)
    insert_attention(model, SEBlock, at="layer1.*.bn2")
    insert_attention(model, CBAMBlock, at="layer2.*.bn2")
    assert torch.equal(model(x), before)
    assert remove_attention(model) == ["layer1.0.bn2", "layer2.0.bn2"]


# ---- errors, all of which leave the network as it was ---------------------------------------


class Wrong(nn.Module):
    """Says that it can be the identity, and is not."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def init_identity_(self) -> None:
        nn.init.constant_(self.weight, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


class Halving(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2]


shared = SEBlock(16)
FAILURES: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "init": (SEBlock, {"init": "zero"}, ValueError, r"`init` \(='zero'\) must be"),
    "an instance": (SEBlock(16), {}, TypeError, "every place gets a block of its own"),
    "a name": ("se", {}, TypeError, "`block` .* must be a class"),
    "no module": (lambda c: c, {}, TypeError, "`block` returned int for 16 channels"),
    "one for all": (
        lambda c: shared,
        {"at": ["layer1.0.bn1", "layer1.0.bn2"]},
        ValueError,
        "one module twice",
    ),
    "too narrow": (partial(SEBlock, reduction=32), {}, ValueError, r"`reduction` \(=32\)"),
    "another rank": (partial(CBAMBlock, spatial_dims=3), {}, ValueError, "spatial_dims"),
    "no identity": (Wrong, {}, ValueError, "is not the identity: its"),
    "another shape": (
        Halving,
        {"init": "default"},
        ValueError,
        r"returned \(2, 16, 96, 48\).* must keep",
    ),
    "a gate": (
        lambda c: nn.AdaptiveAvgPool2d(1),
        {},
        ValueError,
        r"returned \(2, 16, 1, 1\).* must keep",
    ),
    "two maps": (
        lambda c: nn.MaxPool2d(1, return_indices=True),
        {"init": "default"},
        ValueError,
        "must keep",
    ),
    "no place": (SEBlock, {"at": "layer9.*"}, ValueError, "`at` 'layer9.*' matches no module"),
    "no name": (SEBlock, {"at": ""}, ValueError, "`at` '' matches no module; see `model.named_mod"),
    "a number": (SEBlock, {"at": 3}, TypeError, r"`at` \(=3\) must be 'auto', a name"),
    "bytes": (SEBlock, {"at": [b"bn1"]}, TypeError, r"`at` \(=\[b'bn1'\]\) must be 'auto', a name"),
}


@pytest.mark.parametrize(
    ("block", "kwargs", "error", "match"),
    [pytest.param(*value, id=name) for name, value in FAILURES.items()],
)
def test_an_error_leaves_the_network_as_it_was(block, kwargs, error, match):
    model = small_resnet()
    model.layer3.eval()
    before = structure(model)
    with pytest.raises(error, match=match):
        insert_attention(model, block, **kwargs)
    assert same(structure(model), before)


def test_an_error_names_the_place_and_its_channels():
    with pytest.raises(ValueError, match="reduction") as caught:
        insert_attention(small_resnet(), partial(SEBlock, reduction=20))
    assert caught.value.__notes__ == [
        "while making the block for 'layer1.0.bn2', which has 16 channels"
    ]


def test_a_network_that_does_not_take_the_example_says_how_to_give_another():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))
    with pytest.raises(RuntimeError, match="mat1") as caught:
        insert_attention(model, ECABlock, at="0")
    assert "`example_input`" in caught.value.__notes__[0]
    report = insert_attention(model, ECABlock, at="0", example_input=torch.ones(1, 1, 28, 28))
    assert report.insertions[0].spatial == (26, 26)


def test_a_network_without_convolutions_needs_an_example():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with pytest.raises(ValueError, match=r"`example_input` \(=None\) has no default"):
        insert_attention(model, ECABlock, at="0")
    assert insert_attention(
        model, ECABlock, at="0", example_input=(torch.ones(2, 8, 4),)
    ).names == ["0"]


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(nn.DataParallel, id="DataParallel"),
        pytest.param(partial(torch.compile, backend="eager"), id="torch.compile"),
        pytest.param(lambda m: (m.compile(backend="eager"), m)[1], id="Module.compile"),
        pytest.param(
            lambda m: nn.Sequential(m.entry, torch.compile(m.body, backend="eager")), id="a part"
        ),
    ],
)
def test_wrapped_networks_are_refused(wrap):
    with pytest.raises(TypeError, match="insert attention first, then compile or wrap"):
        insert_attention(wrap(UserNet()), SEBlock)


def test_scripted_and_traced_networks_are_refused():
    with pytest.raises(TypeError, match="`model` is scripted or traced"):
        insert_attention(torch.jit.script(Unit(16)), SEBlock, at="first")
    traced = torch.jit.trace(nn.ReLU(), torch.ones(1, 16, 8, 8))
    with pytest.raises(TypeError, match=r"`model` \(1\) is scripted or traced"):
        insert_attention(nn.Sequential(nn.Conv2d(1, 16, 3), traced), SEBlock, at="0")


def test_lazy_networks_have_to_run_first():
    model = nn.Sequential(nn.LazyConv2d(16, 3), nn.ReLU())
    with pytest.raises(ValueError, match="run it once before"):
        insert_attention(model, SEBlock, at="0")
    model(torch.ones(1, 2, 8, 8))
    assert insert_attention(model, SEBlock, at="0").names == ["0"]


def test_a_map_that_overflows_is_named_as_such():
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU()).half()
    nn.init.constant_(model[0].weight, 3e4)
    with pytest.raises(ValueError, match=r"map at '1' is not finite.*`example_input`"):
        insert_attention(model, SEBlock, at="1")
    assert insert_attention(
        model, SEBlock, at="1", example_input=torch.full((1, 1, 9, 9), 0.1, dtype=torch.half)
    )


def test_a_network_without_memory_is_refused():
    model = small_resnet().to("meta")
    with pytest.raises(ValueError, match=r"meta device.*to_empty"):
        insert_attention(model, SEBlock)


def test_blocks_inserted_in_inference_mode_can_be_trained():
    model = small_resnet()
    with torch.inference_mode():
        report = insert_attention(model, SEBlock)
    assert len(report.names) == 4
    model(torch.randn(2, 1, 18, 15)).sum().backward()
    added = [p for name, p in model.named_parameters() if ".attention." in name]
    assert all(p.grad is not None for p in added)
