"""A folder of every kind of file, and small saved networks."""

import csv
import json

import numpy as np
import pytest
import torch

import seattn
from seattn.data import make_ankle_phantom
from seattn.weights import save_model
from tests.data.files import write_dicom

SMALL = {
    "layers": (1, 1, 1, 1),
    "channels": (16, 16, 32, 32),
    "stem": "small",
    "zero_init_last": False,
}


def small_network(seed=0, **arguments):
    """A network with random weights and statistics, whose probabilities differ between images."""
    torch.manual_seed(seed)
    network = seattn.se_resnet18(**({"in_chans": 1, "num_classes": 2} | SMALL | arguments))
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    if arguments.get("num_classes") != 0:
        network.fc.weight.data.mul_(5)
    return network.eval()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "trained"
    save_model(small_network(), folder)
    return folder


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Phantoms of 4 patients, a file of 19 frames, files that cannot be used, and other files."""
    folder = tmp_path_factory.mktemp("scans") / "archive"
    make_ankle_phantom(folder, patients=4, variant="roi", progress=False)
    chance = np.random.default_rng(0)
    frames = chance.integers(0, 400, (19, 20, 24)).astype(np.int16)
    write_dicom(folder / "SYN-0002" / "many.dcm", frames)
    write_dicom(
        folder / "SYN-0003" / "colour.dcm",
        chance.integers(0, 256, (20, 24, 3), dtype=np.uint8),
        PhotometricInterpretation="RGB",
    )
    whole = (folder / "SYN-0001" / "axial.dcm").read_bytes()
    (folder / "SYN-0001" / "cut.dcm").write_bytes(whole[:-500])
    (folder / "SYN-0004" / "zz.dcm").write_text("no DICOM, though it says so")
    (folder / "notes.txt").write_text("no image")
    return folder


OPTIONS = {"size": 32, "window": (400, 1800), "batch": 4, "key": "a secret", "device": "cpu"}


def cut_to(out, length):
    """Leave the files as a killed run does: the first bytes, and no word of an end."""
    with out.open("rb+") as file:
        file.truncate(length)
    place = out.with_suffix(".json")
    place.write_text(json.dumps(json.loads(place.read_text()) | {"finished": False}))


def read(out):
    """The rows of a table."""
    with out.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
