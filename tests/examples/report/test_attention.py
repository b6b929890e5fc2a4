"""Gates and activations are those of the network, and permutations keep patients together."""

import itertools
import math
import re

import numpy as np
import pytest
import torch

import seattn
from examples.ankle_fracture.attention import DRAWS, activations, last_blocks, record, separation
from examples.ankle_fracture.report import attention
from seattn.attention import GateStatistics


@pytest.fixture(scope="module")
def network(findings):
    return findings.first.results["se_resnet_small"].network


def hand_hooked(network, images):
    """Input and output of every SE block, and its gates from its own weights."""
    seen = {}
    handles = [
        module.register_forward_hook(
            lambda m, args, out, name=name: seen.update({name: (args[0], out)})
        )
        for name, module in network.named_modules()
        if name.endswith(".se") and list(module.children())
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return seen


def test_gates_are_those_of_the_blocks(findings, network):
    test = findings.first.cohort.test
    found = record(network, test)
    seen = hand_hooked(network, test.batch(range(len(test))).image)
    assert list(found) == list(seen)
    for name, (entered, _) in seen.items():
        block = network.get_submodule(name)
        hidden = torch.relu(
            block.fc1.weight[:, :, 0, 0] @ entered.mean((2, 3)).T + block.fc1.bias[:, None]
        )
        by_hand = torch.sigmoid(block.fc2.weight[:, :, 0, 0] @ hidden + block.fc2.bias[:, None]).T
        torch.testing.assert_close(found[name], by_hand, rtol=0, atol=1e-5)
        torch.testing.assert_close(found[name], block.gate(entered)[:, :, 0, 0], rtol=0, atol=1e-5)
    assert not network.training


def test_recording_keeps_the_mode(findings, network):
    network.train()
    try:
        before = {name: value.clone() for name, value in network.state_dict().items()}
        record(network, findings.first.cohort.test)
        assert network.training
        assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())
    finally:
        network.eval()


@pytest.mark.parametrize("deep", [False, True])
def test_activation_maps_are_those_of_a_hand_written_hook(findings, network, deep):
    images = findings.first.cohort.test.batch([0, 1, 2]).image
    if deep:
        torch.manual_seed(0)
        network = seattn.efficientnet_b0(num_classes=2, in_chans=1).eval()
    seen = hand_hooked(network, images)
    blocks = last_blocks(seen)
    found = activations(network, blocks, images)
    assert list(found) == blocks
    for name in blocks:
        entered, left = seen[name]
        torch.testing.assert_close(found[name].before, entered.abs().mean(1), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found[name].after, left.abs().mean(1), rtol=1e-5, atol=1e-7)


def test_the_last_block_of_each_stage_is_shown():
    network = seattn.se_resnet50(num_classes=2)
    names = [n for n, m in network.named_modules() if hasattr(type(m), "gate")]
    assert last_blocks(names) == ["layer1.2.se", "layer2.3.se", "layer3.5.se", "layer4.2.se"]


def test_separation_is_the_eta_squared_of_the_library():
    gates = torch.rand(30, 7, generator=torch.manual_seed(0))
    labels = [0, 1, 2] * 10
    statistics = GateStatistics()
    statistics.update({"block": gates}, labels)
    found = separation(gates, labels, [str(i) for i in range(30)], seed=0)
    assert found.eta_squared == pytest.approx(statistics.summary()["block"].eta_squared)
    assert found.permuted == pytest.approx(statistics.summary()["block"].chance, rel=0.1)


def eta_squared(gates, labels):
    gates, labels = gates.double().numpy(), np.array(labels)
    centre = gates.mean(0)
    between = sum(
        (labels == k).sum() * ((gates[labels == k].mean(0) - centre) ** 2).sum()
        for k in set(labels)
    )
    return between / ((gates - centre) ** 2).sum()


def test_permutations_move_the_images_of_a_patient_together():
    """Against all 20 ways to label three of six patients, two images each."""
    patients = torch.rand(6, 4, generator=torch.manual_seed(1))
    gates = patients.repeat_interleave(2, 0)
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    groups = [f"p{i // 2}" for i in range(12)]
    every = [
        eta_squared(gates, [int(i // 2 in ones) for i in range(12)])
        for ones in itertools.combinations(range(6), 3)
    ]
    found = separation(gates, labels, groups, seed=0)
    own = eta_squared(gates, labels)
    assert found.eta_squared == pytest.approx(own)
    error = np.std(every) / math.sqrt(DRAWS)
    assert found.permuted == pytest.approx(np.mean(every), abs=4 * error)
    share = np.mean([value >= own - 1e-12 for value in every])
    assert found.p_value == pytest.approx(share, abs=4 * math.sqrt(share / DRAWS))
    assert any(found.permuted_95 == pytest.approx(value) for value in every)


def test_gates_that_tell_the_classes_apart_have_the_least_p_value():
    labels = [0, 1] * 20
    gates = torch.tensor(labels)[:, None].float().expand(40, 3)
    found = separation(gates, labels, [str(i) for i in range(40)], seed=0)
    assert (found.eta_squared, found.p_value) == (1.0, 1 / (1 + DRAWS))
    still = separation(torch.ones(40, 3), labels, [str(i) for i in range(40)], seed=0)
    assert math.isnan(still.eta_squared)


def test_the_part_has_a_table_and_figures_and_a_sentence_where_there_is_no_gate(findings):
    found = attention.part(findings)
    page = re.sub(r"base64,[^\"]+", "", "".join(found.body))
    assert "Small ResNet has no gates" in page
    assert page.count("<figure>") == 2
    assert list(found.facts["attention"]) == ["se_resnet_small"]
    facts = found.facts["attention"]["se_resnet_small"]
    assert list(facts["blocks"]) == [f"layer{i}.0.se" for i in (1, 2, 3, 4)]
    for name, block in facts["blocks"].items():
        assert name in page
        assert math.isnan(block.eta_squared) or f"<td>{block.permuted_95:.3f}</td>" in page


def test_shown_numbers_are_those_of_the_maps(findings, network):
    cohort = findings.first.cohort
    facts = attention.part(findings).facts["attention"]["se_resnet_small"]
    labels = cohort.labels("test")
    shown = [fact["test_image"] for fact in facts["activations"]["layer1.0.se"]]
    fractures, normals = ([i for i, k in enumerate(labels) if k == c] for c in (1, 0))
    assert shown == [fractures[0], normals[0], fractures[1]]
    seen = hand_hooked(network, cohort.test.batch(shown).image)
    for name, rows in facts["activations"].items():
        for number, row in enumerate(rows):
            before, after = (each[number].abs().mean(0) for each in seen[name])
            assert row["mean_before"] == pytest.approx(float(before.mean()), rel=1e-4)
            assert row["mean_after"] == pytest.approx(float(after.mean()), rel=1e-4)
            assert row["lowest_ratio"] == pytest.approx(float((after / before).min()), rel=1e-3)
            assert row["highest_ratio"] == pytest.approx(float((after / before).max()), rel=1e-3)
    gates = record(network, cohort.test)["layer4.0.se"]
    mean = facts["by_class"]["layer4.0.se"]["mean_gates"]["fracture"]
    torch.testing.assert_close(mean, gates[torch.tensor(labels) == 1].double().mean(0))
