import pytest
import torch

from seattn.ops import affine, reference
from tests.ops.plain import Tail, maps, results


def saved_values(tail, x, added):
    """How many values of a map's size the backward keeps, each storage once, beside its inputs."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = tail(x, added)
    mine = {t.untyped_storage().data_ptr() for t in (x, added, y)}
    return sum(size for pointer, size in kept.items() if pointer not in mine) / x.nbytes


def test_beside_its_input_the_tail_keeps_one_bit_a_value():
    x, added, _ = maps(4, 32, 32, 32, dtype=torch.float32)
    tail = Tail(x.requires_grad_())
    plain = saved_values(tail, x, added)
    tail.fused = True
    assert saved_values(tail, x, added) < 1 / 32 + 0.03  # and vectors, whose size is C / P of it
    assert plain > 0.9  # BN(x), which the gate multiplies


def test_beside_its_input_the_inner_norm_keeps_vectors_alone():
    x, _, _ = maps(4, 32, 32, 32, dtype=torch.float32)
    tail = Tail(x.requires_grad_(), gate=None, shortcut=None)
    tail.fused = True
    assert saved_values(tail, x, x) < 0.03


@pytest.mark.parametrize("training", [True, False])
def test_apply_pass_of_a_frozen_norm_does_not_read_x(training, monkeypatch):
    slopes = []

    def spy(*args):
        slopes.append(args[4])
        return reference.affine_act_apply(*args)

    monkeypatch.setattr(affine.operators, "affine_act_apply", spy)
    x, added, grad = maps(2, 6, 3, 4)
    tail = Tail(x).train(training)
    tail.fused = True
    results(tail, x, added, grad)
    assert [slope is not None for slope in slopes] == [training]
