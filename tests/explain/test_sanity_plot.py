import io
import subprocess
import sys

import pytest
import torch
from torch import nn

from seattn.explain import (
    label_permutation_test,
    plot_label_permutation,
    plot_randomisation,
    randomisation_test,
)

X = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def maps(model, x):
    return model(x).squeeze(1)


def randomisation(**options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 3))
    return randomisation_test(model, maps, X, seed=0, draws=2, **options)


def permutation():
    def train(labels, seed):
        torch.manual_seed(seed + int((labels * torch.arange(20)).sum()))
        return nn.Conv2d(1, 1, 3)

    return label_permutation_test(train, maps, X, [0, 1] * 10, seed=0, repeats=2)


def lines(ax):
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.get_lines()]


def check_band(ax, values):
    (band,) = ax.patches
    low, high = values.quantile(0.05).item(), values.quantile(0.95).item()
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((low, high))
    (dashed,) = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    assert list(dashed.get_ydata()) == pytest.approx([values.mean().item()] * 2)


def test_steps_are_drawn_over_the_band_of_unrelated_maps():
    test = randomisation()
    figure = plot_randomisation(test)
    for ax, measure in zip(figure.axes, ("rank_correlation", "ssim"), strict=True):
        check_band(ax, getattr(test.unrelated, measure))
        *points, means = lines(ax)[1:]
        rows = [*test.steps.values(), test.whole]
        for position, (row, drawn) in enumerate(zip(rows, points, strict=True)):
            assert drawn == ([position] * 2, getattr(row, measure).mean(1).tolist())
        assert means[1] == pytest.approx([getattr(row, measure).mean().item() for row in rows])
        assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "1", "0", "all"]
        assert ax.get_xlabel() == "randomised from the head to"
    assert figure.get_suptitle() == test.verdict


def test_only_a_cascade_is_a_line():
    assert plot_randomisation(randomisation()).axes[0].get_lines()[-1].get_linestyle() == "-"
    figure = plot_randomisation(randomisation(order="independent"))
    assert figure.axes[0].get_lines()[-1].get_linestyle() == "None"
    assert figure.axes[1].get_xlabel() == "randomised alone"


def test_labels_are_drawn_image_by_image():
    test = permutation()
    figure = plot_label_permutation(test)
    for ax, measure in zip(figure.axes, ("rank_correlation", "ssim"), strict=True):
        check_band(ax, getattr(test.unrelated, measure))
        true, permuted = lines(ax)[1:3]
        assert true == ([0] * 12, getattr(test.true_labels, measure).flatten().tolist())
        assert permuted == ([1] * 12, getattr(test.permuted_labels, measure).flatten().tolist())
    assert figure.get_suptitle() == test.verdict


@pytest.mark.parametrize("which", ["randomisation", "permutation"])
def test_blank_maps_can_be_drawn(which):
    def blank(model, x):
        return torch.zeros(6, 16, 16)

    if which == "randomisation":
        figure = plot_randomisation(randomisation_test(nn.Conv2d(1, 1, 3), blank, X, seed=0))
    else:
        test = label_permutation_test(
            lambda labels, seed: nn.Conv2d(1, 1, 3), blank, X, [0, 1], seed=0
        )
        figure = plot_label_permutation(test)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    assert stream.getvalue().startswith(b"\x89PNG")


def test_without_matplotlib_the_error_has_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "seattn\[plot\]"'):
        plot_randomisation(randomisation())


def test_pyplot_and_its_global_state_are_not_touched():
    program = (
        "import sys, torch; from seattn.explain import plot_randomisation, randomisation_test;"
        "assert 'matplotlib' not in sys.modules;"
        "m = torch.nn.Conv2d(1, 1, 3); f = lambda m, x: m(x).squeeze(1);"
        "plot_randomisation(randomisation_test(m, f, torch.rand(3, 1, 16, 16), seed=0));"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["True", "False"]
