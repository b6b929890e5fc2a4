"""The phantom in memory: tissues, sites, and that only the break knows the label."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.stats

from seattn.data.phantom import render_ankle
from seattn.data.phantom.anatomy import Ankle
from seattn.data.phantom.fracture import SITES, Break
from seattn.data.phantom.plane import VARIANTS, VIEWS, draw_planes
from seattn.data.phantom.scene import Scene

CASES = [(variant, view) for variant in VARIANTS for view in VIEWS]


def tissue_hu(select, who=lambda ankle: True):
    """Hounsfield units where ``select(ankle, points, distance of the skin)`` is true.

    In full images of the first three normal patients without swelling for whom ``who`` is true.
    """
    drawn = (Ankle.draw(np.random.default_rng([5, i, 1]), fracture=False) for i in range(200))
    patients = [i for i, ankle in enumerate(drawn) if who(ankle)][:3]
    hu = []
    for patient, view in itertools.product(patients, VIEWS):
        image = render_ankle(
            5, fracture=False, patient=patient, view=view, variant="full", swelling=False
        )
        p = image.plane.points(image.ankle)
        hu.append(image.hu.reshape(-1)[select(image.ankle, p, image.ankle.skin(p))])
    assert sum(map(len, hu)) > 500
    return np.concatenate(hu)


def test_cortex_of_the_shaft_is_above_800_hu():
    def cortex(ankle, p, skin):
        depth = -ankle.tibia(p)
        return (p[2] > 46) & (depth > 1) & (depth < 2.2)

    assert np.median(tissue_hu(cortex)) > 800


def test_trabecular_bone_is_between_muscle_and_cortex():
    assert 100 < np.median(tissue_hu(lambda ankle, p, skin: ankle.talus(p) < -5)) < 700


def test_the_shaft_is_filled_with_fatty_marrow():
    def marrow(ankle, p, skin):
        return (ankle.tibia(p) < -8) & (p[2] > 50)

    assert -60 < np.median(tissue_hu(marrow)) < 20


def test_subcutaneous_fat_is_fat():
    def fat(ankle, p, skin):
        return (skin < -2.3) & (skin > -3.5)

    assert -130 <= np.median(tissue_hu(fat, who=lambda ankle: ankle.fat_mm > 7)) <= -60


def test_muscle_is_muscle():
    def muscle(ankle, p, skin):
        bone = np.minimum.reduce([bone.distance(p) for bone in ankle.bones().values()])
        return (skin < -ankle.fat_mm - 5) & (bone > 3) & (p[1] > 0)

    assert 20 < np.median(tissue_hu(muscle)) < 90


def test_air_is_air():
    assert np.median(tissue_hu(lambda ankle, p, skin: skin > 12)) < -950


def test_a_cast_surrounds_the_leg_at_a_distance():
    def who(ankle):
        return ankle.cast_hu is not None

    assert np.median(tissue_hu(lambda ankle, p, skin: np.abs(skin - 6) < 1, who)) > 0
    assert np.median(tissue_hu(lambda ankle, p, skin: (skin > 1) & (skin < 2.5), who)) < -900


def test_every_joint_has_a_space():
    rng = np.random.default_rng(0)
    p = rng.uniform((-35, -30, -60), (35, 85, 35), (60_000, 3)).astype(np.float32).T
    for _ in range(6):
        bones = Ankle.draw(rng, fracture=False).bones()
        distance = {name: bone.distance(p) for name, bone in bones.items()}
        for pair in itertools.combinations(distance, 2):
            gap = 2 * np.maximum(*(distance[name] for name in pair)).min()
            assert gap > 1, (pair, gap)  # mm


@pytest.mark.parametrize(("variant", "view"), CASES)
def test_pixels_are_as_promised(variant, view):
    image = render_ankle(0, fracture=True, variant=variant, view=view)
    size = VARIANTS[variant]
    assert image.hu.shape == image.mask.shape == (size, size)
    assert (image.hu.dtype, image.mask.dtype) == (np.int16, np.uint8)
    assert image.hu.min() >= -1024
    assert image.hu.max() <= 3071
    assert set(np.unique(image.mask)) == {0, 1}


@pytest.mark.parametrize(("variant", "count"), [("full", 5), ("study", 10), ("roi", 60)])
def test_every_fracture_shows_5_mm2_of_mask(variant, count):
    for patient in range(count):
        for view in VIEWS:
            image = render_ankle(2, fracture=True, patient=patient, view=view, variant=variant)
            assert image.mask.sum() * image.plane.spacing**2 >= 5


@pytest.mark.parametrize("patient", [66, 134, 176])  # found by search: Weber A, nearly horizontal
def test_a_plane_beside_the_break_is_moved_for_either_label(patient):
    broken, whole = (render_ankle(2, fracture=f, patient=patient) for f in (True, False))
    site = broken.ankle.world(broken.injury.centre)
    rng = np.random.default_rng([2, patient, 3])
    first, *_ = draw_planes(rng, broken.ankle, site, "axial", "roi", 64)
    assert 0 < abs(site[2] - broken.plane.origin[2]) < abs(site[2] - first.origin[2])
    assert broken.mask.sum() * broken.plane.spacing**2 >= 5
    np.testing.assert_array_equal(broken.plane.origin, whole.plane.origin)


@pytest.mark.parametrize("view", VIEWS)
def test_the_mask_surrounds_the_site(view):
    away = []
    for patient in range(40):
        image = render_ankle(2, fracture=True, patient=patient, view=view)
        offset = np.argwhere(image.mask) - np.array(image.site)
        away.append(np.hypot(*offset.T).min() * image.plane.spacing)
    assert np.median(away) < 1.5  # mm
    assert max(away) < 12


def test_a_normal_ankle_has_an_empty_mask():
    assert not any(render_ankle(2, fracture=False, patient=i).mask.any() for i in range(5))


def test_the_coarse_search_misses_no_pixel(monkeypatch):
    kwargs = [
        {"fracture": True, "patient": patient, "view": view, "variant": variant}
        for patient in range(4)
        for variant, view in CASES[3:]
    ]
    quick = [render_ankle(4, **kw) for kw in kwargs]
    monkeypatch.setattr(Scene, "_pixels", lambda self, coarse: np.arange(self._plane.size**2))
    for image, kw in zip(quick, kwargs, strict=True):
        slow = render_ankle(4, **kw)
        np.testing.assert_array_equal(image.hu, slow.hu)
        np.testing.assert_array_equal(image.mask, slow.mask)


# --- the label


def near_the_break(image):
    """Pixels that the bone, whole or broken, or what leaves it can reach, and the blur about it."""
    p = image.plane.points(image.ankle)
    distance = image.ankle.bones()[image.injury.bone].distance
    broken, _ = image.injury.broken(p, distance, np.float32(0))
    flakes = np.linalg.norm(p - image.injury.centre[:, None], axis=0) - 16
    touched = np.minimum.reduce([distance(p), broken, flakes]) < 2 + 5 * image.plane.spacing
    return touched.reshape(image.hu.shape) | (image.mask > 0)


@pytest.mark.parametrize(("variant", "view"), CASES)
@pytest.mark.parametrize("swelling", [False, True])
def test_the_label_changes_nothing_but_the_break(variant, view, swelling):
    kwargs = {"view": view, "variant": variant, "swelling": swelling}
    shares = []
    for patient in range(2 if variant == "full" else 4):
        broken = render_ankle(1, fracture=True, patient=patient, **kwargs)
        whole = render_ankle(1, fracture=False, patient=patient, **kwargs)
        elsewhere = ~near_the_break(broken)
        np.testing.assert_array_equal(broken.hu[elsewhere], whole.hu[elsewhere])
        assert np.abs(broken.hu - whole.hu).max() > 200
        assert broken.site == whole.site
        shares.append(elsewhere.mean())
    assert np.mean(shares) > 0.1  # there is an elsewhere to compare


def test_the_label_takes_no_part_in_the_draws_of_the_anatomy():
    for seed in range(50):
        streams = [np.random.default_rng(seed) for _ in range(2)]
        ankles = [Ankle.draw(r, fracture=f) for r, f in zip(streams, (True, False), strict=True)]
        assert streams[0].random() == streams[1].random()
        one, two = (dataclasses.replace(a, swelling=0.0) for a in ankles)
        for field in dataclasses.fields(Ankle):
            a, b = getattr(one, field.name), getattr(two, field.name)
            assert repr(a) == repr(b), field.name


def test_swelling_is_the_documented_shortcut():
    def share(fracture):
        draws = [Ankle.draw(np.random.default_rng(s), fracture=fracture) for s in range(600)]
        return np.mean([a.swelling > 0 for a in draws])

    assert share(True) == pytest.approx(0.65, abs=0.06)  # 3 standard errors
    assert share(False) == pytest.approx(0.35, abs=0.06)


@pytest.mark.parametrize("fracture", [True, False])
def test_sites_are_uniform_in_a_region_of_interest(fracture):
    sites = [
        np.divide(render_ankle(0, fracture=fracture, patient=i, view=view, size=32).site, 31)
        for i in range(80)
        for view in VIEWS
    ]
    for along in np.transpose(sites):
        assert 0.15 <= along.min() < 0.17
        assert 0.83 < along.max() <= 0.85
        assert scipy.stats.kstest(along, scipy.stats.uniform(0.15, 0.70).cdf).pvalue > 0.01


def test_every_site_occurs_as_often_as_stated():
    drawn = [Break.draw(np.random.default_rng(seed)).site for seed in range(1000)]
    for site, share in SITES.items():
        assert drawn.count(site) / 1000 == pytest.approx(share, abs=0.05)


def test_difficulty_shrinks_the_break():
    severity = [
        np.mean(
            [
                render_ankle(0, fracture=True, patient=i, size=32, difficulty=d).injury.severity
                for i in range(20)
            ]
        )
        for d in (0.5, 1, 2)
    ]
    assert severity[0] > severity[1] > severity[2]


# --- the confounder


def two_deals(variant, view, patients=12):
    """The same ankle without and with a cast, of both labels by turns."""
    for patient in range(patients):
        kwargs = {"fracture": patient % 2 == 0, "patient": patient, "view": view}
        yield [
            render_ankle(1, variant=variant, confounder=float(on == kwargs["fracture"]), **kwargs)
            for on in (False, True)
        ]


def test_a_certain_cast_is_on_and_an_impossible_one_off():
    for without, with_cast in two_deals("roi", "axial"):
        assert without.ankle.cast_hu is None
        assert not without.cast.any()
        assert with_cast.ankle.cast_hu is not None


@pytest.mark.parametrize("view", VIEWS)
def test_a_cast_changes_only_what_lies_about_it(view):
    shown = []
    for without, with_cast in two_deals("study", view):
        np.testing.assert_array_equal(without.mask, with_cast.mask)
        p = with_cast.plane.points(with_cast.ankle)
        reach = 2.2 + 5 * with_cast.plane.spacing + 1  # shell, blur, interpolation
        about = np.abs(with_cast.ankle.skin(p) - 6).reshape(with_cast.hu.shape) < reach
        np.testing.assert_array_equal(without.hu[~about], with_cast.hu[~about])
        assert (~about).mean() > 0.3
        shown.append(with_cast.cast.mean())
    assert np.mean(shown) > 0.01


def test_the_mask_of_a_cast_covers_the_cast():
    hits, hu = [], []
    for _, image in two_deals("full", "axial", patients=4):
        skin = image.ankle.skin(image.plane.points(image.ankle)).reshape(image.hu.shape)
        shell = np.abs(skin - 6) < 2.2
        hits.append((shell & (image.cast > 0)).sum() / (shell | (image.cast > 0)).sum())
        hu.append(np.median(image.hu[image.cast > 0]) - image.ankle.cast_hu)
    assert min(hits) > 0.85
    assert np.abs(hu).max() < 120  # beam hardening takes some away


@pytest.mark.parametrize(
    ("confounder", "broken", "whole"), [(None, 0.15, 0.15), (0.9, 0.9, 0.1), (0.5, 0.5, 0.5)]
)
def test_casts_are_as_frequent_as_stated(confounder, broken, whole):
    def share(fracture):
        draws = [
            Ankle.draw(np.random.default_rng(s), fracture=fracture, confounder=confounder)
            for s in range(600)
        ]
        return np.mean([ankle.cast_hu is not None for ankle in draws])

    assert share(True) == pytest.approx(broken, abs=0.06)  # 3 standard errors
    assert share(False) == pytest.approx(whole, abs=0.06)


@pytest.mark.parametrize(
    ("difficulty", "gap", "step"), [(0.5, 2.28, 1.83), (1, 1.39, 0.96), (2, 0.94, 0.48)]
)
def test_difficulty_has_the_stated_effect(difficulty, gap, step):
    breaks = [
        Break.draw(np.random.default_rng([0, i, 2]), difficulty=difficulty) for i in range(1500)
    ]
    steps = [np.linalg.norm(b.shift - 0.5 * b.gap * b.normal) for b in breaks]
    assert np.median([b.gap for b in breaks]) == pytest.approx(gap, rel=0.06)
    assert np.median(steps) == pytest.approx(step, rel=0.09)


# --- geometry


def test_world_and_canonical_are_inverse():
    rng = np.random.default_rng(0)
    for _ in range(10):
        ankle = Ankle.draw(rng, fracture=False)
        point = rng.normal(0, 40, 3)
        np.testing.assert_allclose(ankle.canonical(ankle.world(point)), point, atol=1e-4)


def test_the_fibula_is_lateral_in_patient_coordinates():
    for seed in range(20):
        ankle = Ankle.draw(np.random.default_rng(seed), fracture=False)
        to_the_left = ankle.world(np.array([21.0, -9, 20])) - ankle.world(np.array([-3.0, -3, 20]))
        assert (to_the_left[0] > 0) == ankle.left


def test_views_share_one_patient():
    images = [render_ankle(6, fracture=True, view=view, variant="full") for view in VIEWS]
    one = images[0]
    assert len({image.plane.spacing for image in images}) == 3  # but each view has its own draws
    for image in images[1:]:
        assert repr(image.ankle) == repr(one.ankle)
        assert repr(image.injury) == repr(one.injury)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"view": "oblique"}, "views"),
        ({"variant": "whole"}, "variant"),
        ({"size": 31}, "size"),
        ({"size": 513}, "size"),
        ({"difficulty": 0}, "difficulty"),
        ({"difficulty": float("nan")}, "difficulty"),
        ({"confounder": -0.1}, "confounder"),
        ({"confounder": 1.1}, "confounder"),
        ({"confounder": float("nan")}, "confounder"),
        ({"seed": -1}, "seed"),
        ({"patient": -1}, "patient"),
    ],
)
def test_bad_arguments_are_named(kwargs, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        render_ankle(**({"seed": 0, "fracture": True} | kwargs))
