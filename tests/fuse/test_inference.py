"""A fused copy computes what the network does, leaves it alone, and says what was done."""

import copy
import io
import pickle
import random
from functools import partial

import pytest
import torch
from torch import nn

import seattn
from seattn import fuse_for_inference, record_gates
from seattn.attention import CBAMBlock, ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck, EfficientNet, FeatureNet, ResNet
from seattn.fuse.verification import check_algebra, check_rounding
from tests.fuse.networks import SMALL, randomise, relative

NETWORKS = {
    "resnet": partial(ResNet, BasicBlock, **SMALL),
    "se_resnet": partial(ResNet, BasicBlock, attention=SEBlock, **SMALL),
    "bottlenecks": partial(ResNet, Bottleneck, **SMALL),
    "se_bottlenecks": partial(ResNet, Bottleneck, attention=SEBlock, **SMALL),
    "eca_bottlenecks": partial(ResNet, Bottleneck, attention=ECABlock, **SMALL),
    "se_resnext": partial(
        ResNet, Bottleneck, attention=SEBlock, cardinality=4, base_width=16, **SMALL
    ),
    "senet": partial(seattn.senet154, layers=(1, 1, 1, 1)),
    "deep_stem": partial(ResNet, Bottleneck, attention=SEBlock, stem="deep", **SMALL),
    "dilated": partial(ResNet, Bottleneck, attention=SEBlock, output_stride=8, **SMALL),
    "mixed": partial(ResNet, Bottleneck, attention=(None, SEBlock, CBAMBlock, ECABlock), **SMALL),
    "post": partial(ResNet, Bottleneck, attention=SEBlock, attention_position="post", **SMALL),
    "efficientnet": partial(EfficientNet, width=0.25, depth=0.5),
}


def build(name, **options):
    return randomise(NETWORKS[name](num_classes=5, **options))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("images", "in_chans", "height", "width"), [(1, 3, 65, 47), (5, 1, 33, 98)]
)
def test_logits_are_the_same(name, images, in_chans, height, width):
    network = build(name, in_chans=in_chans)
    fused = fuse_for_inference(network)
    x = torch.randn(images, in_chans, height, width)
    assert relative(fused(x), network(x)) < 1e-5
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    fused, network = fuse_for_inference(network, dtype=torch.float64), network.double()
    torch.testing.assert_close(fused(x.double()), network(x.double()), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["se_bottlenecks", "efficientnet"])
def test_large_batches(name):
    network = build(name, in_chans=1)
    x = torch.randn(64, 1, 33, 35)
    assert relative(fuse_for_inference(network)(x), network(x)) < 1e-5


@pytest.mark.parametrize("dims", [1, 3])
@pytest.mark.parametrize("name", ["se_resnet", "eca_bottlenecks", "mixed", "post"])
def test_signals_and_volumes(dims, name):
    if name == "mixed":
        network = ResNet(
            Bottleneck, attention=(None, SEBlock, None, ECABlock), spatial_dims=dims, **SMALL
        )
        randomise(network)
    else:
        network = build(name, spatial_dims=dims)
    fused = fuse_for_inference(network)
    x = torch.randn(3, 3, *(65, 33, 34)[-dims:])
    assert relative(fused(x), network(x)) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "name", ["se_bottlenecks", "bottlenecks", "eca_bottlenecks", "se_resnet", "efficientnet"]
)
def test_half_precision_costs_no_more_than_it_costs_the_original(name, dtype):
    ratios = []
    for _ in range(5):  # of one network the ratio is mostly luck
        network = build(name)
        fused = fuse_for_inference(network, dtype=dtype)
        x = torch.randn(16, 3, 64, 64)
        exact = copy.deepcopy(network).double()(x.double())
        half = copy.deepcopy(network).to(dtype)(x.to(dtype)).double()
        error = (fused(x.to(dtype)).double() - exact).square().mean().sqrt()
        ratios.append(error / (half - exact).square().mean().sqrt())
        assert fused.report.deviation_before > 1e-4
    assert torch.stack(ratios).log().mean().exp() < 1.1


