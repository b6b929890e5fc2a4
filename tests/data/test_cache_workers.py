"""Many processes build one cache: the same bytes, whatever happens to some of them."""

import contextlib
import faulthandler
import multiprocessing
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.encaps import generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from seattn.data import header as header_module
from seattn.data.cache import build_cache, take_shard
from seattn.data.dataset import DicomDataset
from seattn.data.errors import CacheError, DicomError
from seattn.data.index import DicomIndex
from seattn.data.last_file import LastFile
from seattn.data.limits import DicomLimits
from seattn.data.preprocess import Preprocessing
from tests.data.ct_folder import WINDOW, make_ct_folder
from tests.data.files import items, write_dicom

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, kills and reads /proc"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
PREPROCESSING = Preprocessing(size=(16, 12), window=WINDOW)


@pytest.fixture
def index(tmp_path):
    return make_ct_folder(tmp_path / "scans", patients=6)


@pytest.fixture
def start_method():
    """Sets the start method for a test, as a user would."""
    before = multiprocessing.get_start_method()
    yield lambda name: multiprocessing.set_start_method(name, force=True)
    multiprocessing.set_start_method(before, force=True)


@dataclass(frozen=True)
class Hostile(Preprocessing):
    """Does something to its process at one file, if it is not that of the tests."""

    path: str = ""
    attack: str = ""  # a function of this file

    def __call__(self, root: Path, row, file=None):  # type: ignore[no-untyped-def]
        if row.path == self.path and multiprocessing.parent_process() is not None:
            globals()[self.attack]()
        return PREPROCESSING(root, row, file)


def crash():
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def leave():
    os._exit(3)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.5)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)  # a terminal interrupts all processes
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(60)


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_write_the_cache_of_one_process_byte_for_byte(
    index, tmp_path, start_method, method
):
    start_method(method)
    build_cache(index, PREPROCESSING, tmp_path / "one")
    build_cache(index, PREPROCESSING, tmp_path / "many", workers=2)
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("attack", "how"), [("crash", "signal 11"), ("die", "signal 9"), ("leave", "exit code 3")]
)
def test_a_crash_costs_one_file(index, tmp_path, attack, how):
    hostile = Hostile((16, 12), window=WINDOW, path="patient 1/1.dcm", attack=attack)
    with pytest.raises(CacheError) as caught:
        build_cache(index, hostile, tmp_path / "cache", workers=2)
    first, *others = str(caught.value).splitlines()
    assert "1 of 12 images cannot be used" in first
    assert others == [f"  patient 1/1.dcm: decode: the decoder crashed, or was killed ({how})"]
    with pytest.warns(UserWarning, match="1 of 12"):
        cache, rest = build_cache(index, hostile, tmp_path / "cache", workers=2, on_error="skip")
    assert len(cache) == len(rest) == 11
    plain, _ = build_cache(rest, PREPROCESSING, tmp_path / "plain")
    rows = np.arange(11)
    assert (cache.images(rows) == plain.images(rows)).all()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("bone_mask", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, "RLE"])
def test_each_process_parses_the_header_of_a_file_once_for_all_its_frames(
    tmp_path, monkeypatch, workers, bone_mask, syntax
):
    index = scan_frames(tmp_path / "scans", syntax)
    log = tmp_path / "log"
    parse = header_module.parse

    def count(path, *args, **kwargs):
        with log.open("a") as file:
            file.write(f"{os.getpid()} {Path(path).name}\n")
        return parse(path, *args, **kwargs)

    monkeypatch.setattr(header_module, "parse", count)
    preprocessing = Preprocessing((5, 4), bone_mask=bone_mask)
    cache, _ = build_cache(
        index, preprocessing, tmp_path / "cache", dtype="float32", workers=workers
    )
    parsed = log.read_text().splitlines()
    assert len(set(parsed)) == len(parsed) <= 2 * max(workers, 1)
    assert {line.split()[1] for line in parsed} == {"a.dcm", "b.dcm"}
    expected = torch.stack([preprocessing(index.root, row)[0] for row in index.rows])
    assert len(expected.unique(dim=0)) > 20
    assert torch.equal(cache.images(np.arange(24)), expected)


