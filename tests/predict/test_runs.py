"""Runs that are killed, go on, are refused, are shared by processes, and say what was slower."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from seattn.data.preprocess import Preprocessing
from seattn.predict import PredictionSummary, predict_folder
from seattn.predict.__main__ import main
from seattn.predict.classifier import Classifier
from seattn.predict.images import Frame, Piece, Reader, Task, decode_ahead
from seattn.weights import save_model
from tests.predict.conftest import OPTIONS, cut_to, read, small_network

WORDS = ["--size", "32", "--window", "400", "1800", "--batch", "4", "--device", "cpu"]


def predict(scans, model, out, **options):
    return predict_folder(scans, model=model, out=out, **(OPTIONS | options))


@pytest.fixture(scope="module")
def whole(scans, model, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "p.csv"
    predict(scans, model, out)
    return out


def copy_of(run, folder):
    for path in (run, run.with_suffix(".json")):
        shutil.copy(path, folder)
    return folder / run.name


def test_a_run_cut_anywhere_goes_on_to_the_same_bytes(scans, model, whole, tmp_path):
    out = copy_of(whole, tmp_path)
    data = whole.read_bytes()
    lines = [i + 1 for i, byte in enumerate(data) if byte == 10]
    commas = [i + 1 for i in range(lines[7], lines[9]) if data[i : i + 1] == b","]  # a batch ends
    before_the_end = [i - 1 for i in lines]
    for length in [
        0,
        5,
        *lines,
        *before_the_end,
        *commas,
        *random.Random(0).sample(range(len(data)), 9),
    ]:
        cut_to(out, length)
        summary = predict(scans, model, out)
        assert out.read_bytes() == data, length
        assert summary.resumed + summary.images + summary.failed == len(lines) - 1
    # What is kept is whole batches: at most 3 of 4 images are done again, and the last 3.
    cut_to(out, lines[20])
    assert predict(scans, model, out).images <= 31 - 16
    again = predict(scans, model, out)
    assert (again.files, again.resumed) == (0, len(lines) - 1)
    assert str(again) == f"nothing left to do, {len(lines) - 1} rows kept from before"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 33}, r"`size` was \[32, 32\], now \[33, 33\]"),
        ({"window": (40, 400)}, "`window` was"),
        ({"window": None, "units": "minmax"}, "`units` was 'window', now 'minmax'"),
        ({"batch": 5}, "`batch` was 4, now 5"),
        ({"threshold": 0.4}, "`threshold` was 0.5, now 0.4"),
        ({"classes": ["1", "0"]}, "`classes` was"),
        ({"key": "another"}, "`pseudonyms` was"),
        ({"redact_paths": True}, "`redact_paths` was False, now True"),
        ({"voi": 1, "window": None}, "`voi` was 0, now 1"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused(scans, model, whole, tmp_path, options, message, finished):
    out = copy_of(whole, tmp_path)
    if not finished:
        cut_to(out, 2000)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=f"holds a run with other settings: .*{message}"):
        predict(scans, model, out, **options)
    assert out.read_bytes() == before


def test_another_network_is_refused(scans, whole, tmp_path):
    save_model(small_network(seed=1), tmp_path / "m")
    with pytest.raises(ValueError, match="`model_sha256` was"):
        predict(scans, tmp_path / "m", copy_of(whole, tmp_path))


def test_another_folder_is_refused_and_a_copy_is_not(scans, model, whole, tmp_path):
    out = copy_of(whole, tmp_path)
    cut_to(out, 2000)
    shutil.copytree(scans, tmp_path / "scans")
    predict(tmp_path / "scans", model, out)
    assert out.read_bytes() == whole.read_bytes()
    (tmp_path / "scans" / "notes.txt").write_text("longer than it was")
    with pytest.raises(ValueError, match="`paths_and_sizes` was"):
        predict(tmp_path / "scans", model, out)


def test_files_of_others_are_not_written_over(scans, model, tmp_path):
    out = tmp_path / "p.csv"
    out.write_text("my results")
    with pytest.raises(ValueError, match=r"is there, without 'p\.json'"):
        predict(scans, model, out)
    out.with_suffix(".json").write_text("{}")
    with pytest.raises(ValueError, match=r"is there, without 'p\.json'"):
        predict(scans, model, out)
    assert out.read_text() == "my results"
    out.unlink()
    with pytest.raises(ValueError, match="which is another file"):
        predict(scans, model, out)
    assert out.with_suffix(".json").read_text() == "{}"


def test_a_table_with_other_columns_is_refused(scans, model, whole, tmp_path):
    out = copy_of(whole, tmp_path)
    cut_to(out, 2000)
    out.write_bytes(out.read_bytes().replace(b"patient", b"someone", 1))
    with pytest.raises(ValueError, match="has not the columns"):
        predict(scans, model, out)


def test_the_table_may_lie_in_the_folder(scans, model, whole, tmp_path):
    shutil.copytree(scans, tmp_path / "scans")
    out = tmp_path / "scans" / "SYN-0001" / "p.csv"
    predict(tmp_path / "scans", model, out)
    cut_to(out, 2000)
    predict(tmp_path / "scans", model, out)
    assert out.read_bytes() == whole.read_bytes()


def start(scans, model, out, processes=1, words=()):
    """The command as a user starts it."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command += ["--master-port", "0", "--rdzv-backend", "c10d"]
        command += ["--rdzv-endpoint", "localhost:0"]
    command += ["-m", "seattn.predict", str(scans), "--model", str(model), "--out", str(out)]
    return subprocess.Popen(
        [*command, *WORDS, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


def end(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def many(scans, tmp_path_factory):
    """More files, so that there is time to kill, and bad ones among them."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(12):
        shutil.copytree(scans, folder / f"copy{i:02d}")
    return folder


def kill_at(process, paths, rows, victims):
    """SIGKILL once there are so many rows."""
    deadline = time.monotonic() + 300
    while sum(path.read_bytes().count(b"\n") for path in paths if path.exists()) < rows:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(random.choice(victims(process)), signal.SIGKILL)
    process.communicate(timeout=300)
    assert process.returncode


@pytest.mark.parametrize(("words", "kills"), [((), (30, 200)), (("--workers", "2"), (100,))])
def test_a_killed_command_goes_on_to_the_same_bytes(many, model, tmp_path, words, kills):
    output = end(start(many, model, tmp_path / "whole.csv", words=words))
    assert output.splitlines()[-1].endswith(" was the slower")
    out = tmp_path / "killed.csv"
    for rows in kills:
        kill_at(start(many, model, out, words=words), [out], rows, lambda p: [p.pid])
    assert not json.loads(out.with_suffix(".json").read_text())["finished"]
    output = end(start(many, model, out, words=words))
    assert "rows kept from before" in output
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "killed.csv", "killed.json", "whole.csv", "whole.json",
    ]  # fmt: skip


def children(process):
    pid = process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_processes_of_torchrun_end_before_threads_can_abort_them(
    scans, model, tmp_path, monkeypatch
):
    code = "import atexit, os\nif 'LOCAL_RANK' in os.environ:\n    atexit.register(os.abort)\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    end(start(scans, model, tmp_path / "two.csv", processes=2))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_two_processes_share_the_files_and_make_one_table(many, model, tmp_path):
    predict(many, model, tmp_path / "one.csv", key=None)
    output = end(start(many, model, tmp_path / "two.csv", processes=2))
    assert output.count("was the slower") == 1
    assert output.count(" files in ") == 1
    one, two = (read(tmp_path / name) for name in ("one.csv", "two.csv"))
    assert len(one) == len(two) == 12 * 34
    for alone, shared in zip(one, two, strict=True):
        for name in alone:
            if name.startswith("probability") and alone[name]:
                assert float(shared[name]) == pytest.approx(float(alone[name]), rel=1e-6)
            else:
                assert shared[name] == alone[name]
    out = tmp_path / "killed.csv"
    parts = [tmp_path / f"killed.csv.part-{i}-of-2" for i in range(2)]
    kill_at(start(many, model, out, processes=2), parts, 200, children)
    assert not out.exists()
    alone = start(many, model, out)
    assert "`processes` was 2, now 1" in alone.communicate(timeout=300)[0]
    assert alone.returncode
    assert "rows kept from before" in end(start(many, model, out, processes=2))
    assert out.read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert not any(part.exists() for part in parts)
    # A finished run has no processes any more.
    assert end(start(many, model, out)) == "nothing left to do, 408 rows kept from before\n"


def test_a_run_killed_after_its_end_leaves_no_parts_for_long(scans, model, whole, tmp_path):
    out = copy_of(whole, tmp_path)
    (tmp_path / "p.csv.part-1-of-2").write_text("left")
    predict(scans, model, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.json"]


def test_a_process_that_fails_first_ends_the_others(scans, model, tmp_path):
    (tmp_path / "p.csv").write_text("my results")
    process = start(scans, model, tmp_path / "p.csv", processes=2)
    output, _ = process.communicate(timeout=300)
    assert process.returncode
    assert output.count("error: `out`") == 1


def test_workers_write_the_table_of_one_process(scans, model, whole, tmp_path):
    predict(scans, model, tmp_path / "p.csv", workers=2)
    assert (tmp_path / "p.csv").read_bytes() == whole.read_bytes()


@dataclass(frozen=True)
class Slow(Reader):
    """Reads nothing, in so many seconds, and says how often it was asked."""

    seconds: float = 0.0
    started = 0
    lock = threading.Lock()

    def __call__(self, task, file):
        with self.lock:
            Slow.started += 1
        time.sleep(self.seconds)
        return Piece(task.path, [Frame(0, "", "", np.zeros((1, 4, 4), np.float32))])


@dataclass(frozen=True)
class Fatal(Reader):
    """Takes its process along at one file."""

    def __call__(self, task, file):
        if task.path == "3":
            os.kill(os.getpid(), signal.SIGKILL)
        return Piece(task.path, [Frame(0, "", "", None, "read")])


ROOT, PREPROCESSING = Path(), Preprocessing(size=(4, 4))


def test_a_decoder_that_crashes_is_one_bad_file():
    tasks = [Task(str(i)) for i in range(8)]
    reader = Fatal(ROOT, PREPROCESSING, b"k", 1)
    pieces = list(decode_ahead(reader, iter(tasks), workers=2, ahead=3))
    assert [piece.path for piece in pieces] == [task.path for task in tasks]
    errors = [piece.frames[0].error for piece in pieces]
    assert errors.pop(3) == "DecodeError: decode: the decoder crashed, or was killed (signal 9)"
    assert set(errors) == {"read"}


def test_decoding_goes_ahead_so_far_and_no_further():
    Slow.started = 0
    reader = Slow(ROOT, PREPROCESSING, b"k", 1)
    pieces = decode_ahead(reader, (Task(str(i)) for i in range(50)), workers=0, ahead=6)
    for taken in range(1, 10):
        next(pieces)
        time.sleep(0.02)
        assert Slow.started <= taken + 6
    assert Slow.started >= 14
    pieces.close()


@pytest.mark.parametrize(("reading", "thinking"), [(0.05, 0.0), (0.0, 0.15), (0.05, 0.15)])
def test_the_slower_sets_the_pace_and_is_named(
    scans, model, tmp_path, monkeypatch, reading, thinking
):
    reads, begin = Reader.__call__, Classifier.start
    monkeypatch.setattr(Reader, "__call__", lambda *a: (time.sleep(reading), reads(*a))[1])
    monkeypatch.setattr(Classifier, "start", lambda *a: (time.sleep(thinking), begin(*a))[1])
    run = predict(scans, model, tmp_path / "p.csv")
    readings, thinkings = reading * run.files, thinking * 8
    if not reading or not thinking:
        assert run.slower == ("decoder" if reading else "network")
    assert max(readings, thinkings) * 0.9 < run.seconds
    if reading and thinking:  # both at once, and not one after the other
        assert run.seconds < (readings + thinkings) * 0.85
    assert run.decoder + run.network == pytest.approx(run.seconds, abs=0.2)


def test_a_file_that_is_gone_on_with_is_divided_as_if_read_from_its_beginning(scans):
    reader = Reader(scans, Preprocessing(size=(4, 4)), b"k", 1)
    tasks = [Task("SYN-0002/many.dcm", 3)]
    pieces = list(decode_ahead(reader, iter(tasks), workers=0, ahead=2))
    numbers = [[frame.number for frame in piece.frames] for piece in pieces]
    assert numbers == [[*range(3, 8)], [*range(8, 16)], [*range(16, 19)]]


def test_what_differs_near_certainty_stays_different(model):
    classifier = Classifier(
        model,
        classes=None,
        threshold=None,
        input_transform=None,
        device=torch.device("cpu"),
        precision="fp32",
        fused=False,
        shape=(1, 8, 8),
    )
    certain = classifier.finish(torch.tensor([[0.0, 20.0], [0.0, 21.0]]))
    assert certain[0, 1] < certain[1, 1] < 1


def test_a_fused_network_is_in_the_precision_itself(model):
    options = {"classes": None, "threshold": None, "input_transform": None, "shape": (2, 16, 16)}
    cpu = torch.device("cpu")
    plain = Classifier(model, device=cpu, precision="fp32", fused=False, **options)
    images = [np.full((1, 16, 16), value, np.float32) for value in (0.2, 0.7)]
    expected = plain.finish(plain.start(images))
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        fused = Classifier(model, device=cpu, precision=precision, fused=True, **options)
        logits = fused.start(images)
        assert {p.dtype for p in fused._network.parameters()} == {logits.dtype} == {dtype}
        np.testing.assert_allclose(fused.finish(logits), expected, atol=0.02)


def test_a_summary_without_files_divides_by_nothing():
    assert PredictionSummary().files_per_second == 0


def test_the_command_says_what_it_did_or_why_not(scans, model, tmp_path, capsys):
    key = tmp_path / "key"
    key.write_text("a secret\n")
    words = [str(scans), "--model", str(model), *WORDS]
    main([*words, "--out", str(tmp_path / "p.csv"), "--key-file", str(key)])
    assert "31 images, 3 failed" in capsys.readouterr().out
    predict(scans, model, tmp_path / "q.csv")
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "q.csv").read_bytes()
    with pytest.raises(SystemExit, match=r"^error: `out` .* must end in '.csv'"):
        main([*words, "--out", "p"])
    with pytest.raises(SystemExit, match=r"^error: .*No such file"):
        main([str(scans), "--model", str(tmp_path / "none"), "--out", str(tmp_path / "r.csv")])


def test_every_choice_of_the_command_is_one_of_the_function(scans, model, monkeypatch):
    import inspect

    given = {}
    monkeypatch.setattr(
        "seattn.predict.__main__.predict_folder", lambda folder, **options: given.update(options)
    )
    main([str(scans), "--model", str(model)])
    parameters = inspect.signature(predict_folder).parameters
    assert given.keys() == parameters.keys() - {"folder", "progress"}
    for name in given.keys() - {"model", "out"}:
        assert given[name] == parameters[name].default, name


def test_a_gpu_is_not_shared_by_processes(monkeypatch):
    from seattn.predict.processes import Processes

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Processes(3, 4).device("cuda") == torch.device("cuda", 1)
    assert Processes(3, 4).device("cpu") == torch.device("cpu")
    assert Processes().device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match=r"`device` \(='cuda:0'\) must be 'cuda'"):
        Processes(3, 4).device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="more of them than it has GPUs"):
        Processes(3, 4).device("cuda")
