"""How near the fused kernels come to a copy: ``python -m benchmarks.fused_kernels --record FILE``.

Each operator as a ResNet-50 or an EfficientNet-B0 calls it, at each stage's shape. Its floor is the
time of a copy that moves as many bytes, measured in the same rounds on the same card. Calls run
from CUDA graphs, over so many sets of tensors that no cache holds them. Tiles, warps and programs
other than the kernels' own are tried with ``--tiles``, ``--warps`` and ``--programs``. Without a
GPU the bytes are printed, and plain torch runs on a few images: nothing is timed.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from benchmarks.rounds import circumstances, record
from benchmarks.throughput.timing import device_clock
from seattn.ops import operators, reference

__all__ = ["CASES", "Case", "Launch", "Moved", "arguments", "launched"]


class Moved(NamedTuple):
    """What a call reads and writes: maps (N, P, C), masks of a bit a value, vectors (N, C)."""

    maps: int
    masks: int
    vectors: int


MOVED: Mapping[tuple[str, str], Moved] = {
    # reads x; writes mean, m2
    ("moments", "any"): Moved(1, 0, 2),
    # ReLU(BN(x)): reads x, scale, shift; writes y
    ("affine_act", "inner"): Moved(2, 0, 2),
    # the end of a block: reads x, shortcut, scale, shift; writes y, mask
    ("affine_act", "tail"): Moved(3, 1, 2),
    # and the shortcut's scale
    ("affine_act", "projected tail"): Moved(3, 1, 3),
    # reads grad, x, scale, shift; writes their two sums
    ("affine_act_reduce", "inner"): Moved(2, 0, 4),
    # reads the mask as well; writes the masked gradient
    ("affine_act_reduce", "tail"): Moved(3, 1, 4),
    # reads the shortcut as well; writes its sum
    ("affine_act_reduce", "projected tail"): Moved(4, 1, 5),
    # reads grad, x, scale, shift, slope, offset; writes dx
    ("affine_act_apply", "inner"): Moved(3, 0, 4),
    # the gradient is masked already: no shift
    ("affine_act_apply", "tail"): Moved(3, 0, 3),
    # reads x, scale, shift; writes three means
    ("silu_squeeze", "middle"): Moved(1, 0, 5),
    # reads x, scale, shift, gate; writes y
    ("silu_gate", "middle"): Moved(2, 0, 3),
    # reads grad, x, scale, shift; writes three sums
    ("silu_gate_reduce", "middle"): Moved(2, 0, 5),
    # reads grad, x and six vectors; writes dx
    ("silu_gate_apply", "middle"): Moved(3, 0, 6),
}
INNER = [(12544, 64), (3136, 64), (784, 128), (196, 256), (49, 512)]
TAILS = [(3136, 256), (784, 512), (196, 1024), (49, 2048)]
"""Pixels and channels of the stem and of the stages."""
MIDDLES = [(12544, 32), (3136, 144), (784, 240), (196, 672), (49, 1152)]
"""Behind the depthwise convolutions of an EfficientNet-B0."""
ROUNDS, WINDOW, SETS_BYTES = 15, 0.01, 4e8


@dataclass(frozen=True)
class Case:
    """An operator in one of its forms, on maps of so many pixels and channels."""

    operator: str
    form: str
    pixels: int
    channels: int

    def bytes(self, images: int) -> int:
        """What a call has to move in bfloat16 with float32 vectors."""
        moved, values = MOVED[self.operator, self.form], images * self.pixels * self.channels
        return (
            2 * values * moved.maps
            + values // 8 * moved.masks
            + 4 * images * self.channels * moved.vectors
        )


CASES = [
    Case(operator, form, *shape)
    for operator, form in MOVED
    for shape in {
        "inner": INNER,
        "any": sorted({*INNER, *TAILS}, reverse=True),
        "middle": MIDDLES,
    }.get(form, TAILS)
]


@dataclass(frozen=True)
class Launch:
    """Values in a tile, warps, and programs of a reduction; None: as the kernels have them."""

    tile: int | None = None
    warps: int | None = None
    programs: int | None = None


def main() -> int:
    """Measure, print and record one row for each case and launch."""
    choices = parse()
    cases = [c for c in CASES if not choices.operators or c.operator in choices.operators]
    if not torch.cuda.is_available():
        for case in cases:
            _dry_run(case, choices.batch)
        print("no CUDA GPU here: plain torch ran on two images, and nothing was timed")
        return 0
    facts = circumstances(("seattn", "torch", "triton"), threads=torch.get_num_threads())
    facts |= {
        "device": torch.cuda.get_device_name(),
        "capability": list(torch.cuda.get_device_capability()),
    }
    for case in cases:
        rows = list(_measure(case, choices.batch, _launches(case, choices)))
        for row in rows:
            _show(row)
        record([row | facts for row in rows], choices.record)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fused_kernels")
    add = parser.add_argument
    add("--batch", type=int, default=256, metavar="N")
    add("--operators", nargs="+", choices=sorted({case.operator for case in CASES}))
    add("--tiles", nargs="+", type=int, default=[], metavar="VALUES", help="try these as well")
    add("--warps", nargs="+", type=int, default=[], metavar="N", help="try these as well")
    add("--programs", nargs="+", type=int, default=[], metavar="N", help="of a reduction")
    add("--record", type=Path, metavar="FILE", help="append rows to a JSONL file")
    return parser.parse_args()


def arguments(case: Case, images: int, device: str, *, seed: int = 0) -> tuple[Any, ...]:
    """Random arguments of a call."""
    draw = torch.Generator(device).manual_seed(seed)
    shape = (images, case.pixels, case.channels)

    def maps() -> Tensor:
        return torch.randn(shape, generator=draw, device=device).bfloat16()

    def vectors() -> Tensor:
        return torch.randn(shape[0], shape[2], generator=draw, device=device)

    tail, projected = "tail" in case.form, case.form == "projected tail"
    if case.operator == "moments":
        return (maps(),)
    if case.operator in ("silu_squeeze", "silu_gate"):
        return maps(), *(vectors() for _ in range(2 if case.operator == "silu_squeeze" else 3))
    if case.operator in ("silu_gate_reduce", "silu_gate_apply"):
        number = 2 if case.operator == "silu_gate_reduce" else 6
        return maps(), maps(), *(vectors() for _ in range(number))
    if case.operator == "affine_act":
        added = (maps() if tail else None, vectors() if projected else None)
        return maps(), vectors(), vectors(), *added, True, tail
    if case.operator == "affine_act_reduce":
        size = (*shape[:2], shape[2] // 8)
        mask = torch.randint(256, size, generator=draw, device=device, dtype=torch.uint8)
        behind = (mask if tail else None, maps() if projected else None)
        return maps(), maps(), vectors(), vectors(), *behind, True
    return maps(), maps(), vectors(), None if tail else vectors(), vectors(), vectors()


@contextmanager
def launched(launch: Launch) -> Iterator[None]:
    """Launch the kernels otherwise than they do, for a while."""
    from seattn.ops import kernels

    own_tile = kernels._tile

    def tile(pixels: int, channels: int, size: int) -> dict[str, int]:
        found = own_tile(pixels, channels, launch.tile or size)
        return found if launch.warps is None else found | {"num_warps": launch.warps}

    programs = launch.programs or kernels.REDUCING_PROGRAMS
    with mock.patch.multiple(kernels, _tile=tile, REDUCING_PROGRAMS=programs):
        yield


def _launches(case: Case, choices: argparse.Namespace) -> list[Launch]:
    """The kernels' own launch, then every combination that was asked for."""
    reduces = case.operator in ("moments", "affine_act_reduce", "silu_squeeze", "silu_gate_reduce")
    programs = choices.programs if reduces else []
    asked = itertools.product(choices.tiles or [None], choices.warps or [None], programs or [None])
    return list(dict.fromkeys([Launch(), *itertools.starmap(Launch, asked)]))


