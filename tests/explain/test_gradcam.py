import copy
import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seattn.explain import GradCAM
from tests import references

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Net(nn.Module):
    """Trunk and head, with an in-place operation after the trunk unless asked for the reference."""

    def __init__(self, dims=2, channels=2, stride=2, classes=3):
        super().__init__()
        self.stem = CONV[dims](channels, 4, 3, padding=1)
        self.norm = NORM[dims](4)
        self.last = CONV[dims](4, 5, 3, stride=stride, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.mix = CONV[dims](5, 5, 1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(5, classes)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def trunk(self, x):
        return self.last(torch.relu(self.norm(self.stem(x))))

    def head(self, y):
        return self.fc(self.drop(torch.tanh(self.mix(torch.relu(y)))).flatten(2).mean(2))

    def forward(self, x):
        y = self.act(self.norm(self.stem(x)))
        return self.fc(self.drop(torch.tanh(self.mix(self.act(self.last(y))))).flatten(2).mean(2))


def expected_maps(net, x, target):
    """The signed maps of the layer, and the maps at the size of ``x``, by the slow references."""
    raw = references.grad_cam(net.trunk, net.head, x, target)
    maps = [references.resize_linear(m.clamp(min=0), x.shape[2:]) for m in raw]
    return raw, torch.stack(maps)


def assert_maps_equal(ours, theirs, relative):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= relative * theirs.abs().max()


@given(
    dims=st.integers(1, 3),
    sizes=st.lists(st.integers(3, 8), min_size=3, max_size=3),
    n=st.integers(1, 3),
    channels=st.sampled_from([1, 3]),
    stride=st.integers(1, 3),
    data=st.data(),
)
def test_equals_equations_1_and_2_in_one_to_three_dimensions(
    dims, sizes, n, channels, stride, data
):
    torch.manual_seed(data.draw(st.integers(0, 99)))
    net = Net(dims, channels, stride).double().eval()
    x = torch.randn(n, channels, *sizes[:dims], dtype=torch.float64)
    target = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    raw, maps = expected_maps(net, x, target)
    result = GradCAM(net, "last").explain(x, target=target)
    assert result.maps.dtype == torch.float64
    assert_maps_equal(result.raw, raw, 1e-12)
    assert_maps_equal(result.maps, maps, 1e-12)


def test_one_class_the_predicted_class_one_class_each_and_a_function_agree():
    net, x = Net().eval(), torch.randn(5, 2, 9, 7)
    with torch.no_grad():
        net.fc.bias -= net(x).mean(0)  # so that the predictions differ
    cam = GradCAM(net, net.last)
    labels = net(x).argmax(1)
    assert len(labels.unique()) > 1
    want = cam(x, target=labels.tolist())
    assert torch.equal(cam(x), want)
    assert torch.equal(cam(x, target=labels), want)
    assert torch.equal(cam(x, target=labels.numpy()), want)
    assert torch.equal(cam(x, target=labels.to(torch.uint8)), want)
    assert torch.equal(cam(x, target=lambda out: out.gather(1, labels[:, None])[:, 0]), want)
    assert torch.equal(cam(x, target=2), cam(x, target=[2] * 5))
    assert not torch.equal(cam(x, target=2), want)


def test_each_map_of_a_batch_is_that_of_the_image_alone():
    net, x = Net().double().eval(), torch.randn(4, 2, 9, 7, dtype=torch.float64)
    cam = GradCAM(net, "last")
    maps = cam(x, target=[0, 2, 1, 0])
    for i, target in enumerate([0, 2, 1, 0]):
        assert_maps_equal(cam(x[i : i + 1], target=target)[0], maps[i], 1e-12)


def test_several_classes_take_one_forward_pass_and_equal_single_calls():
    net, x = Net(), torch.randn(3, 2, 9, 7)
    cam = GradCAM(net, "last")
    singles = [cam.explain(x, target=k) for k in (2, 0, 1)]
    calls = []
    net.stem.register_forward_hook(lambda *_: calls.append(1))
    result = cam.explain(x, classes=[2, 0, 1])
    assert len(calls) == 1
    assert torch.equal(result.maps, torch.stack([s.maps for s in singles], 1))
    assert torch.equal(result.raw, torch.stack([s.raw for s in singles], 1))
    assert result.target.tolist() == [[2, 0, 1]] * 3
    assert torch.equal(cam(x, classes=range(1, 2)), singles[2].maps[:, None])
    assert torch.equal(cam(x, classes=torch.tensor([2, 0, 1])), result.maps)


def test_the_explanation_holds_output_classes_and_the_signed_map():
    net, x = Net(), torch.randn(3, 2, 9, 7)
    result = GradCAM(net, "last").explain(x)
    with torch.no_grad():
        logits = net.eval()(x)
    assert torch.equal(result.output, logits)
    assert torch.equal(result.target, logits.argmax(1))
    assert result.raw.shape == (3, 5, 4)
    assert (result.raw < 0).any()
    assert not any(
        value.requires_grad for value in (result.maps, result.raw, result.output, result.target)
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.maps = x
    assert GradCAM(net, "last").explain(x, target=lambda out: out[:, 1]).target is None


def test_with_mean_pooling_and_one_linear_layer_the_signed_map_adds_up_to_the_logit():
    features = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2), nn.ReLU())
    net = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).double()
    x = torch.randn(2, 1, 11, 12, dtype=torch.float64)
    result = GradCAM(net, features).explain(x, classes=range(4))
    total = result.raw.sum((2, 3)) + net[3].bias
    torch.testing.assert_close(total, result.output, rtol=1e-12, atol=0)


