"""`predict_folder` beside a slow obvious loop, and what its rows and refusals say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import RLELossless

from seattn.data import DicomIndex, ScanError, read_dicom
from seattn.predict import classifier, predict_folder
from seattn.pretrained import get_pretrained_cfg, input_transform
from seattn.weights import load_model, save_model
from tests.data.files import write_dicom
from tests.predict.conftest import OPTIONS, cut_to, read, small_network


def predict(scans, model, out, **options):
    return predict_folder(scans, model=model, out=out, **(OPTIONS | options))


def slow(path, frame, network, transform=None):
    """One image at a time, as the dataset makes it."""
    image = read_dicom(path, window=(400, 1800), frame=frame).pixels[None]
    image = F.interpolate(image, [32, 32], mode="bilinear", antialias=True)
    image = image.expand(-1, network.config["in_chans"], -1, -1)
    with torch.inference_mode():
        logits = network(image if transform is None else transform(image))
    return logits[0].double()


def images(scans):
    """Path and frame of all that can be classified, in the order of the table."""
    index = DicomIndex.scan(scans, key=OPTIONS["key"], on_error="skip", progress=False)
    return [row for row in index.rows if not row.path.endswith("colour.dcm")]


def test_probabilities_are_those_of_a_slow_loop(scans, model, tmp_path):
    summary = predict(scans, model, tmp_path / "p.csv")
    network = load_model(model)
    rows = [row for row in read(tmp_path / "p.csv") if not row["error"]]
    expected = images(scans)
    assert len(expected) == 12 + 19 == summary.images
    assert [(r["path"], int(r["frame"])) for r in rows] == [(r.path, r.frame) for r in expected]
    found = np.array([[float(r["probability:0"]), float(r["probability:1"])] for r in rows])
    slowly = [slow(scans / r.path, r.frame, network).softmax(0).numpy() for r in expected]
    np.testing.assert_allclose(found, slowly, rtol=1e-6, atol=0)
    assert np.ptp(found[:, 1]) > 0.01
    assert [r["predicted"] for r in rows] == [str(p.argmax()) for p in slowly]


def test_pseudonyms_are_those_of_an_index_with_the_same_key(scans, model, tmp_path):
    predict(scans, model, tmp_path / "p.csv")
    rows = [row for row in read(tmp_path / "p.csv") if not row["error"]]
    expected = [(row.patient, row.series) for row in images(scans)]
    assert [(row["patient"], row["series"]) for row in rows] == expected


def test_files_that_cannot_be_used_have_a_row_and_what_is_no_image_has_none(scans, model, tmp_path):
    summary = predict(scans, model, tmp_path / "p.csv")
    rows = read(tmp_path / "p.csv")
    failed = {row["path"]: row for row in rows if row["error"]}
    assert {path: row["error"].split(":")[0] for path, row in failed.items()} == {
        "SYN-0001/cut.dcm": "DecodeError",
        "SYN-0003/colour.dcm": "DicomError",
        "SYN-0004/zz.dcm": "NotDicomError",
    }
    assert failed["SYN-0003/colour.dcm"]["error"] == (
        "DicomError: channels: 3 channels, where the network takes 1"
    )
    assert {row["probability:1"] + row["predicted"] for row in failed.values()} == {""}
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    files = sum(path.is_file() for path in scans.rglob("*"))
    assert (summary.failed, summary.skipped, summary.files) == (3, files - 16, files)
    assert str(summary).startswith(f"{files} files in ")


def test_a_bad_frame_costs_no_other_frame(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 99, (12, 10, 8)).astype(np.uint8)
    path = write_dicom(tmp_path / "a.dcm", pixels)
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    bad = list(generate_frames(dataset.PixelData, number_of_frames=12))[4]
    path.write_bytes(path.read_bytes().replace(bad, b"\xff" * len(bad)))
    predict(tmp_path, model, tmp_path / "p.csv")
    rows = read(tmp_path / "p.csv")
    assert [row["frame"] for row in rows] == [str(i) for i in range(12)]
    assert [i for i in range(12) if rows[i]["error"]] == [4]


def test_one_logit_is_that_of_the_second_class(scans, tmp_path):
    save_model(small_network(num_classes=1), tmp_path / "m")
    options = {"classes": ["healthy", "fracture"], "threshold": 0.0}
    predict(scans, tmp_path / "m", tmp_path / "p.csv", **options)
    rows = [row for row in read(tmp_path / "p.csv") if not row["error"]]
    network = load_model(tmp_path / "m")
    expected = [slow(scans / r.path, r.frame, network).sigmoid().item() for r in images(scans)]
    found = np.array([float(row["probability:fracture"]) for row in rows])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)
    healthy = np.array([float(row["probability:healthy"]) for row in rows])
    np.testing.assert_allclose(healthy + found, 1, rtol=1e-12)
    assert {row["predicted"] for row in rows} == {"fracture"}
    assert json.loads((tmp_path / "p.json").read_text())["settings"]["activation"] == "sigmoid"


def test_the_threshold_itself_is_positive(scans, model, tmp_path):
    predict(scans, model, tmp_path / "p.csv")
    scores = sorted({float(r["probability:1"]) for r in read(tmp_path / "p.csv") if not r["error"]})
    predict(scans, model, tmp_path / "q.csv", threshold=scores[5])
    rows = [row for row in read(tmp_path / "q.csv") if not row["error"]]
    positive = {float(row["probability:1"]) for row in rows if row["predicted"] == "1"}
    assert positive == set(scores[5:])


def test_of_three_classes_the_most_probable_is_predicted(scans, tmp_path):
    save_model(small_network(num_classes=3), tmp_path / "m")
    predict(scans, tmp_path / "m", tmp_path / "p.csv", classes=["a", "b", "c"])
    for row in read(tmp_path / "p.csv"):
        if not row["error"]:
            scores = {name: float(row[f"probability:{name}"]) for name in "abc"}
            assert row["predicted"] == max(scores, key=scores.get)
            assert sum(scores.values()) == pytest.approx(1)


def test_grey_is_repeated_for_a_network_that_takes_colour_and_colour_is_taken(scans, tmp_path):
    save_model(small_network(in_chans=3), tmp_path / "m")
    predict(scans, tmp_path / "m", tmp_path / "p.csv", units="window", window=None)
    rows = {(r["path"], r["frame"]): r for r in read(tmp_path / "p.csv")}
    network = load_model(tmp_path / "m")
    for path in ("SYN-0003/colour.dcm", "SYN-0003/axial.dcm"):
        image = read_dicom(scans / path).pixels[None]
        image = F.interpolate(image, [32, 32], mode="bilinear", antialias=True)
        with torch.inference_mode():
            expected = network(image.expand(-1, 3, -1, -1)).double().softmax(1)[0, 1].item()
        assert float(rows[path, "0"]["probability:1"]) == pytest.approx(expected, rel=1e-6)


def test_a_network_that_began_with_pretrained_weights_needs_to_be_told_of_its_images(
    scans, tmp_path
):
    network = small_network()
    network.pretrained_cfg = get_pretrained_cfg("se_resnet50", "a3_in1k")
    save_model(network, tmp_path / "m")
    with pytest.raises(ValueError, match="`input_transform` must be said"):
        predict(scans, tmp_path / "m", tmp_path / "p.csv")
    predict(scans, tmp_path / "m", tmp_path / "p.csv", input_transform=True)
    rows = [row for row in read(tmp_path / "p.csv") if not row["error"]]
    transform = input_transform(network.pretrained_cfg, 1)
    for i in (0, 7, 30):
        row = images(scans)[i]
        expected = slow(scans / row.path, row.frame, network, transform).softmax(0)[1].item()
        assert float(rows[i]["probability:1"]) == pytest.approx(expected, rel=1e-6)
    predict(scans, tmp_path / "m", tmp_path / "q.csv", input_transform=False)
    assert rows[0]["probability:1"] != read(tmp_path / "q.csv")[0]["probability:1"]


def test_bfloat16_is_near_and_is_another_run(scans, model, tmp_path):
    predict(scans, model, tmp_path / "p.csv")
    predict(scans, model, tmp_path / "q.csv", precision="bf16")
    pairs = [
        (float(a["probability:1"]), float(b["probability:1"]))
        for a, b in zip(read(tmp_path / "p.csv"), read(tmp_path / "q.csv"), strict=True)
        if not a["error"]
    ]
    exact, near = np.array(pairs).T
    assert 0 < np.abs(exact - near).max() < 0.02
    with pytest.raises(ValueError, match="`precision` was 'fp32', now 'bf16'"):
        predict(scans, model, tmp_path / "p.csv", precision="bf16")


def test_a_fused_network_gives_the_same_up_to_rounding_and_is_another_run(
    scans, model, tmp_path, monkeypatch
):
    copies = []
    fuse = classifier.fuse_for_inference

    def noted(network, **options):
        copies.append(fuse(network, **options))
        return copies[-1]

    monkeypatch.setattr(classifier, "fuse_for_inference", noted)
    predict(scans, model, tmp_path / "p.csv")
    assert not copies
    predict(scans, model, tmp_path / "q.csv", fused=True)
    assert copies[0].report.folded
    for plain, fused in zip(read(tmp_path / "p.csv"), read(tmp_path / "q.csv"), strict=True):
        assert (plain["path"], plain["error"]) == (fused["path"], fused["error"])
        if not plain["error"]:
            expected = pytest.approx(float(plain["probability:1"]), rel=1e-5)
            assert float(fused["probability:1"]) == expected
    with pytest.raises(ValueError, match="`fused` was False, now True"):
        predict(scans, model, tmp_path / "p.csv", fused=True)


def test_preprocessing_is_written_beside_the_table(scans, model, tmp_path):
    predict(scans, model, tmp_path / "p.csv", redact_paths=True)
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["finished"]
    chosen = {"size": [32, 32], "window": [400, 1800], "units": "window", "bone_mask": False}
    assert content["settings"].items() >= chosen.items()
    assert content["settings"].items() >= {"classes": ["0", "1"], "threshold": 0.5}.items()


SECRETS = ("SYN-000", "Marker^Name", "axial", "many.dcm", "1.2.3")


def test_no_value_of_a_header_gets_out_and_no_path_where_paths_are_redacted(
    scans, model, tmp_path, capfd, caplog
):
    shutil.copytree(scans, tmp_path / "scans")
    for name, marker in (("named.dcm", "Smith^Anna"), ("cut.dcm", "Smith^Anna")):
        path = write_dicom(
            tmp_path / "scans" / name,
            np.zeros((8, 8), np.int16),
            PatientName=marker,
            PatientID="SYN-0009",
            PatientBirthDate="1970-13-01",
            RescaleSlope="SYN-0009" if name == "cut.dcm" else "1",
        )
    path.write_bytes(path.read_bytes()[:-10])
    summary = predict(tmp_path / "scans", model, tmp_path / "p.csv", redact_paths=True)
    out, err = capfd.readouterr()
    said = (tmp_path / "p.csv").read_text() + (tmp_path / "p.json").read_text()
    said += out + err + caplog.text + str(summary)
    assert [secret for secret in (*SECRETS, "Smith", "1970-13") if secret in said] == []
    predict(tmp_path / "scans", model, tmp_path / "q.csv")
    said = (tmp_path / "q.csv").read_text()
    assert "Smith" not in said
    assert "SYN-0009" not in said
    names = [row["path"] for row in read(tmp_path / "p.csv")]
    assert len(set(names)) == len({row["path"] for row in read(tmp_path / "q.csv")})
    # They are in the same order, and a run with hidden paths goes on all the same.
    again = tmp_path / "p.csv"
    whole = again.read_bytes()
    cut_to(again, len(whole) // 2)
    predict(tmp_path / "scans", model, again, redact_paths=True)
    assert again.read_bytes() == whole


@pytest.mark.skipif(not Path("/proc").exists(), reason="file names of a POSIX system")
def test_any_file_name_is_one_line_and_is_found_again(model, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    names = [b"a,b", b"line\nend", b"\xff\xfe", "é".encode(), b'"quoted"']
    for name in names:
        write_dicom(tmp_path / "x", np.eye(8, dtype=np.int16))
        shutil.move(tmp_path / "x", bytes(scans) + b"/" + name)
    out = tmp_path / "p.csv"
    predict(scans, model, out, batch=1)
    whole = out.read_bytes()
    assert whole.count(b"\n") == 6
    assert {row["path"] for row in read(out)} == {
        "a,b", "line\\nend", "\\udcff\\udcfe", "é", '"quoted"',
    }  # fmt: skip
    for line in range(1, 7):
        cut_to(out, len(b"\n".join(whole.split(b"\n")[:line])) + 1)
        assert predict(scans, model, out, batch=1).images == 6 - line
        assert out.read_bytes() == whole


def test_real_images_are_classified(real_images, model, tmp_path):
    folder = real_images / "vhf_ankle"
    summary = predict(folder, model, tmp_path / "p.csv")
    files = sorted(folder.glob("*.dcm"))
    assert (summary.images, summary.failed) == (len(files), 0)
    network = load_model(model)
    rows = read(tmp_path / "p.csv")
    for i in (0, len(files) // 2):
        expected = slow(files[i], 0, network).softmax(0)[1].item()
        assert float(rows[i]["probability:1"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "`batch` "),
        ({"workers": -1}, "`workers` "),
        ({"size": 0}, "`size` "),
        ({"window": (400, 0)}, "`window` "),
        ({"threshold": 1.5}, r"`threshold` \(=1.5\) must be a probability"),
        ({"classes": ["one"]}, "`classes` .* must be 2 different names"),
        ({"classes": ["same", "same"]}, "`classes` .* must be 2 different names"),
        ({"classes": "ab"}, "`classes` .* must be 2 different names"),
        ({"precision": "fp8"}, r"`precision` \(='fp8'\) must be one of"),
        ({"input_transform": True}, "has no `pretrained_cfg`"),
        ({"key": ""}, "`key` has 0 bytes"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(scans, model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        predict(scans, model, tmp_path / "p.csv", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_threshold_is_not_for_three_classes(scans, tmp_path):
    save_model(small_network(num_classes=3), tmp_path / "m")
    with pytest.raises(ValueError, match=r"`threshold` \(=0.5\) is for two classes"):
        predict(scans, tmp_path / "m", tmp_path / "p.csv", threshold=0.5)


@pytest.mark.parametrize("arguments", [{"spatial_dims": 3}, {"num_classes": 0}])
def test_a_network_that_does_not_classify_images_is_refused(scans, tmp_path, arguments):
    save_model(small_network(**arguments), tmp_path / "m")
    with pytest.raises(ValueError, match="must classify images"):
        predict(scans, tmp_path / "m", tmp_path / "p.csv")


def test_the_folder_and_the_name_of_the_table_are_checked(scans, model, tmp_path):
    with pytest.raises(ValueError, match=r"`folder` .* is not a folder"):
        predict(tmp_path / "nothing", model, tmp_path / "p.csv")
    with pytest.raises(ValueError, match=r"`out` .* must end in '.csv'"):
        predict(scans, model, tmp_path / "p.json")


def test_a_folder_that_cannot_be_listed_is_an_error(scans, model, tmp_path, monkeypatch):
    import os

    def walk(root, onerror):
        onerror(PermissionError(13, "Permission denied", str(root / "Smith^Anna")))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(ScanError, match=r"Smith\^Anna: open: Permission denied"):
        predict(scans, model, tmp_path / "p.csv")
    with pytest.raises(ScanError, match=r"^\(path withheld\): open: Permission denied"):
        predict(scans, model, tmp_path / "p.csv", redact_paths=True)
