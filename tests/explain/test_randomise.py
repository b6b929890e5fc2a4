import copy

import pytest
import torch
from torch import nn

from seattn.explain import randomised_copy


class Scale(nn.Module):
    """A parameter of its own and no `reset_parameters`, as a layer scale or a class token."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(3 + 0.5 * torch.randn(4096))

    def forward(self, x):
        return x * self.gamma[: x.shape[1], None, None]


def network():
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), Scale(), nn.Dropout())
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(2, 3)
    nn.init.normal_(model[1].weight)
    nn.init.normal_(model[0].weight)
    model[0].weight.requires_grad_(False)
    model[1].eval()
    return model


def test_nothing_that_was_learnt_survives():
    model = network()
    other = randomised_copy(model, seed=0)
    for (name, before), after in zip(
        model.state_dict().items(), other.state_dict().values(), strict=True
    ):
        if name not in {"1.num_batches_tracked", "1.bias"}:  # both zero before, too
            assert not torch.isclose(before, after).all(), name
    assert other[0].weight.abs().max() <= 18**-0.5  # the bound of nn.Conv2d's own initialisation
    assert (other[1].running_mean == 0).all()
    assert (other[1].running_var == 1).all()
    assert (other[1].weight == 1).all()


def test_parameters_without_a_reset_keep_mean_and_deviation():
    gamma = randomised_copy(network(), seed=1)[2].gamma
    assert gamma.mean().item() == pytest.approx(3, abs=0.05)  # six standard errors
    assert gamma.std().item() == pytest.approx(0.5, abs=0.04)
    assert gamma.requires_grad


def test_the_seed_decides():
    model = network()
    first, same, other = (randomised_copy(model, seed=seed) for seed in (3, 3, 4))
    for name, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(first[0].weight, other[0].weight)
    assert not torch.equal(first[2].gamma, other[2].gamma)


def test_model_and_random_state_are_left_alone():
    model = network()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    other = randomised_copy(model, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert [m.training for m in other.modules()] == [m.training for m in model.modules()]
    assert [p.requires_grad for p in other.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]


def test_works_in_bfloat16_and_without_gradients():
    with torch.inference_mode():
        other = randomised_copy(network().bfloat16(), seed=0)
    assert {p.dtype for p in other.parameters()} == {torch.bfloat16}
