"""A network with inserted attention is copied, saved, compiled, exported and traced like any."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

from seattn.attention import SCSEBlock, SEBlock, SimAM
from seattn.surgery import insert_attention, remove_attention
from tests.surgery.networks import small_resnet

# A block whose gate is scaled, one that is mixed in, one with an identity of its own.
every_kind = pytest.mark.parametrize("block", [SEBlock, SimAM, SCSEBlock])


def operated(block) -> nn.Module:
    """A network with blocks that are far from the identity."""
    model = small_resnet()
    insert_attention(model, block)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".attention." in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def saved(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@every_kind
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), saved]
)
def test_a_copy_applies_blocks_of_its_own(block, duplicate):
    model, x = operated(block), torch.randn(2, 1, 18, 15)
    expected = model(x)
    twin = duplicate(model)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        for parameter in model.layer1[0].bn2.attention.parameters():
            parameter.add_(1)
    assert torch.equal(twin(x), expected)
    assert not torch.equal(model(x), expected)
    assert remove_attention(twin) == [f"layer{i}.0.bn2" for i in (1, 2, 3, 4)]
    assert not torch.equal(twin(x), expected)


ELSEWHERE = """
import sys, torch
model, x = torch.load(sys.argv[1], weights_only=False)
expected = model(x)
host = model.layer4[0].bn2
(number,) = host._forward_hooks
while (handle := host.register_forward_hook(lambda *args: None)).id <= number:
    handle.remove()
assert torch.equal(model(x), expected)
"""


def test_in_a_new_process_no_other_hook_takes_the_place_of_a_block(tmp_path):
    model, x = operated(SEBlock), torch.randn(2, 1, 18, 15)
    # The number of a hook is not remembered by its module; a new process starts again from 0.
    torch.save((model, x), tmp_path / "model.pt")
    subprocess.run([sys.executable, "-c", ELSEWHERE, tmp_path / "model.pt"], check=True)


@every_kind
def test_a_state_dict_says_it_all(block):
    model, twin, x = operated(block), small_resnet().eval(), torch.randn(2, 1, 18, 15)
    insert_attention(twin, block)
    twin.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(twin(x), model(x))


@every_kind
def test_torch_compile_makes_one_graph(block):
    torch._dynamo.reset()
    model, x = operated(block), torch.randn(2, 1, 18, 15)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)


@every_kind
def test_export_keeps_batch_and_size_free(block):
    model = operated(block)
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(model, (torch.randn(2, 1, 48, 40),), dynamic_shapes={"x": free})
    x = torch.randn(3, 1, 24, 56)
    torch.testing.assert_close(exported.module()(x), model(x), rtol=1e-5, atol=1e-5)


@every_kind
def test_fx_traces_through_the_blocks(block):
    model, x = operated(block), torch.randn(2, 1, 18, 15)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))


@every_kind
def test_channels_last_is_kept(block):
    model, x = operated(block), torch.randn(2, 1, 18, 15)
    expected = model(x)
    model.to(memory_format=torch.channels_last)
    seen = []
    model.layer2[0].bn2.attention.register_forward_hook(lambda m, args, out: seen.append(out))
    y = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_converting_batch_norm_afterwards_loses_the_blocks():
    # torch's conversion makes new modules and drops every hook: convert first, then insert.
    model, x = operated(SEBlock), torch.randn(2, 1, 18, 15)
    before = copy.deepcopy(model)
    remove_attention(before)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)).eval()
    assert torch.equal(converted(x), before(x))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(before).eval()
    insert_attention(converted, SEBlock)
    converted.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(converted(x), model(x))
