"""Two gloo processes, each with a share of a batch, against one process with the whole of it."""

import copy
import pickle
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import torch
from torch import distributed, nn
from torch.nn.utils import parametrize

from seattn.ops import SyncBatchNorm, batch_norm_act
from seattn.ops.statistics import merge_moments
from tests.ops.plain import NORMS, Tail, assert_equal

SHAPE = (6, 5, 3, 4)
SHARES = {"even": 3, "uneven": 5, "empty": 6}  # images of the first process


@dataclass(frozen=True)
class Case:
    """How a model is trained."""

    shape: tuple[int, ...] = SHAPE
    share: str = "uneven"
    fused: bool = False
    compiled: bool = False
    alone: bool = False  # only the norm
    frozen: bool = False
    input_needs_grad: bool = True
    group: bool = False
    options: dict = field(default_factory=dict)


class Alone(nn.Module):
    def __init__(self, shape, **options):
        super().__init__()
        kind = nn.BatchNorm1d if len(shape) == 2 else NORMS[len(shape)]
        self.norm = kind(shape[1], **options).double()

    def forward(self, x, shortcut):
        return self.norm(x)


CASES = {f"{share}, {'fused' if fused else 'modules'}{', compiled' * compiled}":
         Case(share=share, fused=fused, compiled=compiled)
         for share in SHARES for fused in (False, True) for compiled in (False, True)}  # fmt: skip
CASES |= {
    f"{len(shape)} dimensions": Case(shape, alone=True)
    for shape in ((6, 5), (6, 5, 7), SHAPE, (6, 2, 2, 3, 2), (6, 5, 1, 1))
}
for fused in (False, True):
    for name, case in {
        "cumulative": Case(fused=fused, options={"momentum": None}),
        "momentum and eps": Case(fused=fused, options={"momentum": 0.7, "eps": 0.1}),
        "untracked": Case(fused=fused, options={"track_running_stats": False}),
        "not affine": Case(fused=fused, options={"affine": False}),
        "frozen": Case(fused=fused, frozen=True),
        "group": Case(fused=fused, group=True),
        "input without gradient": Case(fused=fused, input_needs_grad=False),
    }.items():
        CASES[f"{name}, {'fused' if fused else 'modules'}"] = case


def train(case, images=slice(None), *, converted=False, group=None):
    """Outputs, gradients and buffers of two steps on some of the images."""
    torch.manual_seed(0)
    whole = [torch.randn(case.shape, dtype=torch.float64) * 2 + 3 for _ in range(3)]
    if case.alone:
        model = Alone(case.shape, **case.options)
    else:
        model = Tail(whole[0], shortcut="norm", **case.options)
    if converted:
        SyncBatchNorm.convert_sync_batchnorm(model, group)
        model.fused = case.fused
        twin = copy.deepcopy(model).norm
        assert twin.process_group is group
        assert twin.running_mean is None or twin.running_mean is not model.norm.running_mean
    model.norm.train(not case.frozen)
    if converted and case.compiled:
        model.compile(fullgraph=True, backend="aot_eager")
    x, shortcut, aims = (each[images].clone() for each in whole)
    x.requires_grad_(case.input_needs_grad)
    found = {}
    for step in range(2):
        y = model(x * (1 + step), shortcut)
        y.backward(aims)
        found[f"y{step}"] = y.detach()
    found["d x"] = x.grad
    found |= {f"d {name}": p.grad for name, p in model.named_parameters()}
    return {k: v for k, v in found.items() if v is not None} | dict(model.named_buffers())


