"""Networks against each other, seeds against each other, and one run beside another."""

import dataclasses
import json

import pytest

from examples.ankle_fracture import study
from examples.ankle_fracture.__main__ import parse
from examples.ankle_fracture.other_run import read_run
from examples.ankle_fracture.report import beside, comparisons, html, repetitions
from tests.examples.conftest import TINY

ABLATION = "Small SE-ResNet \N{MINUS SIGN} Small ResNet (SE ablation)"


def test_forest_plots_show_the_differences(findings):
    part = comparisons.part(findings)
    assert part.facts["comparisons"] == findings.comparisons
    assert len(part.body) == 2
    assert ABLATION in part.body[0]
    for row in findings.comparisons:
        assert row.comparison.method is None or row.comparison.method in part.body[1]


def test_the_forest_of_a_pair_is_its_estimates(findings, monkeypatch):
    drawn = []
    whole = comparisons.plot_forest
    monkeypatch.setattr(
        comparisons, "plot_forest", lambda *a, **k: drawn.append(whole(*a, **k)) or drawn[-1]
    )
    comparisons.part(findings)
    (ax,) = drawn[0].axes
    assert ABLATION in ax.get_xlabel()
    squares = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "s"]
    found = [row.comparison for row in findings.comparisons]
    assert squares == pytest.approx([each.difference for each in found])
    bars = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2][:-1]
    assert bars == [pytest.approx([each.low, each.high], nan_ok=True) for each in found]
    assert list(ax.lines[-1].get_xdata()) == [0, 0]


def test_repetitions_are_drawn_run_by_run(findings):
    means = [row for row in findings.repetitions if row.second is None]
    figure = repetitions._figure(means)
    for panel, ax in enumerate(figure.axes):
        level, metric = list(dict.fromkeys((row.level, row.metric) for row in means))[panel]
        assert ax.get_title() == f"{html.metric(metric)}, by {level}"
        rows = [row for row in means if (row.level, row.metric) == (level, metric)]
        runs = [tuple(line.get_xdata()) for line in ax.lines if line.get_marker() == "+"]
        assert runs == [row.values for row in rows]
        squares = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "s"]
        assert squares == [row.mean for row in rows]
    part = repetitions.part(findings)
    head = [line for line in part.body if "Every run" in line]
    assert "<th>seed 0</th><th>seed 1</th>" in head[0]
    assert "8 differences adjusted together" in part.body[3]


def test_one_network_and_one_seed_have_nothing_to_compare(findings):
    alone = dataclasses.replace(findings, comparisons=[], repetitions=[])
    assert "there is one network" in comparisons.part(alone).body[0]
    assert "One seed" in repetitions.part(alone).body[0]


# --- another run


def test_without_another_run_the_part_is_left_out(findings):
    assert beside.part(findings) is None


@pytest.fixture(scope="module")
def papers(finished, tmp_path_factory):
    """The finished run's patients under the paper's protocol, beside that run."""
    folder = tmp_path_factory.mktemp("papers")
    config = parse(["--preset", "quick-paper", "--epochs", "1"])[0]
    config = dataclasses.replace(config, patients=TINY.patients, size=TINY.size, models=TINY.models)
    study.run(config, folder, finished)
    return folder


def test_both_results_stand_side_by_side(finished, papers):
    here, there = (json.loads((f / "report.json").read_text()) for f in (papers, finished))
    found = here["beside"]
    assert found["same_split"] is True
    assert found["folder"] == finished.name
    rows = {(r["level"], r["metric"]): r for r in found["results"]}
    for run, side in ((here, "this"), (there, "other")):
        levels = run["replicates"][0]["models"]["se_resnet_small"]["levels"]
        for level in ("image", "patient"):
            main = next(iter(levels.get(level, {"": {"estimates": {}}}).values()))
            for metric, estimate in main["estimates"].items():
                found_there = rows[level, metric][side]
                assert found_there == {end: estimate[end] for end in ("value", "low", "high")}
    assert rows["patient", "roc_auc"]["this"] is None  # the paper has no results by patient
    page = (papers / "report.html").read_text()
    share = there["models"]["se_resnet_small"]["test"]["estimates"]["accuracy"]
    assert "The splits are the same" in page
    assert f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]" in page


def test_every_differing_choice_is_listed(finished, papers):
    here, there = (json.loads((f / "config.json").read_text()) for f in (papers, finished))
    rows = json.loads((papers / "report.json").read_text())["beside"]["differences"]
    assert {row["choice"] for row in rows} == {k for k in here if here[k] != there[k]}
    (copies,) = (row for row in rows if row["choice"] == "copies")
    assert (copies["this"], copies["other"]) == ("3", "0")
    assert "augmented copies" in copies["about"]


def test_another_split_is_said_to_be_another(finished, findings):
    other = read_run(finished, finished / "elsewhere")
    part = beside.part(dataclasses.replace(findings, beside=other))
    assert part.facts["beside"]["same_split"] is False
    assert "The splits differ" in part.body[0]
    networks = {row["network"]: row for row in part.facts["beside"]["results"]}
    assert networks["resnet_small"]["other"] is None  # that run had one network


def test_results_of_several_classes_have_the_names_of_the_report():
    def one(value):
        return {"value": value, "low": None, "high": None, "method": None}

    report = {
        "overall": {"accuracy": one(0.5)},
        "macro": {"ppv": one(0.25)},
        "per_class": {"A": {"ppv": one(None)}},
    }
    found = beside._estimates({"highest probability": report})
    assert list(found) == ["all classes: accuracy", "mean of classes: ppv", "A: ppv"]
    assert beside._cell(found["mean of classes: ppv"]) == "0.250"
    assert beside._cell(found["A: ppv"]) == beside._cell(None) == "-"


def test_the_choice_to_look_beside_is_not_another_run(finished, papers):
    """The same command without --beside goes on, and so does one with other subgroups."""
    config = study.configuration.load(papers / "config.json")
    study._refuse_another_run(config, papers)
    study._refuse_another_run(dataclasses.replace(config, subgroups=("ward",)), papers)
    with pytest.raises(ValueError, match="`epochs` was 1, now 2"):
        study._refuse_another_run(dataclasses.replace(config, epochs=2), papers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"holds no report\.json: give the folder of a finished run"),
        ("{", r"report\.json' is damaged"),
        ('{"config": {}}', "no report of this version of the study: it has no class_names"),
        ("[]", "no report of this version"),
    ],
)
def test_what_is_no_finished_run_is_refused_before_anything_is_made(tmp_path, content, message):
    other = tmp_path / "other"
    other.mkdir()
    if content is not None:
        (other / "report.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        study.run(TINY, tmp_path / "run", other)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_put_beside_itself(finished):
    with pytest.raises(ValueError, match="is this run's own folder"):
        read_run(finished, finished / ".." / finished.name)


def test_the_command_line_takes_both_options(capsys):
    words = ["--images", "a", "--subgroups", "ward", "sex", "--beside", "b"]
    config, _, other = parse(words)
    assert config.subgroups == ("ward", "sex")
    assert other.name == "b"
    assert parse([])[2] is None
    with pytest.raises(SystemExit):
        parse(["--subgroups", "ward"])
    assert "--subgroups goes with --images" in capsys.readouterr().err
