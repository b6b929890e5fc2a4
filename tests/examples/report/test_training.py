"""Figure 4a shows the curves as they are in curves.csv, the epochs kept, and the majority."""

import csv
import dataclasses
from collections import Counter

import numpy as np
import pytest

from examples.ankle_fracture.report import training
from examples.ankle_fracture.training import Epoch


def epoch(number, rate, train=0.5, val=0.5, loss=1.0):
    return Epoch(number, rate, loss, train, loss, val, 0.0)


def runs(*curves, kept=(1, 1)):
    return training.Runs("A", "o", (0, 1), curves, kept)


def lines(ax, gid):
    return [line for line in ax.get_lines() if line.get_gid() == gid]


def test_rows_are_those_of_the_run(findings):
    facts = training.part(findings).facts["training"]
    assert list(facts["networks"]) == list(findings.first.results)
    for name, network in facts["networks"].items():
        assert [run["seed"] for run in network["seeds"]] == [0, 1]
        for run, replicate in zip(network["seeds"], findings.replicates, strict=True):
            result = replicate.results[name]
            assert list(run["epochs"]) == result.curves
            assert run["kept_epoch"] == result.best.epoch
            row = result.curves[result.best.epoch - 1]
            assert run["gap_at_kept"] == row.train_accuracy - row.val_accuracy
            last = result.curves[-1]
            assert run["gap_at_last"] == last.train_accuracy - last.val_accuracy


def test_rows_are_those_of_the_curves_file(finished):
    import json

    facts = json.loads((finished / "report.json").read_text())["training"]
    (run,) = facts["networks"]["se_resnet_small"]["seeds"]
    with (finished / "seed0" / "se_resnet_small" / "curves.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert run["epochs"] == rows


def test_the_majority_is_that_of_each_part(findings):
    facts = training.part(findings).facts["training"]["majority"]
    for name in ("train", "val"):
        labels = findings.first.cohort.labels(name)
        assert facts[name] == max(Counter(labels).values()) / len(labels)


def test_lines_are_the_means_of_the_seeds_and_each_seed():
    first = (epoch(1, 1, 0.5, 0.4), epoch(2, 1, 0.7, 0.6))
    second = (epoch(1, 1, 0.7, 0.5), epoch(2, 1, 0.9, 0.8))
    figure = training._drawn([runs(first, second, kept=(2, 1))], {"train": 0.7, "val": 0.6})
    train, val, loss, gaps = figure.axes
    for ax, expected in ((train, [0.6, 0.8]), (val, [0.45, 0.7]), (gaps, [0.15, 0.1])):
        (mean,) = lines(ax, "mean")
        assert list(mean.get_xdata()) == [1, 2]
        assert list(mean.get_ydata()) == pytest.approx(expected)
        assert mean.get_marker() == "o"
    thin = [list(line.get_ydata()) for line in train.get_lines() if line.get_linewidth() < 1]
    assert thin == [[0.5, 0.7], [0.7, 0.9]]
    rings = [(line.get_xdata()[0], line.get_ydata()[0]) for line in lines(val, "kept")]
    assert rings == [(2, 0.6), (1, 0.5)]
    assert not lines(train, "kept")
    assert [list(lines(ax, "majority")[0].get_ydata()) for ax in (train, val)] == [
        [0.7, 0.7],
        [0.6, 0.6],
    ]
    assert train.get_ylim() == val.get_ylim()
    assert len(lines(loss, "mean")) == 2


def test_one_seed_is_drawn_once():
    one = training.Runs("A", "o", (0,), ((epoch(1, 1), epoch(2, 1)),), (2,))
    train = training._drawn([one], {"train": 0.7, "val": 0.7}).axes[0]
    assert len([line for line in train.get_lines() if line.get_gid() != "majority"]) == 1


def test_drops_are_the_epochs_that_began_with_a_smaller_step():
    rates = (1e-3, 1e-3, 1e-4, 1e-4, 1e-5)
    curve = tuple(epoch(n, rate) for n, rate in enumerate(rates, start=1))
    assert training.drops(curve) == [3, 5]
    flat = tuple(epoch(n, 1e-3) for n in range(1, 6))
    loss = training._drawn([runs(curve, flat)], {"train": 0.7, "val": 0.7}).axes[2]
    (marks,) = lines(loss, "drops")
    assert list(marks.get_xdata()) == [3, 5]


def test_one_bad_epoch_does_not_flatten_the_loss():
    curve = (epoch(1, 1, loss=1.0), epoch(2, 1, loss=1e6), epoch(3, 1, loss=0.9))
    one = training.Runs("A", "o", (0,), (curve,), (3,))
    loss = training._drawn([one], {"train": 0.7, "val": 0.7}).axes[2]
    assert loss.get_ylim() == (0, 2)


def test_markers_are_the_papers_and_no_two_alike():
    names = ["se_resnet50", "resnet50", "efficientnet_b5", "resnet18", "se_resnet_small"]
    found = training._markers(names)
    assert [found[name] for name in names[:3]] == ["o", "^", "D"]
    assert len(set(found.values())) == len(names)


def test_at_most_twenty_markers_stand_on_a_line():
    curve = tuple(epoch(n, 1) for n in range(1, 42))
    one = training.Runs("A", "o", (0,), (curve,), (3,))
    (mean,) = lines(training._drawn([one], {"train": 0.7, "val": 0.7}).axes[0], "mean")
    assert len(np.arange(41)[:: mean.get_markevery()]) <= 20


def test_the_caption_speaks_of_seeds_only_where_there_are_several(findings):
    assert "means of 2 seeds" in training.part(findings).body[0]
    single = dataclasses.replace(
        findings,
        config=dataclasses.replace(findings.config, seeds=1),
        replicates=findings.replicates[:1],
    )
    assert "Thick lines" not in training.part(single).body[0]
