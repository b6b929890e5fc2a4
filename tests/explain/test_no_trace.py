"""A call leaves the model, the input and the process as they were, also when it fails."""

import contextlib
import copy
import io
import pickle
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from seattn.explain import GradCAM, list_layers, tap

HOOKS = [name for name in vars(nn.Module()) if name.endswith("_hooks")]


class Net(nn.Module):
    """With BatchNorm, dropout, an operation in place, and a forward that may fail."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.last, self.act = nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(inplace=True)
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(6, 3)
        self.error: BaseException | None = None

    def forward(self, x):
        y = self.last(self.act(self.norm(self.stem(x))))
        if self.error:
            raise self.error
        return self.fc(self.drop(self.act(y)).mean((2, 3)))


def snapshot(net, x):
    """All that a call could change, as plain values."""
    modules = dict(net.named_modules())
    tensors = dict(net.named_parameters()) | dict(net.named_buffers())
    return {
        "hooks": {(n, h): len(getattr(m, h)) for n, m in modules.items() for h in HOOKS},
        "global hooks": [
            len(value) for name, value in sorted(vars(torch.nn.modules.module).items())
            if name.startswith("_global_") and isinstance(value, dict)
        ],
        "attributes": {n: sorted(vars(m)) for n, m in modules.items()},
        "training": {n: m.training for n, m in modules.items()},
        "in place": {n: getattr(m, "inplace", None) for n, m in modules.items()},
        "requires grad": {n: t.requires_grad for n, t in tensors.items()},
        "grad": {n: None if t.grad is None else t.grad.tolist() for n, t in tensors.items()},
        "identity": {n: (id(t), t.data_ptr(), t._version) for n, t in tensors.items()},
        "values": {n: t.tolist() for n, t in tensors.items()},
        "tensor hooks": {n: len(t._backward_hooks or ()) for n, t in tensors.items()},
        "input": (x.requires_grad, x.grad is None, x.tolist(), x._version),
        "random": torch.get_rng_state().tolist(),
        "modes": (
            torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"),
            torch.is_autocast_cache_enabled(), torch.is_anomaly_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(),
        ),
    }  # fmt: skip


def used_net() -> tuple[nn.Module, torch.Tensor]:
    """A net in the middle of its training: gradients, mixed flags, one frozen parameter."""
    net, x = Net(), torch.randn(2, 2, 9, 8)
    net(x).sum().backward()
    net.norm.eval()
    net.drop.eval()
    net.stem.weight.requires_grad_(False)
    net.last.register_forward_hook(lambda *_: None)
    net.fc.register_full_backward_hook(lambda *_: None)
    return net, x


CALLS = {
    "one class": lambda net, x: GradCAM(net, "last")(x, target=1),
    "classes": lambda net, x: GradCAM(net, ["norm", "last"]).explain(x, classes=[0, 2]),
    "whole network": lambda net, x: tapped(net, x, record_trunk=True),
    "list": list_layers,
}


def tapped(net, x, **options):
    with tap(net, ["stem", "last"], **options) as t:
        t.grads(net(x).square().sum(1))


@pytest.mark.parametrize("error", [None, ValueError("mine"), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("autocast", [False, True])
def test_nothing_is_left(call, error, autocast):
    net, x = used_net()
    net.error = error
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        before = snapshot(net, x)
        with pytest.raises(type(error)) if error else contextlib.nullcontext():
            CALLS[call](net, x)
        after = snapshot(net, x)
    for key, value in before.items():
        assert after[key] == value, key


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "call",
    [
        lambda net, x: GradCAM(net, "net.last")(x, target=interrupt),
        lambda net, x: GradCAM(net, "net.last", layout=interrupt)(x),
        lambda net, x: GradCAM(net, "pair", select=interrupt)(x),
    ],
    ids=["target", "layout", "select"],
)
def test_nothing_is_left_when_a_function_of_the_caller_fails(call):
    class Outer(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net, self.pair = net, Pair()

        def forward(self, x):
            return self.pair(self.net(x))[0]

    inner, x = used_net()
    net = Outer(inner)
    before = snapshot(net, x)
    with pytest.raises(KeyboardInterrupt):
        call(net, x)
    assert snapshot(net, x) == before


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_nothing_is_left_in_inference_mode():
    net, _ = used_net()
    with torch.inference_mode():
        x = torch.randn(2, 2, 9, 8)
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        result = GradCAM(net, "last").explain(x, classes=[0, 1])
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == modes
    assert not result.maps.requires_grad
    assert not x.requires_grad


def test_the_gradient_of_the_input_is_left():
    net, x = used_net()
    x.requires_grad_()
    net(x).sum().backward()
    want = x.grad.clone()
    GradCAM(net, "stem")(x)
    assert torch.equal(x.grad, want)
    assert x.requires_grad
    assert x.is_leaf


def test_the_model_pickles_copies_and_trains_on():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    x = torch.randn(2, 2, 6, 5)
    cam = GradCAM(net, "1")
    want = cam(x)
    torch.save(net, io.BytesIO())
    assert torch.equal(pickle.loads(pickle.dumps(cam))(x), want)
    assert torch.equal(copy.deepcopy(cam)(x), want)
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    net(x).sum().backward()
    optimiser.step()
    assert net.training
    assert not torch.equal(cam(x), want)


def test_a_call_between_forward_and_backward_changes_no_gradient():
    net, x = used_net()
    other = copy.deepcopy(net)
    for each in (net, other):
        each.zero_grad()
        torch.manual_seed(1)
        loss = each(x).sum()
        if each is net:
            GradCAM(net, "last")(x)
        loss.backward()
    for one, two in zip(net.parameters(), other.parameters(), strict=True):
        assert (one.grad is None and two.grad is None) or torch.equal(one.grad, two.grad)


def test_no_tensor_of_the_graph_is_kept():
    """Nothing that was saved for backward is alive after a call, before any garbage collection."""
    net, x = Net(), torch.randn(2, 2, 9, 8)
    alive = set()

    class Saved:
        def __init__(self, tensor):
            self.tensor = tensor.detach()  # the tensor itself would hold its own graph
            alive.add(id(self))

        def __del__(self):
            alive.discard(id(self))

    cam = GradCAM(net, ["norm", "last"])
    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        cam.explain(x, classes=[0, 1])
        assert not alive
        cam(x)
        assert not alive
        output = net(x)
        assert alive
    del output
    results = cam.explain(x)
    assert not any(t.grad_fn for r in results for t in (r.maps, r.raw, r.activation, r.gradient))


def test_a_call_keeps_no_gradient_of_the_classes_before():
    seen, alive = [], []

    class Watched(GradCAM):
        def combine(self, activation, gradient):
            seen.append(weakref.ref(gradient))
            alive.append(sum(ref() is not None for ref in seen))
            return super().combine(activation, gradient)

    cam, x = Watched(Net(), "last"), torch.randn(2, 2, 9, 8)
    cam(x, classes=[0, 1, 2, 0, 1])
    assert max(alive) == 2  # its own, and the one before until then
    result = cam.explain(x, classes=[0, 1, 2, 0, 1])
    assert result.gradient.shape == (2, 5, 6, 4, 3)
    assert max(alive) == 5


# ---- ways of running a model -------------------------------------------------------------------


def test_float16_keeps_small_gradients_of_an_early_layer():
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(1, 2, 128, 128)
    with torch.no_grad():
        net.fc.weight.mul_(0.02)
    want = GradCAM(net, "norm").explain(x, target=1)
    half = GradCAM(net.half(), "norm").explain(x.half(), target=1)
    assert want.gradient.abs().median() < 2**-24  # the smallest number of float16
    assert (half.gradient != 0).float().mean() > 0.9 * (want.gradient != 0).float().mean()
    error = (half.raw - want.raw).norm() / want.raw.norm()
    assert error < 1e-2


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_formats(memory_format):
    torch.manual_seed(0)
    net, x = Net(), torch.randn(2, 2, 11, 8)
    want = GradCAM(net, ["norm", "last"])(x, target=1)
    net = net.to(memory_format=memory_format)
    x = x.to(memory_format=memory_format)
    maps = GradCAM(net, ["norm", "last"])(x, target=1)
    assert all((a - b).abs().max() <= 1e-5 * b.abs().max() for a, b in zip(maps, want, strict=True))
    assert x.is_contiguous(memory_format=memory_format)


@pytest.fixture
def _process_group() -> Iterator[None]:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_process_group")
def test_distributed_data_parallel_and_a_training_step_after():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(2, 2, 9, 8)
    want = GradCAM(net, "last")(x, target=1)
    wrapped = nn.parallel.DistributedDataParallel(net)
    optimiser = torch.optim.SGD(wrapped.parameters(), 0.1)
    for _ in range(2):
        assert torch.equal(GradCAM(wrapped, "last")(x, target=1), want)
        assert torch.equal(GradCAM(wrapped, net.last)(x, target=1), want)
        before = net.stem.weight.clone()
        wrapped(x).sum().backward()
        optimiser.step()
        assert not torch.equal(net.stem.weight, before)
        want = GradCAM(net, "last")(x, target=1)


@pytest.fixture
def _compiler() -> Iterator[None]:
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("way", ["torch.compile(net)", "net.compile()"])
def test_compiled_models_and_their_next_run(way):
    runs = []

    def backend(graph, inputs):
        def run(*args):
            runs.append(1)
            return graph(*args)

        return run

    net, x = Net(), torch.randn(2, 2, 9, 8)
    model = net
    if way == "net.compile()":
        net.compile(backend=backend)
    else:
        model = torch.compile(net, backend=backend)
    with torch.no_grad():
        model.eval()(x)
    model.train()(x).sum().backward()
    before = len(runs)
    assert before
    want = GradCAM(copy.deepcopy(net), "last")(x, target=1)
    for _ in range(2):
        assert torch.equal(GradCAM(model, "last")(x, target=1), want)
        assert torch.equal(GradCAM(model, net.last)(x, target=1), want)
    assert len(runs) == before
    assert net.training
    model(x).sum().backward()
    assert len(runs) > before
