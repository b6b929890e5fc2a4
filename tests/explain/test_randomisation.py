import copy
import itertools
import json
import math

import pytest
import torch
from torch import nn

from seattn.explain import (
    GradCAM,
    centre_map,
    randomisation_test,
    randomised_copy,
    rank_correlation,
    structural_similarity,
)
from tests.explain.toys import discs_and_rings, trained

IMAGES, LABELS = discs_and_rings(20, seed=1)


def cam(model, x):
    return GradCAM(model, "8")(x, target=LABELS)


def edges(model, x):
    return x.diff(dim=-1).abs().squeeze(1)


class Backwards(nn.Module):
    """Its modules run in another order than they are listed in."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(4, 1, 1)
        self.norm = nn.BatchNorm2d(4)
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.scale = nn.Parameter(torch.rand(1))
        self.unused = nn.Linear(2, 2)
        self.norm.running_mean.normal_()
        nn.init.normal_(self.norm.weight)

    def forward(self, x):
        return self.head(self.norm(self.trunk(x * self.scale)))


def seen_states(model, **options):
    """The state dicts of the networks that `explain` was given, first the trained one."""
    states = []

    def explain(network, x):
        assert not any(module.training for module in network.modules())
        states.append(copy.deepcopy(network.state_dict()))
        return network(x).squeeze(1)

    test = randomisation_test(model, explain, torch.rand(3, 1, 14, 14), seed=5, draws=1, **options)
    return test, states


def test_grad_cam_of_a_trained_network_passes():
    test = randomisation_test(trained(), cam, IMAGES, seed=0)
    assert test.passed
    assert test.verdict.startswith("Passed: random weights leave maps like unrelated ones")
    assert list(test.steps) == ["11", "7", "6", "4", "3", "1", "0"]
    assert test.whole.rank_correlation.shape == (3, 20)
    assert test.whole.rank_correlation.nanmean() < 0.5
    assert test.used_network


@pytest.mark.parametrize(
    ("explain", "verdict"),
    [
        (edges, "Failed: the maps survive random weights"),
        (
            lambda model, x: centre_map((32, 32)).expand(20, -1, -1),
            "Failed: the maps survive random weights (|rank corr.| 1.00, SSIM 1.00; 95 % of "
            "unrelated pairs stay below 1.00 and 1.00). Maps of different images are alike, too",
        ),
        (lambda model, x: torch.ones(20, 32, 32), "Failed: the maps of the trained network are"),
        # Upside down is not unrelated.
        (lambda m, x: edges(m, x) * m[0].weight.mean().sign(), "Failed: the maps survive"),
        # A Grad-CAM that was made once, of the trained network.
        (lambda model, x: cam(trained(), x), "Failed: the maps survive random weights"),
    ],
    ids=["edges", "centre", "blank", "signs", "other network"],
)
def test_maps_that_ignore_the_weights_fail(explain, verdict):
    test = randomisation_test(trained(), explain, IMAGES, seed=1)
    assert not test.passed
    assert test.verdict.startswith(verdict)
    assert test.verdict.endswith("`explain` did not run the network it got.")


def test_a_map_that_keeps_some_of_the_image_is_partly():
    def mixed(model, x):
        return cam(model, x) / cam(model, x).amax((1, 2), keepdim=True) + 0.15 * x.squeeze(1)

    test = randomisation_test(trained(), mixed, IMAGES, seed=0)
    assert test.verdict.startswith("Partly: random weights change the maps, but")
    assert not test.passed


def test_mostly_blank_maps_decide_nothing():
    original = trained()[0].weight

    def blank_when_random(model, x):
        maps = x.squeeze(1).clone()
        if not torch.equal(model[0].weight, original):
            maps[:11] = 0
        return maps

    test = randomisation_test(trained(), blank_when_random, IMAGES, seed=0)
    assert test.verdict.startswith("Undecided: with random weights, 55% of the maps are blank")
    assert not test.passed
    assert test.whole.to_dict()["undefined"] == 33
    assert "33 of 60" in str(test)


def test_the_cascade_goes_from_the_head_to_the_input_and_keeps_what_it_changed():
    model = Backwards()
    test, (first, *states, whole) = seen_states(model)
    assert list(test.steps) == ["head", "norm", "trunk.0", "(root)"]
    random = randomised_copy(model, 5).state_dict()
    changed = set()
    for step, state in zip(("head.", "norm.", "trunk.0.", ""), states, strict=True):
        changed |= {name for name in state if name.startswith(step)}
        for name, value in state.items():
            expected = random if name in changed else model.state_dict()
            assert torch.equal(value, expected[name]), (step, name)
    assert (states[1]["norm.running_mean"] == 0).all()
    for name, value in model.state_dict().items():
        assert torch.equal(first[name], value)
        assert torch.equal(whole[name], random[name])
    assert torch.equal(test.steps["(root)"].ssim, test.whole.ssim)


def test_independent_steps_change_one_module_each():
    model = Backwards()
    test, (_, *states, _) = seen_states(model, order="independent")
    random = randomised_copy(model, 5).state_dict()
    for step, state in zip(("head.", "norm.", "trunk.0."), states, strict=False):
        for name, value in state.items():
            expected = random if name.startswith(step) else model.state_dict()
            assert torch.equal(value, expected[name]), (step, name)
    assert "only norm" in str(test)


def test_named_modules_are_changed_whole_in_the_order_of_the_network():
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), nn.ReLU(), nn.Conv2d(2, 1, 1)
    )
    test, (_, _, last, _) = seen_states(model, modules=["0", "2"])
    assert list(test.steps) == ["2", "0"]
    random = randomised_copy(model, 5).state_dict()
    assert all(torch.equal(last[name], random[name]) for name in random)


def test_the_whole_network_is_randomised_where_modules_are_named():
    model = Backwards()
    test, (_, head, whole) = seen_states(model, modules=["head"])
    random = randomised_copy(model, 5).state_dict()
    assert torch.equal(head["norm.weight"], model.norm.weight)
    assert all(torch.equal(whole[name], random[name]) for name in random)
    assert list(test.steps) == ["head"]
    assert list(seen_states(model, modules="head")[0].steps) == ["head"]  # one name, not letters


def test_a_shared_module_is_one_step_at_its_last_run_by_either_name():
    shared = nn.Conv2d(1, 1, 1, bias=False)
    model = nn.Sequential(shared, nn.Conv2d(1, 1, 3), shared, nn.BatchNorm2d(1, affine=False))
    assert list(seen_states(model)[0].steps) == ["3", "2", "1"]
    for name in ("0", "2"):
        assert list(seen_states(model, modules=[name])[0].steps) == [name]


def test_a_module_that_runs_twice_counts_by_its_last_run():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.often = nn.Conv2d(1, 1, 1)
            self.once = nn.Conv2d(1, 1, 3)

        def forward(self, x):
            return self.often(self.once(self.often(x)))

    assert list(seen_states(Twice())[0].steps) == ["often", "once"]


def test_buffers_count_where_the_module_can_reset_them():
    class Plus(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("value", torch.ones(1))

        def forward(self, x):
            return x + self.value

    class Learnt(Plus):
        def reset_parameters(self):
            self.value.zero_()

    model = nn.Sequential(nn.Conv2d(1, 1, 1), Plus(), Learnt())
    test, (_, first, *_) = seen_states(model)
    assert list(test.steps) == ["2", "0"]
    assert first["2.value"] == 0


def test_shared_weights_change_once_and_unrun_modules_with_those_around_them():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(14, 14, bias=False)
            self.attention = nn.MultiheadAttention(14, 2, batch_first=True)
            self.second = nn.Linear(14, 14, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x):
            x = self.first(x.squeeze(1))
            x, _ = self.attention(x, x, x, need_weights=True)
            return self.second(x).unsqueeze(1)

    test, (_, *states, _) = seen_states(Attention())
    assert list(test.steps) == ["second", "attention"]
    assert not torch.equal(
        states[0]["attention.out_proj.weight"], states[1]["attention.out_proj.weight"]
    )
    assert torch.equal(states[0]["first.weight"], states[1]["first.weight"])


def test_similarities_are_those_of_maps_made_anew():
    test = randomisation_test(trained(), cam, IMAGES, seed=7, draws=2)
    original = cam(copy.deepcopy(trained()).eval(), IMAGES)
    for draw in range(2):
        maps = cam(randomised_copy(trained(), 7 + draw).eval(), IMAGES)
        for found, measure in (
            (test.whole.rank_correlation, rank_correlation),
            (test.whole.ssim, structural_similarity),
        ):
            assert torch.equal(found[draw].nan_to_num(9), measure(original, maps).nan_to_num(9))


def test_unrelated_pairs_are_of_different_images():
    few = randomisation_test(trained(), edges, IMAGES[:4], seed=0, draws=1)
    maps = edges(None, IMAGES)
    pairs = list(itertools.combinations(range(4), 2))
    expected = [rank_correlation(maps[[i]], maps[[j]]).item() for i, j in pairs]
    assert sorted(few.unrelated.rank_correlation.tolist()) == sorted(expected)
    many = randomisation_test(trained(), edges, IMAGES, seed=0, draws=1)
    assert many.unrelated.ssim.shape == (50,)
    assert (many.unrelated.ssim < 0.9).all()
    low, high = many.limits
    assert (many.unrelated.rank_correlation.abs() <= low).sum() == 47
    assert (many.unrelated.ssim <= high).sum() == 47


def test_each_call_of_explain_finds_one_random_state():
    drawn = []

    def explain(model, x):
        drawn.append(torch.rand(1).item())
        return model(x).squeeze(1)

    model, x = Backwards(), torch.rand(2, 1, 14, 14)
    state = torch.get_rng_state()
    randomisation_test(model, explain, x, seed=0)
    assert len(set(drawn)) == 1
    assert len(drawn) == 1 + 3 * 5
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(0)
    assert drawn[0] == torch.rand(1).item()  # whatever the state was outside


def test_the_model_is_left_alone():
    model = Backwards()
    model.norm.eval()
    model.trunk[0].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    flags = [module.training for module in model.modules()]
    test, _ = seen_states(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert [module.training for module in model.modules()] == flags
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert not test.whole.ssim.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_on_for_explain(mode):
    def gradient(model, x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(model(x).sum(), x)[0].squeeze(1)

    with mode():
        randomisation_test(Backwards(), gradient, torch.rand(2, 1, 14, 14), seed=0)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_the_report_is_json_and_a_table():
    test = randomisation_test(
        trained(), lambda m, x: torch.ones(20, 32, 32), IMAGES, seed=0, modules=["11"], draws=1
    )
    report = json.loads(json.dumps(test.to_dict(), allow_nan=False))
    assert report["steps"]["11"]["rank_correlation"] == [[None] * 20]
    assert report["whole"]["undefined"] == 20
    assert report["passed"] is False
    test = randomisation_test(trained(), edges, IMAGES, seed=0, modules=["11"], draws=1)
    lines = str(test).splitlines()
    assert lines[0] == test.verdict
    assert lines[2].split() == ["rank", "corr.", "|rank", "corr.|", "SSIM", "undefined"]
    assert lines[3].startswith("from the head to 11       1.00 ± 0.00   1.00 ")
    assert lines[-2].startswith("maps of different images")
    assert lines[-1] == "mean ± standard deviation over the pairs of maps"
    assert math.isclose(test.to_dict()["steps"]["11"]["mean_ssim"], 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "random"}, r"`order` \(='random'\) must be 'cascade' or 'independent'"),
        ({"draws": 0}, r"`draws` \(=0\) must be a whole number, 1 or more"),
        ({"draws": 1.5}, r"`draws` \(=1.5\) must be a whole number"),
        ({"seed": "a"}, r"`seed` \(='a'\) must be a whole number, 0 or more"),
        ({"modules": []}, "`modules` is empty; name at least one, or give None for all"),
        ({"modules": "haed"}, "`modules` 'haed' not found"),
        ({"modules": ["haed"]}, "`modules` 'haed' not found; did you mean 'head'"),
        ({"modules": ["unused"]}, "`modules` 'unused' did not run"),
        ({"modules": ["trunk.1"]}, "`modules` 'trunk.1' has no weights"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        randomisation_test(Backwards(), edges, torch.rand(2, 1, 14, 14), **{"seed": 0, **options})


def test_too_few_images_and_wrong_maps_are_named():
    with pytest.raises(ValueError, match="`x` holds 1 image; unrelated maps need at least 2"):
        randomisation_test(Backwards(), edges, torch.rand(1, 1, 14, 14), seed=0)
    for maps, error, message in (
        (torch.rand(3, 14, 14), ValueError, r"\(3, 14, 14\); .* each of the 2 images"),
        (torch.rand(2), ValueError, r"\(2,\); .* each of the 2 images"),
        (torch.rand(2, 1, 14, 14), ValueError, r"maps of \(1, 14, 14\); .* by `squeeze\(1\)`"),
        (torch.rand(2, 5, 5), ValueError, r"maps of \(5, 5\); .* 11 or more.* interpolate them"),
        (torch.rand(2, 14, 14).numpy(), TypeError, "ndarray; .*`torch.from_numpy`"),
    ):
        with pytest.raises(error, match=f"`explain` returned {message}"):
            randomisation_test(
                Backwards(), lambda m, x, maps=maps: maps, torch.rand(2, 1, 14, 14), seed=0
            )
