"""The formulas of the family, against loops over images, channels and positions."""

import itertools

import pytest
import torch
from torch import nn

from seattn.explain import ClassActivationMap, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, tap

FAMILY = [GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM]


class Net(nn.Module):
    """The target's output is not negative, or signed."""

    def __init__(self, dims, signed=False):
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.last = nn.Sequential(conv(2, 4, 3, padding=1), nn.Identity() if signed else nn.ReLU())
        self.mix, self.fc = conv(4, 5, 3), nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(torch.tanh(self.mix(self.last(x))).flatten(2).mean(2))


def positions(a):
    return list(itertools.product(*map(range, a.shape[1:])))


def grad_cam(a, g):
    return [sum(g[k][p] for p in positions(a)) / len(positions(a)) for k in range(len(a))]


def grad_cam_plus_plus(a, g):
    """Equation 19 as it is printed, squares and cubes included."""
    weights = []
    for k in range(len(a)):
        total = sum(a[k][p] for p in positions(a))
        weight = 0.0
        for p in positions(a):
            square, cube = g[k][p] ** 2, g[k][p] ** 3
            alpha = square / (2 * square + total * cube) if square != 0 else 0.0
            weight = weight + alpha * max(g[k][p], 0)
        weights.append(weight)
    return weights


def reference(method, a, g):
    """The signed map of one image, (*grid)."""
    out = torch.zeros_like(a[0])
    for p in positions(a):
        for k in range(len(a)):
            if method is HiResCAM:
                out[p] += g[k][p] * a[k][p]
            if method is LayerCAM:
                out[p] += max(g[k][p], 0) * a[k][p]
    if method in (GradCAM, GradCAMPlusPlus):
        weights = (grad_cam if method is GradCAM else grad_cam_plus_plus)(a, g)
        out = sum(w * channel for w, channel in zip(weights, a, strict=True))
    return out


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_equals_the_formula(method, dims):
    net = Net(dims).double()
    x = torch.randn(2, 2, *(5, 4, 3)[:dims], dtype=torch.float64)
    result = method(net, "last").explain(x, target=[2, 0])
    with tap(net, "last") as t:
        output = net(x)
        (activation,), (gradient,) = t.grads(output[0, 2] + output[1, 0])
    assert torch.equal(result.activation, activation)
    torch.testing.assert_close(result.gradient, gradient, rtol=1e-14, atol=0)
    images = zip(activation, gradient, strict=True)
    wanted = torch.stack([reference(method, *image) for image in images])
    torch.testing.assert_close(result.raw, wanted, rtol=1e-12, atol=1e-15)
    assert result.maps.shape == (2, *x.shape[2:])
    torch.testing.assert_close(result.maps, wanted.clamp(min=0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", FAMILY)
def test_classes_layers_and_calls_are_those_of_grad_cam(method):
    net, x = Net(2), torch.randn(3, 2, 6, 5)
    singles = [method(net, "last")(x, target=k) for k in (1, 2)]
    assert torch.equal(method(net, net.last)(x, classes=[1, 2]), torch.stack(singles, 1))
    both = method(net, ["last.0", "last"])(x, target=1)
    assert torch.equal(both[1], singles[0])
    assert len({tuple(m(net, "last")(x, target=1).flatten().tolist()) for m in FAMILY}) == 4


def test_grad_cam_plus_plus_does_not_depend_on_tiny_squares():
    """A gradient whose square is 0 in float32 gives the weights of float64."""
    torch.manual_seed(0)
    net = Net(2)
    with torch.no_grad():
        net.fc.weight *= 1e-24
    x = torch.randn(1, 2, 6, 5)
    single = GradCAMPlusPlus(net, "last").explain(x, target=1)
    assert (single.gradient.square() == 0).all()
    double = GradCAMPlusPlus(net.double(), "last").explain(x.double(), target=1)
    assert double.raw.abs().max() > 0
    torch.testing.assert_close(single.raw.double(), double.raw, rtol=1e-4, atol=1e-29)


def test_grad_cam_plus_plus_holds_the_denominator_at_1():
    cam = GradCAMPlusPlus(Net(1, signed=True), "last")
    gradient = torch.tensor([[[2.0, 1.0]]])
    for total, alphas in [(0, (0.5, 0.5)), (-0.4, (1 / 1.2, 1 / 1.6)), (-1, (1, 1)), (-9, (1, 1))]:
        activation = torch.tensor([[[total - 1.0, 1.0]]])
        weight = 2 * alphas[0] + alphas[1]
        torch.testing.assert_close(
            cam.combine(activation, gradient), weight * activation[:, 0], rtol=1e-6, atol=0
        )


@pytest.mark.parametrize("method", FAMILY)
def test_a_zero_gradient_gives_a_blank_map(method):
    net, x = Net(2, signed=True), torch.randn(1, 2, 6, 5)
    nn.init.zeros_(net.fc.weight)
    assert torch.equal(method(net, "last")(x, target=1), torch.zeros(1, 6, 5))


def test_hires_cam_adds_up_to_the_score_of_a_linear_head():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).double()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    result = HiResCAM(net, "1").explain(x, target=2)
    torch.testing.assert_close(
        result.raw.sum((1, 2)) + net[3].bias[2], result.output[:, 2], rtol=1e-12, atol=0
    )
    other = GradCAM(net, "1").explain(x, target=2)
    assert not torch.allclose(other.raw.sum((1, 2)) + net[3].bias[2], result.output[:, 2])


def test_after_mean_pooling_and_one_linear_layer_hires_cam_is_grad_cam():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).double()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    maps = [method(net, "1")(x, target=0) for method in (GradCAM, HiResCAM)]
    torch.testing.assert_close(*maps, rtol=1e-12, atol=0)


def test_a_method_of_your_own():
    class Largest(ClassActivationMap):
        def combine(self, activation, gradient):
            return (activation * gradient).amax(1)

    net, x = Net(2), torch.randn(2, 2, 6, 5)
    result = Largest(net, "last").explain(x)
    assert torch.equal(result.raw, (result.activation * result.gradient).amax(1))
    with pytest.raises(TypeError, match="abstract"):
        ClassActivationMap(net, "last")
