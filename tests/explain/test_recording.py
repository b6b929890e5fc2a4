import copy
import io
import subprocess
import sys
import weakref

import pytest
import torch
from torch import nn

from seattn.explain import tap

MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]


class Net(nn.Module):
    """Small, with BatchNorm, dropout, and an in-place operation after every tapped layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 6, 3, stride=2)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, 3)

    def trunk(self, x):
        return self.norm(self.stem(x))

    def middle(self, y):
        return self.last(torch.relu(y))

    def head(self, y):
        return self.fc(self.drop(torch.relu(y)).mean((2, 3)))

    def forward(self, x):
        y = self.act(self.norm(self.stem(x)))
        return self.fc(self.drop(self.act(self.last(y))).mean((2, 3)))


def expected_grads(net, x, column):
    """The same by ordinary autograd, with nothing in place."""
    net = copy.deepcopy(net).eval()
    first = net.trunk(x.clone())
    second = net.middle(first)
    return (first.detach(), second.detach()), torch.autograd.grad(
        net.head(second)[:, column].sum(), (first, second)
    )


def state_of(net):
    """All of a module that a recording could leave changed."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in net.modules()
    ]
    tensors = {k: v.clone() for k, v in net.state_dict().items()}
    parameters = [(p.requires_grad, p.grad) for p in net.parameters()]
    return hooks, [m.training for m in net.modules()], parameters, tensors, net.act.inplace


def assert_same_state(net, before):
    *rest, tensors, inplace = state_of(net)
    *rest_before, tensors_before, inplace_before = before
    assert rest == rest_before
    assert inplace == inplace_before
    for name, value in tensors.items():
        assert torch.equal(value, tensors_before[name]), name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("record_trunk", [False, True])
def test_equals_plain_autograd_in_every_mode(mode, frozen, record_trunk):
    net = Net().double().requires_grad_(not frozen)
    x = torch.randn(3, 2, 9, 8, dtype=torch.float64)
    want = expected_grads(copy.deepcopy(net).requires_grad_(), x, 1)
    with mode():
        if not record_trunk:
            x = x.clone()  # in `inference_mode` an inference tensor, which no graph may hold
        with tap(net, ["norm", net.last], record_trunk=record_trunk) as t:
            output = net(x)
            got = t.grads(output[:, 1])
    for ours, theirs in zip(got, want, strict=True):
        assert isinstance(ours, tuple)
        for a, b in zip(ours, theirs, strict=True):
            assert not a.requires_grad
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_the_trunk_is_not_recorded_and_the_head_is():
    net, x = Net(), torch.randn(2, 2, 8, 8)
    seen = {}
    for name, module in net.named_children():
        module.register_forward_hook(
            lambda m, args, output, name=name: seen.update({name: output.requires_grad})
        )
    x.requires_grad_()
    with tap(net, "last"):
        assert net(x).requires_grad
    assert [seen[name] for name in ("stem", "norm", "last", "fc")] == [False, False, True, True]
    with tap(net, "last", record_trunk=True):
        net(x)
    assert all(seen.values())


def test_the_trunk_keeps_no_tensor_for_a_backward_pass():
    net, x = Net(), torch.randn(2, 2, 8, 8)
    packed = []

    def pack(tensor):
        packed.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), tap(net, "last"):
        net(x)
    head = len(packed)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net.eval()(x)
    assert 0 < head < len(packed) - head
    assert not any(tensor is x for tensor in packed[:head])


@pytest.mark.parametrize("mode", MODES)
def test_the_output_is_bit_equal_to_a_plain_eval_forward(mode):
    net, x = Net(), torch.randn(2, 2, 8, 8)
    with mode(), tap(net, ["stem", "last"]):
        output = net(x)
    with torch.no_grad():
        assert torch.equal(output, net.eval()(x))


class Failure(BaseException):
    """Not an `Exception`: as a KeyboardInterrupt."""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fails", ["nothing", "in the block", "in the trunk", "in the head"])
def test_everything_is_as_it_was(mode, fails):
    net, x = Net(), torch.randn(2, 2, 8, 8)
    net(x).sum().backward()
    net.norm.eval()
    net.stem.weight.requires_grad_(False)

    def fail(*_):
        raise Failure

    failing = {"in the trunk": net.norm, "in the head": net.fc}.get(fails)
    handle = failing.register_forward_pre_hook(fail) if failing else None
    before = state_of(net)
    with mode():
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        try:
            with tap(net, ["stem", "last"]) as t:
                assert not any(m.training for m in net.modules())
                output = net(x)
                if fails == "in the block":
                    fail()
                t.grads(output[:, 0])
            assert fails == "nothing"
        except Failure:
            assert fails != "nothing"
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == modes
    assert_same_state(net, before)
    assert not x.requires_grad
    if handle:
        handle.remove()
    torch.save(net, io.BytesIO())
    net(x).sum().backward()


