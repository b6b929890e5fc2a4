"""What all attention blocks have in common; their formulas are tested in files of their own."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seattn.attention
from seattn.attention import SEBlock, SqueezeExcite, record_gates
from seattn.attention.bam import BAMBlock
from seattn.attention.cbam import CBAMBlock
from seattn.attention.coordinate import CoordAttention
from seattn.attention.effective_squeeze_excitation import EffectiveSE
from seattn.attention.efficient_channel import ECABlock
from seattn.attention.gather_excite import GatherExcite
from seattn.attention.global_context import GlobalContext, GlobalContextAdd
from seattn.attention.simam import SimAM
from seattn.attention.spatial_channel_excitation import SCSEBlock
from seattn.attention.triplet import TripletAttention
from seattn.backbones import BasicBlock, ResNet

Factory = Callable[[int], nn.Module]

# Each block with the ranks it serves; all take 16 channels.
TABLE: dict[str, tuple[Factory, tuple[int, ...]]] = {
    "SEBlock": (SEBlock, (1, 2, 3)),
    "SqueezeExcite": (SqueezeExcite, (1, 2, 3)),
    "EffectiveSE": (EffectiveSE, (1, 2, 3)),
    "ECABlock": (ECABlock, (1, 2, 3)),
    "GlobalContext": (GlobalContext, (1, 2, 3)),
    "GlobalContextAdd": (GlobalContextAdd, (1, 2, 3)),
    "SCSEBlock": (SCSEBlock, (1, 2, 3)),
    "SimAM": (SimAM, (1, 2, 3)),
    "CBAMBlock": (CBAMBlock, (2,)),
    "CBAMBlock of the authors": (partial(CBAMBlock, bias=True, pool_order="max_mean"), (2,)),
    "CBAMBlock 1D": (partial(CBAMBlock, spatial_dims=1), (1,)),
    "CBAMBlock 3D": (partial(CBAMBlock, spatial_dims=3, kernel_size=3), (3,)),
    "CoordAttention": (partial(CoordAttention, reduction=8), (2,)),
    "CoordAttention of the authors": (
        partial(CoordAttention, hidden_channels=8, bias=True),
        (2,),
    ),
    "BAMBlock": (BAMBlock, (2,)),
    "BAMBlock of the authors": (partial(BAMBlock, combine="product"), (2,)),
    "BAMBlock 1D": (partial(BAMBlock, spatial_dims=1), (1,)),
    "BAMBlock 3D": (partial(BAMBlock, spatial_dims=3, dilation=2), (3,)),
    "TripletAttention": (TripletAttention, (2,)),
    "GatherExcite": (GatherExcite, (2,)),
    "GatherExcite E4": (partial(GatherExcite, extent=4), (2,)),
    "GatherExcite E4 1D": (partial(GatherExcite, extent=4, spatial_dims=1), (1,)),
    "GatherExcite E2 3D": (partial(GatherExcite, extent=2, spatial_dims=3), (3,)),
    "GatherExcite theta": (partial(GatherExcite, extent=4, learn_gather=True), (2,)),
    "GatherExcite theta-plus": (
        partial(GatherExcite, extent=4, learn_gather=True, mlp=True, reduction=4),
        (2,),
    ),
    "GatherExcite theta-plus 1D": (
        partial(GatherExcite, extent=2, learn_gather=True, mlp=True, spatial_dims=1),
        (1,),
    ),
    "GatherExcite theta-plus 3D": (
        partial(GatherExcite, extent=2, learn_gather=True, mlp=True, spatial_dims=3),
        (3,),
    ),
}
SPACE = {1: (9,), 2: (9, 7), 3: (3, 9, 7)}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def block_class(factory: Factory) -> Any:
    return factory.func if isinstance(factory, partial) else factory


def takes(
    *, ranks: tuple[int, ...] = (1, 2, 3), having: str = "forward", once: bool = False
) -> Any:
    """Parametrise ``factory`` and ``shape``: these ranks, of the blocks with this method.

    With ``once`` a block that serves several ranks is taken in 2D only: for what is slow.
    """
    return pytest.mark.parametrize(
        ("factory", "shape"),
        [
            pytest.param(factory, (2, 16, *SPACE[n]), id=f"{name}-{n}D")
            for name, (factory, served) in TABLE.items()
            for n in served
            if n in ranks and not (once and n != 2 and 2 in served)
            if hasattr(block_class(factory), having)
        ],
    )


def randomise(block: nn.Module) -> nn.Module:
    """Move every parameter and running statistic away from where it starts."""
    with torch.no_grad():
        for name, tensor in block.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * (0.5 if "running" in name else 0.1))
    return block


def test_every_public_block_is_in_the_table():
    public = {getattr(seattn.attention, name) for name in seattn.attention.__all__}
    blocks = {c for c in public if isinstance(c, type) and issubclass(c, nn.Module)}
    assert blocks <= {block_class(factory) for factory, _ in TABLE.values()}


# ---- what a block computes ------------------------------------------------------------------


@takes()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_shape_and_dtype_are_the_inputs(factory, shape, dtype, training):
    block = randomise(factory(16)).to(dtype).train(training)
    y = block(torch.randn(shape, dtype=dtype))
    assert y.shape == shape
    assert y.dtype == dtype
    assert y.isfinite().all()


@takes(having="gate")
@pytest.mark.parametrize("training", [True, False])
def test_block_is_its_input_times_its_gate(factory, shape, training):
    block, x = randomise(factory(16)).train(training), torch.randn(shape)
    gate = block.gate(x)
    assert gate.ndim == x.ndim
    assert torch.equal(block(x), x * gate)


@takes(having="gate")
def test_gates_are_recorded(factory, shape):
    model, x = nn.Sequential(randomise(factory(16))).eval(), torch.randn(shape)
    with record_gates(model) as gates:
        y = model(x)
    assert list(gates) == ["0"]
    assert torch.equal(gates["0"], model[0].gate(x).flatten(2).mean(2))
    assert torch.equal(y, x * model[0].gate(x))


@takes()
def test_images_of_a_batch_do_not_meet_in_evaluation(factory, shape):
    block, x = randomise(factory(16)).eval(), torch.randn(shape)
    torch.testing.assert_close(block(x)[1:], block(x[1:]))


@takes()
def test_nothing_that_a_hook_sees_is_changed(factory, shape):
    block, seen = randomise(factory(16)), []

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.extend((tensor, tensor.clone()) for tensor in (*args, output))

    for module in block.modules():
        module.register_forward_hook(hook)
    block(torch.randn(shape))
    assert seen
    assert all(torch.equal(tensor, before) for tensor, before in seen)


@takes()
def test_gradients_are_finite(factory, shape):
    block, x = factory(16), torch.randn(shape, requires_grad=True)
    block(x).square().sum().backward()
    for name, parameter in (*block.named_parameters(), ("x", x)):
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@takes()
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_map_of_one_pixel_in_a_batch_of_one(factory, shape, value):
    x = torch.full((1, 16) + (1,) * (len(shape) - 2), value, requires_grad=True)
    y = factory(16).eval()(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


@takes()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [0.0, 1.0, 100.0])
def test_a_map_of_one_pixel_is_finite_in_half_precision(factory, shape, dtype, value):
    x = torch.full((1, 16) + (1,) * (len(shape) - 2), value, dtype=dtype, requires_grad=True)
    y = factory(16).eval().to(dtype)(x)
    y.sum().backward()
    assert y.dtype == dtype
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


@takes()
def test_input_of_another_layout_is_refused(factory, shape):
    block = factory(16)
    for wrong in ((2, 15, *shape[2:]), (2, 16), (16,)):
        with pytest.raises(ValueError, match=r"`x` has shape \(.*this block takes \(N, 16, "):
            block(torch.randn(wrong))


@takes(having="init_identity_")
def test_the_identity_is_exact(factory, shape):
    block, x = randomise(factory(16)), torch.randn(shape)
    assert not torch.equal(block(x), x)
    block.init_identity_()
    assert torch.equal(block(x), x)
    assert torch.equal(block.eval()(x), x)


# ---- precision and memory -------------------------------------------------------------------


@takes()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2**-5), (torch.float16, 2**-8)])
def test_half_precision_is_kept_and_near(factory, shape, dtype, tolerance):
    block, x = randomise(factory(16)).eval(), torch.randn(shape)
    half = copy.deepcopy(block).to(dtype)(x.to(dtype))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), block(x), rtol=tolerance, atol=tolerance)


@takes()
@pytest.mark.parametrize("training", [True, False])
def test_autocast_keeps_the_inputs_dtype(factory, shape, training):
    block, x = randomise(factory(16)).train(training), torch.randn(shape)
    plain = block(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block(x).dtype == torch.float32
        assert block(x.bfloat16()).dtype == torch.bfloat16
        torch.testing.assert_close(block(x), plain, rtol=2**-5, atol=2**-5)


@takes(ranks=(2, 3))
def test_channels_last_is_kept(factory, shape):
    memory_format = CHANNELS_LAST[len(shape) - 2]
    block, x = randomise(factory(16)).eval(), torch.randn(shape)
    y = block(x.to(memory_format=memory_format))
    assert y.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(y, block(x))


# ---- copies and graphs ----------------------------------------------------------------------


@takes()
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_a_copy_computes_the_same(factory, shape, duplicate):
    block, x = randomise(factory(16)).eval(), torch.randn(shape)
    assert torch.equal(duplicate(block)(x), block(x))


@takes()
def test_a_state_dict_says_it_all(factory, shape):
    block, x = randomise(factory(16)).eval(), torch.randn(shape)
    with torch.device("meta"):
        empty = factory(16).eval()
    empty.to_empty(device="cpu").load_state_dict(block.state_dict(), strict=True)
    assert torch.equal(empty(x), block(x))


@takes(once=True)
def test_torch_compile_makes_one_graph_for_all_sizes(factory, shape):
    torch._dynamo.reset()  # else the other cases count as recompilations
    block = randomise(factory(16))
    compiled = torch.compile(
        copy.deepcopy(block), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for size in (shape, (3, 16, *(size + 2 for size in shape[2:]))):
        x = torch.randn(size)
        with torch._dynamo.config.patch(error_on_recompile=size != shape):
            torch.testing.assert_close(compiled(x), block(x))


@takes(once=True)
def test_export_keeps_batch_and_size_free(factory, shape):
    block = randomise(factory(16)).eval()
    sizes = {0: torch.export.Dim.DYNAMIC}
    sizes |= dict.fromkeys(range(2, len(shape)), torch.export.Dim.DYNAMIC)
    exported = torch.export.export(block, (torch.randn(shape),), dynamic_shapes=(sizes,))
    x = torch.randn(3, 16, *(size + 2 for size in shape[2:]))
    torch.testing.assert_close(exported.module()(x), block(x))


@takes()
def test_fx_trace_computes_the_same(factory, shape):
    block = randomise(factory(16)).eval()
    traced = torch.fx.symbolic_trace(block)
    for size in (shape, (1, 16, *(size + 2 for size in shape[2:]))):
        x = torch.randn(size)
        assert torch.equal(traced(x), block(x))
    with pytest.raises(ValueError, match="this block takes"):
        traced(torch.randn(2, 15, *shape[2:]))


# ---- inside a network -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "factory", [pytest.param(f, id=name) for name, (f, ranks) in TABLE.items() if 2 in ranks]
)
def test_a_network_trains_with_the_block(factory):
    net = ResNet(
        BasicBlock,
        (1, 1, 1, 1),
        channels=(16, 32, 64, 128),
        stem="small",
        attention=factory,
        in_chans=1,
        num_classes=2,
        zero_init_last=False,
    )
    inside = [m for m in net.modules() if isinstance(m, block_class(factory))]
    assert len(inside) == 4
    with record_gates(net.eval()) as gates:
        net(torch.randn(2, 1, 16, 16))
    assert len(gates) == (4 if hasattr(inside[0], "gate") else 0)
    logits = net.train()(torch.randn(2, 1, 16, 16))
    assert logits.shape == (2, 2)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
