"""Random changes of a batch: what they do, and that nothing but their key decides it."""

import copy
import pickle

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from seattn.data.sample import Sample, to_float
from seattn.data.transforms import RandomAffine, RandomContrast, RandomFlip, RandomNoise, augment
from tests.references import rotate_and_scale

ALL = [RandomFlip(), RandomAffine(), RandomContrast(), RandomNoise()]


def make_batch(n=6, channels=1, height=20, width=23, annotated=None):
    generator = torch.Generator().manual_seed(n)
    mask = torch.randint(0, 2, (n, 1, height, width), generator=generator, dtype=torch.uint8)
    for i in range(n):
        if annotated is not None and i not in annotated:
            mask[i] = 255
    image = torch.rand(n, channels, height, width, generator=generator)
    return Sample(image, torch.arange(n) % 2, mask, torch.arange(n) + 100)


def take(batch, positions):
    return Sample(*(field[positions] for field in batch))


def assert_equal(a, b):
    for one, other in zip(a, b, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


@pytest.fixture
def always(monkeypatch):
    """Makes every uniform draw from -1..1 the given number."""

    def fix(value):
        monkeypatch.setattr(
            "seattn.data.transforms._uniform",
            lambda generators, count: torch.full((len(generators), count), value),
        )

    return fix


@given(st.permutations(range(6)), st.integers(1, 6), st.integers(0, 2**63), st.integers(0, 99))
def test_neither_order_nor_batch_size_changes_a_row(order, size, seed, epoch):
    batch = make_batch(annotated={0, 3, 4})
    whole = augment(batch, ALL, seed=seed, epoch=epoch)
    for start in range(0, 6, size):
        part = order[start : start + size]
        assert_equal(augment(take(batch, part), ALL, seed=seed, epoch=epoch), take(whole, part))


def test_seed_epoch_row_and_position_each_change_the_draws():
    noise = RandomNoise(0.1)
    image = torch.full((1, 1, 8, 8), 0.5)
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)

    def draw(*, seed=0, epoch=0, row=0, transforms=(noise,)):
        batch = Sample(image, torch.tensor([0]), mask, torch.tensor([row]))
        return augment(batch, transforms, seed=seed, epoch=epoch).image

    images = [draw(), draw(seed=1), draw(epoch=1), draw(row=1)]
    images.append(draw(transforms=(RandomNoise(0), noise)))
    images.append(draw(seed=2**32))
    assert len({tuple(one.flatten().tolist()) for one in images}) == 6


