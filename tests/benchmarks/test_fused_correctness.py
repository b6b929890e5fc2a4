"""The proof of the fused kernels, as a dry run on the CPU, and the faults that it finds."""

import json
import sys
from importlib.util import find_spec

import pytest
import torch

from benchmarks import fused_correctness, fused_networks, kernel_calls
from benchmarks.fused_correctness import prove, proved_line
from benchmarks.fused_networks import Case, check_network, opened
from benchmarks.throughput.fused import switched
from seattn.ops import affine, operators, reference, switch

CASES = [Case("small", "SE", True, "bfloat16"), Case("small", "none", False, "bfloat16")]
NAMES = operators.__all__


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["fused_correctness", *arguments])
    return fused_correctness.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(monkeypatch, capsys, tmp_path):
    assert command(monkeypatch, "--record", str(tmp_path / "rows.jsonl")) == 2
    assert "no CUDA GPU" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_dry_run_passes_and_records_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(fused_correctness, "CASES", CASES)
    before = switch._DEVICES, switch._mode
    flags = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    arguments = ["--device", "cpu", "--record", str(tmp_path / "rows.jsonl")]
    assert command(monkeypatch, *arguments) == 0
    assert "passed on cpu" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert (switch._DEVICES, switch._mode) == before
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32) == flags


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does
def test_the_row_holds_what_was_compared():
    case = Case("small", "ECA", True, "bfloat16", compiled=True)
    row = json.loads(json.dumps(prove("cpu", [case], {"small": 1})))
    assert row["passed"] == (not row["faults"])
    assert {"capability", "device", "date", "commit", "versions"} <= row.keys()
    assert row["self_check"].keys() == row["tolerances"].keys()
    (network,) = row["networks"]
    assert (network["gate"], network["compiled"], network["faults"]) == ("ECA", True, [])
    assert row["ratios"] == {"bfloat16": network["ratio"]}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_operator_is_a_fault(monkeypatch, name):
    right = getattr(operators, name)

    def wrong(x, *args):
        found = right(x, *args)
        for each in found if isinstance(found, tuple) else (found,):
            if x.dtype != torch.float64 and each.is_floating_point():
                each[..., -8:] *= 1.5
        return found

    monkeypatch.setattr(affine.operators, name, wrong)
    silu = name.startswith("silu")
    network, dtype = ("efficientnet", "float32") if silu else ("small", "bfloat16")
    faults = prove("cpu", [Case(network, "SE", True, dtype)], {network: 1})["faults"]
    assert any(fault.startswith("self-check: torch.float32 is off by") for fault in faults)
    ratios = [fault for fault in faults if fault.endswith("of the error of the plain modules")]
    assert [fault[:5] for fault in ratios] == ["Case(", dtype[:5]]


def test_another_result_in_a_second_run_is_a_fault(monkeypatch):
    def unsteady(x):
        mean, m2 = operators.moments(x)
        return mean + 1e-6 * torch.rand(()), m2

    monkeypatch.setattr(affine, "operators", type("Unsteady", (), vars(operators) | {
        "moments": staticmethod(unsteady),
        **{name: staticmethod(getattr(operators, name)) for name in NAMES if name != "moments"},
    }))  # fmt: skip
    with opened("cpu"):
        faults = check_network(CASES[0], "cpu", draws=1)["faults"]
    assert "logits differs in a second run" in faults


@pytest.mark.skipif(find_spec("triton") is not None, reason="its interpreter has its own test")
@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3)])
def test_each_shape_is_compared_in_a_process_and_what_is_raised_there_is_a_fault(
    monkeypatch, shape
):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(fused_correctness, "SHAPES", [shape])
    faults = []
    found = fused_correctness._kernels("cpu", faults)
    if len(shape) == 3:
        assert (found["calls"], found["error_by_tolerance"], faults) == (75, 0.0, [])
    else:
        assert len(faults) == 1
        assert faults[0].startswith("kernels: IndexError: ")


