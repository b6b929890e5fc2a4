"""`batch_norm_silu` against the modules: BatchNorm, SiLU, a gate of the mean."""

import copy

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given
from torch import nn

from seattn.ops import SyncBatchNorm, batch_norm_silu, operators, reference
from tests.ops.plain import NORMS, assert_equal, make_gate, maps
from tests.ops.test_batch_norm import GRADIENTS
from tests.ops.test_memory import saved_values
from tests.strategies import feature_maps

GATES = ["se", "eca", "identity", None]


class Middle(nn.Module):
    """The middle of an EfficientNet block, fused or plain, with the same parameters."""

    def __init__(self, x, *, gate="se", **options):
        super().__init__()
        self.norm, self.gate = NORMS[x.ndim](x.shape[1], **options), make_gate(gate, x.shape[1])
        self.fused = False
        with torch.no_grad():
            for name, value in self.norm.state_dict().items():
                if name == "running_var":
                    value.uniform_(0.5, 2)
                elif value.is_floating_point():
                    value.normal_()
        self.to(x.dtype)

    def forward(self, x, shortcut):
        if self.fused:
            return batch_norm_silu(x, self.norm, gate=self.gate)
        h = nn.functional.silu(self.norm(x))
        if self.gate is None:
            return h
        return h * self.gate(h.flatten(2).mean(2)).reshape(*x.shape[:2], *[1] * (x.ndim - 2))


def both(middle, x, grad, autocast=None):
    """Of the fused and of the plain form: output, gradients and buffers."""
    found = []
    for fused in (True, False):
        copied = copy.deepcopy(middle)
        copied.fused = fused
        leaf = x.detach().requires_grad_()
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            y = copied(leaf, None)
        y.backward(grad)
        grads = {name: p.grad for name, p in copied.named_parameters()}
        found.append({"y": y.detach(), "dx": leaf.grad, **grads, **dict(copied.named_buffers())})
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gate", GATES)
def test_outputs_gradients_and_buffers_are_the_modules(gate, training):
    x, _, grad = maps(3, 10, 4, 5)
    assert_equal(*both(Middle(x, gate=gate).train(training), x, grad))


