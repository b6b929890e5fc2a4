"""Command line: ``python -m benchmarks.throughput``."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from benchmarks.roofline import LEVELS, ceilings, floor, kernels, walk_named
from benchmarks.rounds import circumstances
from benchmarks.throughput.case import Case, Entry, Method, run_case
from benchmarks.throughput.contestants import INFERENCE, MODES, NETWORKS, all_contestants
from benchmarks.throughput.export import EXPORTS
from benchmarks.throughput.steps import DTYPES
from benchmarks.throughput.timing import Rounds, device_clock, paired_ratio

ABOUT = """\
Images a second of SE-ResNet50, ResNet50 and EfficientNet-B5: ours beside timm's, torchvision's and
MONAI's, eager, compiled, made for inference and exported, to train and to infer. All contestants
live in one process, with the same weights and the same static channels-last images. Training
computes in its dtype by autocast; inference has weights and images in it. Each one's outputs, loss,
gradients and running statistics are checked against float32 (few images: float64) before it is
timed; a wrong one is printed as invalid, without a time. One that is not installed is listed as
absent."""

PACKAGES = (
    "seattn", "torch", "triton", "timm", "torchvision", "monai", "onnxruntime",
    "openvino", "torch_tensorrt",
)  # fmt: skip


def main() -> None:
    """Measures case after case, prints each, and records its rows at once."""
    choices = parse()
    device = choices.device
    torch.set_num_threads(choices.threads)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    method = Method(device, choices.rounds, choices.window, choices.tolerance)
    facts = {"run": uuid.uuid4().hex, **circumstances(PACKAGES, threads=choices.threads)}
    facts |= {**asdict(method), "device": device_name(device)}
    if device == "cuda":
        facts["driver"] = driver()
    for work, dtype, in_chans, size, batch in itertools.product(
        choices.work, choices.dtypes, choices.in_chans, choices.sizes, choices.batches
    ):
        case = Case(work, dtype, batch, in_chans, size)
        modes = [m for m in choices.modes if work == "infer" or m.rpartition("/")[2] in MODES]
        who = list(all_contestants(choices.networks, choices.libraries, modes))
        torch.compiler.reset()
        with all_compiled():
            entries, rounds = run_case(case, who, method)
        peak = ceilings(device, DTYPES[dtype], clock=device_clock(device))
        rows = list(make_rows(case, entries, rounds, peak, facts))
        show(case, rows)
        if choices.record:
            with choices.record.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        if rounds is not None and rounds.interrupted:
            print("interrupted: the whole rounds of the last case are kept")
            break


def all_compiled() -> Any:
    """Contestants share their code: beyond the usual limit torch would run the others eagerly."""
    return torch._dynamo.config.patch(recompile_limit=64, fail_on_recompile_limit_hit=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cuda = torch.cuda.is_available()
    add = parser.add_argument
    libraries = list(dict.fromkeys(name for each in NETWORKS.values() for name in each))
    modes = [*MODES, *INFERENCE, *EXPORTS]
    usual = ["eager", "compiled"]
    if cuda:
        usual += ["CUDA graphs", "max-autotune", "fused", "fused, compiled", "fused, CUDA graphs"]
    add("--device", choices=("cuda", "cpu"), default="cuda" if cuda else "cpu")
    add("--work", nargs="+", choices=("train", "infer"), default=["train", "infer"])
    add("--networks", nargs="+", choices=NETWORKS, help="(default: all)")
    add("--libraries", nargs="+", choices=libraries, default=libraries)
    add(
        "--modes",
        nargs="+",
        choices=[*modes, *(f"{library}/{mode}" for library in libraries for mode in modes)],
        default=usual,
        metavar="MODE",
        help=f"{', '.join(modes)}; 'timm/compiled' is a mode of one library alone",
    )
    add("--dtypes", nargs="+", choices=DTYPES, default=["bf16"] if cuda else ["fp32"])
    add("--batches", nargs="+", type=int, default=[1, 32, 256] if cuda else [1, 8], metavar="N")
    add("--in-chans", nargs="+", type=int, default=[3], metavar="C")
    add("--sizes", nargs="+", type=int, default=[224], metavar="PIXELS")
    add("--rounds", type=int, default=15 if cuda else 9)
    add("--window", type=float, default=0.15, help="seconds of a window at least (default 0.15)")
    add(
        "--tolerance",
        type=float,
        default=0.03 if cuda else 0.15,
        help="rounds whose sentinel is off its median by more are dropped (default %(default)s)",
    )
    add("--threads", type=int, default=1, help="of the host (default 1)")
    add("--quick", action="store_true", help="two rounds, eager, batch 2, 64 pixels: does it run?")
    add("--record", type=Path, metavar="FILE", help="append rows to a JSONL file, case by case")
    choices = parser.parse_args()
    if choices.quick:
        choices.rounds, choices.window, choices.tolerance = 2, 0.01, float("inf")
        choices.batches, choices.sizes, choices.modes = [2], [64], ["eager"]
        choices.networks = choices.networks or ["se_resnet50", "resnet50"]
    choices.networks = choices.networks or list(NETWORKS)
    return choices


def make_rows(
    case: Case,
    entries: list[Entry],
    rounds: Rounds | None,
    peak: tuple[float, float],
    facts: dict[str, Any],
) -> Any:
    """One JSON row for each contestant of the case."""
    flops, bandwidth = peak
    for entry in entries:
        who = entry.contestant
        row: dict[str, Any] = {
            **asdict(case),
            "contestant": who.name,
            **asdict(who),
            "absent": entry.absent,
            "valid": entry.valid,
            "deviations": entry.deviations,
            "deviations_by_rounding": entry.rounding,
            "compile_seconds": entry.compile_seconds,
            "peak_bytes": entry.peak_bytes,
            "ceiling_flops": flops,
            "ceiling_bytes": bandwidth,
            **facts,
        }
        if who.network in ("resnet50", "se_resnet50"):
            walked = walk_named(who.network, case.batch, case.in_chans, case.size)
            element = 4 if case.dtype == "fp32" else 2
            for level in LEVELS:
                priced = list(
                    kernels(walked, train=case.work == "train", level=level, element=element)
                )
                row[f"{level}_flops"] = sum(k.flops for k in priced)
                row[f"{level}_bytes"] = sum(k.bytes for k in priced)
                row[f"{level}_floor"] = floor(priced, flops=flops, bandwidth=bandwidth)
        if rounds is not None and entry.valid:
            row |= {
                "seconds": rounds.seconds[who.name],
                "cpu_seconds": rounds.cpu_seconds[who.name],
                "iterations": rounds.iterations[who.name],
                "sentinels": rounds.sentinels,
                "dropped": rounds.dropped,
            }
        yield row


def show(case: Case, rows: list[dict[str, Any]]) -> None:
    """Print a case: images a second, the achieved rates, the floor, and the price of SE."""
    print(
        f"\n{case.work}, {case.dtype}, batch {case.batch}, {case.in_chans} channels, "
        f"{case.size}x{case.size}"
    )
    for row in rows:
        if row["absent"] is not None:
            print(f"  {row['contestant']:48} absent: {row['absent']}")
        elif not row["valid"]:
            off = ", ".join(f"{kind} {value:.1e}" for kind, value in row["deviations"].items())
            print(f"  {row['contestant']:48} INVALID: {off}")
        elif times := kept(row):
            middle = statistics.median(times)
            low, high = min(times), max(times)
            if len(times) > 1:
                low, _, high = statistics.quantiles(times, n=4)
            line = (
                f"  {row['contestant']:48} {case.batch / middle:9.1f} images/s, quartiles "
                f"{case.batch / high:.1f} to {case.batch / low:.1f}{over_eager(row, rows)}"
            )
            if "fused_floor" in row:
                line += (
                    f"; {row['fused_flops'] / middle / 1e12:.2f} TFLOP/s, floor / time "
                    f"{row['fused_floor'] / middle:.2f} fused, "
                    f"{row['eager_floor'] / middle:.2f} eager"
                )
            print(line)
        else:
            print(f"  {row['contestant']:48} no undisturbed round")
    for row in rows:
        for plain in rows:
            if with_and_without(row, plain):
                ratio, low, high = paired_ratio(kept(plain), kept(row))
                print(
                    f"  {row['library']}, {row['mode']}: with SE {ratio:.3f} of the throughput "
                    f"without, [{low:.3f}, {high:.3f}]"
                )
    show_best_rivals(rows)
    if rows and (dropped := rows[0].get("dropped")):
        print(f"  {len(dropped)} disturbed rounds dropped")


def over_eager(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """How many times as fast as its network's first library that was timed eagerly."""
    same = [each for each in rows if each["network"] == row["network"] and kept(each)]
    eager = next((each for each in same if each["mode"] == "eager"), row)
    if eager is row:
        return ""
    return f", {paired_ratio(kept(eager), kept(row))[0]:.2f} of {eager['library']} eager"


