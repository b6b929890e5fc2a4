"""Subgroups are those of the table, and their results are the library's."""

import csv
import dataclasses

import numpy as np
import pytest

from examples.ankle_fracture.cohort import gather
from examples.ankle_fracture.config import PRESETS
from examples.ankle_fracture.report import subgroups
from examples.ankle_fracture.sources import from_folder
from seattn.metrics import by_subgroup, roc_auc
from tests.examples.conftest import PHANTOM


@pytest.fixture(scope="module")
def part(findings):
    return subgroups.part(findings)


def rows_of_the_test(findings):
    """The phantom's own list in the order of the test images."""
    index = findings.first.cohort.test.index
    with (index.root / "labels.csv").open() as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    return [rows[row.path] for row in index.rows]


def groups_of(part, name, attribute):
    return {g.group: g for g in part.facts["subgroups"][name] if g.attribute == attribute}


@pytest.mark.parametrize(
    ("attribute", "column", "words"),
    [
        ("view", "view", {}),
        ("side", "side", {}),
        ("cast", "cast", {"0": "no", "1": "yes"}),
        ("swelling", "swelling", {"0": "no", "1": "yes"}),
    ],
)
def test_groups_of_both_classes_are_by_subgroups(findings, part, attribute, column, words):
    words_of = [words.get(row[column], row[column]) for row in rows_of_the_test(findings)]
    level = findings.first.results["resnet_small"].levels["image"]
    expected = by_subgroup(
        y_true=level.cases.y_true,
        y_score=level.cases.y_score[:, 1],
        subgroups=words_of,
        patients=level.cases.patients,
        threshold=level.main.threshold,
        resamples=None,
    )
    found = groups_of(part, "resnet_small", attribute)
    assert list(found) == list(expected.subgroups)
    for word, group in found.items():
        assert group.images == words_of.count(word)
        assert group.shared is None
        for metric, estimate in group.estimates.items():
            assert repr(estimate) == repr(expected[word][metric])  # nan equals nan


@pytest.mark.parametrize(
    ("attribute", "column"), [("fracture site", "fracture_type"), ("severity", "severity")]
)
def test_groups_of_the_fractured_stand_against_all_normals(findings, part, attribute, column):
    rows = rows_of_the_test(findings)
    score = findings.first.results["resnet_small"].levels["image"].cases.y_score[:, 1]
    edges = {"0 to 0.2": (0, 0.2), "0.2 to 0.4": (0.2, 0.4), "0.4 to 0.7": (0.4, 0.7)}
    found = groups_of(part, "resnet_small", attribute)
    normal = np.array([row["label"] == "0" for row in rows])
    assert sum(group.images for group in found.values()) == (~normal).sum()
    for word, group in found.items():
        if attribute == "severity":
            low, high = edges.get(word, (0.7, 9))
            own = [low <= float(r[column]) < high and r["label"] == "1" for r in rows]
        else:
            own = [
                r[column]
                .replace("weber_a", "Weber A")
                .replace("weber_b", "Weber B")
                .replace("weber_c", "Weber C")
                == word
                for r in rows
            ]
        among = normal | own
        expected = roc_auc(y_true=np.array(own)[among], y_score=score[among])
        assert group.estimates["roc_auc"].value == pytest.approx(expected)
        assert group.estimates["specificity"].n == normal.sum()
        assert (group.shared, group.images) == ("normal", sum(own))
        assert group.small
        assert "(small)" in group.title
    assert "normal images have none" in part.body[1]


def test_the_forest_draws_the_estimates(part):
    groups = part.facts["subgroups"]["se_resnet_small"]
    ax = subgroups._forest(groups).axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == [g.title for g in groups]
    squares = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "s"]
    assert squares == pytest.approx([g.estimates["roc_auc"].value for g in groups], nan_ok=True)


def test_copies_of_an_image_are_in_its_group(findings):
    first = findings.first
    four = dataclasses.replace(first.items["test"], protocol=PRESETS["quick-paper"])
    results = {}
    for name, result in first.results.items():
        level = result.levels["image"]
        cases = type(level.cases)(*(np.repeat(each, 4, axis=0) for each in level.cases))
        levels = {"image": dataclasses.replace(level, cases=cases)}
        results[name] = dataclasses.replace(result, levels=levels)
    copied = dataclasses.replace(first, results=results, items={"test": four})
    found = subgroups.part(dataclasses.replace(findings, replicates=(copied,)))
    once = subgroups.part(findings)
    for name in results:
        for few, many in zip(
            once.facts["subgroups"][name], found.facts["subgroups"][name], strict=True
        ):
            assert (many.group, many.images, many.patients) == (
                few.group,
                4 * few.images,
                few.patients,
            )
            assert many.estimates["sensitivity"].value == few.estimates["sensitivity"].value


def test_with_a_confounder_casts_are_those_that_the_test_images_show(tmp_path):
    config = dataclasses.replace(
        PRESETS["quick"], patients=24, size=32, confounder=1.0, prevalence=0.5
    )
    cohort = gather(config, tmp_path)
    for part, dataset in cohort.parts.items():
        with (dataset.index.root / "labels.csv").open() as file:
            worn = {row["path"]: row["cast"] for row in csv.DictReader(file)}
        expected = [("no", "yes")[int(worn[row.path])] for row in dataset.index.rows]
        assert cohort.attributes_of(part)["cast"] == expected
    assert cohort.test.index.root != cohort.train.index.root


# --- your own folder


def own(finished, tmp_path, rows_with, names):
    """The finished run's phantom with further columns."""
    root = finished / PHANTOM
    with (root / "labels.csv").open() as file:
        rows = [{k: row[k] for k in ("path", "label", "patient")} for row in csv.DictReader(file)]
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        rows = [row | rows_with(row) for row in rows]
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows, from_folder(root, table, subgroups=names, folder=tmp_path / "run")


def test_named_columns_alone_are_kept(finished, tmp_path):
    def extra(row):
        return {"ward": "AB"[row["patient"] > "SYN-0009"], "name": f"secret {row['patient']}"}

    rows, source = own(finished, tmp_path, extra, ("ward",))
    assert list(source.attributes) == ["ward"]
    assert "secret" not in repr(source.attributes)
    words = {row["path"]: row["ward"] for row in rows}
    for place, word in source.attributes["ward"].items():
        path = next(path for path in words if place.endswith(path))
        assert words[path] == word


def test_identifiers_are_no_groups(finished, tmp_path):
    with pytest.raises(ValueError, match="'who', which has 24 different words") as error:
        own(finished, tmp_path, lambda row: {"who": f"secret {row['patient']}"}, ("who",))
    assert "secret" not in str(error.value)


def test_a_column_that_is_not_there_is_named(finished, tmp_path):
    with pytest.raises(ValueError, match=r"`subgroups` names 'ward', but '.*' has no such column"):
        own(finished, tmp_path, lambda row: {}, ("ward",))


def test_columns_with_another_meaning_are_refused():
    with pytest.raises(ValueError, match="`subgroups` names 'patient', which is no group"):
        dataclasses.replace(PRESETS["quick"], subgroups=("patient",))