def test_what_a_network_raises_is_a_fault(monkeypatch):
    def failing(*args):
        raise RuntimeError("ptxas died")

    monkeypatch.setattr(fused_networks, "_build", failing)
    row = prove("cpu", CASES[:1], {"small": 1})
    assert not row["passed"]
    assert row["faults"][0].endswith("RuntimeError: ptxas died")


def test_cases_run_in_processes_for_a_gpu():
    """Which have no GPU here."""
    found = list(fused_correctness._networks("cuda", CASES[:1], {"small": 1}))
    assert len(found) == 1
    assert found[0]["faults"] or torch.cuda.is_available()


def test_what_the_self_check_raises_is_a_fault(monkeypatch):
    def failing(device, dtype):
        raise RuntimeError("ptxas died")

    monkeypatch.setattr(fused_correctness, "self_check", failing)
    faults = prove("cpu", CASES[:1], {"small": 1})["faults"]
    assert "self-check: torch.float16: RuntimeError: ptxas died" in faults


def test_a_plain_path_is_a_fault():
    with opened("cpu"), switched("off"):
        faults = check_network(CASES[0], "cpu", draws=1)["faults"]
    assert "bn1: plain, set_fused('off') was called" in faults


def test_the_line_of_the_switch_is_that_of_the_passed_rows(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [([9, 0], True), ([8, 0], False), ([10, 0], True), ([9, 0], True)]
    file.write_text("".join(f'{{"capability": {c}, "passed": {json.dumps(p)}}}\n' for c, p in rows))
    line = proved_line(file)
    assert line == "PROVED: frozenset[tuple[int, int]] = frozenset([(9, 0), (10, 0)])"


# ---- call by call ---------------------------------------------------------------------------


@pytest.fixture
def kernels(monkeypatch):
    """Plain torch in the kernels' place, to be made wrong."""
    functions = {name: getattr(reference, name) for name in NAMES}
    monkeypatch.setattr(operators, "run_on_cuda", lambda name: functions[name])
    return functions


def test_right_kernels_pass(kernels):
    assert kernel_calls.compare_kernels("cpu", [(2, 35, 11)]) == (75, 0.0)
    assert kernel_calls.compare_beyond_32_bits("cpu", (3, 20, 16)) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_last_image_is_named(kernels, name):
    right = kernels[name]

    def wrong(x, *args):
        found = right(x, *args)
        for each in found if isinstance(found, tuple) else (found,):
            if each.is_floating_point():
                each[-1:] += 1
        return found

    kernels[name] = wrong
    with pytest.raises(AssertionError, match=f"{name}: "):
        kernel_calls.compare_kernels("cpu", [(2, 35, 11)])
    with pytest.raises(AssertionError, match=f"{name}: "):
        kernel_calls.compare_beyond_32_bits("cpu", (3, 20, 16))


def test_other_masks_and_unsteady_kernels_are_named(kernels):
    right = kernels["affine_act"]

    def flipped(*args):
        y, mask = right(*args)
        return y, mask ^ 1

    kernels["affine_act"] = flipped
    with pytest.raises(AssertionError, match="affine_act gives another mask"):
        kernel_calls.compare_kernels("cpu", [(2, 35, 11)])
    kernels["affine_act"] = lambda *args: (right(*args)[0] + 1e-9 * torch.rand(()), right(*args)[1])
    with pytest.raises(AssertionError, match="affine_act is not deterministic"):
        kernel_calls.compare_kernels("cpu", [(2, 35, 11)])


def test_a_fused_multiply_add_opens_the_same_relus_at_the_large_shapes():
    for dtype in kernel_calls.TOLERANCES:
        for name, args in kernel_calls._calls((1, 3000, 64), dtype, exact=True):
            if name == "affine_act" and args[3] is None:
                x, scale, shift = args[:3]
                one_rounding = x.double() * scale[:, None].double() + shift[:, None].double()
                y = x * scale[:, None] + shift[:, None]
                assert torch.equal(one_rounding.float().nan_to_num(), y.nan_to_num())