def one_of_two(rank, folder):
    """What each process does; the parent compares."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    both, mine = distributed.new_group([0, 1]), [distributed.new_group([r]) for r in (0, 1)][rank]
    found = {}
    for name, case in CASES.items():
        torch.compiler.reset()
        count = SHARES[case.share]
        images = slice(count) if rank == 0 else slice(count, None)
        found[name] = train(case, images, converted=True, group=both if case.group else None)
    found["by itself"] = train(Case(), slice(3), converted=True, group=mine)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        found[dtype] = in_float32(SyncBatchNorm(4, momentum=1), dtype, slice(rank * 90, rank + 90))
    found["few"] = {values: few_values(rank, values) for values in (0, 1)}
    found["second derivative"] = second_derivative()
    found["mixed"] = mixed(rank)
    found["layout"] = layouts()
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()  # its threads may not outlive the interpreter


def in_float32(norm, dtype, images=slice(None)):
    """A batch far from zero, and the running variance, which is that batch's."""
    draw = torch.Generator().manual_seed(0)
    offset = 1e4 if dtype == torch.float32 else 20
    x = (torch.randn(91, 4, 3, 3, generator=draw) + offset).to(dtype)
    aims = torch.randn(x.shape, generator=draw).to(dtype)
    if norm.weight.dtype == torch.float64:
        x, aims = x.double(), aims.double()
    x, aims = x[images].clone().requires_grad_(), aims[images]
    y = norm(x)
    y.backward(aims)
    return {"y": y.detach(), "d x": x.grad, "var": norm.running_var, "d": norm.weight.grad}


def few_values(rank, values):
    """One value a channel in all processes, or none."""
    results = []
    for fused in (False, True):
        norm = SyncBatchNorm(2, momentum=None)
        x = torch.full((values * rank, 2, 1), 3.0, requires_grad=True)
        y = batch_norm_act(x, norm, relu=False) if fused else norm(x)
        y.sum().backward()
        zeros = [y.detach(), x.grad, norm.running_mean, norm.weight.grad, norm.running_var - 1]
        results.append([*zeros, norm.bias.grad - len(x)])
    return results


def second_derivative():
    messages = []
    for run in (SyncBatchNorm.__call__, lambda norm, x: batch_norm_act(x, norm), merged):
        x = torch.randn(2, 3, 4, requires_grad=True)
        y = run(SyncBatchNorm(3), x)
        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        try:
            dx.sum().backward()
        except RuntimeError as error:
            messages.append(str(error))
    return len(messages)


def merged(norm, x):
    mean = x.mean((0, 2))
    return merge_moments(mean.new_tensor(8.0), mean, mean.square(), distributed.group.WORLD)[2]


def mixed(rank):
    """One process fused, one with modules: they exchange the same."""
    images = slice(2) if rank == 0 else slice(2, None)
    return train(Case(fused=rank == 0), images, converted=True)


