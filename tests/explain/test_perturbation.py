import copy
import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from seattn.explain import GradCAM, centre_map, deletion_curve, insertion_curve
from tests.explain.toys import discs_and_rings, trained

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(3, 2, 20, 24, generator=GENERATOR, dtype=torch.float64)
MAPS = torch.rand(3, 20, 24, generator=GENERATOR, dtype=torch.float64)


def network(classes=3):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(4 * 18 * 22, classes),
    )
    return model.double()


def slow_curve(model, image, heat, target, steps, start, end):
    """One pixel after the other, one image at a time; the map has no ties."""
    model = copy.deepcopy(model).eval()
    flat = sorted(
        ((heat[i, j].item(), i, j) for i in range(heat.shape[0]) for j in range(heat.shape[1])),
        reverse=True,
    )
    image, scores, done = start.clone(), [], 0
    for step in range(steps + 1):
        while done < step * len(flat) // steps:
            _, i, j = flat[done]
            image[:, i, j] = end[:, i, j]
            done += 1
        scores.append(model(image[None]).softmax(1)[0, target].item())
    return scores


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_curves_equal_one_pixel_after_the_other(steps):
    model, targets = network(), [2, 0, 1]
    base = torch.rand(3, 2, 20, 24, generator=GENERATOR, dtype=torch.float64)
    options = {"target": targets, "baseline": base, "steps": steps, "batch_size": 5}
    deleted = deletion_curve(model, X, MAPS, **options)
    inserted = insertion_curve(model, X, MAPS, **options)
    for n, target in enumerate(targets):
        slow = slow_curve(model, X[n], MAPS[n], target, steps, X[n], base[n])
        assert deleted.scores[n].numpy() == pytest.approx(slow, abs=1e-12)
        slow = slow_curve(model, X[n], MAPS[n], target, steps, base[n], X[n])
        assert inserted.scores[n].numpy() == pytest.approx(slow, abs=1e-12)
    fractions = [step * 480 // steps / 480 for step in range(steps + 1)]
    assert deleted.fractions.tolist() == pytest.approx(fractions)


@pytest.mark.parametrize("steps", [6, 7])
def test_areas_are_trapezoids_over_the_share_of_pixels(steps):
    curve = deletion_curve(network(), X, MAPS, steps=steps)
    for area, scores in (
        (curve.area, curve.scores),
        (curve.random_area, curve.random_scores),
        (curve.centre_area, curve.centre_scores),
    ):
        expected = np.trapezoid(scores.numpy(), curve.fractions.numpy(), axis=1)
        assert area.numpy() == pytest.approx(expected)
    if steps == 6:  # where the steps are even it is the formula of the paper's authors
        s = curve.scores
        expected = (s.sum(1) - s[:, 0] / 2 - s[:, -1] / 2) / steps
        assert curve.area.numpy() == pytest.approx(expected.numpy())


def test_pixel_flipping_as_quantus_defines_it_is_the_same_curve_without_its_first_point():
    model = copy.deepcopy(network(2)).eval()
    x, heat, width = X[:, :1].expand(-1, 2, -1, -1), MAPS, 48
    order = np.argsort(-heat.flatten(1).numpy(), axis=1)
    flipped, values = x.clone().reshape(3, 2, -1), []
    for step in range(480 // width):
        for n in range(3):
            flipped[n, :, order[n, step * width : (step + 1) * width]] = 0.0
        values.append(model(flipped.reshape(x.shape)).softmax(1)[:, 1].detach())
    curve = deletion_curve(model, x, heat, target=1, steps=10)
    assert torch.allclose(curve.scores[:, 1:], torch.stack(values, 1), atol=1e-12)


@pytest.mark.parametrize("baseline", [0.25, "mean", "blur", torch.rand(2, 1, 1)])
def test_deleted_images_are_the_baseline(baseline):
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append(x.clone())
            return x.flatten(1)

    deletion_curve(Look(), X, MAPS, target=0, baseline=baseline, steps=1, batch_size=1)
    if baseline == "blur":
        expected = [
            np.stack([gaussian_filter(c, 2.0, mode="nearest", truncate=3) for c in image.numpy()])
            for image in X
        ]
    elif baseline == "mean":
        expected = X.mean((2, 3), keepdim=True).expand_as(X).numpy()
    else:
        expected = torch.as_tensor(baseline, dtype=X.dtype).expand_as(X).numpy()
    for n in range(3):
        assert torch.equal(seen[2 * n], X[n : n + 1])
        assert seen[2 * n + 1][0].numpy() == pytest.approx(expected[n], abs=1e-12)


def test_equal_values_go_in_a_random_order_of_the_seed():
    model = network()
    blank = torch.zeros_like(MAPS)
    curve = deletion_curve(model, X, blank, seed=1)
    assert torch.equal(curve.scores, curve.random_scores)
    other = deletion_curve(model, X, blank, seed=2)
    assert not torch.equal(other.scores[:, 1:-1], curve.scores[:, 1:-1])
    assert torch.equal(other.scores[:, [0, -1]], curve.scores[:, [0, -1]])
    two_levels = deletion_curve(model, X, (MAPS > 0.5).double(), steps=480, seed=1)
    counts = (MAPS > 0.5).flatten(1).sum(1)
    gone = torch.where((MAPS > 0.5)[:, None], 0.0, X)
    expected = copy.deepcopy(model).eval()(gone).softmax(1)
    first = two_levels.scores[:, 0]
    for n, count in enumerate(counts):
        target = copy.deepcopy(model).eval()(X).argmax(1)[n]
        assert two_levels.scores[n, count] == pytest.approx(expected[n, target].item(), abs=1e-12)
    assert (first == curve.scores[:, 0]).all()


def test_the_controls_are_a_random_order_and_the_centre_map():
    model = network()
    curve = insertion_curve(model, X, MAPS, seed=4)
    centre = insertion_curve(model, X, centre_map((20, 24)).expand(3, -1, -1), seed=4)
    assert torch.equal(curve.centre_scores, centre.scores)
    assert torch.equal(curve.random_scores, centre.random_scores)
    assert not torch.equal(curve.scores, curve.centre_scores)


def test_batches_do_not_matter():
    one, all_at_once = (
        deletion_curve(network(), X, MAPS, steps=9, batch_size=size) for size in (1, 1000)
    )
    assert torch.allclose(one.scores, all_at_once.scores, atol=1e-12)
    assert torch.allclose(one.centre_scores, all_at_once.centre_scores, atol=1e-12)


def test_targets():
    model = network()
    predicted = copy.deepcopy(model).eval()(X).argmax(1)
    by_default = deletion_curve(model, X, MAPS)
    assert torch.equal(by_default.scores, deletion_curve(model, X, MAPS, target=predicted).scores)
    one = deletion_curve(model, X, MAPS, target=1)
    assert torch.equal(one.scores, deletion_curve(model, X, MAPS, target=[1, 1, 1]).scores)
    by_hand = deletion_curve(model, X, MAPS, target=lambda output: output.softmax(1)[:, 1])
    assert torch.equal(one.scores, by_hand.scores)


def test_a_map_of_what_the_score_rests_on_beats_the_controls():
    images, labels = discs_and_rings(16, seed=1)
    rings = images[labels == 0]  # an image without a ring is a disc to the network
    maps = GradCAM(trained(), "8")(rings, target=0)
    for curve in (
        deletion_curve(trained(), rings, maps, target=0),
        insertion_curve(trained(), rings, maps, target=0, baseline="mean"),
    ):
        sign = -1 if curve.kind == "deletion" else 1
        assert (sign * (curve.area - curve.random_area)).mean() > 0.02
        assert (sign * (curve.area - curve.centre_area)).mean() > 0.02


def test_the_report_names_areas_and_gains():
    curve = deletion_curve(network(), X, MAPS, steps=4)
    lines = str(curve).splitlines()
    assert lines[0] == "deletion, area under the curve of 3 images; lower is better"
    assert lines[1] == f"map           {curve.area.mean():.3f}"
    gain = curve.random_area - curve.area
    half_width = 1.96 * gain.std() / 3**0.5
    share = (gain > 0).double().mean()
    assert lines[2] == (
        f"random order  {curve.random_area.mean():.3f}  the map is better by {gain.mean():.3f} ± "
        f"{half_width:.3f}, for {share:.0%} of the images"
    )
    assert lines[-1] == "mean ± half a 95 % interval, 1.96 standard errors"
    inserted = insertion_curve(network(), X[:1], MAPS[:1], steps=4)
    gain = (inserted.area - inserted.centre_area).item()
    assert f"better by {gain:.3f} ± nan" in str(inserted).splitlines()[3]
    report = json.loads(json.dumps(curve.to_dict()))
    assert report["area"] == curve.area.tolist()
    assert report["kind"] == "deletion"


def test_model_images_and_random_state_are_left_alone():
    model, x, maps = network(), X.clone(), MAPS.clone()
    model[3].eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    curve = deletion_curve(model, x, maps)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert [module.training for module in model] == [True, True, True, False, True, True]
    assert torch.equal(x, X)
    assert torch.equal(maps, MAPS)
    assert not curve.scores.requires_grad


def test_volumes_and_signals():
    for shape in ((9,), (5, 6, 7)):
        x, maps = torch.rand(2, 1, *shape), torch.rand(2, *shape)
        model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 2))
        curve = insertion_curve(model, x, maps, steps=3)
        expected = model(x).softmax(1).amax(1)
        assert torch.allclose(curve.scores[:, -1], expected.double(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"maps": MAPS[:, :-1]},
            r"`maps` \(shape \(3, 19, 24\)\) must be finite and .*\(3, 20, 24",
        ),
        ({"maps": MAPS / 0}, "must be finite"),
        ({"steps": 481}, r"`steps` \(=481\) must lie in 1..480"),
        ({"steps": 0}, r"`steps` \(=0\)"),
        ({"steps": 2.5}, r"`steps` \(=2.5\) must be a whole number, 1 or more"),
        ({"batch_size": 0}, r"`batch_size` \(=0\) must be a whole number, 1 or more"),
        ({"seed": -1}, r"`seed` \(=-1\) must be a whole number, 0 or more"),
        ({"baseline": float("nan")}, "`baseline` holds nan or infinity"),
        ({"baseline": torch.tensor([0, torch.inf]).reshape(2, 1, 1)}, "`baseline` holds nan or"),
        ({"baseline": "black"}, r"`baseline` \(='black'\) must be 'mean', 'blur'"),
        ({"baseline": torch.rand(3, 1, 1)}, r"`baseline` \(shape \(3, 1, 1\)\) must expand"),
        ({"target": 3}, r"`target` \(=3\) must lie in 0..2"),
        ({"target": -1}, r"`target` \(=-1\) must lie in 0..2"),
        ({"target": [0, 1]}, r"`target` \(length 2\) must be one class, or one for each of the 3"),
        ({"target": [[0, 1, 2]]}, r"`target` \(=\[\[0, 1, 2\]\]\) must be a class"),
        ({"target": lambda output: output}, "`target` must return one score for each of the 3"),
    ],
    ids=range(16),
)
@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
def test_mistakes_are_named(curve, options, message):
    arguments = {"maps": MAPS, "steps": 3, "batch_size": 3} | options
    with pytest.raises(ValueError, match=message):
        curve(network(), X, **arguments)


@pytest.mark.parametrize("target", [0.5, True, "1", [None, 1, 1]])
def test_classes_are_integers(target):
    with pytest.raises(TypeError, match=r"`target` \(=.*\) must hold class numbers"):
        deletion_curve(network(), X, MAPS, target=target)


def test_images_and_maps_are_tensors_of_one_image_or_more():
    with pytest.raises(TypeError, match=r"`maps` \(ndarray\) must be a tensor; `torch.from_numpy`"):
        deletion_curve(network(), X, MAPS.numpy())
    with pytest.raises(TypeError, match=r"`x` \(ndarray\) must be a tensor"):
        insertion_curve(network(), X.numpy(), MAPS)
    with pytest.raises(ValueError, match=r"`x` \(shape \(0, 2, 20, 24\)\) is empty"):
        deletion_curve(network(), X[:0], MAPS[:0])


def test_a_single_logit_needs_a_function():
    with pytest.raises(ValueError, match=r"returned \(3, 1\), .* `lambda logits: logits\[:, 0\]"):
        deletion_curve(network(1), X, MAPS)
    curve = deletion_curve(network(1), X, MAPS, target=lambda logits: logits[:, 0].sigmoid())
    assert curve.scores.shape == (3, 51)
