import copy

import pytest
import torch
from torch import Tensor, nn

from seattn.attention import CBAMBlock, SEBlock, record_gates
from seattn.backbones import resnet18, se_resnet18


class SpatialGate(nn.Module):
    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x.mean(1, keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class LikeTimm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_every_block_is_recorded_under_its_name():
    model = se_resnet18(layers=(1, 2, 1, 1), stem="small", num_classes=2).eval()
    with record_gates(model) as gates:
        model(torch.randn(3, 3, 32, 32))
    assert {name: tuple(gate.shape) for name, gate in gates.items()} == {
        "layer1.0.se": (3, 64),
        "layer2.0.se": (3, 128),
        "layer2.1.se": (3, 128),
        "layer3.0.se": (3, 256),
        "layer4.0.se": (3, 512),
    }
    assert all(((gate > 0) & (gate < 1)).all() for gate in gates.values())


def test_gates_are_those_that_were_applied():
    model = nn.Sequential(nn.Conv2d(3, 32, 3), SEBlock(32), nn.ReLU())
    x = torch.randn(2, 3, 8, 8)
    with record_gates(model) as gates:
        model(x)
    assert torch.equal(gates["1"], model[1].gate(model[0](x)).flatten(1))


def test_hooks_are_there_only_inside_the_block():
    model = nn.Sequential(SEBlock(16))
    with record_gates(model):
        assert hooks(model) == 1
    assert hooks(model) == 0
    with pytest.raises(RuntimeError, match="stop"), record_gates(model):
        raise RuntimeError("stop")
    assert hooks(model) == 0


def test_after_the_block_nothing_is_recorded():
    model = nn.Sequential(SEBlock(16))
    with record_gates(model) as gates:
        pass
    model(torch.randn(2, 16, 4, 4))
    assert gates == {}


def test_the_last_call_wins():
    model = nn.Sequential(SEBlock(16))
    first, second = torch.randn(2, 16, 4, 4), torch.randn(5, 16, 4, 4)
    with record_gates(model) as gates:
        model(first)
        model(second)
    assert torch.equal(gates["0"], model[0].gate(second).flatten(1))


def test_a_gate_over_space_is_averaged():
    model, x = nn.Sequential(SpatialGate()), torch.randn(2, 3, 4, 5)
    with record_gates(model) as gates:
        model(x)
    torch.testing.assert_close(gates["0"], torch.sigmoid(x.mean(1)).mean((1, 2))[:, None])


def test_gates_carry_no_graph_and_the_model_keeps_its_own():
    model, x = nn.Sequential(SEBlock(16)), torch.randn(2, 16, 4, 4)
    model(x).sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with record_gates(model) as gates:
        model(x).sum().backward()
    assert not gates["0"].requires_grad
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_a_block_called_by_keyword_is_recorded():
    block, x = SEBlock(16), torch.randn(2, 16, 4, 4)
    with record_gates(block) as gates:
        block(x=x)
    assert torch.equal(gates[""], block.gate(x).flatten(1))


@pytest.mark.parametrize("model", [LikeTimm(), resnet18(layers=(1, 1, 1, 1))])
def test_only_a_class_with_a_gate_of_its_own_counts(model):
    with record_gates(model) as gates:
        model.eval()(torch.randn(1, 3, 32, 32))
    assert gates == {}


def test_gates_are_recorded_under_gradient_checkpointing():
    model = se_resnet18(layers=(1, 1, 1, 1), stem="small", num_classes=2)
    x = torch.randn(2, 3, 16, 16)
    with record_gates(model) as plain:
        model(x)
    model.set_grad_checkpointing()
    with record_gates(model) as gates:
        model(x).sum().backward()
    assert gates.keys() == plain.keys()
    for name, gate in gates.items():
        assert torch.equal(gate, plain[name])


@torch.no_grad()
@pytest.mark.parametrize("part", ["", "layer2"])
def test_gates_of_compiled_code_are_recorded(part):
    model, x = se_resnet18(layers=(1, 1, 1, 1), num_classes=2).eval(), torch.randn(2, 3, 32, 32)
    model.get_submodule(part).compile(backend="eager")
    model(x)  # what is compiled now has no hooks
    with record_gates(model) as gates:
        model(x)
    assert list(gates) == [f"layer{i}.0.se" for i in (1, 2, 3, 4)]


def test_recording_in_training_shows_batchnorm_no_batch_twice():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 16, 3), CBAMBlock(16))
    other = copy.deepcopy(model)
    x = torch.randn(4, 1, 9, 9)
    with record_gates(model) as gates:
        model(x).sum().backward()
    other(x).sum().backward()
    assert gates["1"].shape == (4, 16)
    for ours, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("training", [True, False])
def test_recording_changes_no_bit_of_the_output_and_nothing_of_the_model(training):
    model = nn.Sequential(nn.Conv2d(1, 16, 3), CBAMBlock(16), SEBlock(16)).train(training)
    other, x = copy.deepcopy(model), torch.randn(2, 1, 8, 8)
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    with record_gates(model):
        inside = model(x)
    assert torch.equal(inside, other(x))
    assert torch.equal(model(x), other(x))
    assert all(module.training == training for module in model.modules())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_hooks_with_kwargs


def test_off_the_gate_is_computed_once_and_on_once_more():
    calls = []

    class Counting(SEBlock):
        def gate(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return super().gate(x)

    model, x = Counting(16), torch.randn(2, 16, 4, 4)
    model(x)
    assert len(calls) == 1
    with record_gates(model):
        model(x)
    assert len(calls) == 3
    model(x)
    assert len(calls) == 4


def test_an_error_in_a_gate_leaves_batchnorm_and_hooks_as_they_were():
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def gate(self, x: Tensor) -> Tensor:
            raise RuntimeError("stop")

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x)

    model = nn.Sequential(Failing())
    with pytest.raises(RuntimeError, match="stop"), record_gates(model):
        model(torch.randn(2, 3, 4, 4))
    assert model[0].norm.track_running_stats
    assert hooks(model) == 0


@pytest.mark.parametrize("spatial", [(9,), (5, 6), (3, 4, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_gates_keep_their_dtype_in_1d_2d_and_3d(spatial, dtype):
    model, x = nn.Sequential(SEBlock(16)).to(dtype), torch.randn(2, 16, *spatial, dtype=dtype)
    with record_gates(model) as gates:
        model(x)
    assert torch.equal(gates["0"], model[0].gate(x).flatten(1))
    assert gates["0"].dtype == dtype


def test_blocks_are_recorded_in_the_order_in_which_they_run():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = SEBlock(16), SEBlock(16)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x))

    model = Backwards()
    with record_gates(model) as gates:
        model(torch.randn(1, 16, 4, 4))
    assert list(gates) == ["first", "last"]