def test_the_global_random_state_and_the_input_stay_as_they_were():
    batch = make_batch()
    before, state = copy.deepcopy(batch), torch.get_rng_state()
    augment(batch, ALL, seed=0, epoch=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert_equal(batch, before)


def test_labels_and_rows_pass_through():
    batch = make_batch()
    changed = augment(batch, ALL, seed=0, epoch=0)
    assert torch.equal(changed.label, batch.label)
    assert torch.equal(changed.row, batch.row)
    assert not torch.equal(changed.image, batch.image)
    assert not torch.equal(changed.mask, batch.mask)


def test_nothing_to_do_changes_nothing():
    batch = make_batch()
    idle = [RandomAffine(0, 0, 0), RandomContrast(0), RandomNoise(0)]
    changed = augment(batch, idle, seed=0, epoch=0)
    assert (changed.image - batch.image).abs().max() <= 1e-6
    assert torch.equal(changed.mask, batch.mask)


def test_an_angle_of_zero_samples_the_image_itself(always):
    always(0.0)
    for shape in ((20, 23), (97, 64), (224, 224)):
        batch = make_batch(2, 3, *shape)
        changed = augment(batch, [RandomAffine()], seed=0, epoch=0)
        # float32 coordinates of grid_sample: 224 * 2**-24 of a pixel
        assert (changed.image - batch.image).abs().max() <= 2e-5
        assert torch.equal(changed.mask, batch.mask)


@pytest.mark.parametrize("value", [-1.0, 0.3, 1.0])
@pytest.mark.parametrize(("height", "width"), [(11, 11), (9, 14), (14, 9)])
def test_rotation_and_scaling_agree_with_the_reference(always, value, height, width):
    always(value)
    batch = make_batch(2, 2, height, width)
    changed = augment(batch, [RandomAffine(40.0, 0.3)], seed=0, epoch=0)
    for image, result in zip(batch.image, changed.image, strict=True):
        for channel, got in zip(image.double(), result, strict=True):
            expected = rotate_and_scale(channel, 40.0 * value, 1 + 0.3 * value)
            assert (got - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("value", [-1.0, 0.3, 1.0])
@pytest.mark.parametrize(("height", "width"), [(11, 11), (9, 14), (14, 9)])
def test_shifts_agree_with_the_reference(always, value, height, width):
    always(value)
    batch = make_batch(2, 2, height, width)
    for affine in (RandomAffine(40.0, 0.3, 0.2), RandomAffine(0, 0, 0.2)):
        changed = augment(batch, [affine], seed=0, epoch=0)
        for image, result in zip(batch.image, changed.image, strict=True):
            for channel, got in zip(image.double(), result, strict=True):
                expected = rotate_and_scale(
                    channel,
                    affine.rotation * value,
                    1 + affine.scaling * value,
                    right=0.2 * value * width,
                    down=0.2 * value * height,
                )
                assert (got - expected).abs().max() <= 1e-5


def test_a_shift_of_whole_pixels_moves_image_and_mask_exactly(always):
    always(0.5)
    batch = make_batch(2, 1, 20, 40, annotated={1})
    moved = augment(batch, [RandomAffine(0, 0, shift=0.1)], seed=0, epoch=0)
    expected = torch.zeros_like(batch.image)
    expected[..., 1:, 2:] = batch.image[..., :-1, :-2]
    assert (moved.image - expected).abs().max() <= 2e-5
    assert torch.equal(moved.mask[1, :, 1:, 2:], batch.mask[1, :, :-1, :-2])
    assert moved.mask[1, :, 0].max() == moved.mask[1, :, :, :2].max() == 0
    assert (moved.mask[0] == 255).all()


def test_shifts_fill_their_range_and_are_independent_of_each_other_and_of_the_angle():
    n = 1000
    image = torch.zeros(n, 1, 33, 33)
    image[..., 16, 16] = 1
    batch = Sample(image, torch.zeros(n), torch.full_like(image, 255).byte(), torch.arange(n))
    y, x = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")

    def shifts(affine):
        moved = augment(batch, [affine], seed=0, epoch=0).image[:, 0]
        return torch.stack([(axis * moved).sum((1, 2)) - 16 for axis in (x, y)]) / 33

    found = shifts(RandomAffine(0, 0, 0.25))
    for one in found:
        assert 0.245 < one.max() <= 0.2501
        assert -0.2501 <= one.min() < -0.245
        assert abs(one.mean()) < 0.02
    assert abs(torch.corrcoef(found)[0, 1]) < 0.1


def test_what_is_not_shifted_is_rotated_and_scaled_as_ever():
    batch = make_batch(annotated={0, 1})
    generators = [torch.Generator().manual_seed(i) for i in range(6)]
    draws = [2 * torch.rand(2, generator=torch.Generator().manual_seed(i)) - 1 for i in range(6)]
    image = RandomAffine(30.0, 0.2)(batch, generators).image
    for i, (angle, size) in enumerate(draws):
        expected = rotate_and_scale(
            batch.image[i, 0].double(), 30 * float(angle), 1 + 0.2 * float(size)
        )
        assert (image[i, 0] - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_transformed_in_single_precision_and_rounded(dtype):
    batch = make_batch(annotated={0, 1})
    half = batch._replace(image=batch.image.to(dtype))
    changed = augment(half, ALL, seed=0, epoch=0)
    expected = augment(half._replace(image=half.image.float()), ALL, seed=0, epoch=0)
    assert changed.image.dtype == dtype
    assert torch.equal(changed.image, expected.image.to(dtype))
    assert torch.equal(changed.mask, expected.mask)


def test_double_precision_images_stay_so():
    batch = make_batch()
    double = augment(batch._replace(image=batch.image.double()), ALL, seed=0, epoch=0).image
    assert double.dtype == torch.float64
    assert (double - augment(batch, ALL, seed=0, epoch=0).image).abs().max() < 1e-5


def test_grey_levels_become_float32_before_they_are_transformed():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    batch = Sample(levels, torch.tensor([1]), torch.zeros_like(levels), torch.tensor([0]))
    single = to_float(batch)
    assert torch.equal(single.image, levels.float() / 255)
    assert_equal(augment(batch, [], seed=0, epoch=0), single)
    assert_equal(augment(batch, ALL, seed=0, epoch=0), augment(single, ALL, seed=0, epoch=0))
    assert batch.image.dtype == torch.uint8


def test_other_types_become_float32_without_a_change_of_scale():
    batch = make_batch(2)
    half = batch._replace(image=batch.image.half())
    assert torch.equal(to_float(half).image, half.image.float())


def test_a_mask_without_annotation_may_share_its_memory():
    batch = make_batch(3)
    shared = batch._replace(mask=torch.full((1, 1, 1, 1), 255).byte().expand_as(batch.mask))
    assert (augment(shared, ALL, seed=0, epoch=0).mask == 255).all()


def test_a_positive_quarter_turn_is_clockwise(always):
    always(1.0)
    batch = make_batch(1, 1, 16, 16)
    changed = augment(batch, [RandomAffine(90, 0)], seed=0, epoch=0)
    assert (changed.image - batch.image.rot90(-1, (-2, -1))).abs().max() <= 1e-5
    assert torch.equal(changed.mask, batch.mask.rot90(-1, (-2, -1)))


@pytest.mark.parametrize(
    ("flip", "dims"),
    [
        (RandomFlip(1, 0), [3]),
        (RandomFlip(0, 1), [2]),
        (RandomFlip(1, 1), [2, 3]),
        (RandomFlip(0, 0), []),
    ],
)
def test_certain_flips_mirror_image_and_mask(flip, dims):
    batch = make_batch(annotated={1, 2})
    mirrored = augment(batch, [flip], seed=0, epoch=0)
    assert_equal(mirrored, batch._replace(image=batch.image.flip(dims), mask=batch.mask.flip(dims)))


def test_flips_have_their_probabilities_and_do_not_hang_together():
    batch = make_batch(n=2000, height=2, width=2)
    corner = torch.tensor([[1, 0], [0, 0]], dtype=torch.uint8).expand(2000, 1, 2, 2)
    moved = augment(batch._replace(mask=corner), [RandomFlip(0.25, 0.5)], seed=0, epoch=0).mask
    shares = moved.double().mean((0, 1))  # of each place that the corner can end in
    expected = torch.tensor([[0.375, 0.125], [0.375, 0.125]], dtype=torch.float64)
    torch.testing.assert_close(shares, expected, atol=0.04, rtol=0)  # four standard errors


def test_the_mask_moves_with_the_image():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    blob = ((x - 15) ** 2 + (y - 20) ** 2 < 36).float()[None, None].expand(20, 1, 64, 48)
    batch = Sample(blob, torch.zeros(20), blob.to(torch.uint8), torch.arange(20))
    moved = augment(batch, [RandomAffine(30.0, 0.2, 0.1)], seed=0, epoch=0)
    assert set(moved.mask.unique().tolist()) == {0, 1}
    for image, mask in zip(moved.image[:, 0], moved.mask[:, 0].float(), strict=True):
        for axis in (x, y):
            centroid = (axis * image).sum() / image.sum()
            assert abs((axis * mask).sum() / mask.sum() - centroid) < 0.5  # of a pixel


def test_an_image_without_annotation_stays_so():
    batch = make_batch(annotated={1, 4})
    mask = augment(batch, [RandomAffine(90.0, 0.5)], seed=0, epoch=0).mask
    assert [set(one.unique().tolist()) <= {0, 1} for one in mask] == [i in {1, 4} for i in range(6)]
    assert (mask[[0, 2, 3, 5]] == 255).all()


def test_factors_fill_their_range_evenly():
    n = 2000
    image = torch.zeros(n, 1, 2, 2)
    image[..., 0, 0] = 1.0
    batch = Sample(image, torch.zeros(n), torch.full_like(image, 255).byte(), torch.arange(n))
    top = augment(batch, [RandomContrast(0.2)], seed=0, epoch=0).image[:, 0, 1, 1]  # 0 before
    factors = 1 - 2 * top[top > 0]  # those below 1; the others clamp it to 0
    assert 0.8 <= factors.min() < 0.802
    assert len(factors) / n == pytest.approx(0.5, abs=0.04)
    assert factors.mean() == pytest.approx(0.9, abs=0.004)


def test_contrast_turns_about_the_middle_of_the_window(always):
    always(1.0)
    image = torch.tensor([0.5, 0.6, 0.1, 0.98]).reshape(1, 1, 2, 2)
    batch = make_batch(1, 1, 2, 2)._replace(image=image)
    changed = augment(batch, [RandomContrast(0.5)], seed=0, epoch=0).image
    assert changed.flatten().tolist() == pytest.approx([0.5, 0.65, 0.0, 1.0])


def test_noise_has_its_standard_deviation_and_is_independent_between_pixels():
    batch = make_batch(4, 1, 128, 128)._replace(image=torch.full((4, 1, 128, 128), 0.5))
    noise = augment(batch, [RandomNoise(0.05)], seed=0, epoch=0).image - 0.5
    for one in noise:
        assert one.std() == pytest.approx(0.05, rel=0.02)
        assert abs(one.mean()) < 5 * 0.05 / 128
    neighbours = torch.corrcoef(torch.stack([noise[..., :-1].flatten(), noise[..., 1:].flatten()]))
    rows = torch.corrcoef(noise.flatten(1))
    assert abs(neighbours[0, 1]) < 0.02
    assert (rows - torch.eye(4)).abs().max() < 0.04


def test_the_result_stays_in_its_range():
    batch = make_batch(20)
    strong = [RandomAffine(180, 0.9), RandomContrast(1), RandomNoise(1)]
    image = augment(batch, strong, seed=0, epoch=0).image
    assert image.min() == 0
    assert image.max() == 1


def test_transforms_of_ones_own_get_a_generator_for_each_row():
    def flip(batch, generators):
        coins = torch.stack([torch.rand((), generator=each) < 0.5 for each in generators])
        image = torch.where(coins[:, None, None, None], batch.image.flip(-1), batch.image)
        return batch._replace(image=image)

    batch = make_batch(40)
    flipped = augment(batch, [flip], seed=0, epoch=0).image
    same = (flipped == batch.image).flatten(1).all(1)
    assert 5 < same.sum() < 35
    assert torch.equal(flipped[~same], batch.image.flip(-1)[~same])


def test_transforms_compare_and_pickle_by_their_arguments():
    assert RandomAffine() == RandomAffine(rotation=15.0, scaling=0.1)
    assert pickle.loads(pickle.dumps(ALL)) == ALL


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: RandomAffine(rotation=-1), r"`rotation` \(=-1\)"),
        (lambda: RandomAffine(rotation=181), r"`rotation` \(=181\)"),
        (lambda: RandomAffine(scaling=1.0), r"`scaling` \(=1.0\)"),
        (lambda: RandomAffine(scaling=float("nan")), r"`scaling` \(=nan\)"),
        (lambda: RandomAffine(shift=1.1), r"`shift` \(=1.1\)"),
        (lambda: RandomAffine(shift=-0.1), r"`shift` \(=-0.1\)"),
        (lambda: RandomFlip(vertical=1.1), r"`vertical` \(=1.1\)"),
        (lambda: RandomContrast(1.1), r"`contrast` \(=1.1\)"),
        (lambda: RandomNoise(-0.1), r"`sigma` \(=-0.1\)"),
        (lambda: RandomNoise(float("inf")), r"`sigma` \(=inf\)"),
    ],
)
def test_arguments_out_of_range_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_a_single_sample_is_not_a_batch():
    sample = take(make_batch(), 0)
    with pytest.raises(ValueError, match=r"shape \(1, 20, 23\).*dataset.batch"):
        augment(sample, ALL, seed=0, epoch=0)