def _measure(
    case: Case, images: int, launches: list[Launch], device: str = "cuda"
) -> Iterator[dict[str, Any]]:
    """Time the launches and the copy in shuffled rounds; a wrong result has no time."""
    moved = case.bytes(images)
    sets = range(max(2, round(SETS_BYTES / moved)))
    calls = [arguments(case, images, device, seed=seed) for seed in sets]
    source = torch.zeros(len(sets), moved // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    steps: dict[Any, Callable[[], object]] = {
        "copy": _graph([lambda s=s: target[s].copy_(source[s]) for s in sets])  # type: ignore[misc]
    }
    operator = getattr(operators, case.operator)
    off, failed = {}, {}
    for launch in launches:
        try:
            with launched(launch):
                off[launch] = _deviation(case.operator, calls[0])
                if off[launch] < 1e-2:
                    steps[launch] = _graph([lambda c=c: operator(*c) for c in calls])  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001  # too much shared memory, say
            failed[launch] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    seconds = _rounds(steps, device, per=len(sets))
    for launch in launches:
        row = {
            **asdict(case), **asdict(launch), "batch": images, "bytes": moved,
            "deviation": off.get(launch), "failed": failed.get(launch),
        }  # fmt: skip
        if launch in seconds:
            row |= {"seconds": seconds[launch], "copy_seconds": seconds["copy"]}
        yield row


