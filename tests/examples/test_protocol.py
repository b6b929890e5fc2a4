"""The two protocols: their counts, their fields, and that one code path follows either."""

import dataclasses
import json
import math
import re
import types

import numpy as np
import pytest
import torch

from examples.ankle_fracture import study
from examples.ankle_fracture.config import PRESETS, departures, leaves_out
from examples.ankle_fracture.decision import decide, levels
from examples.ankle_fracture.evaluation import evaluate
from examples.ankle_fracture.items import Items, items_of
from examples.ankle_fracture.protocol import Protocol, assumed, choices
from examples.ankle_fracture.training import class_weights, kept
from seattn.data import (
    DicomDataset,
    DicomIndex,
    RandomAffine,
    RandomContrast,
    RandomFlip,
    RandomNoise,
    augment,
    split_by_patient,
)
from seattn.data.index import IndexRow
from seattn.data.sample import Sample
from seattn.metrics import by_patient, sensitivity

VIEWS = ("axial", "coronal", "sagittal")


@pytest.fixture(scope="module")
def papers_parts(tmp_path_factory):
    """The paper's 987 images as an index alone: 329 patients, 85 fractured, three views each."""
    fractured = set(np.random.default_rng(0).permutation(329)[:85].tolist())
    rows = [
        IndexRow(f"{p}{view}", 0, f"p{p}", "", "", view, 512, 512, 9, 0, int(p in fractured))
        for p in range(329)
        for view in VIEWS
    ]
    index = DicomIndex(tmp_path_factory.mktemp("none"), tuple(rows), (), ("normal", "fracture"))
    parts = split_by_patient(index, *Protocol.paper().fractions, seed=0)
    return dict(zip(("train", "val", "test"), map(DicomDataset, parts), strict=True))


def test_the_papers_counts(papers_parts):
    parts = papers_parts.values()
    patients = [{row.patient: row.label for row in part.index.rows} for part in parts]
    assert [len(part) for part in parts] == [591, 198, 198]
    assert [len(each) for each in patients] == [197, 66, 66]
    assert [sum(each.values()) for each in patients] == [51, 17, 17]
    items = items_of(papers_parts, Protocol.paper(), seed=0)
    assert [len(part) for part in items.values()] == [2364, 792, 792]
    sound = items_of(papers_parts, Protocol.sound(), seed=0)
    assert [len(part) for part in sound.values()] == [591, 198, 198]
    assert [part.training for part in sound.values()] == [True, False, False]
    for part in (items, sound):  # the items of a patient are in one part
        who = [set(each.patients) for each in part.values()]
        assert len(set.union(*who)) == sum(map(len, who)) == 329


def test_the_papers_steps(papers_parts):
    """74 batches of 32 make an epoch, 1480 make the training."""
    protocol = Protocol.paper()
    train = items_of(papers_parts, protocol, seed=0)["train"]
    steps = math.ceil(len(train) / protocol.batch_size)
    assert (steps, steps * protocol.epochs) == (74, 1480)


def test_paper_is_what_the_paper_says():
    paper = Protocol.paper()
    stated = {
        "fractions": (0.6, 0.2, 0.2),
        "size": 224,
        "bone_mask": True,
        "copies": 3,
        "epochs": 20,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "patience": 5,
        "cam_targets": ("predicted",),
    }
    assert {name: getattr(paper, name) for name in stated} == stated
    assert paper.noise > 0
    assert PRESETS["paper"].models == ("se_resnet50", "resnet50", "efficientnet_b5")
    assert not departures(PRESETS["paper"])
    assert not departures(PRESETS["sound"])


