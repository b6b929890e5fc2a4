"""Figure 4b shows the estimates of the report, and the paper's values for what they are."""

import dataclasses
import math
from itertools import product

import numpy as np
import pytest

from examples.ankle_fracture.report import bars


def with_names(findings, names, **config):
    """The same findings with their first network under other names, in that order."""

    def renamed(replicate):
        result = next(iter(replicate.results.values()))
        results = {name: dataclasses.replace(result, title=name) for name in names}
        return dataclasses.replace(replicate, results=results)

    return dataclasses.replace(findings, replicates=tuple(map(renamed, findings.replicates)))


def drawn(findings, level):
    groups = {level: bars._groups(findings, level)}
    (ax,) = bars._drawn(groups, {level: 0.5}).axes
    return ax


@pytest.mark.parametrize("level", ["image", "patient"])
def test_bars_and_whiskers_are_the_estimates_of_the_first_seed(findings, level):
    ax = drawn(findings, level)
    names = ("accuracy", "roc_auc", "ppv", "sensitivity", "f1")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [
        "accuracy",
        "AUC",
        "precision",
        "recall",
        "F1",
    ]
    whiskers = [line for line in ax.get_lines() if line.get_gid() == "interval"]
    results = list(findings.first.results.values())
    assert [bar.get_label() for bar in ax.containers] == [result.title for result in results]
    for number, (result, heights) in enumerate(zip(results, ax.containers, strict=True)):
        estimates = [result.levels[level].main.estimates[name] for name in names]
        for place, (bar, estimate) in enumerate(zip(heights, estimates, strict=True)):
            assert bar.get_height() == estimate.value or math.isnan(estimate.value)
            whisker = whiskers[number * len(names) + place]
            assert list(whisker.get_ydata()) == pytest.approx(
                [estimate.low, estimate.high], nan_ok=True
            )
            middle = bar.get_x() + bar.get_width() / 2
            assert list(whisker.get_xdata()) == pytest.approx([middle, middle])
            assert abs(middle - place) < 0.4
    written = [t.get_text() for t in ax.texts]
    first = results[0].levels[level].main.estimates
    assert written[:5] == [f"{first[n].value:.2f}".replace("nan", "-") for n in names]


def test_dots_are_the_values_of_every_seed(findings):
    dots = [line for line in drawn(findings, "image").get_lines() if line.get_gid() == "seeds"]
    names = list(findings.first.results)
    assert len(dots) == 5 * len(names)
    for name, line in zip(names, dots[::5], strict=True):
        runs = [each.results[name].levels["image"].main for each in findings.replicates]
        assert list(line.get_ydata()) == [run.estimates["accuracy"].value for run in runs]


def test_the_papers_values_stand_by_its_networks_alone_and_by_image(findings):
    names = ("resnet50", "efficientnet_b5", "resnet18", "se_resnet50")
    found = with_names(findings, names)
    facts = bars.part(found).facts["bars"]
    order = [group.name for group in facts["image"]["networks"]]
    assert order == ["se_resnet50", "efficientnet_b5", "resnet50", "resnet18"]
    assert [group.printed.get("recall") for group in facts["image"]["networks"]] == [
        0.92,
        0.88,
        0.87,
        None,
    ]
    assert all(not group.printed for group in facts["patient"]["networks"])
    marks = [line for line in drawn(found, "image").get_lines() if line.get_gid() == "paper"]
    assert len(marks) == 3
    np.testing.assert_equal(list(marks[0].get_ydata()), [0.93, 0.95, math.nan, 0.92, 0.93])
    colours = [group.colour for group in facts["image"]["networks"]]
    assert colours == [bars.COLOURS[k] for k in (3, 1, 0, 2)]  # those of the run's order
    assert "nothing is compared" in "".join(bars.part(found).body)
    assert "nothing is compared" not in "".join(bars.part(findings).body)


def test_the_printed_triples_fit_no_table_of_the_papers_test_images():
    """Every table of 51 and 147, either class positive, F1 of it, or averaged over both."""
    tp, tn = map(np.ravel, np.meshgrid(np.arange(52), np.arange(148)))
    accuracy = (tp + tn) / 198
    with np.errstate(invalid="ignore"):
        f1 = {1: 2 * tp / (tp + 51 + 147 - tn), 0: 2 * tn / (tn + 147 + 51 - tp)}
    recall = {1: tp / 51, 0: tn / 147}
    share = {1: 51 / 198, 0: 147 / 198}
    ways = [(recall[k], f1[k]) for k in (0, 1)]
    ways.append(((recall[0] + recall[1]) / 2, (f1[0] + f1[1]) / 2))
    ways.append(tuple(share[0] * m[0] + share[1] * m[1] for m in (recall, f1)))

    def rounds(values, printed):
        return np.abs(values - printed) <= 0.005 + 1e-9

    for printed, (recalled, balanced) in product(bars.PRINTED.values(), ways):
        fits = rounds(accuracy, printed["accuracy"])
        assert fits.any()
        fits &= rounds(recalled, printed["recall"]) & rounds(balanced, printed["F1"])
        assert not fits.any()


def test_the_dotted_line_is_the_share_of_the_largest_class(findings):
    labels = findings.first.cohort.labels("test")
    share = max(labels.count(0), labels.count(1)) / len(labels)
    facts = bars.part(findings).facts["bars"]["image"]
    assert facts["always_the_largest_class"] == pytest.approx(share)
    ax = bars._drawn({"image": facts["networks"]}, {"image": share}).axes[0]
    (line,) = (line for line in ax.get_lines() if line.get_gid() == "majority")
    assert list(line.get_ydata()) == [share, share]


def test_without_intervals_there_are_no_whiskers_and_the_caption_says_so(findings):
    def bare(level):
        reports = {
            rule: dataclasses.replace(
                report,
                estimates={
                    name: dataclasses.replace(e, low=math.nan, high=math.nan)
                    for name, e in report.estimates.items()
                },
            )
            for rule, report in level.reports.items()
        }
        return dataclasses.replace(level, reports=reports)

    result = next(iter(findings.first.results.values()))
    result = dataclasses.replace(result, levels={"image": bare(result.levels["image"])})
    found = dataclasses.replace(
        findings,
        config=dataclasses.replace(findings.config, inference=False, seeds=1),
        replicates=(dataclasses.replace(findings.first, results={"resnet_small": result}),),
    )
    whiskers = [line for line in drawn(found, "image").get_lines() if line.get_gid() == "interval"]
    assert all(np.isnan(line.get_ydata()).all() for line in whiskers)
    (figure,) = bars.part(found).body
    assert "no intervals" in figure
    assert "dots" not in figure


def test_the_caption_says_why_something_is_missing(findings):
    group = bars._groups(findings, "image")[0]
    some = dataclasses.replace(
        group.estimates["F1"], value=0.5, low=math.nan, reason="no interval: too few"
    )
    none = dataclasses.replace(some, value=math.nan, reason="no case")
    estimates = group.estimates | {"F1": some, "recall": some, "precision": none}
    found = {"image": [dataclasses.replace(group, estimates=estimates)]}
    whole = " No interval: too few (recall, F1)."
    assert bars._missing(found, intervals=True) == " Not defined: no case (precision)." + whole
    assert bars._missing(found, intervals=False) == " Not defined: no case (precision)."