def test_a_network_with_one_logit_has_the_class_0():
    net, x = Net(classes=1), torch.randn(2, 2, 9, 7)
    cam = GradCAM(net, "last")
    for_it = cam.explain(x, target=0)
    against = cam.explain(x, target=lambda out: -out[:, 0])
    assert torch.equal(cam(x), for_it.maps)
    assert torch.equal(against.raw, -for_it.raw)


def test_a_function_may_take_the_score_from_any_output():
    class Dictionary(Net):
        def forward(self, x):
            return {"logits": super().forward(x), "age": 3}

    net, x = Dictionary(), torch.randn(2, 2, 9, 7)
    cam = GradCAM(net, "last")
    result = cam.explain(x, target=lambda out: out["logits"][:, 1])
    assert result.output["age"] == 3
    _, maps = expected_maps(net.eval(), x, torch.tensor([1, 1]))
    assert_maps_equal(result.maps, maps, 1e-5)
    with pytest.raises(
        ValueError, match=r"returned dict, not \(2, classes\); give `target` a func"
    ):
        cam(x, target=1)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_caller_s_mode_does_not_matter(mode):
    net, x = Net(), torch.randn(2, 2, 9, 7)
    want = GradCAM(net, "last")(x)
    _, maps = expected_maps(net.eval(), x, net(x).argmax(1))
    assert_maps_equal(want, maps, 1e-5)
    net.train()
    net.stem.requires_grad_(False)
    with mode():
        assert torch.equal(GradCAM(net, "last")(x.clone()), want)
        assert torch.equal(GradCAM(net, "stem")(x.clone()), GradCAM(net, "stem")(x))
    assert torch.equal(GradCAM(net.requires_grad_(False), "last")(x), want)
    assert torch.equal(GradCAM(net, "last")(x.requires_grad_()), want)


def test_an_input_that_the_head_reads_may_be_an_inference_tensor():
    class Both(Net):
        def forward(self, x):
            return super().forward(x) + self.fc(self.last(self.stem(x)).mean((2, 3)))

    net = Both()
    with torch.inference_mode():
        maps = GradCAM(net, "norm")(torch.randn(2, 2, 9, 7))
    assert maps.shape == (2, 9, 7)


def test_a_call_leaves_the_model_and_the_input_as_they_were():
    net, x = Net(), torch.randn(2, 2, 9, 7, requires_grad=True)
    net(x).sum().backward()
    net.norm.eval()
    grads = {name: p.grad.clone() for name, p in net.named_parameters()}
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    flags = [m.training for m in net.modules()]
    before, state = x.grad.clone(), torch.get_rng_state()
    GradCAM(net, "last")(x)
    assert all(torch.equal(p.grad, grads[name]) for name, p in net.named_parameters())
    assert all(torch.equal(b, buffers[name]) for name, b in net.named_buffers())
    assert [m.training for m in net.modules()] == flags
    assert torch.equal(x.grad, before)
    assert x.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_model_with_a_no_grad_of_its_own_is_explained():
    class OwnNoGrad(Net):
        def forward(self, x):
            with torch.no_grad():
                y = self.trunk(x)
            return self.head(y)

    net, x = OwnNoGrad().eval(), torch.randn(2, 2, 9, 7)
    plain = Net().eval()
    plain.load_state_dict(net.state_dict())
    for layer in ("stem", "norm", "last"):
        assert_maps_equal(GradCAM(net, layer)(x), GradCAM(plain, layer)(x), 1e-6)


def test_a_layer_that_the_score_does_not_reach_is_named():
    class Detached(Net):
        def forward(self, x):
            return self.head(self.trunk(x).detach())

    message = "^the score does not depend on the output of layer 'last'"
    with pytest.raises(RuntimeError, match=message) as caught:
        GradCAM(Detached(), "last")(torch.randn(2, 2, 9, 7))
    assert "record_trunk" not in str(caught.value)  # GradCAM has done that itself


