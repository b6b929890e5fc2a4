"""Our table of pretrained weights against timm's, and our transform against torchvision's."""

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.transforms import v2
from torchvision.transforms.functional import pil_to_tensor

from seattn.pretrained import PretrainedConfig, get_pretrained_cfg, input_transform, list_pretrained
from seattn.zoo import create_model

ROWS = [get_pretrained_cfg(*name.split(".")) for name in list_pretrained()]
NAMES = sorted({cfg.architecture for cfg in ROWS})
NONCOMMERCIAL_DEFAULTS = {"resnext101_32x4d"}  # ours is the first that may be used commercially

every_row = pytest.mark.parametrize("cfg", ROWS, ids=[cfg.repository for cfg in ROWS])


def timms_name(cfg: PretrainedConfig) -> str:
    return cfg.repository.removeprefix("timm/")


@every_row
def test_every_row_is_timms(cfg):
    theirs = timm.get_pretrained_cfg(timms_name(cfg))
    assert theirs.hf_hub_id == cfg.repository
    assert theirs.hf_hub_filename in (None, cfg.file)
    assert theirs.license == cfg.license
    assert theirs.num_classes == cfg.num_classes
    assert theirs.input_size == (3, cfg.size, cfg.size)
    assert (theirs.test_input_size or theirs.input_size) == (3, cfg.test_size, cfg.test_size)
    assert theirs.crop_pct == cfg.crop
    assert (theirs.test_crop_pct or theirs.crop_pct) == cfg.test_crop
    assert theirs.crop_mode == ("center" if cfg.keep_aspect else "squash")
    assert theirs.interpolation == cfg.interpolation
    assert (theirs.mean, theirs.std) == (cfg.mean, cfg.std)


@pytest.mark.parametrize("name", NAMES)
def test_no_row_of_a_network_is_missing(name):
    architecture = timms_name(get_pretrained_cfg(name)).partition(".")[0]
    theirs = {
        full
        for full in timm.list_pretrained(f"{architecture}.*")
        if timm.get_pretrained_cfg(full).num_classes == 1000
    }
    assert {timms_name(cfg) for cfg in ROWS if cfg.architecture == name} == theirs


@pytest.mark.parametrize("name", NAMES)
def test_the_default_is_timms(name):
    ours = get_pretrained_cfg(name)
    theirs = timm.get_pretrained_cfg(timms_name(ours).partition(".")[0])
    if name in NONCOMMERCIAL_DEFAULTS:
        assert "-nc" in theirs.license
    else:
        assert ours.tag == theirs.tag


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_fit_the_network(name):
    architecture = timms_name(get_pretrained_cfg(name)).partition(".")[0]
    with torch.device("meta"):
        ours, theirs = create_model(name), timm.create_model(architecture)
    shapes = [{k: v.shape for k, v in n.state_dict().items()} for n in (ours, theirs)]
    assert shapes[0] == shapes[1]


# ---- transform ------------------------------------------------------------------------------

ONE_OF_A_KIND = [
    get_pretrained_cfg("se_resnet50"),  # bicubic
    get_pretrained_cfg("resnet50", "tv2_in1k"),  # bilinear
    get_pretrained_cfg("efficientnet_b5"),  # squashed
    get_pretrained_cfg("efficientnet_b1"),  # other means
]
each_kind = pytest.mark.parametrize(
    "cfg", ONE_OF_A_KIND, ids=[c.architecture for c in ONE_OF_A_KIND]
)
SIZES = ((301, 407), (500, 224), (97, 131), (256, 256))


@each_kind
@pytest.mark.parametrize("size", SIZES)
def test_the_transform_is_torchvisions_on_floats(cfg, size):
    image = torch.rand(3, *size)
    short = int(cfg.size / cfg.crop)
    mode = {"bicubic": v2.InterpolationMode.BICUBIC, "bilinear": v2.InterpolationMode.BILINEAR}
    expected = v2.Compose(
        [
            v2.Resize(short if cfg.keep_aspect else (short, short), mode[cfg.interpolation]),
            v2.CenterCrop(cfg.size),
        ]
    )(image)
    expected = v2.functional.normalize(expected.clamp(0, 1), cfg.mean, cfg.std)
    torch.testing.assert_close(input_transform(cfg)(image), expected, rtol=0, atol=1e-5)


@each_kind
@pytest.mark.parametrize("test", [False, True])
def test_the_transform_is_timms_on_pictures_up_to_the_rounding_to_bytes(cfg, test):
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 13), (301, 407), mode="bicubic")
    picture = Image.fromarray(
        smooth[0].clamp(0, 1).mul(255).byte().permute(1, 2, 0).contiguous().numpy()
    )
    data = resolve_data_config(
        pretrained_cfg=timm.get_pretrained_cfg(timms_name(cfg)).to_dict(), use_test_size=test
    )
    expected = create_transform(**data)(picture)
    size, crop = (cfg.test_size, cfg.test_crop) if test else (cfg.size, cfg.crop)
    actual = input_transform(cfg, size=size, crop=crop)(pil_to_tensor(picture) / 255)
    step = 1 / 255 / min(cfg.std)
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() < 1.5 * step
    assert (actual - expected).abs().mean() < 0.5 * step
