"""Files and what they hold."""

import argparse
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seattn.weights import load_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def assert_loads_file(path) -> None:
    state, net = torch.load(path.with_name("state"), weights_only=True), network()
    report = load_weights(net, path)
    assert report.file == str(path)
    assert str(path) in str(report)
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key])


@pytest.fixture
def state(tmp_path) -> dict[str, Tensor]:
    state = network().state_dict()
    torch.save(state, tmp_path / "state")
    return state


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin", "weights"])
def test_safetensors_files_are_known_by_their_content(name, state, tmp_path):
    save_file(state, tmp_path / name)
    assert_loads_file(tmp_path / name)


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights"])
@pytest.mark.parametrize("as_zip", [True, False])
def test_torch_files_are_known_by_their_content(name, as_zip, state, tmp_path):
    torch.save({"state_dict": state}, tmp_path / name, _use_new_zipfile_serialization=as_zip)
    assert_loads_file(tmp_path / name)


def test_a_path_may_be_a_string(state, tmp_path):
    load_weights(network(), str(tmp_path / "state"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.pth"):
        load_weights(network(), tmp_path / "absent.pth")


def test_a_folder_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder.*`load_model`"):
        load_weights(network(), tmp_path)


def test_a_git_lfs_pointer_is_named_as_such(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (tmp_path / "weights.pth").write_text(pointer)
    with pytest.raises(ValueError, match=r"weights.pth.*is a Git LFS pointer.*git lfs pull"):
        load_weights(network(), tmp_path / "weights.pth")


class Planted:
    """Unpickling it would leave a file behind."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (self.path.touch, ())


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_pickled_network_is_refused_and_nothing_unpickled(as_zip, tmp_path):
    for content in (network(), {"state_dict": {}, "args": argparse.Namespace(lr=1)}):
        torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=as_zip)
        with pytest.raises(ValueError, match=r"net.pth.*more than tensors.*weights_only=False"):
            load_weights(network(), tmp_path / "net.pth")
    torch.save(Planted(tmp_path / "run"), tmp_path / "net.pth")
    with pytest.raises(ValueError, match="more than tensors"):
        load_weights(network(), tmp_path / "net.pth")
    assert not (tmp_path / "run").exists()


def test_a_torchscript_program_is_named_as_such(state, tmp_path):
    traced = torch.jit.trace(torch.nn.ReLU(), torch.ones(1))
    torch.jit.save(traced, tmp_path / "model.ts")
    with pytest.raises(ValueError, match=r"model.ts.*is a TorchScript program.*torch.jit.load"):
        load_weights(network(), tmp_path / "model.ts")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>", b"\x00" * 80])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.pth.*neither a safetensors nor a torch file"):
        load_weights(network(), tmp_path / "weights.pth")


@pytest.mark.parametrize("kind", ["safetensors", "zip", "pickle"])
def test_half_a_file_is_refused(kind, state, tmp_path):
    if kind == "safetensors":
        save_file(state, tmp_path / "weights")
    else:
        torch.save(state, tmp_path / "weights", _use_new_zipfile_serialization=kind == "zip")
    content = (tmp_path / "weights").read_bytes()
    (tmp_path / "weights").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="not a complete one"):
        load_weights(network(), tmp_path / "weights")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({}, ValueError, "no tensors, but nothing"),
        ({"state_dict": {}, "epoch": 3}, ValueError, "no tensors, but 'state_dict', 'epoch'"),
        ([torch.ones(1)], TypeError, "a list"),
        (torch.ones(1), TypeError, "a Tensor"),
    ],
)
def test_content_without_named_tensors_is_refused(content, error, message, tmp_path):
    with pytest.raises(error, match=re.escape(message)):
        load_weights(network(), content)
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(error, match=re.escape(message)):
        load_weights(network(), tmp_path / "weights.pth")


def test_entries_that_are_no_tensors_are_ignored_and_reported(state):
    report = load_weights(network(), dict(state) | {"version": 3, 0: torch.ones(1)})
    assert report.ignored == dict.fromkeys(("version", "0"), "is beside the weights")


def test_importing_weights_imports_no_safetensors():
    program = "import seattn.weights, sys; print('safetensors' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout == "False\n"
