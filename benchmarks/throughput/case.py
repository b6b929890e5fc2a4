"""One case of the grid: build who takes part, check them, weigh them, time them, make rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.throughput.checks import allowed, deviations, numbers, reference_numbers
from benchmarks.throughput.contestants import MODES, NETWORKS, Contestant, weights_of
from benchmarks.throughput.export import EXPORTS
from benchmarks.throughput.fused import require_fused, switched, switched_on
from benchmarks.throughput.steps import Batch, infer, make_batch, trainer
from benchmarks.throughput.timing import Rounds, run_rounds

__all__ = ["Case", "Entry", "Method", "run_case"]


@dataclass(frozen=True)
class Case:
    """What is computed: ``work`` is ``"train"`` or ``"infer"``."""

    work: str
    dtype: str
    batch: int
    in_chans: int
    size: int


@dataclass(frozen=True)
class Method:
    """How it is measured; see ``run_rounds``."""

    device: str
    rounds: int
    window: float
    tolerance: float
    seed: int = 0


@dataclass
class Entry:
    """A contestant in a case, and what became of it."""

    contestant: Contestant
    absent: str | None = None
    deviations: dict[str, float] = field(default_factory=dict)
    rounding: dict[str, float] = field(default_factory=dict)
    valid: bool = False
    compile_seconds: float | None = None
    peak_bytes: int | None = None
    step: Callable[[], Any] | None = None


def run_case(
    case: Case, contestants: Sequence[Contestant], method: Method
) -> tuple[list[Entry], Rounds | None]:
    """Measure one case; without a single valid contestant there are no rounds."""
    with switched("off"):
        return _run_case(case, contestants, method)


def _run_case(
    case: Case, contestants: Sequence[Contestant], method: Method
) -> tuple[list[Entry], Rounds | None]:
    entries = []
    for network in dict.fromkeys(each.network for each in contestants):
        mine = [each for each in contestants if each.network == network]
        entries += list(_prepare(case, network, mine, method.device))
    steps = {e.contestant.name: e.step for e in entries if e.valid and e.step is not None}
    if not steps:
        return entries, None
    for entry in entries:
        if entry.valid and entry.step is not None:
            entry.peak_bytes = _peak(entry.step, method.device)
    timed = asdict(method)
    return entries, run_rounds(steps, **timed)


def _prepare(
    case: Case, network: str, contestants: list[Contestant], device: str
) -> Iterator[Entry]:
    """Build the contestants of one network, and check each against the reference."""
    batch = make_batch(
        batch=case.batch,
        in_chans=case.in_chans,
        size=case.size,
        dtype=case.dtype,
        device=device,
        train=case.work == "train",
    )
    try:
        weights = weights_of(network, in_chans=case.in_chans)
        reference, rounding = _yardstick(network, weights, batch, case, device)
    except (ImportError, RuntimeError) as error:  # not installed, or too large for the memory
        yield from (Entry(each, absent=f"no reference: {error}") for each in contestants)
        return
    for contestant in contestants:
        entry = Entry(contestant, rounding=rounding)
        try:
            with switched(contestant.switch):
                _set_up(entry, weights, batch, case, device, reference)
            entry.valid = allowed(entry.deviations, rounding)
        # Of a compiler, a driver, a runtime: whatever it is, the others are still to be measured.
        except Exception as error:  # noqa: BLE001
            entry.absent = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        yield entry


def _yardstick(
    network: str, weights: dict[str, Tensor], batch: Batch, case: Case, device: str
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The exact numbers, and how far off rounding alone takes the eager network."""
    library = next(iter(_installed(network, case.in_chans)))
    train, eager = case.work == "train", Contestant(network, library, "eager")
    net = eager.build(weights, in_chans=case.in_chans, device=device).to(batch.images.dtype)
    rounded = numbers(net, net, batch, train=train)
    net = eager.build(weights, in_chans=case.in_chans, device=device)
    exact = reference_numbers(net, batch, train=train)
    return exact, deviations(rounded, exact)


def _set_up(
    entry: Entry,
    weights: dict[str, Tensor],
    batch: Batch,
    case: Case,
    device: str,
    reference: dict[str, Tensor],
) -> None:
    contestant, train = entry.contestant, case.work == "train"
    if train and contestant.mode not in MODES:
        raise ValueError(f"a network that is {contestant.mode!r} does not train; `--work infer`")
    network = contestant.build(weights, in_chans=case.in_chans, device=device)
    if contestant.mode in EXPORTS:
        start = time.perf_counter()
        step = EXPORTS[contestant.mode](network.eval(), batch)
        entry.compile_seconds = time.perf_counter() - start
        entry.deviations = deviations({"logits": step()}, reference)
        entry.step = step
        return
    if contestant.mode in MODES:  # others round what they have folded
        network.to(batch.images.dtype)
    if contestant.fused:
        require_fused(network, batch, train=train)
    start = time.perf_counter()
    forward = contestant.ready(network, batch.images)
    found = numbers(network, forward, batch, train=train)
    if contestant.mode != "eager":
        entry.compile_seconds = time.perf_counter() - start
    entry.deviations = deviations(found, reference)
    step = (trainer if train else infer)(network, forward, batch)
    entry.step = switched_on(step) if contestant.switch == "on" else step
    for _ in range(3):
        entry.step()


def _installed(network: str, in_chans: int) -> Iterator[str]:
    for library, build in NETWORKS[network].items():
        try:
            build(in_chans)
        except ImportError:
            continue
        yield library


def _peak(step: Callable[[], Any], device: str) -> int | None:
    """Bytes that a step adds at its peak to what is there between steps; CUDA only."""
    if device != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
