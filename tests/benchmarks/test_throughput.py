"""The throughput benchmark measures, and refuses what is wrong."""

import itertools
import json
import sys
from functools import partial

import pytest
import torch
from torch import nn

import seattn
from benchmarks.fused_networks import opened
from benchmarks.peers import find
from benchmarks.throughput import __main__ as command
from benchmarks.throughput import case as case_module
from benchmarks.throughput import contestants, export, timing
from benchmarks.throughput.case import Case, Method, run_case
from benchmarks.throughput.checks import allowed, deviations, numbers, reference_numbers
from benchmarks.throughput.contestants import NETWORKS, Contestant
from benchmarks.throughput.export import EXPORTS
from benchmarks.throughput.steps import DTYPES, Batch, infer, make_batch, trainer
from benchmarks.throughput.timing import paired_ratio, run_rounds
from seattn.attention import SEBlock
from seattn.backbones import BasicBlock, ResNet


class Tiny(nn.Module):
    """A network with every kind of number that is checked."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 8, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 1000)

    def forward(self, x):
        return self.fc(self.bn1(self.conv1(x)).relu().mean((2, 3)))


@pytest.fixture(autouse=True)
def names_as_they_are(monkeypatch):
    monkeypatch.setattr("benchmarks.throughput.checks.convert", lambda state: state)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("train", [True, False])
def test_a_right_contestant_passes_and_each_wrong_number_is_noticed(dtype, train):
    batch = make_batch(batch=4, in_chans=3, size=16, dtype=dtype, device="cpu", train=train)
    exact = reference_numbers(Tiny(), batch, train=train)
    assert exact["logits"].dtype == torch.float64
    net = Tiny().to(batch.images.dtype)
    found = numbers(net, net, batch, train=train)
    rounding = deviations(found, exact)
    assert allowed(deviations(found, exact), rounding)
    kinds = {"logits", "loss", "gradients", "running statistics"} if train else {"logits"}
    assert rounding.keys() == kinds
    for name in found.keys() - {"bn1.num_batches_tracked"}:
        wrong = found | {name: found[name] * 1.5}
        assert not allowed(deviations(wrong, exact), rounding), name
    with pytest.raises(ValueError, match="tensors differ"):
        deviations({"logits": found["logits"], "more": found["logits"]}, exact)


def test_many_images_are_checked_against_float32():
    batch = make_batch(batch=9, in_chans=3, size=8, dtype="bf16", device="cpu", train=False)
    assert reference_numbers(Tiny(), batch, train=False)["logits"].dtype == torch.float32


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("train", [True, False])
def test_training_computes_by_autocast_and_inference_in_the_dtype_itself(dtype, train):
    batch = make_batch(batch=4, in_chans=3, size=16, dtype=dtype, device="cpu", train=train)
    rounded = make_batch(batch=4, in_chans=3, size=16, dtype="fp32", device="cpu", train=train)
    assert batch.images.dtype == (torch.float32 if train else DTYPES[dtype])
    assert torch.equal(batch.images, rounded.images.to(batch.images.dtype))
    with batch.autocast():
        assert torch.is_autocast_enabled("cpu") is (train and dtype != "fp32")
    seen = []
    net = Tiny().to(batch.images.dtype)
    net.conv1.register_forward_hook(lambda conv, args, out: seen.append((args[0].dtype, out.dtype)))
    numbers(net, net, batch, train=train)
    reference_numbers(net, batch, train=train)
    assert seen == [(batch.images.dtype, DTYPES[dtype]), (torch.float64, torch.float64)]


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_a_training_step_moves_the_weights_and_inference_does_not(dtype):
    infers, trains = (
        make_batch(batch=4, in_chans=3, size=16, dtype=dtype, device="cpu", train=train)
        for train in (False, True)
    )
    net = Tiny().to(infers.images.dtype)
    before = [p.clone() for p in net.parameters()]
    infer(net, net, infers)()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    net, batch = Tiny(), trains
    before = [p.clone() for p in net.parameters()]
    step = trainer(net, net, batch)
    for _ in range(3):
        loss = step()
    assert loss.isfinite()
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_disturbed_rounds_are_dropped_and_interrupted_ones_forgotten(monkeypatch):
    felt = itertools.chain(
        [(1.0, 1.0), (1.0, 1.02), (1.3, 1.0), (1.0, 1.0)], itertools.repeat((1, 1))
    )

    class Sentinel:
        def __init__(self, device):
            pass

        def seconds(self):
            return next(felt)

    monkeypatch.setattr(timing, "_Sentinel", Sentinel)
    calls = itertools.count()

    def step():
        if next(calls) > 40:
            raise KeyboardInterrupt

    rounds = run_rounds(
        {"a": step, "b": lambda: None}, device="cpu", rounds=10**6, window=0, tolerance=0.1
    )
    assert rounds.dropped == [2]
    assert rounds.interrupted
    assert len(rounds.seconds["a"]) == len(rounds.seconds["b"]) == len(rounds.sentinels) > 4
    assert len(rounds.kept("a")) == len(rounds.seconds["a"]) - 1


def test_a_sentinel_does_not_feel_that_its_first_calls_are_cold(monkeypatch):
    class Cold:
        def __init__(self):
            self.times = itertools.cycle([10.0, 3.0, *[1.0] * 7])

        def time(self, step, iterations):
            step()
            return next(self.times)

    monkeypatch.setattr(timing, "device_clock", lambda device: Cold())
    assert timing._Sentinel("cpu").seconds() == (1.0, 1.0)


def test_a_contestant_does_not_pay_for_threads_that_spin_on_after_the_one_before(monkeypatch):
    events = []

    class Sentinel:
        def __init__(self, device):
            events.clear()  # what is warm now counts from here on

        def seconds(self):
            events.append("sentinel")
            return 1.0, 1.0

    monkeypatch.setattr(timing, "_Sentinel", Sentinel)
    monkeypatch.setattr(timing.time, "sleep", events.append)
    steps = {name: partial(events.append, name) for name in "ab"}
    run_rounds(steps, device="cpu", rounds=3, window=0, tolerance=1)
    assert len(events) == 2 * 3 * 3
    assert all(seconds >= 0.1 for seconds in events[::2])
    assert set(events[1::2]) == {"sentinel", "a", "b"}


def test_the_ratio_is_taken_within_a_round():
    slow_and_fast = [1.0, 10.0, 1.0, 10.0, 1.0]
    ratio, low, high = paired_ratio([2 * t for t in slow_and_fast], slow_and_fast)
    assert ratio == low == high == 2


def test_the_smallest_case_runs_and_is_recorded(monkeypatch, tmp_path, capsys):
    monkeypatch.undo()
    if find("timm") is None:
        pytest.skip("timm is not installed")
    file = tmp_path / "rows.jsonl"
    arguments = ["--device", "cpu", "--quick", "--libraries", "timm", "seattn"]
    monkeypatch.setattr(sys, "argv", ["throughput", *arguments, "--record", str(file)])
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        command.main()
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark = False
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {(row["work"], row["contestant"]) for row in rows} >= {
        (work, f"{library} {network}, eager")
        for work in ("train", "infer")
        for library in ("timm", "seattn")
        for network in ("resnet50", "se_resnet50")
    }
    for row in rows:
        assert row["valid"] or row["absent"]
        if row["valid"]:
            assert len(row["seconds"]) == 2
            assert row["fused_floor"] < row["eager_floor"]
    printed = capsys.readouterr().out
    assert "seattn, eager: with SE" in printed
    assert "images/s" in printed


@pytest.mark.parametrize("runtime", ["ONNX Runtime", "OpenVINO"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_exported_graph_gives_the_same_logits(runtime):
    if find({"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}[runtime]) is None:
        pytest.skip(f"{runtime} is not installed")
    batch = make_batch(batch=2, in_chans=3, size=16, dtype="fp32", device="cpu", train=False)
    net = Tiny().eval()
    logits = EXPORTS[runtime](net, batch)()
    with torch.inference_mode():
        torch.testing.assert_close(logits, net(batch.images), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="in fp32, not in bf16"):
        EXPORTS[runtime](net, Batch(batch.images, batch.labels, "bf16"))


def test_what_cannot_take_part_is_absent_with_its_reason(monkeypatch):
    small = {"tiny": {"ours": lambda in_chans: Tiny(), "theirs": missing}}
    monkeypatch.setattr(contestants, "NETWORKS", small)
    monkeypatch.setattr(case_module, "NETWORKS", small)
    monkeypatch.setattr(contestants, "load_weights", nn.Module.load_state_dict)
    who = [
        Contestant("tiny", library, mode)
        for library, mode in (("ours", "eager"), ("theirs", "eager"), ("ours", "ONNX Runtime"))
    ]
    entries, rounds = run_case(
        Case("train", "fp32", 2, 3, 16), who, Method("cpu", rounds=2, window=0, tolerance=9)
    )
    assert [entry.valid for entry in entries] == [True, False, False]
    assert entries[1].absent == "ImportError: it is not installed"
    assert "does not train" in entries[2].absent
    assert list(rounds.seconds) == ["ours tiny, eager"]


def test_without_a_reference_nobody_takes_part(monkeypatch):
    def too_large(*args, **kwargs):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(case_module, "reference_numbers", too_large)
    small = {"tiny": {"ours": lambda in_chans: Tiny()}}
    monkeypatch.setattr(contestants, "NETWORKS", small)
    monkeypatch.setattr(case_module, "NETWORKS", small)
    monkeypatch.setattr(contestants, "load_weights", nn.Module.load_state_dict)
    (entry,), rounds = run_case(
        Case("infer", "fp32", 2, 3, 16),
        [Contestant("tiny", "ours", "eager")],
        Method("cpu", rounds=2, window=0, tolerance=9),
    )
    assert entry.absent == "no reference: no room"
    assert rounds is None


def missing(in_chans):
    raise ImportError("it is not installed")


def test_quick_keeps_the_networks_that_are_asked_for(monkeypatch):
    def networks(*arguments):
        monkeypatch.setattr(sys, "argv", ["throughput", *arguments])
        return command.parse().networks

    assert networks("--quick", "--networks", "efficientnet_b5") == ["efficientnet_b5"]
    assert networks("--quick") == ["se_resnet50", "resnet50"]
    assert networks() == list(NETWORKS)


# ---- fused kernels --------------------------------------------------------------------------

FUSED = ["fused", "fused, compiled", "fused, CUDA graphs"]


def test_fused_kernels_are_for_our_resnets():
    who = contestants.all_contestants(list(NETWORKS), ["timm", "seattn"], ["eager", *FUSED])
    fused = [each for each in who if each.fused]
    assert {(each.library, each.network) for each in fused} == {
        ("seattn", "se_resnet50"),
        ("seattn", "resnet50"),
    }
    assert len(fused) == 2 * len(FUSED)


def resnet(in_chans):
    torch.manual_seed(0)
    return ResNet(BasicBlock, (1, 1, 1, 1), channels=(16, 16, 16, 16), attention=SEBlock)


@pytest.fixture
def small_resnet(monkeypatch):
    """A small network in place of ours, compiled without Inductor."""
    small = {"se_resnet50": {"seattn": resnet}}
    monkeypatch.setattr(contestants, "NETWORKS", small)
    monkeypatch.setattr(case_module, "NETWORKS", small)
    monkeypatch.setattr(contestants, "load_weights", nn.Module.load_state_dict)
    for mode in ("compiled", "fused, compiled"):
        monkeypatch.setitem(contestants.MODES, mode, {"backend": "aot_eager", "fullgraph": True})
    modes = ["eager", "fused", "compiled", "fused, compiled"]
    return [Contestant("se_resnet50", "seattn", mode) for mode in modes]


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does
@pytest.mark.parametrize(("work", "modes"), [("train", 4), ("infer", 2)])
def test_the_switch_is_on_in_the_steps_of_the_fused_alone(small_resnet, monkeypatch, work, modes):
    def ran_fused(step):
        with torch.profiler.profile() as profile:
            step()
        return any(event.name == "seattn::affine_act" for event in profile.events())

    def run_rounds(steps, **method):
        return {name: ran_fused(step) for name, step in steps.items()}

    monkeypatch.setattr(case_module, "run_rounds", run_rounds)
    torch.compiler.reset()
    who, method = small_resnet[:modes], Method("cpu", rounds=2, window=0, tolerance=9)
    with opened("cpu"):
        entries, found = run_case(Case(work, "fp32", 4, 3, 64), who, method)
        assert seattn.set_fused("on") == "on"  # as it was before
    assert [(entry.valid, entry.absent) for entry in entries] == [(True, None)] * modes
    assert found == {each.name: each.fused for each in who}


def test_where_nothing_is_fused_a_fused_contestant_is_absent(small_resnet):
    method = Method("cpu", rounds=2, window=0, tolerance=9)
    before = seattn.set_fused("auto")
    try:
        entries, _ = run_case(Case("infer", "fp32", 2, 3, 64), small_resnet[:2], method)
        assert seattn.set_fused("auto") == "auto"
    finally:
        seattn.set_fused(before)
    assert [entry.valid for entry in entries] == [True, False]
    assert entries[1].absent == (
        "ValueError: not fused: bn1: plain, the input is on cpu; the kernels are for cuda"
    )


def test_our_rows_are_shown_beside_the_fastest_rival(capsys):
    def row(library, mode, seconds):
        facts = {"library": library, "network": "n", "mode": mode, "device": "cuda", "dropped": []}
        return facts | {"contestant": f"{library} n, {mode}", "seconds": [seconds] * 3}

    rows = [row("timm", "eager", 3.0), row("timm", "compiled", 2.0), row("seattn", "fused", 1.0)]
    command.show_best_rivals(rows)
    assert capsys.readouterr().out == (
        "  seattn n, fused: 2.000 of the throughput of timm n, compiled, [2.000, 2.000]\n"
    )


def test_frozen_weights_are_in_the_code(monkeypatch):
    from torch._inductor import config

    def compiler(graph, inputs):
        traced.append((config.freezing, torch.is_grad_enabled()))
        return graph.forward

    traced, network = [], Tiny()
    batch = make_batch(batch=2, in_chans=3, size=16, dtype="fp32", device="cpu", train=False)
    monkeypatch.setattr(
        network, "compile", lambda **options: nn.Module.compile(network, backend=compiler)
    )
    forward = Contestant("tiny", "ours", "compiled, frozen").ready(network, batch.images)
    logits = infer(network, forward, batch)()
    assert traced == [(True, False)]
    torch.testing.assert_close(logits, network.eval()(batch.images), rtol=1e-4, atol=1e-5)


# ---- modes that only infer ------------------------------------------------------------------

FOR_INFERENCE = ["for inference", "for inference, ONNX Runtime", "for inference, OpenVINO"]


def test_a_mode_of_one_library_is_no_other_librarys():
    modes = ["eager", "seattn/for inference", "torchvision/compiled", "seattn/fused", "timm/fused"]
    who = contestants.all_contestants(["resnet50"], ["timm", "seattn"], modes)
    assert [each.name for each in who] == [
        "timm resnet50, eager",
        "seattn resnet50, eager",
        "seattn resnet50, for inference",
        "seattn resnet50, fused",
    ]


def test_modes_that_only_infer_are_no_contestants_of_training(monkeypatch):
    asked = []
    arguments = ["--device", "cpu", "--modes", "timm/eager", "timm/compiled, frozen", "OpenVINO"]
    monkeypatch.setattr(sys, "argv", ["throughput", *arguments, "--batches", "1"])
    monkeypatch.setattr(command, "all_contestants", lambda *args: asked.append(args[2]) or [])
    monkeypatch.setattr(command, "run_case", lambda *args: ([], None))
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)
    monkeypatch.setattr(command, "ceilings", lambda *args, **options: (1.0, 1.0))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    command.main()
    assert asked == [["timm/eager"], arguments[3:]]


@pytest.fixture
def copies(monkeypatch):
    """The copies for inference that are made meanwhile, of which dtype, of a small network."""
    small = {"small": {"ours": resnet}}
    monkeypatch.setattr(contestants, "NETWORKS", small)
    monkeypatch.setattr(case_module, "NETWORKS", small)
    monkeypatch.setattr(contestants, "load_weights", nn.Module.load_state_dict)
    made, whole = [], seattn.fuse_for_inference

    def spy(network, **options):
        weights = {p.dtype for p in network.parameters()}
        made.append((weights, whole(network, **options), seattn.set_fused("off")))
        seattn.set_fused(made[-1][2])
        return made[-1][1]

    monkeypatch.setattr(seattn, "fuse_for_inference", spy)
    monkeypatch.setattr(export, "fuse_for_inference", spy)
    return made


METHOD = Method("cpu", rounds=2, window=0, tolerance=9)


@pytest.mark.parametrize("mode", FOR_INFERENCE)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_copy_for_inference_takes_part_and_does_not_train(mode, copies):
    runtime = mode.removeprefix("for inference").removeprefix(", ").replace(" ", "").lower()
    if runtime and find(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    who = [Contestant("small", "ours", each) for each in ("eager", mode)]
    entries, rounds = run_case(Case("infer", "fp32", 2, 3, 64), who, METHOD)
    assert [entry.valid for entry in entries] == [True, True], entries[1].absent
    assert 0 < entries[1].deviations["logits"] < 1e-5
    assert entries[1].compile_seconds > 0
    assert len(rounds.seconds[who[1].name]) == 2
    ((_, copied, _),) = copies
    assert copied.report.folded > 0
    entries, _ = run_case(Case("train", "fp32", 2, 3, 64), who[1:], METHOD)
    assert entries[0].absent == (
        f"ValueError: a network that is {mode!r} does not train; `--work infer`"
    )


def test_a_copy_for_inference_is_rounded_after_it_is_folded(copies):
    modes = ["eager", "for inference"]
    who = [Contestant("small", "ours", each) for each in modes]
    entries, _ = run_case(Case("infer", "bf16", 2, 3, 64), who, METHOD)
    assert [entry.valid for entry in entries] == [True, True], entries[1].absent
    ((weights, copied, switch),) = copies
    assert weights == {torch.float32}
    assert {p.dtype for p in copied.parameters()} == {torch.bfloat16}
    assert switch == "on"  # its kernels run where they can
    assert entries[0].step().dtype == entries[1].step().dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_fused_kernels_infer_with_weights_in_bfloat16(small_resnet):
    with opened("cpu"):
        entries, _ = run_case(Case("infer", "bf16", 4, 3, 64), small_resnet[:2], METHOD)
    assert [(entry.valid, entry.absent) for entry in entries] == [(True, None)] * 2


def test_whatever_a_contestant_raises_the_others_are_measured(copies, monkeypatch):
    def fails(network, images):
        raise OSError

    monkeypatch.setitem(contestants.INFERENCE, "for inference", fails)
    who = [Contestant("small", "ours", each) for each in ("for inference", "eager")]
    entries, rounds = run_case(Case("infer", "fp32", 2, 3, 64), who, METHOD)
    assert [entry.absent for entry in entries] == ["OSError: ", None]
    assert list(rounds.seconds) == [who[1].name]


def test_the_speed_of_others_is_shown_beside_the_first_eager_one():
    row = {"network": "a", "library": "timm", "mode": "eager", "device": "cpu", "dropped": []}
    eager = row | {"cpu_seconds": [2.0, 4.0, 2.0]}
    ours = row | {"library": "seattn", "mode": "for inference", "cpu_seconds": [1.0, 2.0, 1.0]}
    other = ours | {"network": "b"}
    assert command.over_eager(ours, [eager, ours, other]) == ", 2.00 of timm eager"
    assert command.over_eager(eager, [eager, ours]) == ""
    assert command.over_eager(other, [eager, other]) == ""