def test_a_layer_that_returns_the_input_leaves_it_as_it_was():
    net = nn.Sequential(nn.Identity(), nn.Conv2d(2, 3, 1), nn.Flatten(2))
    x = torch.randn(2, 2, 3, 3)
    with tap(net, "0") as t:
        (activation,), (gradient,) = t.grads(net(x)[:, 1])
    assert not x.requires_grad
    assert torch.equal(activation, x)
    weight = net[1].weight[1].detach()
    torch.testing.assert_close(gradient, weight.expand(2, 2, 3, 3))


def test_a_second_way_to_the_same_tensor_counts():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.same = nn.Conv2d(2, 2, 1), nn.Identity()

        def forward(self, x):
            y = self.conv(x)
            return 2 * self.same(y) + 3 * y

    net = Skip()
    with tap(net, "same") as t:
        _, (gradient,) = t.grads(net(torch.randn(1, 2, 3, 3)))
    assert (gradient == 5).all()
    assert not t._leaves


def test_a_layer_that_runs_twice_gives_its_last_call():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Conv1d(2, 2, 1)

        def forward(self, x):
            return 7 * self.step(torch.tanh(self.step(x)))

    net, x = Loop(), torch.randn(1, 2, 3)
    with tap(net, "step") as t:
        output = net(x)
        (activation,), (gradient,) = t.grads(output)
    assert torch.equal(7 * activation, output)
    assert (gradient == 7).all()


def test_earlier_calls_of_a_layer_are_not_kept():
    net, x = nn.Sequential(nn.Conv1d(1, 2, 1), nn.Tanh()), torch.randn(1, 1, 3)
    kept = []
    with tap(net, "0", record_trunk=True) as t:
        for _ in range(3):
            net(x)
            kept.append(weakref.ref(t._outputs["0"][-1][0]))
        assert [ref() is None for ref in kept] == [True, True, False]


def test_several_scores_from_one_forward():
    net, x = Net().double(), torch.randn(3, 2, 9, 8, dtype=torch.float64)
    with tap(net, ["norm", "last"]) as t:
        output = net(x)
        got = [t.grads(output[:, column]) for column in range(3)]
    for column in range(3):
        for a, b in zip(got[column][1], expected_grads(net, x, column)[1], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_layers_by_name_by_module_by_alias_and_twice():
    net, x = Net(), torch.randn(1, 2, 8, 8)
    net.alias = net.last
    with tap(net, [net.last, "last", "alias", "stem"]) as t:
        activations, gradients = t.grads(net(x)[:, 0])
    assert len(activations) == len(gradients) == 4
    for tensors in (activations, gradients):
        assert torch.equal(tensors[0], tensors[1])
        assert torch.equal(tensors[0], tensors[2])
        assert tensors[3].shape == (1, 4, 8, 8)
    net = nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU()), nn.Flatten())
    with tap(net, net[0]) as t:  # a Sequential is a layer here, not a list of layers
        (activation,), _ = t.grads(net(x))
    assert (activation >= 0).all()


def test_unknown_layers_are_named():
    net = nn.ModuleDict({f"layer{i}": nn.Conv2d(1, 1, 1) for i in (1, 2, 3, 4)})
    with pytest.raises(ValueError, match=r"`layers` 'layer5' not found; did you mean 'layer4'\?"):
        tap(net, ["layer1", "layer5"]).__enter__()
    with pytest.raises(
        ValueError, match=r"`layers` 'xyz' not found; see `model.named_modules\(\)`"
    ):
        tap(net, "xyz").__enter__()
    for layers in ([], "", ()):
        with pytest.raises(ValueError, match="`layers` is empty; give at least one layer"):
            tap(net, layers).__enter__()
    with pytest.raises(ValueError, match="`layers` ReLU is not a module of this model"):
        tap(net, [nn.ReLU()]).__enter__()


def test_a_layer_that_did_not_run_or_does_not_matter_is_named():
    net, x = Net(), torch.randn(1, 2, 8, 8)
    net.unused = nn.Conv2d(1, 1, 1)
    with tap(net, ["last", "unused"]) as t:
        output = net(x)
        with pytest.raises(RuntimeError, match="layer 'unused' has not run inside this `tap`"):
            t.grads(output[:, 0])
    with tap(net, "stem") as t:
        with pytest.raises(RuntimeError, match="layer 'stem' has not run"):
            t.grads(torch.zeros(1))
        output = net(x)
        for score in (output.detach()[:, 0], net.fc(torch.ones(1, 6))):
            with pytest.raises(RuntimeError, match="does not depend on the output of layer 'stem'"):
                t.grads(score)
    with pytest.raises(RuntimeError, match="block has ended, and its record was emptied then"):
        t.grads(output[:, 0])


