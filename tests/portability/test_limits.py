"""What cannot travel, and what goes in its place: docs/explanation/portability.md."""

import io
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from seattn.attention import GatherExcite, SEBlock
from seattn.backbones import resnet18, se_resnet18
from tests.portability.cases import free_batch_and_size, images, lively

tiny = partial(se_resnet18, layers=(1, 1, 1, 1), channels=(16, 16, 24, 32), in_chans=1)
recorded = pytest.mark.skipif(
    torch.__version__ < "2.13", reason="recorded with torch 2.13; older ones can less"
)


@recorded
def test_an_exported_graph_takes_no_image_whose_last_map_is_one_pixel():
    network, x = tiny().eval(), images(3, (48, 64))
    with pytest.raises(torch._dynamo.exc.UserError, match="Constraints violated"):
        torch.export.export(network, (x,), dynamic_shapes=(free_batch_and_size(32),))
    exported = torch.export.export(network, (x,), dynamic_shapes=(free_batch_and_size(33),))
    with pytest.raises(AssertionError, match="Guard failed"):
        exported.module()(images(1, (32, 32)))


@recorded
def test_export_fixes_the_size_where_the_stem_pools_as_caffe_does():
    network, x = lively(tiny(stem_pool="ceil")).eval(), images(3, (48, 64))
    with pytest.raises(AssertionError, match="Expected op to be"):
        torch.export.export(network, (x,), dynamic_shapes=(free_batch_and_size(),))
    batch = {0: torch.export.Dim("N", max=64)}
    exported = torch.export.export(network, (x,), dynamic_shapes=(batch,))
    torch.testing.assert_close(exported.module()(x[:1]), network(x[:1]))


@recorded
def test_export_fixes_the_length_of_signals_where_the_stem_pools():
    x = torch.randn(3, 1, 96)
    free = {0: torch.export.Dim("N", max=64), 2: torch.export.Dim("L", min=33, max=512)}
    with pytest.raises(torch._dynamo.exc.UserError, match="Specializations unexpectedly required"):
        torch.export.export(tiny(spatial_dims=1).eval(), (x,), dynamic_shapes=(free,))
    network = tiny(spatial_dims=1, stem="small").eval()
    exported = torch.export.export(network, (x,), dynamic_shapes=(free,))
    torch.testing.assert_close(exported.module()(x[:1, :, :77]), network(x[:1, :, :77]))


@recorded
def test_export_takes_no_gathered_map_of_one_pixel():
    x, free = torch.randn(3, 8, 24, 32), {0: torch.export.Dim("N", max=64)}
    one = free | {2: torch.export.Dim("H", min=4, max=64), 3: torch.export.Dim("W", min=9, max=64)}
    with pytest.raises(torch._dynamo.exc.UserError, match="Constraints violated"):
        torch.export.export(GatherExcite(8, extent=8).eval(), (x,), dynamic_shapes=(one,))
    for extent in (2, None):
        block = GatherExcite(8, extent=extent).eval()
        exported = torch.export.export(block, (x,), dynamic_shapes=(one,))
        torch.testing.assert_close(exported.module()(x[:1, :, :5]), block(x[:1, :, :5]))


def test_a_trace_of_torch_fx_recomputes_nothing():
    network, x = tiny(), images()
    network.set_grad_checkpointing()
    traced = torch.fx.symbolic_trace(network)
    assert not any("checkpoint" in str(node.target) for node in traced.graph.nodes)
    torch.testing.assert_close(traced.eval()(x), network.eval()(x))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # for the checks of shapes
def test_a_network_is_traced_but_not_scripted():
    network, x = lively(tiny()).eval(), images()
    with pytest.raises(ValueError, match="Unknown type annotation"):
        torch.jit.script(network)
    traced = torch.jit.trace(network, x)
    x = images(3, (57, 41))
    torch.testing.assert_close(traced(x), network(x))


def test_a_network_with_a_local_function_is_not_pickled_and_its_state_dict_is():
    def attention(channels: int) -> nn.Module:
        return SEBlock(channels, 8)

    build = partial(resnet18, layers=(1, 1, 1, 1), in_chans=1, num_classes=3)
    network = build(attention=attention).eval()
    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        pickle.dumps(network)
    twin = build(attention=partial(SEBlock, reduction=8)).eval()
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    twin.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert torch.equal(pickle.loads(pickle.dumps(twin))(x := images()), network(x))