def test_the_protocols_differ_in_fields_alone():
    paper, sound = Protocol.paper(), Protocol.sound()
    assert type(paper) is type(sound)
    differing = {f.name for f in choices() if getattr(paper, f.name) != getattr(sound, f.name)}
    assert differing == {
        "window", "bone_mask", "noise_on", "copies", "online", "flips", "class_weights",
        "checkpoint", "calibrate", "operating_points", "patient_level", "inference",
        "cam_targets", "seeds",
    }  # fmt: skip
    assert sound.seeds >= 5
    assert all(f.metadata["about"] for f in choices())
    marked = {f.name for f in choices() if assumed(f)}
    assert {"noise", "rotation", "scaling", "contrast", "checkpoint", "operating_points"} <= marked
    assert not marked & {"fractions", "epochs", "batch_size", "patience"}


def test_departures_from_the_protocol_are_printed():
    quick = PRESETS["quick"]
    assert departures(quick) == {
        "size": (64, 224), "epochs": (40, 20), "patience": (20, 5), "seeds": (1, 5)
    }  # fmt: skip
    lines = "\n".join(leaves_out(quick))
    assert "`size`: 64 here, 224 there" in lines
    assert "se_resnet50, resnet50, efficientnet_b5" in lines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"copies": 3}, "`copies` (=3) are made once and `online` makes them anew"),
        ({"noise_on": "val"}, "`noise_on` (='val') must be 'all' or 'train'"),
        ({"checkpoint": "first"}, "`checkpoint` (='first') must be 'last' or 'best'"),
        ({"class_weights": "some"}, "`class_weights` (='some') must be 'none' or 'balanced'"),
        ({"seeds": 0}, "`seeds` (=0) must be 1 or more"),
    ],
)
def test_impossible_protocols_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Protocol(**changes)


class Pictures:
    """Stands for a dataset: random images with masks."""

    def __init__(self, number):
        generator = torch.Generator().manual_seed(7)
        self.images = torch.rand(number, 1, 16, 16, generator=generator)
        self.index = types.SimpleNamespace(
            rows=[types.SimpleNamespace(label=k % 2, patient=f"p{k // 3}") for k in range(number)]
        )

    def __len__(self):
        return len(self.images)

    def batch(self, positions):
        rows = torch.from_numpy(np.asarray(positions))
        mask = (self.images[rows] > 0.5).to(torch.uint8)
        return Sample(self.images[rows], rows % 2, mask, rows)


def every(items, epoch=0):
    batches = list(items.batches(5, epoch=epoch))
    return Sample(*(torch.cat(field) for field in zip(*batches, strict=True)))


def test_copies_are_one_original_and_three_variants_of_it():
    paper, pictures = Protocol.paper(), Pictures(4)
    for training in (True, False):
        found = every(Items(pictures, paper, training, seed=3))
        base = augment(pictures.batch(range(4)), [RandomNoise(0.01)], seed=3, epoch=0)
        changes = [RandomFlip(0, 0), RandomAffine(15, 0.1), RandomContrast(0.2)]
        assert torch.equal(found.row, torch.arange(4).repeat_interleave(4))
        assert torch.equal(found.image[0::4], base.image)
        for version in (1, 2, 3):
            expected = augment(base, changes, seed=3, epoch=version)
            assert torch.equal(found.image[version::4], expected.image)
            assert torch.equal(found.mask[version::4], expected.mask)
        assert torch.equal(found.image, every(Items(pictures, paper, training, 3), 5).image)


def test_the_sound_protocol_augments_training_images_anew_and_no_others():
    sound, pictures = Protocol.sound(), Pictures(6)
    held_out = Items(pictures, sound, training=False, seed=0)
    assert torch.equal(every(held_out).image, pictures.images)
    train = Items(pictures, sound, training=True, seed=0)
    first, second = every(train, 0), every(train, 1)
    for number in range(6):
        assert not torch.equal(first.image[number], pictures.images[number])
        assert not torch.equal(first.image[number], second.image[number])
    assert torch.equal(every(train, 1).image, second.image)