def scan_frames(root, syntax):
    """Two files of twelve frames, each with a rescale and a window of its own."""
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 1500, (2, 12, 10, 8)).astype(np.int16)
    for name, stored in zip(("a.dcm", "b.dcm"), pixels, strict=True):
        frames = [
            {
                "PixelValueTransformationSequence": items(
                    {"RescaleIntercept": -i, "RescaleSlope": 1, "RescaleType": "HU"}
                ),
                "FrameVOILUTSequence": items({"WindowCenter": 500 + i, "WindowWidth": 900}),
            }
            for i in range(12)
        ]
        plain = ExplicitVRLittleEndian if syntax == "RLE" else syntax
        path = write_dicom(
            root / name,
            stored,
            syntax=plain,
            PerFrameFunctionalGroupsSequence=items(*frames),
        )
        if syntax == "RLE":
            dataset = pydicom.dcmread(path)
            dataset.compress(RLELossless)
            dataset.save_as(path)
    return DicomIndex.scan(root, key="k", progress=False)


def test_a_file_that_is_open_still_gives_its_header_again_until_the_end(tmp_path):
    path = scan_frames(tmp_path / "scans", "RLE").root / "a.dcm"
    with LastFile() as file:
        header = file.header(path, path, False, DicomLimits())
        start = header.source.tell()
        header.source.seek(0)  # as a decoder that fails may do
        assert file.header(path, path, False, DicomLimits()) is header
        assert header.source.tell() == start
        with pytest.raises(DicomError, match="withheld"):
            file.header(path, "withheld", False, DicomLimits(samples=1))
        assert header.source.closed
        last = file.header(path, path, False, DicomLimits())
        assert last is not header
    assert last.source.closed


def test_after_a_bad_frame_the_others_of_its_file_are_read(tmp_path):
    index = scan_frames(tmp_path / "scans", "RLE")
    path = index.root / "a.dcm"
    dataset = pydicom.dcmread(path)
    bad = list(generate_frames(dataset.PixelData, number_of_frames=12))[4]
    path.write_bytes(path.read_bytes().replace(bad, b"\xff" * len(bad)))
    index = DicomIndex.scan(index.root, key="k", progress=False)
    preprocessing = Preprocessing((5, 4))
    with pytest.warns(UserWarning, match="1 of 24"):
        cache, rest = build_cache(
            index, preprocessing, tmp_path / "cache", dtype="float32", on_error="skip"
        )
    assert [row.frame for row in rest.rows] == [i for i in range(12) if i != 4] + list(range(12))
    for i, row in enumerate(rest.rows):
        assert torch.equal(cache.images(np.array([i]))[0], preprocessing(rest.root, row)[0])


def test_bad_files_are_the_same_with_workers(index, tmp_path):
    for name in ("patient 0/1.dcm", "patient 4/0.dcm"):
        (index.root / name).write_bytes(b"changed")
    messages = []
    for workers in (0, 2):
        with pytest.raises(CacheError) as caught:
            build_cache(index, PREPROCESSING, tmp_path / str(workers), workers=workers)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert content(tmp_path / "0") == content(tmp_path / "2")


def test_a_wrong_argument_is_raised_by_workers_too(index, tmp_path):
    with pytest.raises(ValueError, match="`window`"):
        build_cache(index, Preprocessing((16, 12), window=(400.0,)), tmp_path / "cache", workers=2)
    assert multiprocessing.active_children() == []


def unable_to_start(*args: object) -> None:
    os._exit(1)


def test_a_worker_that_cannot_start_is_no_bad_file(index, tmp_path, monkeypatch):
    monkeypatch.setattr("seattn.data.decoding._serve", unable_to_start)
    with pytest.raises(RuntimeError, match=r"exit code 1 .*__main__"):
        build_cache(index, PREPROCESSING, tmp_path / "cache", workers=2)


