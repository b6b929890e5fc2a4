"""The dataset: from a folder of DICOM files to batches."""

import copy
import pickle
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset

from seattn.data import preprocess as preprocess_module
from seattn.data.dataset import DicomDataset
from seattn.data.dicom import read_dicom
from seattn.data.errors import CacheError, DicomError
from seattn.data.index import DicomIndex
from seattn.data.limits import DicomLimits
from seattn.data.roi import bone_mask
from seattn.data.sample import Sample
from seattn.data.split import split_by_patient
from seattn.data.transforms import RandomAffine, RandomContrast, RandomNoise, augment
from tests.data.ct_folder import SHAPE, WINDOW, make_ct_folder, only, write_ct
from tests.data.files import write_dicom


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_ct_folder(tmp_path_factory.mktemp("scans"), patients=6)


@pytest.fixture(params=[False, True], ids=["on the fly", "cached"])
def dataset(request, index, tmp_path):
    return DicomDataset(index, size=16, window=WINDOW, cache=tmp_path if request.param else None)


def assert_equal(a, b):
    for one, other in zip(a, b, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


def stack(samples):
    return Sample(*(torch.stack(fields) for fields in zip(*samples, strict=True)))


def test_a_sample_holds_image_label_mask_and_row(dataset, index):
    sample = dataset[3]
    assert isinstance(sample, Sample)
    assert sample.image.shape == sample.mask.shape == (1, 16, 16)
    assert [field.dtype for field in sample] == [
        torch.float32,
        torch.int64,
        torch.uint8,
        torch.int64,
    ]
    assert (sample.label, sample.row) == (index.rows[3].label, 3)
    assert 0 <= sample.image.min() < sample.image.max() <= 1
    assert (sample.mask == 255).all()
    assert dataset[4].mask.unique().tolist() == [0, 1]
    assert len(dataset) == 12


def test_the_image_is_the_windowed_file_resized_with_antialiasing(index):
    image = DicomDataset(index, size=(20, 30), window=WINDOW)[5].image
    pixels = read_dicom(index.root / index.rows[5].path, window=WINDOW).pixels
    # Each pixel of the small image is a mean with triangular weights: here along the 40 rows.
    height = torch.arange(40) + 0.5
    for i in (5, 12):
        weight = (1 - (height - (i + 0.5) * 2).abs() / 2).clamp(min=0)
        expected = (weight[:, None] * pixels[0]).sum(0) / weight.sum()
        assert (image[0, i] - expected).abs().max() < 1e-5


def test_an_image_of_the_right_size_is_not_touched(index):
    dataset = DicomDataset(index, size=SHAPE, window=WINDOW)
    pixels = read_dicom(index.root / index.rows[0].path, window=WINDOW).pixels
    assert torch.equal(dataset[0].image, pixels)


@pytest.mark.parametrize("size", [(40, 30), (16, 16), (7, 5), (1, 1), (64, 50)])
def test_no_annotation_is_too_small_to_survive(index, tmp_path, size):
    mask = np.zeros(SHAPE, dtype=bool)
    for place in ((0, 0), (17, 13), (39, 29)):
        mask[:] = False
        mask[place] = True
        np.save(tmp_path / "one.npy", mask)
        dataset = DicomDataset(
            only(index, 0, mask=str(tmp_path / "one.npy")), size=size, window=WINDOW
        )
        rows, columns = np.nonzero(dataset[0].mask[0].numpy())
        assert rows.size >= 1
        # every set pixel of the result overlaps the annotated pixel, and no other is set
        scale = np.array(size) / SHAPE
        assert (rows < (place[0] + 1) * scale[0]).all()
        assert (rows + 1 > place[0] * scale[0]).all()
        assert (columns < (place[1] + 1) * scale[1]).all()
        assert (columns + 1 > place[1] * scale[1]).all()


def test_a_mask_in_png_is_what_is_not_black(index, tmp_path):
    from PIL import Image

    pixels = np.zeros(SHAPE, dtype=np.uint8)
    pixels[5:9, 5:9] = 1
    for mode in ("L", "P", "1"):
        picture = Image.fromarray(pixels * (255 if mode == "1" else 1)).convert("L")
        if mode == "P":
            picture.putpalette([0, 0, 0] * 256)
        Image.Image.save(picture.convert("1") if mode == "1" else picture, tmp_path / "mask.png")
        row = only(index, 0, mask=str(tmp_path / "mask.png"))
        mask = DicomDataset(row, size=SHAPE, window=WINDOW)[0].mask
        assert torch.equal(mask[0], torch.from_numpy(pixels))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.zeros((30, 40)), "mask has shape (30, 40) and its image (40, 30)"),
        (np.zeros((*SHAPE, 3)), "mask has shape (40, 30, 3)"),
        (np.array([None]), "ValueError"),
        (None, "No such file"),
    ],
)
def test_a_mask_that_cannot_be_used_is_an_error_that_names_it(index, tmp_path, content, reason):
    if content is not None:
        np.save(tmp_path / "mask.npy", content)
    dataset = DicomDataset(only(index, 0, mask=str(tmp_path / "mask.npy")), window=WINDOW)
    with pytest.raises(DicomError, match="mask") as caught:
        dataset[0]
    assert caught.value.path == str(tmp_path / "mask.npy")
    assert reason in caught.value.reason


