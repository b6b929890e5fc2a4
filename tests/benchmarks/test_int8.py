"""The benchmark of int8 on a tiny folder, and its rows against numbers worked out by hand."""

import csv
import json
import sys

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import seattn
from benchmarks import int8
from benchmarks.int8 import FORMS, compare, quantise
from seattn.metrics import choose_threshold
from seattn.weights import save_model

pytestmark = pytest.mark.filterwarnings("ignore:.*treespec.*is deprecated:FutureWarning")

IMPLANT = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Noise, with a bright square where the label is 1."""
    root = tmp_path_factory.mktemp("radiographs")
    (root / "images").mkdir()
    random, rows = np.random.default_rng(0), []
    for number in range(24):
        label, name = number % 2, f"images/IMG{number:07d}.png"
        pixels = random.integers(0, 90, (40, 40), np.uint8)
        pixels[5:25, 5:25] += 150 * np.uint8(label)
        Image.fromarray(pixels).save(root / name)
        split = ("train", "val", "test")[number // 8]
        rows.append((name, label, f"b{number // 2}", split, int(number == IMPLANT), ""))
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "split", "hardware", "mask"))
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return seattn.se_resnet50(
        layers=(1, 1, 1, 1), channels=(16, 16, 32, 32), in_chans=1, num_classes=2
    ).eval()


def test_a_row_holds_every_form_beside_float32_and_the_times(
    folder, network, tmp_path, monkeypatch, capsys
):
    forms = [
        form
        for form in FORMS
        if form.images == 8 or form.name in ("int8, not fused", "int8, signed activations")
    ]
    monkeypatch.setattr(int8, "FORMS", forms)
    graphs, calibration = [], []

    def watched(graph, images, form, file):
        graphs.append(graph.stem)
        calibration.append(images)
        quantise(graph, images, form, file)

    monkeypatch.setattr(int8, "quantise", watched)
    save_model(network, tmp_path / "network")
    record = tmp_path / "rows.jsonl"
    command = ["int8", str(folder), "--network", str(tmp_path / "network"), "--name", "small"]
    monkeypatch.setattr(
        sys, "argv", [*command, "--size", "64", "--rounds", "2", "--record", str(record)]
    )
    int8.main()
    (row,) = [json.loads(line) for line in record.read_text().splitlines()]
    assert (row["case"], row["fractured"]["test"]) == ("small, 64 pixels", 4)
    assert row["images"] == {"train": 8, "val": 8, "test": 8}  # with the implant
    found = {form["name"]: form for form in row["forms"]}
    assert list(found) == [
        "torch", "float32, not fused", "float32, fused", *(form.name for form in forms)
    ]  # fmt: skip
    assert found["torch"]["largest_difference"] == 0
    assert found["torch"]["roc_auc_difference"] == [0, None, None]
    assert 0 < found["float32, fused"]["largest_difference"] < 1e-5
    for form in forms:
        assert 1e-5 < found[form.name]["largest_difference"] < 0.1
        assert found[form.name]["bytes"] < 0.6 * found["float32, fused"]["bytes"]
    timed = {form.name for form in forms if form.timed}
    for batch in ("1", "8"):
        times = row["cpu_seconds"][batch]
        assert times.keys() == timed | {
            "torch", "torch, fused", "float32, not fused", "float32, fused"
        }  # fmt: skip
        assert all(len(values) == 2 and min(values) > 0 for values in times.values())
    assert "IMG" not in record.read_text()

    parts = int8.read_radiographs(folder, size=64, implants=True)
    point = choose_threshold(
        y_true=parts["val"].labels, y_score=int8.probabilities(network, parts["val"])
    )
    assert row["threshold"] == pytest.approx(point.threshold, abs=1e-6)
    train = {image.tobytes() for image in parts["train"].batch(range(8)).image.numpy()}
    assert {len(images) for images in calibration} == {8}
    assert {image.tobytes() for images in calibration for image in images.numpy()} == train
    assert graphs == ["fused" if form.fused else "not fused" for form in forms]


def test_a_network_is_trained_where_there_is_none_and_loaded_the_next_time(
    folder, tmp_path, monkeypatch, network
):
    parts = int8.read_radiographs(folder, size=64, implants=True)
    monkeypatch.setattr(int8.seattn, "se_resnet50", lambda **options: network)
    first = int8.network_in(tmp_path / "new", parts, epochs=1)
    monkeypatch.setattr(int8, "fit", None)
    again = int8.network_in(tmp_path / "new", parts, epochs=1)
    images = parts["test"].batch(range(2)).image
    torch.testing.assert_close(first(images), again(images), rtol=0, atol=0)
    assert not again.training


def test_differences_are_those_worked_out_by_hand():
    y_true = np.array([0, 0, 1, 1, 0, 1])
    exact = np.array([0.1, 0.6, 0.7, 0.9, 0.2, 0.65])
    ours = np.array([0.1, 0.68, 0.7, 0.9, 0.2, 0.55])
    point = choose_threshold(y_true=y_true, y_score=exact)  # 0.65
    found = compare(y_true, ours, exact, point, tuple("abcdef"))
    assert found["largest_difference"] == pytest.approx(0.1)
    assert found["mean_difference"] == pytest.approx(0.03)
    assert found["labels_changed"] == 2
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert (found["sensitivity"], found["specificity"]) == pytest.approx((2 / 3, 2 / 3))
    assert found["roc_auc"][0] == pytest.approx(8 / 9)
    assert found["roc_auc_difference"][0] == pytest.approx(-1 / 9)


@pytest.mark.parametrize(
    ("name", "activations", "per_channel"),
    [
        ("int8", onnx.TensorProto.UINT8, True),
        ("int8, signed activations", onnx.TensorProto.INT8, True),
        ("int8, one scale a tensor", onnx.TensorProto.UINT8, False),
    ],
)
def test_weights_are_int8_and_the_rest_as_the_form_says(
    network, tmp_path, name, activations, per_channel
):
    torch.manual_seed(1)
    images = torch.rand(4, 1, 64, 64)
    int8.export(network, images[:2], tmp_path / "graph.onnx")
    (form,) = [form for form in FORMS if form.name == name]
    quantise(tmp_path / "graph.onnx", images, form, tmp_path / "int8.onnx")
    graph = onnx.load(tmp_path / "int8.onnx").graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert {stored[node.input[2]].data_type for node in nodes} == {activations}
    weights = [
        node
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in stored
        and len(stored[node.input[0]].dims) == 4
    ]
    assert {stored[node.input[0]].data_type for node in weights} == {onnx.TensorProto.INT8}
    for node in weights:
        weight, scale = (stored[name] for name in node.input[:2])
        assert list(scale.dims) == ([weight.dims[0]] if per_channel else [])