@pytest.mark.parametrize("name", ["se_bottlenecks", "efficientnet"])
def test_autocast(name):
    network = build(name)
    fused = fuse_for_inference(network)
    x = torch.randn(8, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = fused(x)
    assert relative(logits.float(), network(x)) < 0.05


def test_a_network_in_half_precision_is_folded_from_its_own_numbers():
    network = build("se_bottlenecks").bfloat16()
    fused = fuse_for_inference(network)
    assert {p.dtype for p in fused.parameters()} == {torch.bfloat16}
    x = torch.randn(4, 3, 64, 64).bfloat16()
    assert relative(fused(x).float(), network(x).float()) < 0.05


def test_the_original_stays_as_it_was():
    network = build("se_bottlenecks").train()
    network.layer1.eval()
    network.fc.weight.requires_grad_(False)
    modes = [module.training for module in network.modules()]
    state = copy.deepcopy(network.state_dict())
    text = str(network)
    torch.manual_seed(3)
    random.seed(3)
    drawn = torch.get_rng_state(), random.getstate()
    fused = fuse_for_inference(network)
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.zero_()
    assert str(network) == text
    assert [module.training for module in network.modules()] == modes
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key])
    assert [p.requires_grad for p in network.parameters()].count(False) == 1
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert random.getstate() == drawn[1]


def test_the_copy_is_for_evaluation():
    fused = fuse_for_inference(build("se_bottlenecks", drop_rate=0.5, drop_path_rate=0.5).train())
    assert not any(module.training for module in fused.modules())
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(fused(x), fused(x))


def test_weights_are_channels_last_where_that_exists():
    fused = fuse_for_inference(build("bottlenecks"))
    assert fused.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert not fused.conv1.weight.is_contiguous()
    fuse_for_inference(build("bottlenecks", spatial_dims=3))


def test_checkpointing_is_off_in_the_copy():
    network = build("resnet")
    network.set_grad_checkpointing()
    fused = fuse_for_inference(network)
    assert network.layer1.grad_checkpointing
    assert not fused.layer1.grad_checkpointing


def test_device_and_dtype_are_those_wanted():
    fused = fuse_for_inference(build("resnet"), device="cpu", dtype=torch.float64)
    assert {p.dtype for p in fused.parameters()} == {torch.float64}
    assert fused.report.deviation < 1e-13


def test_the_protocol_of_the_network_still_works():
    network = build("se_bottlenecks")
    fused = fuse_for_inference(network)
    x = torch.randn(2, 3, 64, 64)
    assert relative(fused.forward_features(x), network.forward_features(x)) < 1e-5
    for ours, theirs in zip(
        fused.forward_intermediates(x)[1], network.forward_intermediates(x)[1], strict=True
    ):
        assert relative(ours, theirs) < 1e-5
    fused.reset_classifier(3)
    assert fused(x).shape == (2, 3)


def test_networks_of_feature_maps():
    for name in ("se_resnet", "efficientnet"):
        encoder = FeatureNet(build(name), out_indices=(0, 2, 4)).eval()
        fused = fuse_for_inference(encoder)
        x = torch.randn(2, 3, 64, 64)
        for ours, theirs in zip(fused(x), encoder(x), strict=True):
            assert relative(ours, theirs) < 1e-5


def test_a_network_inside_another_is_fused():
    network = nn.ModuleDict({"left": build("resnet"), "right": build("se_bottlenecks")})

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = network

        def forward(self, x):
            return {"sum": [self.parts["left"](x) + self.parts["right"](x)]}

    model = Both().eval()
    fused = fuse_for_inference(model)
    x = torch.randn(2, 3, 64, 64)
    assert relative(fused(x)["sum"][0], model(x)["sum"][0]) < 1e-5
    assert {f.name for f in fused.report.fusions} >= {"parts.left.layer1.0", "parts.right"}


@pytest.mark.parametrize(
    "name", ["se_bottlenecks", "se_resnet", "eca_bottlenecks", "efficientnet", "mixed"]
)
def test_gates_are_recorded_under_the_same_names(name):
    network = build(name)
    fused = fuse_for_inference(network)
    x = torch.randn(2, 3, 64, 64)
    with record_gates(network) as expected:
        network(x)
    with record_gates(fused) as gates:
        fused(x)
    assert list(gates) == list(expected)
    assert gates
    for key, gate in gates.items():
        torch.testing.assert_close(gate, expected[key], rtol=1e-4, atol=1e-5)
    assert torch.stack([g.std() for g in gates.values()]).min() > 1e-3