def test_a_missing_pillow_is_named_with_the_line_that_installs_it(index, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "mask.png").write_bytes(b"")
    dataset = DicomDataset(only(index, 0, mask=str(tmp_path / "mask.png")), window=WINDOW)
    with pytest.raises(DicomError, match=r"mask.png: mask: .*pip install 'seattn\[compressed\]'"):
        dataset[0]


def test_outside_the_bones_is_black_before_the_image_is_resized(index):
    dataset = DicomDataset(index, size=SHAPE, window=WINDOW, bone_mask=True)
    path = index.root / index.rows[0].path
    bones = bone_mask(read_dicom(path, units="modality").pixels)
    expected = read_dicom(path, window=WINDOW).pixels * bones
    assert 0 < bones.float().mean() < 0.5
    assert torch.equal(dataset[0].image, expected)
    small = DicomDataset(index, size=16, window=WINDOW, bone_mask=True)[0].image
    resized = F.interpolate(expected[None], 16, mode="bilinear", antialias=True)[0]
    assert torch.equal(small, resized)


def test_a_bone_mask_needs_hounsfield_units(index, tmp_path):
    write_ct(tmp_path / "rgb.dcm", seed=0, patient="", colour=True)
    colour = replace(only(index, 0, path="rgb.dcm", mask=None), root=tmp_path)
    with pytest.raises(DicomError, match=r"rgb\.dcm"):
        DicomDataset(colour, units="minmax", bone_mask=True)[0]
    import pydicom

    dataset = pydicom.dcmread(index.root / index.rows[0].path)
    dataset.RescaleType = "OD"
    dataset.save_as(tmp_path / "density.dcm")
    density = replace(only(index, 0, path="density.dcm", mask=None), root=tmp_path)
    with pytest.raises(DicomError, match=r"density\.dcm: bone mask: .*Hounsfield"):
        DicomDataset(density, window=WINDOW, bone_mask=True)[0]


def test_colour_images_have_three_channels(index, tmp_path):
    write_ct(tmp_path / "rgb.dcm", seed=0, patient="", colour=True)
    colour = replace(only(index, 0, path="rgb.dcm", mask=None), root=tmp_path)
    assert DicomDataset(colour, size=16)[0].image.shape == (3, 16, 16)


def test_an_image_without_a_label_has_the_label_minus_one(index):
    assert DicomDataset(only(index, 0, label=None), window=WINDOW)[0].label == -1


def test_a_batch_is_its_samples(dataset):
    positions = [5, 0, 5, -1]
    batch = dataset.batch(positions)
    assert_equal(batch, stack([dataset[i] for i in positions]))
    assert batch.row.tolist() == [5, 0, 5, 11]
    assert_equal(batch, dataset.batch(np.array(positions)))
    assert_equal(batch, stack(dataset.__getitems__(positions)))


def test_cached_values_are_those_of_the_files_up_to_rounding(index, tmp_path):
    fresh = DicomDataset(index, size=16, window=WINDOW).batch(range(12))
    for dtype, tolerance in (("uint8", 0.5001 / 255), ("float32", 0)):
        cached = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path, dtype=dtype)
        batch = cached.batch(range(12))
        assert (batch.image - fresh.image).abs().max() <= tolerance
        assert_equal(batch[1:], fresh[1:])