@pytest.mark.parametrize(("dtype", "relative"), [(torch.bfloat16, 3e-2), (torch.float16, 3e-3)])
def test_half_precision_gives_float32_maps(dtype, relative):
    net, x = Net().eval(), torch.randn(2, 2, 16, 16)
    want = GradCAM(net, "last")(x, target=1)
    maps = GradCAM(net.to(dtype), "last")(x.to(dtype), target=1)
    assert maps.dtype == torch.float32
    assert_maps_equal(maps, want, relative)


def test_gradients_that_underflow_in_float16_are_kept():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 3, 1), nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(self.conv(x).mean((2, 3)))

    net, x = Mean(), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        net.fc.weight.mul_(1e-4)  # a gradient of 1e-4 / 1024: float16 ends at 6e-8
        net.fc.weight.abs_()
        net.conv.weight.abs_()
    maps = GradCAM(net, "conv")(x, target=0)
    half = GradCAM(net.half(), "conv")(x.half(), target=0)
    assert_maps_equal(half, maps, 5e-3)


def test_maps_under_autocast_are_float32_and_close():
    net, x = Net(), torch.randn(2, 2, 16, 16)
    want = GradCAM(net, "last")(x, target=1)
    with torch.autocast("cpu", torch.bfloat16):
        result = GradCAM(net, "last").explain(x, target=1)
    assert result.output.dtype == torch.bfloat16
    assert result.maps.dtype == torch.float32
    assert_maps_equal(result.maps, want, 3e-2)


def test_a_wrapped_model_is_explained_beneath_the_wrapper():
    net, x = Net(), torch.randn(2, 2, 9, 7)
    want = GradCAM(net, "last")(x)
    assert torch.equal(GradCAM(nn.DataParallel(net), "last")(x), want)
    compiled = torch.compile(net, backend="eager")
    assert torch.equal(GradCAM(compiled, "last")(x), want)
    assert torch.equal(GradCAM(compiled, compiled.last)(x), want)


def test_channels_last_and_large_maps():
    net, x = Net(stride=3), torch.randn(2, 2, 13, 6)
    want = GradCAM(net, "last")(x)
    ours = GradCAM(net.to(memory_format=torch.channels_last), "last")(
        x.to(memory_format=torch.channels_last)
    )
    assert_maps_equal(ours, want, 1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": 3}, ValueError, r"`target` \(=3\) must lie in 0\.\.2, the model's classes"),
        ({"target": -1}, ValueError, r"`target` \(=-1\) must lie in 0\.\.2"),
        ({"target": [0, 3]}, ValueError, r"`target` \(=\[0, 3\]\) must lie in 0\.\.2"),
        (
            {"target": [0]},
            ValueError,
            r"`target` \(shape \(1,\)\) must be one class, or one for ea",
        ),
        ({"target": [0, 1, 2]}, ValueError, "one for each of the 2 images"),
        ({"target": [[0, 1]]}, ValueError, r"`target` \(shape \(1, 2\)\)"),
        ({"target": 0.5}, TypeError, r"`target` \(=0.5\) must hold class numbers"),
        ({"target": lambda out: out.sum()}, ValueError, r"`target` returned \(\); it must return"),
        ({"target": lambda out: 1.0}, ValueError, "`target` returned float; it must return one"),
        ({"classes": [0, 5]}, ValueError, r"`classes` \(=\[0, 5\]\) must lie in 0\.\.2"),
        ({"classes": 2}, ValueError, r"`classes` \(shape \(\)\) must be a list"),
        ({"target": True}, TypeError, r"`target` \(=True\) must hold class numbers"),
        ({"target": torch.tensor([True, False])}, TypeError, "must hold class numbers"),
        ({"target": "1"}, TypeError, r"`target` \(='1'\) must hold class numbers"),
        ({"target": [None, 1]}, TypeError, r"`target` \(=\[None, 1\]\) must hold class numbers"),
        ({"target": [[0], [0, 1]]}, TypeError, "must hold class numbers, which are integers"),
        ({"classes": lambda out: out}, TypeError, r"`classes` \(=<function .* must hold class num"),
        ({"classes": []}, ValueError, "`classes` is empty; give at least one class number"),
        ({"classes": [0], "target": 0}, ValueError, "`target` and `classes` exclude each other"),
    ],
)
def test_wrong_targets_are_errors(arguments, error, message):
    net = Net()
    with pytest.raises(error, match=message):
        GradCAM(net, "last")(torch.randn(2, 2, 9, 7), **arguments)
    assert net.training
    assert not any(m._forward_hooks for m in net.modules())