@given(x=feature_maps(), gate=st.sampled_from(GATES), training=st.booleans())
def test_any_shape_in_1d_2d_and_3d(x, gate, training):
    assume(not training or x.numel() // x.shape[1] > 2)  # of two values, the gradient is mostly eps
    assert_equal(*both(Middle(x, gate=gate).train(training), x, torch.randn_like(x)))


@pytest.mark.parametrize("shape", [(4, 8, 1, 1), (1, 8, 3, 3), (2, 2048, 1, 2), (3, 257, 2, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_one_pixel_one_image_and_many_channels(shape, training):
    x, _, grad = maps(*shape)
    assert_equal(*both(Middle(x).train(training), x, grad))


@pytest.mark.parametrize("strides", GRADIENTS)
def test_gradients_of_any_strides(strides):
    x, _, grad = maps(2, 6, 3, 4)
    assert_equal(*both(Middle(x), x, GRADIENTS[strides](grad)))


@pytest.mark.parametrize("options", [
    {"affine": False}, {"track_running_stats": False}, {"momentum": None}, {"eps": 0.1},
])  # fmt: skip
@pytest.mark.parametrize("training", [True, False])
def test_options_of_the_norm(options, training):
    x, _, grad = maps(3, 10, 4, 5)
    assert_equal(*both(Middle(x, **options).train(training), x, grad))


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(training):
    x, _, _ = maps(2, 3, 2, 2)
    middle = Middle(x, momentum=0.0).train(training)
    middle.fused = True
    parameters = list(middle.parameters())

    def run(x, *parameters):
        named = dict(zip((n for n, _ in middle.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(middle, named, (x, None))

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *parameters))


@pytest.mark.parametrize("gate", ["se", None])
def test_a_gate_that_does_not_depend_on_the_map_and_a_frozen_input(gate):
    x, _, grad = maps(3, 10, 4, 5)
    norm = nn.BatchNorm2d(10).double()
    y = batch_norm_silu(x, norm, gate=lambda squeeze: torch.full_like(squeeze, 0.5))
    y.backward(grad)  # x wants none
    expected = copy.deepcopy(norm)
    expected.zero_grad()
    (0.5 * nn.functional.silu(expected(x))).backward(grad)
    for ours, theirs in zip(norm.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gate", ["se", None])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_error_under_autocast_is_not_above_that_of_the_modules(dtype, gate, training):
    x, _, grad = maps(6, 32, 7, 7, dtype=torch.float32)
    x, grad = x.to(dtype), grad.to(dtype)
    middle = Middle(x.float(), gate=gate).train(training)
    exact = both(copy.deepcopy(middle).double(), x.double(), grad.double())[1]
    ours, theirs = both(middle, x, grad, autocast=dtype)
    for name, value in exact.items():
        if value.is_floating_point():
            error, allowed = ((each[name] - value).norm() / value.norm() for each in (ours, theirs))
            assert ours[name].dtype == theirs[name].dtype, name
            assert error <= 1.05 * allowed + 1e-6, name


def test_beside_its_input_it_keeps_vectors_alone():
    x, _, _ = maps(4, 32, 32, 32, dtype=torch.float32)
    middle = Middle(x.requires_grad_())
    plain = saved_values(middle, x, x)
    middle.fused = True
    assert saved_values(middle, x, x) < 0.03
    assert plain > 1.9  # BN(x) and its SiLU


def test_values_far_from_zero_overflow_nothing():
    x = torch.tensor([-1e4, -200, -90, 0, 90, 200, 1e4]).reshape(1, 1, -1).repeat(1, 2, 1)
    norm = nn.BatchNorm1d(2, eps=0).eval()
    got = batch_norm_silu(x.requires_grad_(), norm)
    got.sum().backward()
    assert torch.equal(got, nn.functional.silu(x))
    assert torch.isfinite(x.grad).all()


def test_a_synchronised_norm_of_one_process_is_a_batch_norm():
    x, _, grad = maps(3, 10, 4, 5)
    middle = Middle(x)
    synchronised = SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(middle))
    assert_equal(both(synchronised, x, grad)[0], both(middle, x, grad)[1])


def test_the_wrong_norm_and_shape_are_refused():
    x, _, _ = maps(2, 6, 3, 4)
    with pytest.raises(TypeError, match=r"`norm` \(a InstanceNorm2d of torch"):
        batch_norm_silu(x, nn.InstanceNorm2d(6))
    with pytest.raises(ValueError, match="C = 5 of `norm`"):
        batch_norm_silu(x, nn.BatchNorm2d(5))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does
@pytest.mark.parametrize("training", [True, False])
def test_compiles_as_one_graph(training):
    x, _, grad = maps(3, 8, 4, 5)
    middle = Middle(x).train(training)
    middle.fused = True
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(middle), fullgraph=True, backend="aot_eager")
    got, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, other = compiled(got, None), middle(expected, None)
    y.backward(grad)
    other.backward(grad)
    torch.testing.assert_close(y, other, rtol=0, atol=1e-12)
    torch.testing.assert_close(got.grad, expected.grad, rtol=0, atol=1e-12)


def test_reductions_are_the_derivatives_of_the_squeeze():
    x, scale, shift = torch.randn(2, 5, 3).double(), *torch.randn(2, 2, 3).double()
    leaves = scale.requires_grad_(), shift.requires_grad_()
    squeeze, by_shift, by_scale = operators.silu_squeeze(x, *(v.detach() for v in leaves))
    expected = nn.functional.silu(x * scale[:, None] + shift[:, None]).mean(1)
    torch.testing.assert_close(squeeze, expected)
    grads = torch.autograd.grad(expected.sum(), leaves)
    torch.testing.assert_close((by_scale, by_shift), grads)
    assert reference.silu_squeeze(x.half(), scale.float(), shift.float())[0].dtype == torch.float32