def test_a_cached_dataset_reads_no_files(index, tmp_path, monkeypatch):
    expected = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path).batch(range(12))
    monkeypatch.delattr(preprocess_module, "read_image")
    dataset = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path)
    assert_equal(dataset.batch(range(12)), expected)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gives_the_same_batches_with_any_number_of_workers(dataset, workers):
    context = "fork" if workers and sys.platform == "linux" else None
    loader = DataLoader(dataset, batch_size=5, num_workers=workers, multiprocessing_context=context)
    batches = list(loader)
    assert [len(batch.row) for batch in batches] == [5, 5, 2]
    for batch, positions in zip(batches, (range(5), range(5, 10), range(10, 12)), strict=True):
        assert isinstance(batch, Sample)
        assert_equal(batch, dataset.batch(positions))


def test_a_worker_that_starts_afresh_opens_the_cache_again(index, tmp_path):
    dataset = DicomDataset(index, size=16, window=WINDOW, cache=tmp_path)
    loader = DataLoader(dataset, batch_size=12, num_workers=1, multiprocessing_context="spawn")
    assert_equal(next(iter(loader)), dataset.batch(range(12)))


def test_a_bad_file_never_ends_an_epoch_early(index, tmp_path):
    rows = (*index.rows[:2], replace(index.rows[2], path="gone.dcm"), *index.rows[3:])
    broken = replace(index, rows=rows)
    with pytest.raises(DicomError, match=r"gone\.dcm: open"):
        list(DataLoader(DicomDataset(broken, size=16, window=WINDOW), batch_size=2))
    with pytest.raises(CacheError, match=r"gone\.dcm: open"):
        DicomDataset(broken, size=16, window=WINDOW, cache=tmp_path)


def test_a_subset_reads_whole_batches_too(dataset):
    subset = Subset(dataset, [7, 2, 9])
    batch = next(iter(DataLoader(subset, batch_size=3)))
    assert_equal(batch, dataset.batch([7, 2, 9]))


def test_dictionaries_have_the_fields_as_keys(index):
    dataset = DicomDataset(index, size=16, window=WINDOW, as_dict=True)
    sample = dataset[2]
    assert list(sample) == ["image", "label", "mask", "row"]
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert torch.equal(batch["image"], dataset.batch(range(4)).image)


def test_positions_out_of_range_are_errors_and_iteration_ends(dataset):
    with pytest.raises(IndexError):
        dataset[12]
    with pytest.raises(IndexError):
        dataset.batch([0, -13])
    assert len(list(dataset)) == 12


@pytest.mark.parametrize("cached", [False, True])
def test_voi_force_and_limits_are_those_of_read_dicom(tmp_path, cached):
    values = np.arange(256, dtype=np.int16).reshape(16, 16)
    windows = {"WindowCenter": [40, 128], "WindowWidth": [60, 256]}
    path = write_dicom(tmp_path / "a.dcm", values, **windows)
    index = DicomIndex.scan(tmp_path, key="k", progress=False)
    options = {"size": 16, "cache": tmp_path / "cache" if cached else None}
    if cached:
        options["dtype"] = "float32"
    images = [read_dicom(path, voi=voi).pixels for voi in (0, 1)]
    assert not torch.equal(*images)
    for voi in (0, 1):  # in one folder, so that a cache of the other is there
        assert torch.equal(DicomDataset(index, voi=voi, **options)[0].image, images[voi])
    with pytest.raises(DicomError, match=r"`voi` \(=2\) must be in 0\.\.1"):
        DicomDataset(index, voi=2, **options)[0]

    path.write_bytes(path.read_bytes()[132:])  # no preamble, no prefix
    status = path.stat()
    row = replace(index.rows[0], size=status.st_size, mtime_ns=status.st_mtime_ns)
    index = replace(index, rows=(row,))
    with pytest.raises(DicomError, match="no DICOM prefix"):
        DicomDataset(index, **options)[0]
    with pytest.raises(DicomError, match="more than the limit of 255"):
        DicomDataset(index, force=True, limits=DicomLimits(samples=255), **options)[0]
    assert torch.equal(DicomDataset(index, force=True, **options)[0].image, images[0])


