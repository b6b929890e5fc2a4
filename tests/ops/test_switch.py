"""When the operators may run: the switch, the recorded proof, the check before the first use."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import seattn
from seattn.backbones.fused import norm_act
from seattn.ops import operators, self_check, switch
from seattn.ops.switch import why_plain

RECORD = Path(__file__).parents[2] / "benchmarks/results/fused_correctness.jsonl"
CARD = (9, 0)
MAP = torch.randn(2, 8, 3, 4).to(memory_format=torch.channels_last)


@pytest.fixture
def card(monkeypatch):
    """Let this CPU pass for a GPU of compute capability 9.0 that nothing is recorded of."""
    monkeypatch.setattr(switch, "_mode", "auto")
    monkeypatch.setattr(switch, "_DEVICES", ("cpu",))
    monkeypatch.setattr(switch, "_passed", {})
    monkeypatch.setattr(switch, "PROVED", frozenset())
    monkeypatch.setattr(switch, "_has_triton", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: CARD)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)


def test_the_table_of_proved_capabilities_is_that_of_the_recorded_runs():
    rows = [json.loads(row) for row in RECORD.read_text().splitlines()] if RECORD.exists() else []
    assert {tuple(row["capability"]) for row in rows if row["passed"]} == switch.PROVED


def test_without_a_record_it_takes_the_users_word(card):
    assert why_plain(MAP) == (
        "no run on compute capability 9.0 is recorded yet; set_fused('on') opts in"
    )
    assert seattn.set_fused("on") == "auto"
    assert why_plain(MAP) is None
    assert seattn.set_fused("off") == "on"
    assert why_plain(MAP) == "set_fused('off') was called"


def test_with_a_record_it_needs_no_word(card, monkeypatch):
    monkeypatch.setattr(switch, "PROVED", frozenset({CARD}))
    assert why_plain(MAP) is None


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"`mode` \(='yes'\) must be 'auto', 'on' or 'off'"):
        seattn.set_fused("yes")


def test_where_triton_is_missing_modules_run(card, monkeypatch):
    monkeypatch.setattr(switch, "_has_triton", lambda: False)
    switch.set_fused("on")
    assert why_plain(MAP) == "the kernels need an NVIDIA GPU and Triton"


def test_the_check_runs_once_for_a_card_and_a_dtype(card, monkeypatch):
    calls = []
    check = switch.self_check

    def counting(device, dtype):
        calls.append(dtype)
        return check(device, dtype)

    monkeypatch.setattr(switch, "self_check", counting)
    switch.set_fused("on")
    for dtype in (torch.float32, torch.bfloat16, torch.float16) * 2:
        assert why_plain(MAP.to(dtype)) is None
    assert calls == [torch.float32, torch.bfloat16, torch.float16]


def failing(device, dtype):
    raise RuntimeError("ptxas died\nand more")


def wrong(device, dtype):
    return 0.5


@pytest.mark.parametrize(
    ("check", "fault"),
    [(failing, "RuntimeError: ptxas died"), (wrong, "they deviate by 5.0e-01 from plain torch")],
)
def test_a_failed_check_is_told_once_and_modules_run(card, monkeypatch, check, fault):
    monkeypatch.setattr(switch, "self_check", check)
    switch.set_fused("on")
    with pytest.warns(UserWarning, match=f"failed their check on a card in torch.float32.*{fault}"):
        assert why_plain(MAP) == "the kernels failed their check on this GPU"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert why_plain(MAP) == "the kernels failed their check on this GPU"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_check_passes_what_is_right(dtype):
    deviation = self_check.self_check(torch.device("cpu"), dtype)
    assert 0 < deviation < self_check.TOLERANCES[dtype] / 1.5


@pytest.mark.parametrize("name", operators.__all__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_check_finds_one_wrong_tile_of_any_operator(monkeypatch, name, dtype):
    from seattn.ops import affine

    right = getattr(operators, name)

    def off(x, *args):
        found = right(x, *args)
        if x.dtype == dtype:  # the float64 of the comparison stays right
            vectors = found if isinstance(found, tuple) else (found,)
            for each in vectors:
                if each.is_floating_point() and each.numel():
                    each[-1, ..., -8:] = 0
        return found

    monkeypatch.setattr(affine.operators, name, off)
    deviation = self_check.self_check(torch.device("cpu"), dtype)
    assert deviation > self_check.TOLERANCES[dtype]


def test_the_check_leaves_random_numbers_gradients_and_modes_alone(card):
    switch.set_fused("on")
    before = torch.get_rng_state()
    with torch.inference_mode():
        assert why_plain(MAP) is None
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()
    with torch.no_grad():
        assert why_plain(MAP.bfloat16()) is None
        assert not torch.is_grad_enabled()
    with torch.autocast("cpu", torch.bfloat16):
        assert why_plain(MAP.half()) is None
    assert torch.equal(torch.get_rng_state(), before)


def test_in_a_graphs_capture_nothing_is_checked(card, monkeypatch):
    switch.set_fused("on")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert why_plain(MAP).startswith("a CUDA graph is being captured")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert why_plain(MAP) is None


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does
def test_the_first_use_may_be_inside_a_compiled_graph(card):
    switch.set_fused("on")
    norm, act = nn.BatchNorm2d(8), nn.ReLU()
    expected = nn.functional.batch_norm(MAP, None, None, training=True).relu()
    torch.compiler.reset()
    run = torch.compile(norm_act, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(MAP, norm, act), expected)
    assert switch._passed == {(CARD, torch.float32): True}
    seattn.set_fused("off")
    torch.testing.assert_close(run(MAP, norm, act), expected)
