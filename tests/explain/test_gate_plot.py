import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from seattn.attention import GateStatistics, GateSummary
from seattn.explain import plot_gates

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "gates.md"


def summary(classes: int = 2, **channels: int) -> dict[str, GateSummary]:
    statistics = GateStatistics()
    gates = {name: torch.rand(3 * classes, count) for name, count in channels.items()}
    statistics.update(gates, torch.arange(3 * classes) % classes)
    return statistics.summary()


def png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def curves(figure: Figure, number: int = 0) -> dict[str, tuple[list[float], list[float]]]:
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in figure.axes[number].get_lines()
    }


def test_each_block_has_axes_with_its_name_and_its_share():
    blocks = summary(a=8, b=16)
    figure = plot_gates(blocks)
    expected = [
        f"{name}\nη² {block.eta_squared:.2f}, chance {block.chance:.2f}"
        for name, block in blocks.items()
    ]
    assert [ax.get_title(loc="left") for ax in figure.axes] == expected


def test_curves_are_the_means_of_the_classes_and_of_all_images():
    block = summary(3, a=8)["a"]
    drawn = curves(plot_gates({"a": block}))
    assert set(drawn) == {"class 0", "class 1", "class 2", "all images"}
    for label in block.classes:
        assert drawn[f"class {label}"] == (list(range(8)), block.mean[label].tolist())
    assert drawn["all images"] == (list(range(8)), block.overall_mean.tolist())


def test_curves_go_by_label_where_labels_are_missing():
    statistics = GateStatistics()
    statistics.update({"a": torch.rand(6, 4)}, [7, 2, 5, 5, 2, 7])
    block = statistics.summary()["a"]
    drawn = curves(plot_gates({"a": block}))
    for row, label in enumerate((2, 5, 7)):
        assert drawn[f"class {label}"][1] == block.mean[row].tolist()


def test_only_the_curve_of_all_images_is_dashed():
    lines = plot_gates(summary(3, a=8)).axes[0].get_lines()
    assert [line.get_label() for line in lines if line.get_linestyle() == "--"] == ["all images"]


def test_channels_are_picked_at_even_distances():
    drawn = curves(plot_gates(summary(a=128), channels=4))
    assert drawn["class 0"][0] == [0, 32, 64, 96]
    assert len(curves(plot_gates(summary(a=2048)))["class 1"][0]) == 50
    assert curves(plot_gates(summary(a=7), channels=5))["class 0"][0] == [0, 1, 2, 4, 5]


def test_blocks_are_drawn_in_the_order_asked_for():
    figure = plot_gates(summary(a=4, b=4, c=4), blocks=["c", "a"])
    assert [ax.get_title(loc="left").split("\n")[0] for ax in figure.axes] == ["c", "a"]


def test_chosen_classes_are_drawn_beside_the_mean_of_all():
    blocks = summary(40, a=4)
    figure = plot_gates(blocks, classes=[30, 2])
    assert legend(figure) == ["class 30", "class 2", "all images"]
    assert curves(figure)["class 30"][1] == blocks["a"].mean[30].tolist()
    assert curves(figure)["all images"][1] == blocks["a"].overall_mean.tolist()


def test_names_of_classes_go_by_label():
    figure = plot_gates(summary(3, a=4), classes=[2, 0], class_names=["none", "minor", "major"])
    assert legend(figure) == ["major", "none", "all images"]
    assert set(curves(figure)) == {"major", "none", "all images"}


def test_18_classes_look_different():
    lines = plot_gates(summary(18, a=4)).axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 19


def test_the_legend_shows_each_curve_as_it_is_drawn():
    figure = plot_gates(summary(8, a=4))
    drawn = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for handle in figure.legends[0].legend_handles:
        line = drawn[handle.get_label()]
        assert handle.get_color() == line.get_color()
        assert handle.get_linestyle() == line.get_linestyle()


def test_a_class_that_a_block_has_not_seen_is_not_drawn_there():
    blocks = {**summary(2, a=4), **summary(3, b=4)}
    figure = plot_gates(blocks)
    assert set(curves(figure)) == {"class 0", "class 1", "all images"}
    assert set(curves(figure, 1)) == {"class 0", "class 1", "class 2", "all images"}
    assert legend(figure) == ["class 0", "class 1", "class 2", "all images"]


def test_axes_are_labelled_and_share_one_scale():
    axes = plot_gates(summary(a=4, b=4, c=4, d=4, e=4, f=4)).axes
    assert len(axes) == 6
    assert {ax.get_xlabel() for ax in axes} == {"channel"}
    assert [ax.get_ylabel() for ax in axes] == ["mean gate", "", "", "", "mean gate", ""]
    assert len({ax.get_ylim() for ax in axes}) == 1


def test_a_gate_over_space_is_a_point_that_can_be_seen():
    ax = plot_gates(summary(a=1)).axes[0]
    assert all(line.get_marker() not in ("", "None") for line in ax.get_lines())
    assert list(ax.get_xticks()) == [0]


def test_without_a_share_the_reason_is_shown():
    (ax,) = plot_gates(summary(1, a=4)).axes
    assert ax.get_title(loc="left") == "a\nall images are of class 0"


@pytest.mark.parametrize("shape", [{"a": 1}, {"a": 64, "b": 1}, {f"b{i}": 64 for i in range(9)}])
def test_the_picture_is_drawn_without_a_warning_and_the_same_every_time(shape):
    blocks = summary(3, **shape)
    assert png(plot_gates(blocks)) == png(plot_gates(blocks))


@pytest.mark.parametrize("blocks", [["a"], ["a", "b"], ["a", "b", "c", "d", "e"]])
def test_the_legend_has_room(blocks):
    names = [f"diagnosis {i}" for i in range(18)]
    figure = plot_gates(summary(18, **dict.fromkeys(blocks, 64)), class_names=names)
    png(figure)  # lays it out
    box = figure.legends[0].get_window_extent()
    assert not any(box.overlaps(ax.get_tightbbox()) for ax in figure.axes)
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert all(ax.get_window_extent().height > figure.dpi for ax in figure.axes)  # an inch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, r"`channels` \(=0\)"),
        ({"blocks": ["c"]}, r"`blocks` 'c' not found; choose from \['a', 'b'\]"),
        ({"blocks": []}, "no blocks to draw"),
        ({"classes": [5]}, r"`classes` 5 not found; choose from \[0, 1\]"),
        ({"classes": []}, "`classes` are 0; 1 to 18"),
        ({"class_names": ["intact"]}, r"`class_names` \['intact'\] has no name for class 1"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_gates(summary(a=4, b=4), **arguments)


def test_a_model_without_gates_and_too_many_classes_are_named():
    with pytest.raises(ValueError, match="`record_gates` finds those whose class defines `gate`"):
        plot_gates({})
    with pytest.raises(ValueError, match="`classes` are 19; 1 to 18"):
        plot_gates(summary(19, a=4))


def test_without_matplotlib_the_error_has_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "seattn\[plot\]"'):
        plot_gates(summary(a=4))


def test_pyplot_and_its_global_state_are_not_touched():
    program = (
        "import sys, torch; from seattn.attention import GateStatistics as S;"
        "from seattn.explain import plot_gates; assert 'matplotlib' not in sys.modules;"
        "s = S(); s.update({'a': torch.rand(2, 4)}, [0, 1]); plot_gates(s.summary());"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["True", "False"]


def test_the_how_to_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.S):
        exec(compile(block, HOW_TO.name, "exec"), namespace)
    assert (tmp_path / "gates.png").read_bytes().startswith(b"\x89PNG")