def test_a_layer_must_return_one_floating_point_tensor():
    net = nn.Sequential(nn.LSTM(3, 3))
    message = "layer '0' returned a tuple of 2, not one tensor; choose another layer, or give `sel"
    with pytest.raises(TypeError, match=message), tap(net, "0"):
        net(torch.randn(2, 3))

    class Round(nn.Module):
        def forward(self, x):
            return x.round().long()

    net = nn.Sequential(Round())
    with pytest.raises(TypeError, match=r"'0' returned a tensor of torch\.int64"), tap(net, "0"):
        net(torch.randn(2, 3))


class OwnNoGrad(Net):
    def forward(self, x):
        with torch.no_grad():
            y = self.last(self.act(self.norm(self.stem(x))))
        return self.fc(self.act(y).mean((2, 3)))


def test_a_model_with_a_no_grad_of_its_own_needs_record_trunk():
    net, x = OwnNoGrad(), torch.randn(2, 2, 9, 8)
    with tap(net, "last") as t:
        output = net(x)
        with pytest.raises(RuntimeError, match="record_trunk=True"):
            t.grads(output[:, 0])
    with tap(net, "last", record_trunk=True) as t:
        _, (gradient,) = t.grads(net(x)[:, 0])
    torch.testing.assert_close(gradient, expected_grads(net, x, 0)[1][1])


def test_an_inference_tensor_of_the_caller_is_not_blamed_on_the_model():
    with torch.inference_mode():
        x = torch.randn(2, 2, 9, 8)
    net, message = Net(), "Inference tensors cannot be saved"
    with pytest.raises(RuntimeError, match=message), tap(net, "last", record_trunk=True):
        net(x)


def test_other_hooks_of_the_layer_see_the_recorded_tensor():
    class Features(Net):
        def forward(self, x):
            super().forward(x)
            return self.fc(torch.relu(self.kept).mean((2, 3)))

    net, x = Features(), torch.randn(2, 2, 9, 8)
    net.last.register_forward_hook(lambda m, args, output: setattr(net, "kept", output * 1))
    with tap(net, "last") as t:
        _, (gradient,) = t.grads(net(x)[:, 2])
    del net.kept
    torch.testing.assert_close(gradient, expected_grads(net, x, 2)[1][1])


def test_training_goes_on_in_the_same_autocast_block():
    net, x = Net(), torch.randn(2, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with tap(net, "last") as t:
            (activation,), _ = t.grads(net(x)[:, 0])
        assert activation.dtype == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
        net.train()(x).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.fixture
def _compiler():
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("wrap", ["torch.compile", "in place", "one layer"])
def test_compiled_models_are_recorded(wrap):
    net, x = Net(), torch.randn(2, 2, 9, 8)
    want = expected_grads(net, x, 1)
    model = net
    if wrap == "torch.compile":
        model = torch.compile(net, backend="eager")
    elif wrap == "in place":
        net.compile(backend="eager")
    else:
        net.last = torch.compile(net.last, backend="eager")
    with torch.no_grad():
        model.eval()(x)
    model.train()
    with tap(model, ["norm", "last"]) as t:
        got = t.grads(model(x)[:, 1])
    for ours, theirs in zip(got, want, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    assert net.training
    assert net.last.training


@pytest.mark.parametrize("wrapper", [nn.DataParallel, nn.parallel.DistributedDataParallel])
def test_parallel_models_are_tapped_beneath_the_wrapper(wrapper):
    net, x = Net(), torch.randn(2, 2, 9, 8)
    # The bare wrapper: its own constructor wants a process group, and with it threads and sockets.
    model = wrapper.__new__(wrapper)
    nn.Module.__init__(model)
    model.module = net
    with tap(model, "last") as t:
        _, (gradient,) = t.grads(net(x)[:, 1])
    torch.testing.assert_close(gradient, expected_grads(net, x, 1)[1][1])
    assert net.training


@pytest.mark.parametrize("module", ["torch._dynamo", "sympy"])
def test_a_model_that_was_not_compiled_does_not_load_the_compiler(module):
    program = (
        "import sys, torch; from seattn.explain import tap; net = torch.nn.Conv1d(1, 1, 1)\n"
        f"before = {module!r} in sys.modules\n"
        "with tap(net, net) as t: t.grads(net(torch.ones(1, 1, 2)))\n"
        f"print(({module!r} in sys.modules) == before)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "True"