def test_hooks_on_modules_that_stay_see_the_same():
    network = build("se_bottlenecks")
    x = torch.randn(2, 3, 64, 64)
    seen = []
    network.layer3.register_forward_hook(lambda module, args, out: seen.append(out))
    fused = fuse_for_inference(network)
    seen.clear()
    network(x)
    fused(x)
    assert relative(seen[1], seen[0]) < 1e-5


def test_grad_cam_of_a_fused_network_is_that_of_the_network():
    network = build("se_bottlenecks")
    fused = fuse_for_inference(network)
    x = torch.randn(2, 3, 96, 64)
    expected = seattn.GradCAM(network, "layer3")(x, target=1)
    torch.testing.assert_close(
        seattn.GradCAM(fused, "layer3")(x, target=1), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("hooked", ["conv1", "bn1", "layer2.1", "layer2.1.bn3", "layer2.1.se.fc1"])
@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook", "full_backward_hook"])
def test_hooks_on_modules_that_go_are_refused(hooked, kind):
    network = build("se_bottlenecks")
    register = getattr(network.get_submodule(hooked), f"register_{kind}")
    handle = register(lambda *args: None)
    with pytest.raises(ValueError, match=rf"hook on '{hooked}' .* put the hook on the copy"):
        fuse_for_inference(network)
    handle.remove()
    fuse_for_inference(network)


def test_inserted_attention_is_refused_with_the_way_out():
    network = build("bottlenecks")
    seattn.insert_attention(network, SEBlock)
    with pytest.raises(ValueError, match=r"'layer1.0.bn3' .*`fold_attention\(model\)`"):
        fuse_for_inference(network)
    blocks = NETWORKS["se_bottlenecks"](num_classes=5).eval()
    blocks.load_state_dict(seattn.fold_attention(network))
    x = torch.randn(2, 3, 64, 64)
    assert relative(fuse_for_inference(blocks)(x), network(x)) < 1e-5


def test_report_has_a_line_for_everything():
    report = fuse_for_inference(build("mixed")).report
    assert report.folded == 1 + 3 * 5 + 4 + 1
    assert [row.name for row in report.fusions] == [
        "", "layer1.0", "layer1.0.downsample", "layer2.0", "layer2.0.downsample", "layer2.1",
        "layer3.0", "layer3.0.se.spatial.conv", "layer3.0.downsample", "layer4.0",
        "layer4.0.downsample",
    ]  # fmt: skip
    assert [row.block for row in report.fusions if row.module == "Bottleneck"] == [
        "rebuilt, no gate",
        *["rebuilt, gate known before the last convolution"] * 2,
        "not rebuilt: its attention, CBAMBlock, is not known to be a function of the means",
        "rebuilt, gate known before the last convolution",
    ]
    assert [row.name for row in report.left] == ["layer3.0"]
    lines = str(report).splitlines()
    assert len(lines) == 13
    assert lines[1].split() == ["(network)", "ResNet", "1"]
    assert lines[-1].startswith("11 modules")
    assert lines[-1].split()[2] == "21"


@pytest.mark.parametrize("name", ["se_bottlenecks", "eca_bottlenecks", "efficientnet"])
def test_copies_pickles_and_state(name):
    network = build(name)
    fused = fuse_for_inference(network)
    x = torch.randn(2, 3, 64, 64)
    expected = fused(x)
    for other in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused))):
        assert torch.equal(other(x), expected)
        assert other.report == fused.report
    again = fuse_for_inference(build(name))
    assert not torch.equal(again(x), expected)
    file = io.BytesIO()
    torch.save(fused.state_dict(), file)
    file.seek(0)
    again.load_state_dict(torch.load(file))
    assert torch.equal(again(x), expected)


def test_fusing_twice_changes_nothing_or_says_so():
    fused = fuse_for_inference(build("se_bottlenecks"))
    with pytest.raises(ValueError, match="nothing that can be fused"):
        fuse_for_inference(fused)


# ---- refusals -------------------------------------------------------------------------------


class _Foreign(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x))


def test_a_network_of_unknown_classes_is_refused():
    with pytest.raises(ValueError, match=r"`model` \(a _Foreign\) has nothing that can be fused"):
        fuse_for_inference(_Foreign(), leave_unknown=True)