def test_shapes_that_do_not_fit_are_errors():
    net, x = Net(), torch.randn(2, 2, 9, 7)
    with pytest.raises(ValueError, match=r"'fc' returned the shape \(2, 3\); a map needs \(2, cha"):
        GradCAM(net, "fc")(x)
    with pytest.raises(ValueError, match=r"`x` \(shape \(2, 3\)\) must be \(N, C, \*spatial\)"):
        GradCAM(net, "last")(torch.randn(2, 3))
    with pytest.raises(ValueError, match=r"`x` \(shape \(0, 2, 9, 7\)\) is empty; give at least"):
        GradCAM(net, "last")(x[:0])
    frames = nn.Sequential(nn.Flatten(0, 1), nn.Unflatten(0, (-1, 1)), nn.Conv2d(1, 3, 1))
    per_frame = nn.Sequential(frames, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match=r"the model returned \(4, 3\), not \(2, classes\)"):
        GradCAM(per_frame, frames)(x)


def test_what_is_no_tensor_is_an_error():
    net, x = Net(), torch.randn(2, 2, 9, 7)
    with pytest.raises(TypeError, match=r"`x` \(ndarray\) must be a tensor; `torch.from_numpy`"):
        GradCAM(net, "last")(x.numpy())
    with pytest.raises(TypeError, match=r"`x` \(tuple\) must be a tensor; .* use `tap`, whose"):
        GradCAM(net, "last")((x, x))


def test_nan_in_an_image_goes_to_its_map_only():
    net, x = Net().eval(), torch.randn(2, 2, 9, 7)
    clean = GradCAM(net, "last")(x, target=1)
    x[0] = torch.nan
    maps = GradCAM(net, "last")(x, target=1)
    assert maps[0].isnan().all()
    assert torch.equal(maps[1], clean[1])


@pytest.mark.parametrize(
    "target",
    [lambda out: torch.ones(2), lambda out: out[:, 0].detach(), lambda out: out.argmax(1)],
    ids=["constant", "detached", "argmax"],
)
def test_a_score_without_a_gradient_is_blamed_on_target(target):
    message = "the score that `target` returned does not depend on the output of layer 'last': it"
    with pytest.raises(RuntimeError, match=message):
        GradCAM(Net(), "last")(torch.randn(2, 2, 9, 7), target=target)


def test_a_network_made_in_inference_mode_is_refused_with_what_helps():
    with torch.inference_mode():
        net = Net()
        without_buffers = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 1, 9), nn.Flatten())
    with pytest.raises(ValueError, match="`model` was made or loaded in"):
        GradCAM(without_buffers, "0")(torch.randn(2, 2, 9, 9))
    x = torch.randn(2, 2, 9, 7)
    for layer in ("stem", "norm", "last"):
        with pytest.raises(ValueError, match=r"`model` was made .* take `copy.deepcopy\(model\)`"):
            GradCAM(net, layer)(x)
    assert not any(m._forward_hooks for m in net.modules())
    plain = Net()
    plain.load_state_dict(net.state_dict())
    assert torch.equal(GradCAM(copy.deepcopy(net), "last")(x), GradCAM(plain, "last")(x))


def test_what_is_printed_is_short():
    net, x = Net(), torch.randn(2, 2, 9, 7)
    assert repr(GradCAM(net, "last")) == "GradCAM(Net, target_layer='last')"
    assert repr(GradCAM(net, ["stem", "last"])) == "GradCAM(Net, target_layer=['stem', 'last'])"
    assert repr(GradCAM(net, "last").explain(x, target=lambda out: out[:, 0])) == (
        "Explanation(maps=(2, 9, 7), raw=(2, 5, 4), output=(2, 3), target=None, "
        "activation=(2, 5, 5, 4), gradient=(2, 5, 5, 4), layer='last', mode='head')"
    )


def test_unknown_layers_are_named():
    net = nn.Sequential()
    for i in (1, 2, 3, 4):
        net.add_module(f"layer{i}", nn.Conv2d(1, 1, 1))
    with pytest.raises(
        ValueError, match=r"`target_layer` 'layer5' not found; did you mean 'layer4'"
    ):
        GradCAM(net, "layer5")
    with pytest.raises(ValueError, match="`target_layer` Conv2d is not a module of this model"):
        GradCAM(net, nn.Conv2d(1, 1, 1))
    with pytest.raises(RuntimeError, match=r"layer 'net\.layer4' has not run"):
        GradCAM(Unused(net), "net.layer4")(torch.rand(1, 1, 4, 4))


class Unused(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net.layer1(x).mean((2, 3))