def layouts():
    x = torch.randn(4, 8, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    y = SyncBatchNorm(8)(x)
    y.square().sum().backward()
    return [t.is_contiguous(memory_format=torch.channels_last) for t in (y, x.grad)]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    torch.multiprocessing.spawn(one_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def joined(first, second):
    """Maps one after the other, gradients of parameters added; buffers are the same."""
    whole = {}
    for name, value in first.items():
        if name in ("d x", "y0", "y1"):
            whole[name] = torch.cat((value, second[name]))
        elif name.startswith("d "):
            whole[name] = value + second[name]
        else:
            torch.testing.assert_close(value, second[name], rtol=0, atol=0)
            whole[name] = value
    return whole


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_what_one_gives_with_the_whole_batch(two, name):
    assert_equal(joined(two[0][name], two[1][name]), train(CASES[name]))


def test_one_process_fused_and_one_plain_exchange_the_same(two):
    assert_equal(joined(two[0]["mixed"], two[1]["mixed"]), train(Case()))


def test_a_group_of_one_is_a_plain_batch_norm(two):
    assert_equal(two[0]["by itself"], train(Case(), slice(3)), 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_mean_far_from_zero_and_half_types_cost_no_digits(two, dtype):
    found = {name: torch.cat([each[dtype][name] for each in two]) for name in ("y", "d x")}
    found |= {"var": two[0][dtype]["var"], "d": two[0][dtype]["d"] + two[1][dtype]["d"]}
    exact = in_float32(nn.BatchNorm2d(4, momentum=1).double(), dtype)
    assert found["y"].dtype == found["d x"].dtype == dtype
    assert torch.equal(two[0][dtype]["var"], two[1][dtype]["var"])
    # float32 stores a mean of 1e4 to 5e-4; of half types only the results are rounded.
    half = {torch.float32: 0, torch.bfloat16: 2**-8, torch.float16: 2**-11}[dtype]
    stored = 2e-3 if dtype == torch.float32 else 1e-5
    torch.testing.assert_close(found["y"].double(), exact["y"], rtol=half, atol=stored)
    if dtype == torch.float32:  # all that is wrong with y is that mean
        assert (found["y"] - exact["y"]).std((0, 2, 3)).max() < 5e-5
    torch.testing.assert_close(found["d x"].double(), exact["d x"], rtol=half, atol=stored)
    torch.testing.assert_close(found["d"].double(), exact["d"], rtol=0, atol=1e3 * stored)
    torch.testing.assert_close(found["var"].double(), exact["var"], rtol=stored / 20, atol=0)


def test_fewer_than_two_values_move_no_statistics(two):
    for found in two:
        for values in (0, 1):
            for zeros in found["few"][values]:
                assert all(torch.equal(zero, torch.zeros_like(zero)) for zero in zeros)


def test_a_second_derivative_is_an_error(two):
    assert [found["second derivative"] for found in two] == [3, 3]


def test_channels_last_memory_is_kept(two):
    assert [found["layout"] for found in two] == [[True, True], [True, True]]


# ---- one process ----------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}, {"affine": False}])
def test_without_other_processes_and_in_evaluation_it_is_torchs(options, training):
    case = Case(alone=True, options=options, frozen=not training)
    assert_equal(train(case, converted=True), train(case), 0)


def test_one_value_a_channel_alone_is_torchs_error():
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        SyncBatchNorm(3)(torch.ones(1, 3, 1))
    with pytest.raises(ValueError, match="one value a channel"):
        batch_norm_act(torch.ones(1, 3, 1), SyncBatchNorm(3))


@pytest.mark.parametrize("shape", [(3,), (2, 4, 5)])
def test_inputs_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(N, C, \*spatial\) with C = .*\(=3\)"):
        SyncBatchNorm(3)(torch.ones(shape))


def test_arguments_and_state_dict_are_those_of_batch_norm():
    arguments = (3, 0.1, None, False, True)
    ours, theirs = SyncBatchNorm(*arguments, dtype=torch.float64), nn.BatchNorm2d(*arguments)
    assert str(ours) == str(theirs).replace("BatchNorm2d", "SyncBatchNorm")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.running_var.dtype == torch.float64
    assert pickle.loads(pickle.dumps(ours)).momentum is None


# ---- conversion -----------------------------------------------------------------------------


def test_conversion_keeps_everything_but_the_class():
    norm = nn.BatchNorm3d(3, eps=0.1, momentum=None).double().eval()
    norm(torch.randn(2, 3, 2, 2, 2, dtype=torch.float64))
    calls = []
    norm.register_forward_hook(lambda *_: calls.append(1))
    other = nn.BatchNorm1d(2, affine=False)
    model = nn.Sequential(norm, nn.Sequential(norm, other), nn.SyncBatchNorm(2), nn.GroupNorm(1, 2))
    before, state = vars(norm).copy(), copy.deepcopy(model.state_dict())
    assert SyncBatchNorm.convert_sync_batchnorm(model) is model
    assert model[0] is norm is model[1][0]
    assert [type(m).__name__ for m in model] == [
        "SyncBatchNorm", "Sequential", "SyncBatchNorm", "GroupNorm",
    ]  # fmt: skip
    assert type(model[2]) is type(other) is SyncBatchNorm
    assert vars(norm) == before | {"process_group": None}
    assert_equal(model.state_dict(), state, 0)
    model[0](torch.randn(2, 3, 4, dtype=torch.float64))
    assert calls == [1]
    single = nn.BatchNorm1d(2)
    assert SyncBatchNorm.convert_sync_batchnorm(single) is single
    assert type(single) is SyncBatchNorm


class Other(nn.BatchNorm2d):
    """May do more than its base class."""


def test_conversion_refuses_what_it_does_not_know_and_changes_nothing():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.ModuleDict({"a": Other(2)}))
    with pytest.raises(TypeError, match=r"`module` has a Other at '1\.a'"):
        SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(model[0]) is nn.BatchNorm2d
    parametrized = nn.BatchNorm2d(2)
    parametrize.register_parametrization(parametrized, "weight", nn.Identity())
    with pytest.raises(TypeError, match="ParametrizedBatchNorm2d"):
        SyncBatchNorm.convert_sync_batchnorm(parametrized)