def test_batches_are_shuffled_by_seed_and_epoch():
    train = Items(Pictures(7), Protocol.sound(), training=True, seed=0)
    orders = [
        torch.cat([b.row for b in train.batches(3, epoch=epoch, shuffle=True)]).tolist()
        for epoch in (0, 1, 0)
    ]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == list(range(7))
    assert [len(b.row) for b in train.batches(3, shuffle=True, drop_last=True)] == [3, 3]


def test_class_weights_give_each_class_the_same_weight_in_all():
    items = Items(Pictures(6), Protocol.sound(), training=True, seed=0)
    for row, label in zip(items.dataset.index.rows, (0, 0, 0, 0, 1, 1), strict=True):
        row.label = label
    weight = class_weights(Protocol.sound(), items)
    assert weight.tolist() == pytest.approx([0.75, 1.5])
    assert class_weights(Protocol.paper(), items).tolist() == [1, 1]


def test_the_kept_epoch():
    curves = [types.SimpleNamespace(val_loss=loss) for loss in (3.0, 1.0, 1.0, 2.0)]
    assert kept(Protocol.paper(), curves) is curves[3]
    assert kept(Protocol.sound(), curves) is curves[1]


@pytest.fixture
def two_parts():
    """Validation and test items of 60 patients each, with logits that know something."""
    generator = torch.Generator().manual_seed(1)
    parts = []
    for name in ("val", "test"):
        pictures = Pictures(180)
        for number, row in enumerate(pictures.index.rows):
            row.patient, row.label = f"{name}{number // 3}", int(number // 3 < 15)
        items = Items(pictures, Protocol.sound(), training=False, seed=0)
        truth = torch.tensor(items.labels).float()
        logits = torch.randn(180, 2, generator=generator) * 2
        parts.append((items, logits + torch.stack([-truth, truth], 1) * 1.5))
    return parts


def test_thresholds_and_calibration_come_from_validation(two_parts):
    (val, val_logits), (test, test_logits) = two_parts
    sound = Protocol.sound()
    decision = decide(val_logits, val, sound, weight=torch.tensor([0.6, 2.0]))
    assert decision.calibrator.fitted_on == "validation"
    assert decision.calibrator.n_patients == 60
    scores = decision.probabilities(val_logits)
    # Youden's threshold by the slow way, over every score.
    truth = np.array(val.labels)
    best = max(
        sorted(scores[:, 1].tolist(), reverse=True),
        key=lambda t: (
            (scores[:, 1].numpy() >= t)[truth == 1].mean()
            - (scores[:, 1].numpy() >= t)[truth == 0].mean()
        ),
    )
    assert decision.points["image"]["youden"].threshold == best
    cases = levels(scores, val, sound)["patient"]
    point = decision.points["patient"]["sensitivity >= 0.95"]
    assert sensitivity(y_true=cases.y_true, y_pred=point.apply(cases.y_score[:, 1])) >= 0.95
    found = evaluate(
        decision.probabilities(test_logits), test, decision, sound, ("normal", "fracture")
    )
    assert list(found) == ["image", "patient"]
    assert list(found["image"].reports) == ["youden", "sensitivity >= 0.95"]
    assert found["image"].main.threshold == best
    assert (found["image"].main.n, found["image"].main.n_patients) == (180, 60)
    assert found["patient"].main.n == 60
    expected = by_patient(
        y_true=test.labels,
        y_score=decision.probabilities(test_logits)[:, 1],
        patients=test.patients,
    )
    assert found["patient"].cases.y_score[:, 1] == pytest.approx(expected.y_score)
    assert found["image"].main["roc_auc"].method == "clustered DeLong, logit, t"


def test_the_paper_decides_nothing_on_validation(two_parts):
    (val, val_logits), (test, test_logits) = two_parts
    paper = Protocol.paper()
    decision = decide(val_logits, val, paper, weight=torch.ones(2))
    assert decision.calibrator is None
    assert decision.points == {"image": {"0.5": 0.5}}
    scores = decision.probabilities(test_logits)
    assert torch.equal(scores, test_logits.double().softmax(1))
    found = evaluate(scores, test, decision, paper, ("normal", "fracture"))
    report = found["image"].main
    assert (list(found), report.threshold) == (["image"], 0.5)
    assert math.isnan(report["roc_auc"].low)
    assert report["roc_auc"].reason == "the protocol gives no intervals"


def test_weighted_training_is_corrected_to_the_share_of_each_class(two_parts):
    """By the definition: the weighted loss is least where softmax is proportional to w_k p_k."""
    (val, val_logits), _ = two_parts
    protocol = dataclasses.replace(Protocol.sound(), calibrate=False)
    truth = torch.tensor([0.9, 0.1], dtype=torch.float64)
    weight = torch.tensor([0.5, 4.0])
    learnt = (weight.double() * truth).log() + 3
    decision = decide(val_logits, val, protocol, weight=weight)
    assert decision.probabilities(learnt[None])[0].tolist() == pytest.approx(truth.tolist())


def test_patients_of_validation_may_not_be_tested(two_parts):
    (val, logits), _ = two_parts
    decision = decide(logits, val, Protocol.sound(), weight=torch.ones(2))
    scores = decision.probabilities(logits)
    with pytest.raises(ValueError, match="60 patients of the test items took part"):
        evaluate(scores, val, decision, Protocol.sound(), ("normal", "fracture"))


def test_three_classes_take_a_temperature_and_no_threshold(two_parts):
    (val, _), (test, _) = two_parts
    for items in (val, test):
        for number, row in enumerate(items.dataset.index.rows):
            row.label = number // 3 % 3
    generator = torch.Generator().manual_seed(2)
    one_hot = torch.nn.functional.one_hot(torch.tensor(val.labels), 3)
    logits = torch.randn(180, 3, generator=generator) * 2 + one_hot
    decision = decide(logits, val, Protocol.sound(), weight=torch.ones(3))
    assert (decision.calibrator.method, decision.points) == ("temperature", {})
    found = evaluate(
        decision.probabilities(logits), test, decision, Protocol.sound(), ("none", "A", "B")
    )
    assert list(found) == ["image", "patient"]
    assert list(found["patient"].reports) == ["highest probability"]
    assert found["patient"].main.support == (20, 20, 20)


def test_logits_no_better_than_chance_stay_uncalibrated(two_parts):
    (val, logits), _ = two_parts
    decision = decide(-logits, val, Protocol.sound(), weight=torch.ones(2))
    assert decision.calibrator is None
    assert "would turn the order of the cases round" in decision.not_calibrated
    assert torch.equal(decision.probabilities(logits), logits.double().softmax(1))


@pytest.fixture(scope="module")
def papers_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    config = dataclasses.replace(
        PRESETS["quick-paper"], patients=24, epochs=2, models=("se_resnet_small",), size=32
    )
    study.run(config, folder)
    return folder


def test_the_papers_protocol_runs_to_its_report(papers_run):
    facts = json.loads((papers_run / "report.json").read_text())
    assert facts["items"] == {"train": 168, "val": 60, "test": 60}
    found = facts["models"]["se_resnet_small"]
    assert (found["test"]["n"], found["test"]["threshold"], found["best_epoch"]) == (60, 0.5, 2)
    assert list(found["levels"]) == ["image"]
    assert list(found["grad_cam"]) == ["predicted"]
    assert (facts["comparisons"], facts["repetitions"]) == ([], [])
    assert (papers_run / "seed0" / "se_resnet_small" / "last.safetensors").exists()
    page = (papers_run / "report.html").read_text()
    assert "assumed, the paper does not state: the threshold" in page
    assert facts["split_hash"] in page
    lines = (papers_run / "predictions.csv").read_text().splitlines()
    assert len(lines) == 121
    assert lines[0].startswith("seed,part,path,frame,version,patient,view,label,")
