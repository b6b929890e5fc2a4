"""The page on encoders runs and prints what it shows; its encoders do what smp's and MONAI's do."""

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from monai.networks.nets import FlexibleUNet
from safetensors.torch import save_file
from torch import nn

import seattn
from seattn.attention import ECABlock
from seattn.weights import inflate
from tests.pages import run_page


@pytest.fixture(scope="module")
def page():
    return run_page("how-to/encoder.md")


def test_the_page_prints_what_it_shows(page):
    assert page["encoder"].feature_info.reduction() == [8]


# ---- segmentation_models_pytorch ------------------------------------------------------------


def resnet18_of_seattn(
    pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **kwargs
):
    """The page's function, for a network that timm has too."""
    return seattn.create_model("resnet18", pretrained=pretrained, **kwargs)


timm.models.register_model(resnet18_of_seattn)


@pytest.mark.parametrize(
    ("architecture", "kwargs"),
    [
        (smp.Unet, {}),
        (smp.Unet, {"encoder_depth": 3, "decoder_channels": (32, 16, 8)}),
        (smp.UnetPlusPlus, {}),
        (smp.MAnet, {}),
        (smp.Linknet, {}),
        (smp.FPN, {}),
        (smp.PSPNet, {}),
        (smp.DeepLabV3, {}),
        (smp.DeepLabV3Plus, {"encoder_output_stride": 16}),
        (smp.UPerNet, {}),
        (smp.Segformer, {}),
    ],
)
@torch.inference_mode()
def test_smp_segments_with_our_encoder_as_with_timms(architecture, kwargs):
    kwargs = {"encoder_weights": None, "in_channels": 1, "classes": 2} | kwargs
    theirs = architecture("tu-resnet18", **kwargs).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    ours = architecture("tu-resnet18_of_seattn", **kwargs).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.rand(1, 1, 64, 96)
    expected = theirs(image)
    assert (ours(image) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_smps_encoder_is_the_network_of_the_page(page):
    unet = smp.Unet(
        "tu-seattn_se_resnet50", encoder_weights=None, in_channels=1, attention=ECABlock
    ).eval()
    assert unet.encoder.out_channels == [1, 64, 256, 512, 1024, 2048]
    assert isinstance(unet.encoder.model.layer1[0].se, ECABlock)


def test_smp_starts_from_pretrained_weights(page, tmp_path, monkeypatch):
    network = seattn.se_resnet50()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("seattn.zoo.download", lambda cfg: tmp_path / "model.safetensors")
    unet = smp.Unet("tu-seattn_se_resnet50", encoder_weights=True, in_channels=1)
    weight = network.layer4[2].se.fc2.weight
    assert torch.equal(unet.encoder.model.layer4[2].se.fc2.weight, weight)
    assert unet.encoder.model.conv1.weight.shape == (64, 1, 7, 7)
    assert unet.encoder.model.pretrained_cfg.repository == "timm/seresnet50.a1_in1k"


@torch.inference_mode()
def test_attention_in_smps_own_encoder_starts_as_the_identity():
    unet = smp.Unet("resnet18", encoder_weights=None, in_channels=1).eval()
    image = torch.rand(2, 1, 64, 96)
    before = unet(image)
    assert len(seattn.insert_attention(unet.encoder, seattn.SEBlock).names) == 8
    assert torch.equal(unet(image), before)


# ---- MONAI ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_every_parameter_of_monais_unet_learns(page, spatial_dims):
    unet = FlexibleUNet(
        in_channels=1, out_channels=2, backbone="seattn_se_resnet18", spatial_dims=spatial_dims
    )
    size = (64,) * spatial_dims
    unet(torch.rand(2, 1, *size)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in unet.parameters())


@torch.inference_mode()
def test_monais_unet_sees_the_maps_of_the_network(page):
    network = seattn.se_resnet18(in_chans=3, zero_init_last=False).eval()
    unet = FlexibleUNet(in_channels=3, out_channels=2, backbone="seattn_se_resnet18").eval()
    weights = network.state_dict()
    unet.encoder.load_state_dict({key: weights[key] for key in unet.encoder.state_dict()})
    image = torch.rand(2, 3, 64, 96)
    expected = network.forward_intermediates(image, intermediates_only=True)
    maps = unet.encoder(image)
    assert len(maps) == len(expected) == 5
    for map, other in zip(maps, expected, strict=True):
        assert torch.equal(map, other)


@torch.inference_mode()
def test_the_inflated_encoder_sees_equal_slices_as_the_flat_one(page):
    flat = seattn.create_model(
        "se_resnet18", in_chans=1, features_only=True, zero_init_last=False
    ).eval()
    encoder = page["SEResNet18Encoder"](3, 1, False).eval()
    encoder.load_state_dict(inflate(flat.state_dict(), encoder))
    image = torch.rand(1, 1, 64, 64)
    for map, expected in zip(
        encoder(image[:, :, None].repeat(1, 1, 32, 1, 1)), flat(image), strict=True
    ):
        torch.testing.assert_close(map.amax(2), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(map.amin(2), expected, rtol=1e-4, atol=1e-5)


def test_monais_own_resnet_wants_multiples_of_32_too(page):
    for backbone in ("resnet18", "seattn_se_resnet18"):
        unet = FlexibleUNet(in_channels=1, out_channels=2, backbone=backbone)
        with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
            unet(torch.rand(2, 1, 64, 70))