def test_bones_are_found_with_the_same_force_and_limits(tmp_path):
    values = np.arange(256, dtype=np.int16).reshape(16, 16)
    rescale = {"RescaleIntercept": 0, "RescaleSlope": 1, "RescaleType": "HU"}
    path = write_dicom(tmp_path / "a.dcm", values, **rescale)
    (row,) = DicomIndex.scan(tmp_path, key="k", progress=False).rows
    expected = DicomDataset(DicomIndex(tmp_path, (row,)), size=16, bone_mask=True)[0].image
    path.write_bytes(path.read_bytes()[132:])
    forced = DicomDataset(DicomIndex(tmp_path, (row,)), size=16, bone_mask=True, force=True)
    assert torch.equal(forced[0].image, expected)


def test_pickles_and_copies_give_the_same_batches(dataset):
    expected = dataset.batch(range(12))
    assert_equal(pickle.loads(pickle.dumps(dataset)).batch(range(12)), expected)
    assert_equal(copy.deepcopy(dataset).batch(range(12)), expected)


def test_a_pickle_of_a_dataset_holds_no_pixels(index, tmp_path):
    dataset = DicomDataset(index, size=224, window=WINDOW, cache=tmp_path)
    assert len(pickle.dumps(dataset)) < 10_000  # the images have 600 kB


@pytest.mark.parametrize(
    ("size", "drop_last", "lengths"),
    [(5, False, [5, 5, 2]), (5, True, [5, 5]), (6, False, [6, 6]), (50, True, [])],
)
def test_a_loader_goes_through_all_images_in_order(dataset, size, drop_last, lengths):
    loader = dataset.loader(size, drop_last=drop_last)
    for _ in range(2):  # it starts again
        batches = list(loader)
        assert [len(batch.row) for batch in batches] == lengths
        assert len(loader) == len(lengths)
        assert [row for batch in batches for row in batch.row.tolist()] == [*range(sum(lengths))]


def test_the_order_is_a_function_of_seed_and_epoch(dataset):
    def order(seed, epoch):
        loader = dataset.loader(5, shuffle=True, seed=seed)
        loader.set_epoch(epoch)
        return tuple(row for batch in loader for row in batch.row.tolist())

    state = torch.get_rng_state()
    orders = [order(0, 0), order(0, 1), order(1, 0)]
    assert len(set(orders)) == 3
    assert all(sorted(rows) == [*range(12)] for rows in orders)
    assert [order(0, 0), order(0, 1), order(1, 0)] == orders
    assert torch.equal(torch.get_rng_state(), state)


def test_impossible_arguments_are_named(index, tmp_path):
    with pytest.raises(ValueError, match=r"`size` \(=0\)"):
        DicomDataset(index, size=0)
    with pytest.raises(ValueError, match=r"`bone_mask`.*`units`='modality'"):
        DicomDataset(index, units="modality", bone_mask=True)
    with pytest.raises(ValueError, match="`batch_size`"):
        DicomDataset(index).loader(0)
    with pytest.raises(ValueError, match="`units`"):
        DicomDataset(index, units="hounsfield", cache=tmp_path, dtype="float32")
    with pytest.raises(ValueError, match="`window`"):
        DicomDataset(index, window=(400,), cache=tmp_path)


def test_from_a_folder_to_augmented_batches(index, tmp_path):
    train, val, test = split_by_patient(index, 1 / 3, 1 / 3, 1 / 3)
    assert [len(part) for part in (train, val, test)] == [4, 4, 4]
    dataset = DicomDataset(train, size=24, window=WINDOW, bone_mask=True, cache=tmp_path)
    loader = dataset.loader(3, shuffle=True)
    seen = {}
    for epoch in range(2):
        loader.set_epoch(epoch)
        for batch in loader:
            changed = augment(
                batch, [RandomAffine(), RandomContrast(), RandomNoise()], seed=0, epoch=epoch
            )
            assert changed.image.shape == batch.image.shape
            assert changed.image.isfinite().all()
            for row, label in zip(batch.row.tolist(), batch.label.tolist(), strict=True):
                seen[epoch, row] = label
    assert seen == {(e, i): row.label for e in (0, 1) for i, row in enumerate(train.rows)}


def test_samples_and_warnings_tell_nothing_about_a_patient(index):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sample = DicomDataset(index, size=16, window=WINDOW)[0]
    assert caught == []
    for word in (b"MARKER", b"Marker", b"patient", index.rows[0].patient.encode()):
        assert word not in pickle.dumps(sample)
