"""One training in several processes or pieces, and after kill -9, gives the same numbers."""

import csv
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from examples.ankle_fracture import networks, study
from examples.ankle_fracture.__main__ import parse
from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.items import items_of, prefetch
from examples.ankle_fracture.processes import ALONE, Processes
from examples.ankle_fracture.state import load_tensors
from examples.ankle_fracture.step import Step, micro_batches
from examples.ankle_fracture.training import fit, predict
from seattn.data.sample import Sample
from seattn.ops import SyncBatchNorm
from tests.examples.conftest import PHANTOM, TINY

CPU = torch.device("cpu")
WEIGHT = torch.tensor([0.7, 1.9], dtype=torch.float64)
# Global batches: the last does not divide, and leaves the second process without an image.
BATCHES = (np.arange(8), np.arange(8, 15), np.arange(15, 16))
ROUNDING = {"rtol": 1e-9, "atol": 1e-12}  # float64
LONGER = dataclasses.replace(TINY, epochs=8)
WORDS = ["--patients", "24", "--size", "32", "--epochs", "8", "--models", "se_resnet_small"]


def tiny_network():
    torch.manual_seed(4)
    return networks.build("se_resnet_small", in_chans=1, num_classes=2, weights=None).double()


def take_steps(processes, pieces, network=None, batches=BATCHES):
    """Losses, weights and statistics after a step on each batch, in float64."""
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(16, 1, 32, 32, generator=draw, dtype=torch.float64)
    labels = torch.randint(2, (16,), generator=draw)
    plain = tiny_network() if network is None else network
    whole = plain if processes.size == 1 else SyncBatchNorm.convert_sync_batchnorm(plain)
    inside = whole if processes.size == 1 else DistributedDataParallel(whole)
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    step = Step(inside, optimizer, scaler, WEIGHT, "fp32", processes)
    losses = []
    for batch in batches:
        shares = [processes.share(piece) for piece in micro_batches(batch, pieces)]
        samples = ((images[share], labels[share]) for share in shares)
        weighs = float(WEIGHT[labels[batch]].sum())
        loss, _ = step(samples, count=len(shares), weighs=weighs)
        losses.append(processes.gather(loss[None]).sum() / weighs)
    return torch.stack(losses), whole.state_dict()


def normalise(make, processes):
    """Output, gradients and statistics of one batch normalisation of uneven shares."""
    draw = torch.Generator().manual_seed(2)
    whole = torch.randn(7, 3, 4, generator=draw, dtype=torch.float64) * 3 + 50
    aims = torch.randn(7, 3, 4, generator=draw, dtype=torch.float64)
    numbers = np.arange(7) if processes.size == 1 else ([0, 1, 2, 3, 4], [5, 6])[processes.rank]
    x = whole[numbers].requires_grad_()
    layer = make(3, momentum=None).double()
    nn.init.normal_(layer.weight, generator=draw)
    outputs = []
    for _ in range(2):
        outputs.append(layer(x))
        (outputs[-1] * aims[numbers]).sum().backward()
    sums = torch.stack([p.grad for p in layer.parameters()])
    if processes.size > 1:
        dist.all_reduce(sums)
    return {"output": outputs[-1].detach(), "grad": x.grad, "sums": sums} | dict(layer.state_dict())


