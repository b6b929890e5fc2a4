"""The confusion table and the forest plot show the numbers of the functions that they name."""

import math
from dataclasses import replace

import numpy as np
import pytest

from seattn.metrics import (
    binary_report,
    by_subgroup,
    confusion_matrix,
    plot_confusion,
    plot_forest,
    roc_auc_interval,
    share_interval,
)
from tests.metrics.drawn import BLUE, fits, xy
from tests.metrics.worked import PATIENTS, PREDICTED3, Y3, A, B, Y

VIEWS = ["AP", "lateral"] * 10


def words(figure) -> str:
    return figure._supxlabel.get_text()


def test_cells_are_counts_and_shares_of_each_true_class():
    patients = [k // 2 for k in range(12)]
    figure = plot_confusion(y_true=Y3, y_pred=PREDICTED3, patients=patients, level=0.9)
    table = confusion_matrix(y_true=Y3, y_pred=PREDICTED3)
    (ax,) = figure.axes
    assert len(ax.texts) == 9
    for text in ax.texts:
        j, k = text.get_position()
        members = [case for case in range(12) if Y3[case] == k]
        share = share_interval(
            [PREDICTED3[case] == j for case in members],
            patients=[patients[case] for case in members],
            level=0.9,
        )
        count, percent, *interval = text.get_text().split("\n")
        assert int(count) == table[k, j]
        assert percent == f"{100 * share.value:.0f}%"
        assert interval == (
            [] if math.isnan(share.low) else [f"[{100 * share.low:.0f}, {100 * share.high:.0f}]"]
        )
    shown = np.asarray(ax.images[0].get_array())
    assert shown == pytest.approx(table / table.sum(axis=1, keepdims=True), abs=1e-15)
    assert words(figure).startswith("shares of each row\n90% intervals: ")
    assert ax.get_title(loc="left") == "12 cases of 6 patients"


def test_names_are_along_both_sides_and_fix_the_number_of_classes():
    names = ["intact", "lateral malleolus", "medial malleolus", "pilon"]
    figure = plot_confusion(y_true=Y3, y_pred=PREDICTED3, class_names=names)
    (ax,) = figure.axes
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [" ".join(label.get_text().split()) for label in labels] == names
    assert [text.get_text() for text in ax.texts[12:]] == ["0"] * 4  # no case to have a share of
    assert fits(figure)


@pytest.mark.parametrize("classes", [2, 10])
def test_tables_of_any_size_fit(classes):
    labels = np.arange(40 * classes) % classes
    figure = plot_confusion(y_true=labels, y_pred=np.roll(labels, 1))
    assert fits(figure)
    (ax,) = figure.axes
    cell = ax.get_window_extent().width / classes
    assert max(text.get_window_extent().width for text in ax.texts) < cell


def test_black_can_be_read_on_the_darkest_cell():
    image = plot_confusion(y_true=Y, y_pred=Y).axes[0].images[0]
    rgb = np.array(image.cmap(1.0)[:3])
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    luminance = linear @ [0.2126, 0.7152, 0.0722]  # WCAG 2: contrast of 7 and more
    assert (luminance + 0.05) / 0.05 > 7


def test_predictions_of_no_class_are_errors():
    with pytest.raises(ValueError, match=r"`y_true` holds 2 at index 10.*labels must be 0 or 1"):
        plot_confusion(y_true=Y3, y_pred=PREDICTED3, class_names=["a", "b"])
    with pytest.raises(ValueError, match=r"`level` \(=2\)"):
        plot_confusion(y_true=Y, y_pred=Y, level=2)


def drawn(figure) -> list[tuple[list[float], list[float]]]:
    (ax,) = figure.axes
    return [xy(line) for line in ax.get_lines() if line.get_color() == BLUE]


def column(figure, number: int) -> list[str]:
    texts = [text.get_text() for text in figure.axes[0].texts]
    rows = len(texts) // 4
    return texts[number * rows : (number + 1) * rows]


def test_a_forest_of_models_has_a_row_for_each_from_the_top():
    models = {
        "A": roc_auc_interval(y_true=Y, y_score=A, patients=PATIENTS),
        "B": roc_auc_interval(y_true=Y, y_score=B),
    }
    figure = plot_forest(models, metric="ROC AUC", reference=0.9)
    (ax,) = figure.axes
    a, b = models.values()
    assert drawn(figure) == [
        ([a.low, a.high], [0, 0]),
        ([a.value], [0]),
        ([b.low, b.high], [1, 1]),
        ([b.value], [1]),
    ]
    assert ax.get_ylim() == (1.5, -1.5)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A", "B"]
    assert ax.get_xlabel() == "ROC AUC"
    assert [xy(line)[0] for line in ax.get_lines() if line.get_linestyle() == ":"] == [[0.9, 0.9]]
    assert column(figure, 0) == ["value", "0.929", "0.868"]
    assert column(figure, 1) == ["interval", *(f"[{e.low:.3f}, {e.high:.3f}]" for e in (a, b))]
    assert column(figure, 2) == ["cases", "20", "20"]
    assert column(figure, 3) == ["patients", "10", "-"]
    assert words(figure) == "95% intervals: clustered DeLong, logit, t; DeLong, logit"
    assert fits(figure)


def test_a_forest_of_subgroups_begins_with_all_and_marks_it():
    report = by_subgroup(y_true=Y, y_score=A, subgroups=VIEWS, patients=PATIENTS)
    figure = plot_forest(report, metric="specificity")
    (ax,) = figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["(all)", "AP", "lateral"]
    values = [report.overall["specificity"], *(report[n]["specificity"] for n in names[1:])]
    assert drawn(figure)[1::2] == [([e.value], [k]) for k, e in enumerate(values)]
    assert [xy(line)[0][0] for line in ax.get_lines() if line.get_linestyle() == ":"] == [
        values[0].value
    ]
    assert column(figure, 2)[1:] == [str(e.n) for e in values]
    assert column(figure, 3)[1:] == [str(e.n_patients) for e in values]


def test_missing_values_and_intervals_say_why():
    figure = plot_forest(
        {
            "none": roc_auc_interval(y_true=[1, 1], y_score=[1, 2]),
            "point": replace(
                binary_report(y_true=Y, y_score=A)["f1"],
                low=math.nan,
                high=math.nan,
                method=None,
                reason="point estimate only",
            ),
        },
        metric="value",
    )
    assert column(figure, 0)[1:] == ["-", "0.800"]
    assert column(figure, 1)[1:] == ["-", "-"]
    assert words(figure) == ("95% intervals: none\nnone: no negatives\npoint: point estimate only")
    assert fits(figure)


@pytest.mark.parametrize("rows", [1, 30])
def test_forests_of_any_size_fit(rows):
    one = roc_auc_interval(y_true=Y, y_score=A, patients=PATIENTS)
    figure = plot_forest({f"the site number {k}": one for k in range(rows)}, metric="ROC AUC")
    assert fits(figure)
    texts = figure.axes[0].texts
    boxes = [text.get_window_extent() for text in texts]
    assert all(box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_estimates_that_do_not_go_together_are_errors():
    with pytest.raises(ValueError, match="`estimates` are 0"):
        plot_forest({}, metric="ROC AUC")
    mixed = {
        str(level): roc_auc_interval(y_true=Y, y_score=A, level=level) for level in (0.9, 0.95)
    }
    with pytest.raises(ValueError, match=r"levels \[0.9, 0.95\]"):
        plot_forest(mixed, metric="ROC AUC")
    report = by_subgroup(y_true=Y, y_score=A, subgroups=VIEWS)
    with pytest.raises(KeyError):
        plot_forest(report, metric="auc")