def test_an_unknown_part_is_refused_or_left_as_it_is():
    network = randomise(nn.Sequential(_Foreign(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
    with pytest.raises(ValueError, match=r"has 1 BatchNorm .*, first '0.norm': .* `leave_unknown"):
        fuse_for_inference(network)
    fused = fuse_for_inference(network, leave_unknown=True)
    x = torch.randn(2, 3, 9, 9)
    assert relative(fused(x), network(x)) < 1e-5
    (left,) = fused.report.left
    assert left.name == "0.norm"
    assert "left: it is not known to follow a convolution in _Foreign" in str(fused.report)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (lambda: "resnet", {}, TypeError, r"`model` \(a str\) must be a torch.nn.Module"),
        (nn.ReLU, {}, ValueError, "no parameters of floating point"),
        (lambda: nn.Linear(3, 3), {}, ValueError, "no convolution"),
        (lambda: torch.compile(nn.Conv2d(1, 1, 1)), {}, TypeError, "is compiled: pass the network"),
        (lambda: build("resnet"), {"dtype": torch.int8}, TypeError, r"`dtype` \(=torch.int8\)"),
        (lambda: build("resnet"), {"example": (1, 2)}, TypeError, r"`example` \(a tuple\) must be"),
        (
            lambda: build("resnet"),
            {"dtype": "bfloat16"},
            TypeError,
            "`dtype` .* must be torch.float16",
        ),
        (lambda: build("resnet"), {"dtype": torch.float8_e5m2}, TypeError, "`dtype`"),
        (lambda: build("resnet"), {"device": "meta"}, ValueError, "`device` .* must be one that"),
        (
            lambda: build("resnet"),
            {"example": torch.zeros(0, 3, 8, 8)},
            ValueError,
            r"`example` \(of shape \(0, 3, 8, 8\)\) must hold an image",
        ),
        (lambda: build("resnet"), {"compile": "max-autotune"}, TypeError, "must be True or False"),
        (lambda: build("resnet"), {"compile": True}, ValueError, "needs `example`"),
        (
            lambda: build("resnet"),
            {"compile": True, "example": torch.zeros(1, 3, 64, 64), "device": "mps"},
            ValueError,
            r"is for the CPU and CUDA, not for `device` \(='mps'\)",
        ),
    ],
)
def test_wrong_arguments(model, options, error, message):
    with pytest.raises(error, match=message):
        fuse_for_inference(model(), **options)


def test_an_example_that_does_not_fit_says_where_it_ran():
    with pytest.raises(RuntimeError) as caught:
        fuse_for_inference(build("resnet"), example=torch.zeros(1, 2, 64, 64))
    (note,) = caught.value.__notes__
    assert "on an example of shape (1, 2, 64, 64): it has to take one tensor" in note


def test_the_example_is_what_is_compared():
    network = build("resnet", in_chans=2)
    sizes = []
    network.layer4.register_forward_hook(lambda module, args, out: sizes.append(out.shape))
    fuse_for_inference(network, example=torch.randn(3, 2, 96, 160))
    assert set(sizes) == {(3, 48, 3, 5), (2, 48, 3, 5)}


def test_a_wrong_copy_is_not_returned(monkeypatch):
    from seattn.fuse import blocks

    def wrong(residual, gate, shortcut, act):
        return act(gate * residual + 1.0001 * shortcut)

    monkeypatch.setattr(blocks, "scale_add_act", wrong)
    with pytest.raises(RuntimeError, match="in float64 the fused copy of `model` differs"):
        fuse_for_inference(build("se_bottlenecks"))


def test_numbers_that_are_not_finite_are_no_proof():
    network = build("resnet")
    nn.init.constant_(network.fc.weight, float("inf"))
    with pytest.raises(RuntimeError, match=r"differs .* nan .* `example`"):
        fuse_for_inference(network)


def test_comparison_is_relative_and_of_every_output():
    exact = [torch.tensor([100.0, 1.0]).double(), torch.tensor([0.001]).double()]
    check_algebra([exact[0] + 1e-7, exact[1]], exact)
    with pytest.raises(RuntimeError):
        check_algebra([exact[0], exact[1] + 1e-7], exact)
    rounded = [each.float() for each in exact]
    assert check_rounding(rounded, rounded, exact)[1] < 1e-6
    with pytest.raises(RuntimeError, match="in float32"):
        check_rounding([rounded[0] + 0.01, rounded[1]], rounded, exact)
    assert check_rounding([rounded[0] + 0.01, rounded[1]], [rounded[0] + 0.006, rounded[1]], exact)
