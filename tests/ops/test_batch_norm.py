import copy
import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given
from torch import nn

from seattn.ops import affine, batch_norm_act, batch_norm_silu, operators, reference
from tests.ops.plain import Tail, assert_equal, both, maps, results
from tests.strategies import feature_maps

GATES = ["se", "eca", "identity", None]
SHORTCUTS = ["map", "norm", None]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("gate", GATES)
def test_outputs_gradients_and_buffers_are_the_modules(gate, shortcut, training, relu):
    x, added, grad = maps(3, 10, 4, 5)
    tail = Tail(x, gate=gate, shortcut=shortcut, relu=relu).train(training)
    assert_equal(*both(tail, x, added, grad))


@given(
    x=feature_maps(),
    gate=st.sampled_from(GATES),
    shortcut=st.sampled_from(SHORTCUTS),
    training=st.booleans(),
)
def test_any_shape_in_1d_2d_and_3d(x, gate, shortcut, training):
    assume(not training or x.numel() // x.shape[1] > 2)  # of two values, the gradient is mostly eps
    tail = Tail(x, gate=gate, shortcut=shortcut).train(training)
    assert_equal(*both(tail, x, torch.randn_like(x), torch.randn_like(x)))


@pytest.mark.parametrize("shape", [(4, 8, 1, 1), (1, 8, 3, 3), (2, 2048, 1, 2), (3, 257, 2, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_one_pixel_one_image_and_many_channels(shape, training):
    x, added, grad = maps(*shape)
    assert_equal(*both(Tail(x).train(training), x, added, grad))


GRADIENTS = {
    "NCHW": lambda g: g.contiguous(),
    "channels_last": lambda g: g.to(memory_format=torch.channels_last),
    "expanded": lambda g: g[:, :, :1, :1].expand_as(g),
    "scalar": lambda g: g[:1, :1, :1, :1].expand_as(g),
    "cat": lambda g: torch.cat([g, g + 1], 1)[:, g.shape[1] :],
    "cat, channels_last": lambda g: torch.cat([g, g + 1], 1).to(memory_format=torch.channels_last)[
        :, : g.shape[1]
    ],
    "transposed": lambda g: g.mT.contiguous().mT,
}


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("strides", GRADIENTS)
def test_gradients_of_any_strides(strides, shortcut):
    x, added, grad = maps(2, 6, 3, 4)
    odd = GRADIENTS[strides](grad)
    fused, expected = both(Tail(x, shortcut=shortcut), x, added, odd)
    assert_equal(fused, expected)
    tail = Tail(x, shortcut=shortcut)
    tail.fused = True
    assert_equal(results(tail, x, added, odd), results(tail, x, added, odd.clone()), 0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_an_empty_batch(shortcut, training):
    x, added, grad = maps(0, 6, 3, 4)
    fused, expected = both(Tail(x, shortcut=shortcut).train(training), x, added, grad)
    assert fused.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(fused[name], value), name


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_output_is_channels_last_whatever_the_input(memory):
    x, added = (t.contiguous(memory_format=memory) for t in maps(2, 6, 3, 4)[:2])
    y = batch_norm_act(x, nn.BatchNorm2d(6).double(), shortcut=added)
    assert y.is_contiguous(memory_format=torch.channels_last)


class Chain(nn.Module):
    """Blocks whose shortcut is their own input, every output having other consumers too."""

    def __init__(self, x, *, shortcut):
        super().__init__()
        self.tails = nn.ModuleList(Tail(x, shortcut=shortcut) for _ in range(3))

    def forward(self, x, other):
        outs = []
        for tail in self.tails:
            x = tail(x, x)
            outs.append(x)
        return outs[0] * outs[2] + outs[1].tanh() + other


@pytest.mark.parametrize("shortcut", ["map", "norm"])
def test_shortcut_may_be_x_itself_and_have_other_consumers(shortcut):
    x, other, grad = maps(2, 6, 3, 4)
    chain = Chain(x, shortcut=shortcut)
    expected = results(chain, x, other, grad)
    for tail in chain.tails:
        tail.fused = True
    assert_equal(results(chain, x, other, grad), expected)


def test_shortcut_may_share_storage_with_x():
    wide, _, grad = maps(2, 12, 3, 4)
    tail = Tail(wide[:, :6])
    x, added = wide[:, :6], wide[:, 3:9]
    assert_equal(*both(tail, x, added, grad[:, :6]))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_gradcheck(shortcut, training):
    x, added, _ = maps(2, 3, 2, 2)
    tail = Tail(x, shortcut=shortcut, momentum=0.0).train(training)
    tail.fused = True
    assert torch.autograd.gradcheck(tail, (x.requires_grad_(), added.requires_grad_()))


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": None},
        {"momentum": 0.7, "eps": 0.1},
        {"affine": False},
        {"track_running_stats": False},
    ],
    ids=str,
)
def test_options_of_the_norm_over_three_steps(options):
    x, added, grad = maps(3, 5, 3, 2)
    tail = Tail(x, **options)
    fused = copy.deepcopy(tail)
    fused.fused = True
    for _ in range(3):
        x = torch.randn_like(x) + 2
        fused(x, added).sum().backward()
        tail(x, added).sum().backward()
    assert_equal(fused.state_dict(), tail.state_dict())
    assert_equal(*both(tail.eval(), x, added, grad))
    assert_equal(fused.state_dict(), tail.state_dict())


def test_statistics_of_an_untracked_norm_do_not_move():
    """As in the module: in training its batches count, and they leave no trace."""
    x, added, grad = maps(3, 5, 3, 2)
    tail = Tail(x)
    tail.norm.track_running_stats = False
    assert_equal(*both(tail, x, added, grad))


@pytest.mark.parametrize("freeze", ["parameters", "x", "shortcut", "x and shortcut"])
def test_gradients_that_nobody_wants(freeze):
    x, added, grad = maps(2, 6, 3, 4)
    tails = [Tail(x, shortcut="norm") for _ in range(2)]
    tails[1].load_state_dict(tails[0].state_dict())
    tails[1].fused = True
    gradients = []
    for tail in tails:
        tail.requires_grad_(freeze != "parameters")
        leaf = x.detach().requires_grad_("x" not in freeze)
        added_leaf = added.detach().requires_grad_("shortcut" not in freeze)
        tail(leaf, added_leaf).backward(grad)
        leaves = {"x": leaf, "shortcut": added_leaf, **dict(tail.named_parameters())}
        gradients.append({k: v.grad for k, v in leaves.items() if v.grad is not None})
    assert_equal(gradients[1], gradients[0])


def test_without_gradients_and_in_inference_mode():
    x, added, _ = maps(2, 6, 3, 4)
    tail = Tail(x).eval()
    expected = tail(x, added).detach()
    tail.fused = True
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(tail(x, added), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shortcut", ["map", None])
@pytest.mark.parametrize("gate", ["se", None])
def test_nan_passes_the_relu_in_both_directions(gate, shortcut):
    x, added, grad = maps(2, 6, 3, 4)
    x[0, 1, 2, 3] = added[0, 1, 0, 0] = torch.nan
    fused, expected = both(Tail(x, gate=gate, shortcut=shortcut).eval(), x, added, grad)
    assert fused["y"].isnan().any()
    for name, value in expected.items():
        torch.testing.assert_close(fused[name], value, rtol=0, atol=1e-12, equal_nan=True)


def test_operators_get_contiguous_tensors_alone(monkeypatch):
    """The kernels know no strides; plain torch would take any and hide a mistake."""
    seen = set()

    def strict(name, operator):
        def run(*args):
            seen.add(name)
            assert all(a.is_contiguous() for a in args if isinstance(a, torch.Tensor)), name
            return operator(*args)

        return run

    for name in operators.__all__:
        monkeypatch.setattr(affine.operators, name, strict(name, getattr(operators, name)))
    for gate, training, strides in itertools.product(
        (None, torch.sigmoid), (True, False), GRADIENTS.values()
    ):
        x, _, grad = maps(2, 6, 3, 4)
        leaf, norm = strides(x).requires_grad_(), nn.BatchNorm2d(6).double().train(training)
        batch_norm_silu(leaf, norm, gate=gate).backward(strides(grad))
    for shortcut in SHORTCUTS:
        for gate in GATES:
            for training in (True, False):
                for strides in GRADIENTS.values():
                    x, added, grad = maps(2, 6, 3, 4)
                    tail = Tail(x, shortcut=shortcut, gate=gate).train(training)
                    tail.fused = True
                    results(tail, strides(x), strides(added), strides(grad))
    assert seen == set(operators.__all__)


def test_no_mask_is_written_where_nobody_asks_for_gradients(monkeypatch):
    asked = []

    def spy(*args):
        asked.append(args[-1])
        return reference.affine_act(*args)

    monkeypatch.setattr(affine.operators, "affine_act", spy)
    x, added, _ = maps(2, 6, 3, 4)
    tail = Tail(x).eval()
    tail.fused = True
    tail(x, added)
    with torch.no_grad():
        tail(x, added)
    assert asked == [True, False]


def test_second_derivative_is_an_error():
    x, added, _ = maps(2, 6, 3, 4)
    tail = Tail(x)
    tail.fused = True
    x.requires_grad_()
    (dx,) = torch.autograd.grad(tail(x, added).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError):
        dx.sum().backward()


def test_two_runs_are_equal_to_the_last_bit():
    x, added, grad = maps(4, 16, 7, 9, dtype=torch.float32)
    tail = Tail(x, shortcut="norm")
    tail.fused = True
    assert_equal(results(tail, x, added, grad), results(tail, x, added, grad), 0)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_compiles_into_one_graph(shortcut, training, dynamic):
    torch._dynamo.reset()
    x, added, grad = maps(3, 10, 4, 5)
    tail = Tail(x, shortcut=shortcut, momentum=None).train(training)
    expected = results(tail, x, added, grad)
    fused = copy.deepcopy(tail)
    fused.fused = True
    fused.forward = torch.compile(
        fused.forward, fullgraph=True, backend="aot_eager", dynamic=dynamic
    )
    leaves = x.detach().requires_grad_(), added.detach().requires_grad_()
    y = fused(*leaves)
    y.backward(grad)
    got = {"y": y.detach(), "d x": leaves[0].grad, "d shortcut": leaves[1].grad}
    got |= {f"d {name}": p.grad for name, p in fused.named_parameters()}
    got = {k: v for k, v in got.items() if v is not None} | dict(fused.named_buffers())
    assert_equal(got, expected)


def test_arguments_that_do_not_fit_are_refused():
    x, norm = torch.randn(2, 4, 3, 3), nn.BatchNorm2d(4)
    with pytest.raises(TypeError, match=r"\(a SyncBatchNorm of torch.* must be BatchNorm1d"):
        batch_norm_act(x, nn.SyncBatchNorm(4))
    with pytest.raises(TypeError, match=r"`shortcut_norm` \(a GroupNorm of torch"):
        batch_norm_act(x, norm, shortcut=x, shortcut_norm=nn.GroupNorm(2, 4))
    with pytest.raises(ValueError, match=r"\(2, 4\)\) must be \(N, C, \*spatial\)"):
        batch_norm_act(x[..., 0, 0], norm)
    with pytest.raises(ValueError, match="C = 5 of `norm`"):
        batch_norm_act(x, nn.BatchNorm2d(5))
    with pytest.raises(ValueError, match="C = 5 of `shortcut_norm`"):
        batch_norm_act(x, norm, shortcut=x, shortcut_norm=nn.BatchNorm2d(5))
    with pytest.raises(ValueError, match=r"`shortcut` .*must have the shape of `x`"):
        batch_norm_act(x, norm, shortcut=x[:1])
    with pytest.raises(ValueError, match="`shortcut_norm` needs a `shortcut`"):
        batch_norm_act(x, norm, shortcut_norm=norm)
    with pytest.raises(ValueError, match="one value a channel"):
        batch_norm_act(x[:1, :, :1, :1], norm)
