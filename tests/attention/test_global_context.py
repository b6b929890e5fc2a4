import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from seattn.attention import record_gates
from seattn.attention.global_context import GlobalContext, GlobalContextAdd
from tests.references import global_context_transform
from tests.strategies import feature_maps


def randomise(block: nn.Module) -> nn.Module:
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    return block


def reference(block: nn.Module, x: Tensor) -> Tensor:
    transform = block.mlp_add if isinstance(block, GlobalContextAdd) else block.mlp_scale
    fc1, norm, fc2 = transform.fc1, transform.norm, transform.fc2
    rows = global_context_transform(
        x,
        block.conv_attn.weight.flatten().tolist(),
        (fc1.weight[:, :, 0, 0], fc2.weight[:, :, 0, 0]),
        (fc1.bias, fc2.bias),
        (norm.weight, norm.bias),
    )
    return rows.reshape(x.shape[:2] + (1,) * (x.ndim - 2))


@given(x=feature_maps())
def test_gate_is_the_sigmoid_of_the_papers_transform_in_1d_2d_and_3d(x):
    block = randomise(GlobalContext(x.shape[1], hidden_channels=3)).double()
    expected = torch.sigmoid(reference(block, x))
    torch.testing.assert_close(block.gate(x), expected, rtol=1e-10, atol=1e-10)


@given(x=feature_maps())
def test_the_papers_transform_is_added_in_1d_2d_and_3d(x):
    block = randomise(GlobalContextAdd(x.shape[1], hidden_channels=3)).double()
    torch.testing.assert_close(block(x), x + reference(block, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("block", "name"), [(GlobalContext(32), "mlp_scale"), (GlobalContextAdd(32), "mlp_add")]
)
def test_state_dict_has_timms_names_and_shapes(block, name):
    assert {key: tuple(value.shape) for key, value in block.state_dict().items()} == {
        "conv_attn.weight": (1, 32, 1, 1),
        "conv_attn.bias": (1,),
        f"{name}.fc1.weight": (4, 32, 1, 1),
        f"{name}.fc1.bias": (4,),
        f"{name}.norm.weight": (4,),
        f"{name}.norm.bias": (4,),
        f"{name}.fc2.weight": (32, 4, 1, 1),
        f"{name}.fc2.bias": (32,),
    }


def test_the_adding_block_starts_as_the_identity_and_learns_from_it():
    block, x = GlobalContextAdd(32), torch.randn(2, 32, 5, 5)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.mlp_add.fc2.weight.grad.any()
    assert block.mlp_add.fc2.bias.grad.all()


def test_only_the_scaling_block_has_gates_to_record():
    model = nn.Sequential(GlobalContext(8), GlobalContextAdd(8))
    with record_gates(model) as gates:
        model(torch.randn(2, 8, 5, 5))
    assert {name: gate.shape for name, gate in gates.items()} == {"0": (2, 8)}


def test_large_logits_do_not_overflow():
    block = randomise(GlobalContext(8))
    assert block(torch.randn(1, 8, 4, 4) * 1e6).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_identity_is_exact_in_every_precision_until_the_first_step(dtype):
    block, x = GlobalContextAdd(32).to(dtype), (torch.randn(2, 32, 5, 7) * 10).to(dtype)
    randomise(block)
    assert not torch.equal(block(x), x)
    block.init_identity_()
    assert torch.equal(block(x), x)
    block(x).square().mean().backward()
    torch.optim.SGD(block.parameters(), lr=0.1).step()
    assert not torch.equal(block(x), x)