@pytest.mark.parametrize("transform", [RandomContrast(), RandomNoise()])
@pytest.mark.parametrize(
    ("low", "high"), [(-1000.0, 2000.0), (0.0, 1.01), (-0.01, 1.0), (0.0, 65535.0)]
)
def test_an_image_beyond_its_range_is_refused_and_not_clamped(transform, low, high):
    batch = make_batch()
    image = batch.image.clone()
    image[2, 0, 3, 4], image[4, 0, 1, 1] = low, high
    match = rf"`batch.image` has values in .*{type(transform).__name__} .*`units`='window'"
    with pytest.raises(ValueError, match=match):
        augment(batch._replace(image=image), [transform], seed=0, epoch=0)
    changed = augment(batch._replace(image=image), [RandomFlip(), RandomAffine()], seed=0, epoch=0)
    assert changed.image.isfinite().all()


@pytest.mark.parametrize("transform", [RandomContrast(), RandomNoise()])
def test_rounding_beyond_the_range_is_clamped(transform):
    batch = make_batch()
    image = batch.image.clone()
    image[:, :, 0, 0], image[:, :, 0, 1] = -1e-6, 1 + 1e-6
    changed = augment(batch._replace(image=image), [transform], seed=0, epoch=0).image
    assert 0 <= changed.min() <= changed.max() <= 1