def _deviation(name: str, args: tuple[Any, ...]) -> float:
    """The largest relative deviation (L2) of the last two images from plain torch."""
    got = tree_leaves(getattr(operators, name)(*args))
    last = tree_map_only(Tensor, lambda tensor: tensor[-2:], args)
    pairs = zip(got, tree_leaves(getattr(reference, name)(*last)), strict=True)
    ratios = [
        torch.linalg.vector_norm(a[-2:].float() - b.float()) / torch.linalg.vector_norm(b.float())
        for a, b in pairs
        if b.numel() and b.dtype != torch.uint8
    ]
    return float(torch.stack(ratios).max())


def _graph(calls: list[Callable[[], object]]) -> Callable[[], object]:
    """A CUDA graph of the calls, each with outputs of its own: launches cost nothing then."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        calls[0]()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [call() for call in calls]
    del kept
    graph.replay()
    return graph.replay


def _rounds(
    steps: Mapping[Any, Callable[[], object]], device: str, *, per: int
) -> dict[Any, list[float]]:
    """Seconds of one call, by round; the order is shuffled each round."""
    clock, order, shuffle = device_clock(device), list(steps), random.Random(0)
    counts = {name: max(1, round(WINDOW / clock.time(step, 1))) for name, step in steps.items()}
    seconds: dict[Any, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        shuffle.shuffle(order)
        for name in order:
            seconds[name].append(clock.time(steps[name], counts[name]) / per)
    return seconds


def _show(row: Mapping[str, Any]) -> None:
    parts = {"tile": row["tile"], "warps": row["warps"], "programs": row["programs"]}
    launch = ", ".join(f"{name} {value}" for name, value in parts.items() if value) or "as it is"
    line = (
        f"{row['operator']:18} {row['form']:15} {row['pixels']:6}x{row['channels']:<5} "
        f"{row['bytes'] / 1e6:7.1f} MB  {launch:12}"
    )
    if "seconds" not in row:
        print(f"{line} INVALID: {row['failed'] or row['deviation']}")
        return
    median = statistics.median(row["seconds"])
    share = statistics.median(
        c / s for c, s in zip(row["copy_seconds"], row["seconds"], strict=True)
    )
    print(
        f"{line} {median * 1e6:8.1f} us, {row['bytes'] / median / 1e12:5.2f} TB/s, "
        f"{share:.2f} of a copy{'' if share >= 0.85 else '  BELOW 0.85'}"
    )


def _dry_run(case: Case, images: int) -> None:
    deviation = _deviation(case.operator, arguments(case, 2, "cpu"))
    print(
        f"{case.operator:18} {case.form:15} {case.pixels:6}x{case.channels:<5} "
        f"{case.bytes(images) / 1e6:7.1f} MB, deviation {deviation:.0e}"
    )


if __name__ == "__main__":
    sys.exit(main())
