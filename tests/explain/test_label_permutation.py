import json
import math
from collections import Counter

import pytest
import torch
from torch import nn

from seattn.explain import GradCAM, label_permutation_test, rank_correlation
from tests.explain.toys import discs_and_rings, train

IMAGES, _ = discs_and_rings(16, seed=1)
LABELS = discs_and_rings(256, seed=0)[1]


def edges(model, x):
    return x.diff(dim=-1).abs().squeeze(1)


def untrained(labels, seed):
    return nn.Conv2d(1, 1, 5)


def recorded(labels, **options):
    """What `train` was called with."""
    calls = []

    def record(given, seed):
        calls.append((given, seed, torch.initial_seed()))
        return nn.Identity()

    test = label_permutation_test(record, edges, IMAGES, labels, seed=3, **options)
    return test, calls


def test_grad_cam_of_networks_that_learnt_something_passes():
    test = label_permutation_test(
        train, lambda m, x: GradCAM(m, "8")(x, target=1), IMAGES, LABELS, seed=0
    )
    assert test.passed
    assert test.verdict.startswith("Passed: the maps depend on the labels (rank corr. 0.")
    assert test.difference[0] > 0.3
    assert test.true_labels.ssim.shape == test.permuted_labels.ssim.shape == (1, 16)


def test_maps_that_ignore_the_network_fail():
    test = label_permutation_test(untrained, edges, IMAGES, LABELS, seed=0)
    assert not test.passed
    assert test.verdict.startswith("Failed: the maps survive permuted labels (rank corr. 1.00")


def test_networks_that_ignore_the_labels_decide_nothing():
    test = label_permutation_test(
        untrained, lambda m, x: m(x).squeeze(1), IMAGES, LABELS, seed=0, repeats=4
    )
    assert test.difference[0] == 0  # the same seeds on both sides
    assert test.verdict.startswith("Undecided: another seed changes the maps as much")
    assert not test.passed


def test_blank_maps_do_not_pass():
    test = label_permutation_test(
        untrained, lambda m, x: torch.zeros(16, 32, 32), IMAGES, LABELS, seed=0
    )
    assert test.verdict.startswith("Failed: the maps of the network trained on the true labels")
    calls = iter(range(3))

    def third_blank(model, x):
        return x.squeeze(1) * (next(calls) < 2)

    test = label_permutation_test(untrained, third_blank, IMAGES, LABELS, seed=0)
    assert test.verdict.startswith("Undecided: more than half of the maps are blank")
    assert not test.passed


def test_both_kinds_of_labels_are_trained_with_the_same_other_seeds():
    test, calls = recorded(LABELS, repeats=2)
    assert [seed for _, seed, _ in calls] == [3, 4, 4, 5, 5]
    assert all(seed == state for _, seed, state in calls)
    true, permuted = [calls[i][0] for i in (0, 1, 3)], [calls[i][0] for i in (2, 4)]
    assert all(torch.equal(given, LABELS) for given in true)
    for given in permuted:
        assert torch.equal(given.sort().values, LABELS.sort().values)
        assert not torch.equal(given, LABELS)
        assert given.dtype == LABELS.dtype
    assert not torch.equal(*permuted)
    share = [(given == LABELS).double().mean().item() for given in permuted]
    assert test.kept == pytest.approx(sum(share) / 2)
    assert f"\n{test.kept:.0%} of the cases kept their label." in str(test)


def test_labels_are_exchanged_between_patients():
    patients = ["a", "a", "b", "c", "c", "c", "d", "e", "f", "g"] * 3
    by_patient = dict(zip("abcdefg", (0, 1, 2, 0, 1, 2, 2), strict=True))
    _, calls = recorded([by_patient[patient] for patient in patients], patients=patients)
    new = {patient: set() for patient in by_patient}
    for patient, label in zip(patients, calls[2][0].tolist(), strict=True):
        new[patient].add(label)
    assert all(len(labels) == 1 for labels in new.values())
    found = {patient: labels.pop() for patient, labels in new.items()}
    assert Counter(found.values()) == Counter(by_patient.values())
    assert found != by_patient


def test_the_interval_is_that_of_paired_differences():
    test = label_permutation_test(
        train_for_a_moment, lambda m, x: m(x).squeeze(1), IMAGES, LABELS, seed=0, repeats=2
    )
    true, permuted = test.true_labels.rank_correlation, test.permuted_labels.rank_correlation
    paired = [(true[:, i] - permuted[:, i]).mean().item() for i in range(16)]
    mean = sum(paired) / 16
    error = math.sqrt(sum((value - mean) ** 2 for value in paired) / 15 / 16)
    assert test.difference == pytest.approx((mean, mean - 1.96 * error, mean + 1.96 * error))


def test_images_with_blank_maps_are_left_out_of_the_interval():
    def two_blank(model, x):
        maps = model(x).squeeze(1)
        return torch.cat([maps[:14], torch.zeros_like(maps[14:])])

    whole, some = (
        label_permutation_test(train_for_a_moment, explain, images, LABELS, seed=0, repeats=2)
        for explain, images in (
            (lambda m, x: m(x).squeeze(1), IMAGES[:14]),
            (two_blank, IMAGES),
        )
    )
    assert some.difference == pytest.approx(whole.difference)


def train_for_a_moment(labels, seed):
    torch.manual_seed(seed + labels[:9].sum())
    return nn.Conv2d(1, 1, 5)


def test_maps_are_compared_with_those_of_the_first_network():
    models = []

    def keep(labels, seed):
        models.append(nn.Conv2d(1, 1, 5).train())
        return models[-1]

    test = label_permutation_test(
        keep, lambda m, x: m(x).squeeze(1), IMAGES, LABELS, seed=0, repeats=2
    )
    first, *others = (model(IMAGES).squeeze(1).detach() for model in models)
    expected = torch.stack([rank_correlation(first, other) for other in others])
    assert torch.equal(test.true_labels.rank_correlation, expected[::2])
    assert torch.equal(test.permuted_labels.rank_correlation, expected[1::2])
    assert not any(model.training for model in models)


def test_random_state_and_labels_are_left_alone():
    labels, state = LABELS.clone(), torch.get_rng_state()

    def spoil(given, seed):
        given.zero_()
        return untrained(given, seed)

    label_permutation_test(spoil, edges, IMAGES, labels, seed=0)
    assert torch.equal(labels, LABELS)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_works_where_gradients_are_off():
    with torch.inference_mode():
        test = label_permutation_test(
            lambda labels, seed: train(labels, seed, epochs=1), edges, IMAGES, LABELS, seed=0
        )
    assert test.kept < 1


def test_the_report_is_json():
    test, _ = recorded(LABELS)
    report = json.loads(json.dumps(test.to_dict(), allow_nan=False))
    assert report["difference"] == [0, 0, 0]
    assert report["permuted_labels"]["mean_ssim"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([1] * 9, {}, r"`labels` \(shape \(9,\)\) must be one for each case, and not all equal"),
        ([[0, 1]], {}, r"`labels` \(shape \(1, 2\)\)"),
        ([0, 1], {"repeats": 0}, r"`repeats` \(=0\) must be a whole number, 1 or more"),
        ([0, 1], {"patients": ["x"]}, r"`patients` \(length 1\) must be as long as `labels` \(=2"),
        ([0, 1], {"patients": ["x", "x"]}, "the cases of a patient have several labels"),
    ],
    ids=["one label", "shape", "repeats", "length", "mixed"],
)
def test_mistakes_are_named_without_the_patient(labels, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        recorded(labels, **options)
    assert "'x'" not in str(caught.value)