def test_an_empty_batch_has_no_values_to_refuse():
    empty = take(make_batch(), slice(0, 0))
    assert augment(empty, [RandomNoise()], seed=0, epoch=0).image.shape == (0, 1, 20, 23)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: RandomAffine("a"), r"^`rotation` \(='a'\) must be a number\.$"),
        (lambda: RandomAffine(shift=(0.1, 0.1)), r"^`shift` \(=\(0.1, 0.1\)\) must be a number"),
        (lambda: RandomFlip(vertical=None), r"^`vertical` \(=None\) must be a number"),
        (lambda: RandomContrast("a"), r"^`contrast` \(='a'\) must be a number"),
        (lambda: RandomNoise([0.1]), r"^`sigma` \(=\[0.1\]\) must be a number"),
    ],
)
def test_arguments_that_are_no_numbers_are_named(make, match):
    with pytest.raises(TypeError, match=match):
        make()


def test_a_batch_is_a_sample():
    batch = make_batch()
    with pytest.raises(TypeError, match=r"^`batch` \(of type Tensor\) must be a Sample"):
        augment(batch.image, ALL, seed=0, epoch=0)
    with pytest.raises(TypeError, match=r"\(of type dict\) .*`Sample\(\*\*batch\)` makes one"):
        augment(batch._asdict(), ALL, seed=0, epoch=0)
