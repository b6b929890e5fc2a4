"""The page on volumes runs and prints what it shows, and what it says beside that holds."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import seattn
from seattn.pretrained import input_transform
from seattn.weights import inflate, load_model, load_weights, save_model
from tests.pages import run_page


@pytest.fixture(scope="module")
def page():
    return run_page("how-to/volumes.md")


def test_the_page_prints_what_it_shows(page):
    assert page["encoder"].feature_info.reduction() == [4, 8, 16, 32]


@torch.inference_mode()
@pytest.mark.parametrize(("depth", "error"), [(32, 0.55), (128, 0.05)])
def test_the_last_map_of_equal_slices_is_off_by_what_the_page_says_with_mean(page, depth, error):
    flat, image = page["flat"], page["image"]
    volumes = seattn.se_resnet18(spatial_dims=3, in_chans=1, num_classes=2).eval()
    volumes.load_state_dict(inflate(flat.state_dict(), volumes, mode="mean"))
    expected = flat.forward_features(image)
    slices = volumes.forward_features(image[:, :, None].repeat(1, 1, depth, 1, 1)).unbind(2)
    middle = slices[len(slices) // 2]
    assert (middle - expected).norm() / expected.norm() == pytest.approx(error, rel=0.1)


def test_pretrained_weights_go_into_volumes_and_onto_disk_as_the_page_says(tmp_path, monkeypatch):
    small = {"layers": (1, 1, 1, 1), "channels": (16, 16, 16, 16)}
    save_file(seattn.se_resnet50(**small).state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("seattn.zoo.download", lambda cfg: tmp_path / "model.safetensors")
    kwargs = {"in_chans": 1, "num_classes": 2} | small
    flat = seattn.create_model("se_resnet50", pretrained=True, **kwargs).eval()
    network = seattn.se_resnet50(spatial_dims=3, **kwargs).eval()
    load_weights(network, inflate(flat.state_dict(), network))
    network.pretrained_cfg = flat.pretrained_cfg
    save_model(network, tmp_path / "net")
    loaded = load_model(tmp_path / "net")
    transform = input_transform(loaded.pretrained_cfg, in_chans=1)
    (mean,), (std,) = transform.mean, transform.std
    image = (torch.rand(1, 1, 64, 64) - mean) / std
    logits = loaded(image[:, :, None].repeat(1, 1, 32, 1, 1))
    torch.testing.assert_close(logits, flat(image), rtol=1e-4, atol=1e-5)


def test_where_slices_differ_strides_skip_some_and_pooling_mixes_them(page):
    stem = seattn.se_resnet18(spatial_dims=3, in_chans=1, num_classes=2).eval()
    stem.load_state_dict(inflate(page["flat"].state_dict(), stem))
    volume = torch.randn(1, 1, 32, 64, 64)
    slices = stem.conv1(volume).unbind(2)
    for k, map in enumerate(slices):
        torch.testing.assert_close(map, page["flat"].conv1(volume[:, :, 2 * k]))
    pooled = stem.maxpool(stem.conv1(volume))[:, :, 1]
    planes = [nn.functional.max_pool2d(map, 3, 2, 1) for map in slices[1:4]]
    assert torch.equal(pooled, torch.stack(planes).amax(0))


def test_centred_kernels_have_gradients_where_they_are_zero(page):
    stem = seattn.se_resnet18(spatial_dims=3, in_chans=1, num_classes=2)
    stem.load_state_dict(inflate(page["flat"].state_dict(), stem))
    stem(torch.randn(2, 1, 32, 64, 64)).square().sum().backward()
    zero = stem.conv1.weight == 0
    assert zero.sum() == 6 / 7 * zero.numel()
    assert (stem.conv1.weight.grad[zero] != 0).all()


def test_few_slices_keep_more_depth_with_a_smaller_output_stride():
    build = seattn.se_resnet18
    network = build(spatial_dims=3, in_chans=1, num_classes=0, global_pool="", output_stride=8)
    assert network(torch.rand(1, 1, 32, 64, 64)).shape == (1, 512, 4, 8, 8)
