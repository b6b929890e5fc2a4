"""The bandwidth of the fused kernels: what a call moves, and the measurement without a GPU."""

import importlib.util
import sys
from collections import Counter

import pytest
import torch
from torch.utils._pytree import tree_leaves

from benchmarks import fused_kernels
from benchmarks.fused_kernels import CASES, MOVED, Case, Launch, arguments, launched
from seattn.ops import operators


@pytest.mark.parametrize(("operator", "form"), list(MOVED))
def test_a_call_moves_the_bytes_of_its_arguments_and_results(operator, form):
    case = Case(operator, form, 12, 16)
    args = arguments(case, 3, "cpu")
    results = getattr(operators, operator)(*args)
    tensors = [each for each in tree_leaves((args, results)) if isinstance(each, torch.Tensor)]
    assert case.bytes(3) == sum(tensor.nbytes for tensor in tensors)


def test_every_form_is_measured_at_every_stage():
    counts = Counter((case.operator, case.form) for case in CASES)
    assert counts == {key: {"any": 9, "inner": 5, "middle": 5}.get(key[1], 4) for key in MOVED}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_bytes_are_printed_and_nothing_is_timed(monkeypatch, capsys, tmp_path):
    file = tmp_path / "rows.jsonl"
    monkeypatch.setattr(fused_kernels, "CASES", [Case("affine_act", "tail", 49, 2048)])
    monkeypatch.setattr(sys, "argv", ["fused_kernels", "--record", str(file)])
    assert fused_kernels.main() == 0
    printed = capsys.readouterr().out
    assert "49x2048    161.5 MB, deviation 0e+00" in printed
    assert "nothing was timed" in printed
    assert not file.exists()


@pytest.fixture
def measured(monkeypatch):
    """Measure on the CPU, where a CUDA graph is a loop."""
    monkeypatch.setattr(fused_kernels, "_graph", lambda calls: lambda: [call() for call in calls])
    monkeypatch.setattr(fused_kernels, "ROUNDS", 2)
    monkeypatch.setattr(fused_kernels, "WINDOW", 0)
    monkeypatch.setattr(fused_kernels, "SETS_BYTES", 0)

    def rows(case, *launches):
        return list(fused_kernels._measure(case, 3, list(launches), "cpu"))

    return rows


def with_launch(monkeypatch, run):
    class Launched:
        def __init__(self, launch):
            self.launch = launch

        def __enter__(self):
            run(self.launch)

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(fused_kernels, "launched", Launched)


def test_calls_are_timed_beside_a_copy(monkeypatch, measured, capsys):
    with_launch(monkeypatch, lambda launch: None)
    (row,) = measured(Case("moments", "any", 12, 16), Launch())
    assert len(row["seconds"]) == len(row["copy_seconds"]) == 2
    fused_kernels._show(row)
    assert "TB/s" in capsys.readouterr().out


def test_what_fails_or_is_wrong_has_no_time(monkeypatch, measured, capsys):
    right = operators.moments

    def run(launch):
        if launch.tile == 4:
            raise RuntimeError("out of resources")
        wrong = launch.tile == 2
        monkeypatch.setattr(
            fused_kernels.operators, "moments", lambda x: [v + wrong for v in right(x)]
        )

    with_launch(monkeypatch, run)
    rows = measured(Case("moments", "any", 12, 16), Launch(), Launch(tile=2), Launch(tile=4))
    assert ["seconds" in row for row in rows] == [True, False, False]
    assert rows[1]["deviation"] > 0.1
    assert rows[2]["failed"] == "RuntimeError: out of resources"
    fused_kernels._show(rows[2])
    assert "tile 4       INVALID: RuntimeError: out of resources" in capsys.readouterr().out


def test_only_reductions_have_programs(monkeypatch):
    def launches(operator):
        case = next(c for c in CASES if c.operator == operator)
        return fused_kernels._launches(case, fused_kernels.parse())

    command = ["fused_kernels", "--tiles", "2048", "8192", "--programs", "256", "1024"]
    monkeypatch.setattr(sys, "argv", command)
    assert launches("moments") == [
        Launch(),
        *(Launch(tile, None, programs) for tile in (2048, 8192) for programs in (256, 1024)),
    ]
    assert launches("affine_act") == [Launch(), Launch(2048), Launch(8192)]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_another_launch_is_for_a_while():
    from seattn.ops import kernels

    own = kernels._tile(3136, 256, 4096)
    with launched(Launch(tile=2048, warps=8, programs=99)):
        assert kernels._tile(3136, 256, 4096) == {"BP": 16, "BC": 128, "num_warps": 8}
        assert kernels.REDUCING_PROGRAMS == 99
    assert kernels._tile(3136, 256, 4096) == own == {"BP": 32, "BC": 128}
    with launched(Launch()):
        assert kernels._tile(3136, 256, 4096) == own
