"""PNG files: another library reads back what was written, and no file is lost or misnamed."""

import io

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from PIL import Image

from seattn.explain import overlay, save_pictures
from seattn.explain.png import encode_png

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_pillow_reads_the_same_pixels(picture):
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(image), picture)


def test_the_size_is_about_that_of_pillow():
    y, x = np.mgrid[:256, :256]
    heat = np.exp(-((y - 100) ** 2 + (x - 90) ** 2) / 5000)
    picture = overlay(0.4 + 0.3 * np.sin(x / 20) * np.sin(y / 30), heat)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "png")
    assert len(encode_png(picture)) < 1.1 * stream.tell()


def test_the_layout_in_memory_does_not_matter():
    picture = PICTURES[0]
    assert encode_png(picture.copy(order="F")) == encode_png(picture)
    assert encode_png(picture[::-1][::-1]) == encode_png(picture)


def test_files_are_numbered_in_a_new_folder(tmp_path):
    paths = save_pictures(tmp_path / "a" / "b", PICTURES)
    assert [path.name for path in paths] == ["000000.png", "000001.png", "000002.png"]
    assert sorted((tmp_path / "a" / "b").iterdir()) == paths
    for path, picture in zip(paths, PICTURES, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), picture)


def test_names_and_sizes_may_be_of_any_kind(tmp_path):
    names = ["row 7", "übersicht_2.a-b", "3"]
    pictures = [PICTURES[0], PICTURES[1, :2], PICTURES[2, :, :3]]
    paths = save_pictures(tmp_path, pictures, names=names)
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    for path, picture in zip(paths, pictures, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), picture)


def test_tensors_are_taken(tmp_path):
    (path,) = save_pictures(tmp_path, torch.from_numpy(PICTURES[:1]))
    assert np.array_equal(np.asarray(Image.open(path)), PICTURES[0])
    with pytest.raises(TypeError, match=r"`pictures\[0\]` \(float64\) must be uint8"):
        save_pictures(tmp_path, [torch.rand(4, 4, 3)])


def test_nothing_is_replaced_unasked(tmp_path):
    (tmp_path / "000001.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="picture 1 is there already"):
        save_pictures(tmp_path, PICTURES)
    assert [path.name for path in tmp_path.iterdir()] == ["000001.png"]
    assert (tmp_path / "000001.png").read_bytes() == b"mine"
    save_pictures(tmp_path, PICTURES, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3
    assert np.array_equal(np.asarray(Image.open(tmp_path / "000001.png")), PICTURES[1])


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "/a", "../a", "a\\b", "C:a", ".hidden", " a", "a ", "a.", "-rf"),
        *("a\0b", "a\n", "a*", "a?", "a|b", 'a"'),
    ],
)
def test_a_name_is_that_of_a_plain_file(tmp_path, name):
    with pytest.raises(ValueError, match=r"`names\[1\]` must be a plain file name") as caught:
        save_pictures(tmp_path / "new", PICTURES, names=["ok", name, "ZZ^Jane"])
    assert "ZZ" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"names": ["a", "b"]}, ValueError, "`names` has 2 for 3 pictures"),
        ({"names": ["a", "b", "A"]}, ValueError, r"`names\[0\]` and `names\[2\]` are the same"),
        ({"pictures": PICTURES / 255}, TypeError, r"`pictures\[0\]` \(float64\) must be uint8"),
        ({"pictures": PICTURES[..., 0]}, ValueError, r"`pictures\[0\]` \(shape \(5, 7\)\)"),
        ({"pictures": [PICTURES[0], PICTURES[0, :0]]}, ValueError, r"`pictures\[1\]` \(shape \(0"),
    ],
)
def test_wrong_arguments_are_errors_and_nothing_is_written(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        save_pictures(tmp_path / "new", **({"pictures": PICTURES} | change))
    assert list(tmp_path.iterdir()) == []