def show_best_rivals(rows: list[dict[str, Any]]) -> None:
    """Print our throughput by that of the fastest contestant of another library."""
    timed = [row for row in rows if kept(row)]
    for row in timed:
        others = [r for r in timed if r["network"] == row["network"] and r["library"] != "seattn"]
        if row["library"] == "seattn" and others:
            best = min(others, key=lambda other: statistics.median(kept(other)))
            ratio, low, high = paired_ratio(kept(best), kept(row))
            print(
                f"  {row['contestant']}: {ratio:.3f} of the throughput of {best['contestant']}, "
                f"[{low:.3f}, {high:.3f}]"
            )


def with_and_without(row: dict[str, Any], plain: dict[str, Any]) -> bool:
    """Whether two rows differ in SE alone, and both have times."""
    same = all(row[key] == plain[key] for key in ("library", "mode"))
    pair = (row["network"], plain["network"]) == ("se_resnet50", "resnet50")
    return same and pair and bool(kept(row)) and bool(kept(plain))


def kept(row: dict[str, Any]) -> list[float]:
    """Seconds of a row's rounds that were not dropped: CPU time on a CPU, between events else."""
    times = row.get("cpu_seconds" if row["device"] == "cpu" else "seconds", ())
    return [value for number, value in enumerate(times) if number not in row["dropped"]]


def device_name(device: str) -> str:
    """What computes."""
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def driver() -> str | None:
    """The version of the NVIDIA driver."""
    file = Path("/proc/driver/nvidia/version")
    return file.read_text().splitlines()[0] if file.exists() else None


if __name__ == "__main__":
    main()