def one_of_two(rank, folder):
    """What each of two gloo processes does; the parent compares the files."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    processes = Processes(rank, 2, rank, dist.group.WORLD)
    found = {pieces: take_steps(processes, pieces) for pieces in (1, 2)}
    found["normalised"] = normalise(SyncBatchNorm, processes)
    found["predicted"] = predict(tiny_network().float(), Pictures(), processes=processes)
    found["message"] = processes.receive() if rank else processes.send("a message")
    torch.save(found, f"{folder}/{rank}.pt")
    if rank:
        try:
            processes.receive()  # the first process ends without a word
        except SystemExit as stop:
            Path(folder, "stopped").write_text(str(stop.code))
    os._exit(0)  # once the other is gone, gloo's threads at times abort an interpreter that ends


class Pictures:
    """One item more than a process has in a batch, which leaves shares of 2 and 1."""

    def __len__(self):
        return 3

    def batch(self, numbers):
        draw = torch.Generator().manual_seed(3)
        images = torch.rand(3, 1, 32, 32, generator=draw)
        return Sample(images[numbers], None, None, None)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found."""
    folder = tmp_path_factory.mktemp("two")
    torch.multiprocessing.spawn(one_of_two, (str(folder),), nprocs=2)
    return folder, [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("pieces", [1, 2])
def test_two_processes_give_the_numbers_of_one(two, pieces):
    losses, weights = take_steps(ALONE, pieces)
    for found, learnt in (each[pieces] for each in two[1]):
        torch.testing.assert_close(found, losses, **ROUNDING)
        assert learnt.keys() == weights.keys()
        for name, value in weights.items():
            torch.testing.assert_close(learnt[name], value, **ROUNDING, msg=name)


def test_normalisation_over_processes_is_that_of_the_whole_batch(two):
    expected = normalise(nn.BatchNorm1d, ALONE)
    first, second = (each["normalised"] for each in two[1])
    for name, value in expected.items():
        if name in {"output", "grad"}:
            torch.testing.assert_close(torch.cat([first[name], second[name]]), value, **ROUNDING)
        else:
            torch.testing.assert_close(first[name], value, **ROUNDING)
            torch.testing.assert_close(second[name], value, **ROUNDING)


def test_each_process_has_the_predictions_of_all(two):
    expected = predict(tiny_network().float(), Pictures())
    for found in two[1]:
        torch.testing.assert_close(found["predicted"], expected, rtol=1e-5, atol=1e-6)


def test_others_hear_the_first_process_and_stop_when_it_ends(two):
    folder, found = two
    assert found[1]["message"] == "a message"
    assert (folder / "stopped").read_text() == "1"


def test_pieces_add_up_to_the_gradient_of_the_batch():
    """With batch normalisation in evaluation mode: its statistics are all that pieces change."""
    one, three, other = (
        take_steps(ALONE, pieces, tiny_network().eval(), batches)
        for pieces, batches in ((1, BATCHES[:2]), (3, BATCHES[:2]), (1, BATCHES[1::-1]))
    )
    torch.testing.assert_close(three[0], one[0], **ROUNDING)
    for name, value in one[1].items():
        torch.testing.assert_close(three[1][name], value, **ROUNDING)
    assert not torch.allclose(other[0], one[0], rtol=1e-3)  # a step changes what comes after it


def test_a_step_follows_the_weighed_mean_of_the_batch():
    network = tiny_network().eval()
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(16, 1, 32, 32, generator=draw, dtype=torch.float64)[:8]
    labels = torch.randint(2, (16,), generator=draw)[:8]
    loss = F.cross_entropy(network(images), labels, weight=WEIGHT)
    loss.backward()
    expected = [p.detach() - 0.05 * p.grad for p in network.parameters()]
    found, _ = take_steps(ALONE, 3, network, BATCHES[:1])
    torch.testing.assert_close(found[0], loss.detach(), **ROUNDING)
    for p, value in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(p.detach(), value, **ROUNDING)


@pytest.mark.parametrize("images", range(1, 12))
@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
def test_pieces_hold_every_image_and_never_one_alone(images, pieces):
    found = micro_batches(np.arange(images), pieces)
    assert np.concatenate(found).tolist() == list(range(images))
    assert len(found) <= pieces
    assert images == 1 or min(map(len, found)) >= 2


def test_samples_come_in_order_and_errors_in_their_place():
    def slow_square(number):
        time.sleep(0.01 * (number % 3 == 0))
        return number * number if number < 9 else 1 // 0

    assert list(prefetch(slow_square, range(9), threads=4)) == [n * n for n in range(9)]
    found = prefetch(slow_square, range(20), threads=4)
    assert [next(found) for _ in range(9)] == [n * n for n in range(9)]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.fixture(scope="module")
def cohort(finished):
    return gather(TINY, finished)


def train(cohort, folder, **changes):
    """A short training; its curves without their seconds, and the network."""
    config = dataclasses.replace(TINY, **changes)
    parts = items_of(cohort.parts, config, seed=0)
    torch.manual_seed(0)
    network = networks.build("se_resnet_small", in_chans=1, num_classes=2, weights=None)
    curves = fit(network, config, parts["train"], parts["val"], folder, seed=0)
    return [dataclasses.replace(row, seconds=0) for row in curves], network


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_full_precision_and_resumes(cohort, tmp_path, precision):
    whole, _ = train(cohort, tmp_path / "full")
    half, _ = train(cohort, tmp_path / "half", precision=precision, accumulate=2)
    assert half[0].train_loss == pytest.approx(whole[0].train_loss, rel=0.1)
    assert half[0].train_loss != whole[0].train_loss
    train(cohort, tmp_path / "parts", precision=precision, accumulate=2, epochs=1)
    stored = load_tensors(tmp_path / "parts" / "state.safetensors")[1]["scaler"]
    assert ("_growth_tracker" in stored) == (precision == "fp16")
    found, _ = train(cohort, tmp_path / "parts", precision=precision, accumulate=2)
    assert found == half


def test_a_compiled_training_is_near_a_plain_one(cohort, tmp_path, monkeypatch):
    compiled = []

    def compile_eagerly(network):
        compiled.append(network)
        return whole(network, backend="aot_eager")  # without a C++ compiler

    whole = torch.compile
    monkeypatch.setattr(torch, "compile", compile_eagerly)
    plain, first = train(cohort, tmp_path / "plain", epochs=1)
    assert not compiled
    found, second = train(cohort, tmp_path / "compiled", epochs=1, compile=True)
    assert len(compiled) == 1
    assert found[0].train_loss == pytest.approx(plain[0].train_loss, rel=1e-3)
    assert first.state_dict().keys() == second.state_dict().keys()


class Killed(BaseException):
    """The end of a process, as far as files can tell."""


def test_a_training_that_dies_at_any_write_goes_on_to_the_same(cohort, tmp_path, monkeypatch):
    """Before the file is whole, and when it is in its place."""
    whole, network = train(cohort, tmp_path / "whole")
    replace, writes = Path.replace, []

    def counted(self, target):
        writes.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    train(cohort, tmp_path / "counted")
    count = len(writes)
    assert count >= 6
    for fatal in range(count):
        for moment in ("torn", "moved"):
            left = fatal

            def die(self, target, moment=moment):
                nonlocal left
                left -= 1
                if left >= 0:
                    return replace(self, target)
                if moment == "torn":
                    os.truncate(self, self.stat().st_size // 2)
                if moment == "moved":
                    replace(self, target)
                raise Killed

            folder = tmp_path / f"{fatal}{moment}"
            monkeypatch.setattr(Path, "replace", die)
            with pytest.raises(Killed):
                train(cohort, folder)
            monkeypatch.setattr(Path, "replace", replace)
            found, resumed = train(cohort, folder)
            assert found == whole
            for name, value in network.state_dict().items():
                assert torch.equal(resumed.state_dict()[name], value), (fatal, moment, name)
            with (folder / "curves.csv").open() as file:
                assert len(list(csv.DictReader(file))) == TINY.epochs


def test_kept_weights_that_death_left_out_are_those_of_the_state(cohort, tmp_path):
    """An epoch that is in the state is not trained again, so its weights must come from there."""
    train(cohort, tmp_path, checkpoint="last", epochs=1)
    (tmp_path / "last.safetensors").unlink()
    _, network = train(cohort, tmp_path, checkpoint="last", epochs=1)
    stored = load_tensors(tmp_path / "state.safetensors")[0]
    for name, value in network.state_dict().items():
        assert torch.equal(stored[f"network.{name}"], value)


def start(folder, *words, processes=1):
    """The study as a user starts it."""
    words = words or WORDS
    module = ["-m", "examples.ankle_fracture", "--device", "cpu", "--out", str(folder), *words]
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    several += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return subprocess.Popen(
        [sys.executable, *(several if processes > 1 else []), *module],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


def epochs_done(folder):
    path = folder / "seed0" / "se_resnet_small" / "curves.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def losses(folder):
    with (folder / "seed0" / "se_resnet_small" / "curves.csv").open() as file:
        return [(float(r["train_loss"]), float(r["val_loss"])) for r in csv.DictReader(file)]


def kill_in_training(process, folder, victims):
    """SIGKILL at a random moment of a random epoch."""
    draw = random.Random()
    epoch, delay = draw.randrange(1, 5), draw.uniform(0, 0.2)
    end = time.monotonic() + 120
    while epochs_done(folder) < epoch:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(delay)
    os.kill(draw.choice(victims(process)), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode
    assert not (folder / "predictions.csv").exists(), f"killed too late, {epoch} + {delay:.3f} s"


def finish(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def longer(finished, tmp_path_factory):
    """An uninterrupted run with more epochs."""
    folder = tmp_path_factory.mktemp("longer")
    shutil.copytree(finished / PHANTOM, folder / PHANTOM)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as ``start`` does: other numbers of threads round otherwise
    try:
        study.run(LONGER, folder)
    finally:
        torch.set_num_threads(threads)
    return folder


def test_a_killed_run_goes_on_to_the_same_predictions(longer, tmp_path):
    shutil.copytree(longer / PHANTOM, tmp_path / PHANTOM)
    kill_in_training(start(tmp_path), tmp_path, lambda process: [process.pid])
    finish(start(tmp_path))
    found, expected = ((f / "predictions.csv").read_text() for f in (tmp_path, longer))
    assert found == expected


def children(process):
    pid = process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_under_torchrun_a_killed_run_goes_on_to_the_same_predictions(longer, tmp_path):
    folders = tmp_path / "whole", tmp_path / "killed"
    for folder in folders:
        shutil.copytree(longer / PHANTOM, folder / PHANTOM)
    output = finish(start(folders[0], processes=2))
    assert output.count("This run leaves out") == 1
    # One of the two dies, and the other ends with it.
    kill_in_training(start(folders[1], processes=2), folders[1], children)
    finish(start(folders[1], processes=2))
    whole, killed = ((folder / "predictions.csv").read_text() for folder in folders)
    assert whole == killed
    assert "<td>processes</td><td>2</td>" in (folders[0] / "report.html").read_text()
    # The same but for rounding, which Adam's first steps enlarge where gradients are near 0:
    # measured 3e-5 in the first epoch, 3e-4 in the second.
    for found, expected in zip(losses(folders[0])[:2], losses(longer), strict=False):
        assert found == pytest.approx(expected, rel=1e-3)


def test_help_under_torchrun_is_told_once_and_is_no_failure(tmp_path):
    output = finish(start(tmp_path, "--help", processes=2))
    assert output.count("usage:") == 1
    assert "Traceback" not in output


def test_your_own_images_may_lie_elsewhere_when_a_run_goes_on(finished, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    shutil.copytree(finished / PHANTOM, mine)
    config = dataclasses.replace(TINY, images=str(mine), epochs=1)
    study.run(config, tmp_path / "run")
    state = tmp_path / "run/seed0/se_resnet_small/state.safetensors"
    before = state.stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    study.run(dataclasses.replace(config, images="mine"), tmp_path / "run")
    mine.rename(tmp_path / "moved")
    moved = dataclasses.replace(config, images="moved", labels="moved/labels.csv")
    study.run(moved, tmp_path / "run")
    assert state.stat().st_mtime_ns == before  # nothing was trained again
    shutil.rmtree(tmp_path / "moved" / "SYN-0001")
    lines = (tmp_path / "moved/labels.csv").read_text().splitlines()
    kept = [line for line in lines if "SYN-0001" not in line]
    (tmp_path / "moved/labels.csv").write_text("\n".join(kept) + "\n")
    with pytest.raises(ValueError, match="have changed since the run"):
        study.run(moved, tmp_path / "run")
    with pytest.raises(ValueError, match="other choices: `images` was moved, now None"):
        study.run(dataclasses.replace(config, images=None), tmp_path / "run")


def test_a_copied_run_goes_on(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy)  # with times of its own
    paths = [f / "seed0/se_resnet_small/state.safetensors" for f in (finished, tmp_path / "copy")]
    before = [path.stat().st_mtime_ns for path in paths]
    study.run(TINY, tmp_path / "copy")
    assert [path.stat().st_mtime_ns for path in paths] == before  # nothing was trained again
    first, second = ((f / "predictions.csv").read_text() for f in (finished, tmp_path / "copy"))
    assert first == second


@pytest.mark.parametrize("changed", ["mask", "pixels", "label", "patient"])
def test_other_contents_are_another_cohort(cohort, finished, tmp_path, changed):
    shutil.copytree(finished / PHANTOM, tmp_path / PHANTOM)
    index = gather(TINY, tmp_path).train.index
    assert gather(TINY, tmp_path).digest == cohort.digest
    part = dataclasses.replace(gather(TINY, tmp_path))
    position = next(i for i, row in enumerate(index.rows) if row.mask)
    row = index.rows[position]
    if changed == "mask":
        mask = np.load(index.root / row.mask)
        np.save(index.root / row.mask, 1 - mask)
        row = dataclasses.replace(row)
    else:
        other = {"pixels": "0" * 32, "label": 1 - row.label, "patient": "0" * 32}[changed]
        row = dataclasses.replace(row, **{changed: other})
    rows = (*index.rows[:position], row, *index.rows[position + 1 :])
    part.train.index = dataclasses.replace(index, rows=rows)
    assert part.digest != cohort.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp8"}, r"`precision` \(='fp8'\) must be 'fp32' or 'bf16' or 'fp16'"),
        ({"accumulate": 0}, r"`accumulate` \(=0\) must be 1 or more"),
        ({"accumulate": 17}, r"at most half of `batch_size` \(=32\)"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_the_command_line_reaches_the_settings():
    config, *_ = parse(["--precision", "bf16", "--compile", "--accumulate", "4"])
    assert (config.precision, config.compile, config.accumulate) == ("bf16", True, 4)


def test_another_precision_is_another_run(finished):
    with pytest.raises(ValueError, match="`precision` was fp32, now bf16"):
        study.run(dataclasses.replace(TINY, precision="bf16"), finished)


def test_several_processes_do_not_share_a_gpu():
    with pytest.raises(ValueError, match=r"`device` \(='cuda:1'\) is one GPU for 2 processes"):
        Processes(0, 2).device("cuda:1")
    assert Processes(1, 2).device("cpu") == CPU