@pytest.fixture
def _interruptible():
    """What a terminal does; a shell starts its background commands deaf to interruptions."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interruption_ends_the_build_and_its_processes(index, tmp_path):
    hostile = Hostile((16, 12), window=WINDOW, path="patient 2/0.dcm", attack="interrupt")
    with pytest.raises(KeyboardInterrupt):
        build_cache(index, hostile, tmp_path / "cache", workers=2)
    assert multiprocessing.active_children() == []
    assert content(tmp_path / "cache") == {}


def build(index, preprocessing, folder, workers):
    """What a builder in another process does."""
    build_cache(index, preprocessing, folder, workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_build_leaves_no_cache_and_no_process(index, tmp_path, workers):
    folder = tmp_path / "cache"
    attack = "kill_parent" if workers else "die"
    hostile = Hostile((16, 12), window=WINDOW, path="patient 4/0.dcm", attack=attack)
    context = multiprocessing.get_context("fork")
    builder = context.Process(target=build, args=(index, hostile, folder, workers))
    builder.start()
    builder.join()
    assert builder.exitcode == -signal.SIGKILL
    (unfinished,) = folder.glob("*/.building-*")
    assert list(folder.glob("*/[!.]*")) == []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(_mentions(tmp_path)):
        time.sleep(0.05)
    assert list(_mentions(tmp_path)) == []
    mine = unfinished.with_name(unfinished.name.replace(f"-{builder.pid}-", f"-{os.getpid()}-"))
    mine.mkdir()
    build_cache(index, hostile, folder)  # in this process it does no harm
    assert not unfinished.exists()
    assert mine.exists()


def _mentions(folder):
    """Processes that have a file below a folder open."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(folder) in str(file.readlink()) for file in (process / "fd").iterdir()):
                yield process.name


def test_two_builders_at_once_make_one_cache(index, tmp_path):
    folder = tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    builders = [
        context.Process(target=build, args=(index, PREPROCESSING, folder, 0)) for _ in range(4)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0] * 4
    build_cache(index, PREPROCESSING, tmp_path / "alone")
    assert content(folder) == content(tmp_path / "alone")
    cache, _ = build_cache(index, PREPROCESSING, folder)
    cache.verify()


@pytest.mark.parametrize("world_size", [1, 3, 20])
def test_merged_shards_are_the_cache_of_one_process_byte_for_byte(
    index, tmp_path, world_size, monkeypatch
):
    alone, _ = build_cache(index, PREPROCESSING, tmp_path / "alone")
    seen = []
    for rank in reversed(range(world_size)):
        shard = take_shard(index, rank=rank, world_size=world_size)
        seen += [row.path for row in shard.rows]
        if len(shard):
            build_cache(shard, PREPROCESSING, tmp_path / "shards")
    assert sorted(seen) == [row.path for row in index.rows]
    monkeypatch.delattr("seattn.data.preprocess.read_image")  # merging reads no image
    merged, _ = build_cache(index, PREPROCESSING, tmp_path / "shards")
    assert merged.folder.name == alone.folder.name
    assert content(merged.folder) == content(alone.folder)


def build_shard(index, folder, rank):
    DicomDataset(take_shard(index, rank=rank, world_size=2), size=16, window=WINDOW, cache=folder)


def test_shards_are_built_by_processes_at_once_and_from_many_folders(index, tmp_path):
    context = multiprocessing.get_context("fork")
    builders = [
        context.Process(target=build_shard, args=(index, tmp_path / f"machine {rank}", rank))
        for rank in range(2)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
        assert builder.exitcode == 0
    for rank in range(2):
        shutil.copytree(tmp_path / f"machine {rank}", tmp_path / "all", dirs_exist_ok=True)
    alone = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path / "alone").batch(range(12))
    merged = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path / "all")
    merged.verify_cache()
    for one, other in zip(merged.batch(range(12)), alone, strict=True):
        assert (one == other).all()


def test_a_bad_file_in_a_shard_is_bad_in_the_whole(index, tmp_path):
    (index.root / "patient 2/0.dcm").write_bytes(b"changed")
    for rank in range(2):
        shard = take_shard(index, rank=rank, world_size=2)
        with contextlib.ExitStack() as stack:
            if rank == 0:
                stack.enter_context(pytest.warns(UserWarning, match="1 of 6"))
            build_cache(shard, PREPROCESSING, tmp_path / "cache", on_error="skip")
    with pytest.warns(UserWarning, match="1 of 12"):
        cache, rest = build_cache(index, PREPROCESSING, tmp_path / "cache", on_error="skip")
    assert len(cache) == len(rest) == 11


def test_impossible_shards_are_named(index):
    with pytest.raises(ValueError, match=r"`world_size` \(=0\)"):
        take_shard(index, rank=0, world_size=0)
    for rank in (-1, 3):
        with pytest.raises(ValueError, match=rf"`rank` \(={rank}\) must be (below|a whole)"):
            take_shard(index, rank=rank, world_size=3)
