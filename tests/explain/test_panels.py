"""The side-by-side figure: what each panel shows, and where its lines lie."""

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from seattn.explain import overlay, side_by_side

RNG = np.random.default_rng(0)
IMAGE, CAM = RNG.random((40, 60)), 3 * RNG.random((40, 60))
MASK = np.zeros((40, 60), bool)
MASK[10:20, 30:45] = True


def panels(figure):
    return {ax.get_title(): ax for ax in figure.axes}


def shown(ax):
    (image,) = ax.get_images()
    return np.asarray(image.get_array())


def bar(ax):
    (inset,) = ax.child_axes
    return inset


def png(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def test_panels_show_the_image_the_map_and_the_overlay():
    figure = side_by_side(IMAGE, CAM, alpha=0.8, cmap="viridis", vmax=2.0, map_label="HiResCAM")
    axes = panels(figure)
    assert list(axes) == ["image", "HiResCAM", "overlay"]
    assert np.array_equal(shown(axes["image"]), overlay(IMAGE, np.zeros((40, 60))))
    expected = overlay(IMAGE, CAM, alpha=0.8, cmap="viridis", vmax=2.0)
    assert np.array_equal(shown(axes["overlay"]), expected)
    assert np.array_equal(shown(axes["HiResCAM"]), CAM)
    (drawn,) = axes["HiResCAM"].get_images()
    assert (drawn.get_clim(), drawn.get_cmap().name) == ((0, 2), "viridis")
    assert bar(axes["HiResCAM"]).get_xlim() == (0, 2)


def test_the_bar_ends_at_the_maximum_of_the_map():
    assert bar(panels(side_by_side(IMAGE, CAM))["Grad-CAM"]).get_xlim() == (0, CAM.max())
    assert bar(panels(side_by_side(IMAGE, 0 * CAM))["Grad-CAM"]).get_xlim() == (0, 1)


def test_outlines_are_on_the_overlay_and_on_the_annotation():
    axes = panels(side_by_side(IMAGE, CAM, contour=MASK, boxes=[[1, 2, 3, 4]]))
    assert [len(ax.collections) for ax in axes.values()] == [0, 0, 1, 1]
    assert np.array_equal(shown(axes["annotation"]), shown(axes["image"]))
    assert [len(ax.patches) for ax in axes.values()] == [0, 0, 1, 1]
    boxes_only = panels(side_by_side(IMAGE, CAM, boxes=[[1, 2, 3, 4]]))
    assert len(boxes_only["annotation"].patches) == 1
    assert "annotation" not in panels(side_by_side(IMAGE, CAM, boxes=[]))


def test_contours_run_along_the_edges_of_the_pixels():
    edge = np.zeros((40, 60), bool)
    edge[:, 50:] = True  # at three borders of the image
    ax = panels(side_by_side(IMAGE, CAM, contour=[MASK, torch.from_numpy(edge)]))["annotation"]
    for lines, colour, expected in zip(
        ax.collections,
        ["#00ffff", "#ff00ff"],
        [(29.5, 9.5, 44.5, 19.5), (49.5, -0.5, 59.5, 39.5)],
        strict=True,
    ):
        assert to_hex(lines.get_edgecolor()[0]) == colour
        (path,) = lines.get_paths()
        assert path.get_extents().extents.tolist() == list(expected)
        assert np.array_equal(path.vertices[0], path.vertices[-1])  # closed
    assert ax.get_xlim() == (-0.5, 59.5)
    assert ax.get_ylim() == (39.5, -0.5)


def test_an_empty_region_has_no_line():
    figure = side_by_side(IMAGE, CAM, contour=[np.zeros((40, 60)), MASK])
    assert len(panels(figure)["annotation"].collections) == 1


def test_boxes_are_half_open_in_the_next_colour():
    figure = side_by_side(IMAGE, CAM, contour=MASK, boxes=[[0, 0, 60, 40], [1.5, 2, 3, 4]])
    whole, part = panels(figure)["overlay"].patches
    assert (whole.get_xy(), whole.get_width(), whole.get_height()) == ((-0.5, -0.5), 60, 40)
    assert (part.get_xy(), part.get_width(), part.get_height()) == ((1.0, 1.5), 1.5, 2)
    assert to_hex(part.get_edgecolor()) == "#ff00ff"


def test_the_legend_names_contours_and_boxes_in_their_colours():
    figure = side_by_side(
        IMAGE,
        CAM,
        contour=[MASK, MASK],
        boxes=[[1, 2, 3, 4]],
        contour_names=["reader 1", "reader 2"],
    )
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["reader 1", "reader 2", "boxes"]
    colours = [to_hex(line.get_color()) for line in legend.legend_handles]
    assert colours == ["#00ffff", "#ff00ff", "#00ff00"]
    figure = side_by_side(IMAGE, CAM, contour=[MASK], contour_names=["expert"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["expert"]
    assert not side_by_side(IMAGE, CAM, contour=MASK).legends


def test_the_window_is_said_beside_the_image():
    assert "image, W 400 L 40" in panels(side_by_side(IMAGE, CAM, window="W 400 L 40"))


@pytest.mark.parametrize(
    ("spacing", "length"),
    [((0.5, 0.5), 10), ((1, 1), 20), ((0.8, 0.02), 0.2), ((1, 2.5), 50), ((0.1, 0.0999), 1)],
)
def test_the_scale_bar_is_as_long_as_it_says(spacing, length):
    axes = panels(side_by_side(IMAGE, CAM, spacing=spacing))
    (line,), (text,) = axes["image"].get_lines(), axes["image"].texts
    start, end = line.get_xdata()
    assert (end - start) * spacing[1] == pytest.approx(length)
    assert text.get_text() == f"{length:g} mm"
    assert 0 <= start < end <= 60 / 2
    for title in ("image", "Grad-CAM", "overlay"):
        assert axes[title].get_aspect() == spacing[0] / spacing[1]
    assert axes["image"].get_xlim() == (-0.5, 59.5)


def test_without_spacing_there_is_no_scale_bar():
    ax = panels(side_by_side(IMAGE, CAM))["image"]
    assert not ax.get_lines()
    assert not ax.texts
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("size", [(40, 60), (300, 60), (60, 300), (512, 512)])
def test_panels_are_of_one_size_and_nothing_overlaps(size):
    image, cam = np.zeros(size), np.ones(size)
    mask = cam > 0
    figure = side_by_side(image, cam, contour=mask, contour_names=["reader"], window="W 400 L 40")
    png(figure)  # lays it out
    boxes = [ax.get_window_extent() for ax in figure.axes]
    assert np.ptp([box.width for box in boxes]) < 2
    assert np.ptp([box.height for box in boxes]) < 2
    assert boxes[0].width / boxes[0].height == pytest.approx(size[1] / size[0], rel=0.02)
    assert max(boxes[0].width, boxes[0].height) > 2 * figure.dpi  # two inches
    tight = [ax.get_tightbbox() for ax in figure.axes]
    for left, right in itertools.pairwise(tight):
        assert left.x1 <= right.x0
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(box) for box in tight)


def test_the_picture_is_drawn_without_a_warning_and_the_same_every_time():
    arguments = {"contour": MASK, "boxes": [[0, 0, 60, 40]], "spacing": (0.5, 0.5)}
    assert png(side_by_side(IMAGE, CAM, **arguments)) == png(side_by_side(IMAGE, CAM, **arguments))


def test_tensors_and_colour_images_are_drawn_too():
    image, cam = torch.rand(3, 40, 60), torch.rand(40, 60, requires_grad=True)
    axes = panels(side_by_side(image, cam.bfloat16()))
    assert np.array_equal(shown(axes["image"]), overlay(image, torch.zeros(40, 60)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cam": CAM[None]}, r"`cam` \(shape \(1, 40, 60\)\) must be \(H, W\)"),
        ({"image": IMAGE[1:]}, r"`image` \(shape \(39, 60\)\) does not fit"),
        ({"contour": MASK[1:]}, r"`contour` 0 \(shape \(39, 60\)\)"),
        ({"boxes": [[0, 0, 61, 40]]}, r"`boxes` \(0, 0, 61, 40\)"),
        ({"contour_names": ["a"]}, "`contour_names` has 1 for 0 contours"),
        ({"contour": MASK, "contour_names": ["a", "b"]}, "`contour_names` has 2 for 1 contours"),
        ({"spacing": (1, 0)}, r"`spacing` \(=\(1, 0\)\) must be \(rows, columns\) in mm"),
        ({"spacing": (1, np.inf)}, r"`spacing` \(=\(1, inf\)\)"),
        ({"spacing": (1, 1, 1)}, r"`spacing` \(=\(1, 1, 1\)\)"),
        ({"cmap": "jet"}, "`cmap` 'jet' not found"),
        ({"vmax": 0.0}, r"`vmax` \(=0.0\)"),
    ],
)
def test_wrong_arguments_are_errors(change, message):
    with pytest.raises(ValueError, match=message):
        side_by_side(**({"image": IMAGE, "cam": CAM} | change))


def test_without_matplotlib_the_error_has_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "seattn\[plot\]"'):
        side_by_side(IMAGE, CAM)


def test_pyplot_and_its_global_state_are_not_touched():
    program = (
        "import sys, numpy as np; from seattn.explain import side_by_side, save_pictures, montage;"
        "a = np.ones((9, 9)); montage(a[None], a[None]); assert 'matplotlib' not in sys.modules;"
        "side_by_side(a, a, contour=a > 0, spacing=(1, 1));"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["True", "False"]
