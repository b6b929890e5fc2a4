"""Grad-CAM of timm's and torchvision's networks: the layer they state, and transformers.

Transformers are compared with plain autograd through the layer's own output, in float64.
"""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn

from seattn.explain import GradCAM, from_channels_last, from_tokens, list_layers
from tests.pages import run_page

# The last feature map that each network states. A VGG's is behind its last pooling.
STATED = {
    "resnet18": "layer4",
    "resnet50": "layer4",
    "seresnet50": "layer4",
    "legacy_seresnet18": "layer4",
    "legacy_senet154": "layer4",
    "skresnet18": "layer4",
    "resnest14d": "layer4",
    "efficientnet_b0": "blocks.6",
    "tf_efficientnet_b0": "blocks.6",
    "efficientnetv2_s": "blocks.5",
    "mobilenetv3_small_100": "blocks.5",
    "convnext_atto": "stages.3",
    "regnetx_002": "s4",
    "regnety_002": "s4",
    "densenet121": "features.norm5",
    "vgg11_bn": "features.28",
    "inception_v4": "features.21",
    "nfnet_l0": "final_conv",
    "cspdarknet53": "stages.4",
    "coatnet_0_rw_224": "stages.3",
}


@pytest.mark.parametrize(("name", "layer"), STATED.items())
def test_the_stated_layer_of_a_convolutional_network_is_its_last_map(name, layer):
    with torch.device("meta"):  # shapes without arithmetic
        net = timm.create_model(name).eval()
        x = torch.empty(2, 3, 224, 224)
    assert GradCAM(net).names == (layer,)
    shapes = {each.name: each for each in list_layers(net, x, depth=9)}
    assert min(shapes[layer].stride) >= 32
    after = list(shapes)[list(shapes).index(layer) + 1 :]
    assert not any(
        isinstance(net.get_submodule(n), nn.Conv2d) for n in after if "conv_head" not in n
    )


def test_a_stated_layer_that_is_missing_is_an_error():
    with torch.device("meta"):
        net = timm.create_model("mvitv2_tiny")
    with pytest.raises(ValueError, match=r"states 'block\.3', which is none of its modules"):
        GradCAM(net)


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("resnet18", ["layer2", "layer3", "layer4"]),
        ("googlenet", ["inception4e", "inception5a", "inception5b"]),
        ("vgg11_bn", ["features"]),
        ("densenet121", ["features"]),
        ("efficientnet_b0", ["features"]),
        ("convnext_tiny", ["features"]),
        ("swin_t", ["features"]),
    ],
)
def test_torchvision_s_networks_state_nothing_and_the_candidates_are_good(name, candidates):
    with torch.device("meta"):
        net = torchvision.models.get_model(
            name, **({"init_weights": False} if name[0] == "g" else {})
        )
    with pytest.raises(ValueError, match="`target_layer` is missing") as caught:
        GradCAM(net)
    assert f"perhaps one of {candidates}, see" in str(caught.value)


def test_the_how_to_page_prints_what_it_shows():
    page = run_page("how-to/grad_cam.md")
    maps = page["maps"]
    assert (maps > 0).any()


# ---- transformers ----------------------------------------------------------------------------

VIT = {"img_size": (64, 96), "depth": 3, "num_classes": 3}
SWIN = {"img_size": (64, 96), "depths": (1, 1, 2, 2), "embed_dim": 24, "num_classes": 3}


def vit(name, **kwargs):
    return lambda: timm.create_model(name, **VIT, **kwargs)


def swin():
    return timm.create_model("swin_tiny_patch4_window7_224", **SWIN)


def torchvision_swin():
    return torchvision.models.SwinTransformer(
        [4, 4], 24, [1, 1, 2, 2], [3, 3, 3, 3], [4, 4], stochastic_depth_prob=0.0, num_classes=3
    )


def torchvision_vit():
    return torchvision.models.VisionTransformer(64, 16, 3, 3, 48, 96, num_classes=3)


one_prefix = partial(from_tokens, prefix=1, grid=(4, 6))


@pytest.mark.parametrize(
    ("build", "layer", "layout", "size"),
    [
        (vit("vit_tiny_patch16_224"), "blocks.2.norm1", one_prefix, (64, 96)),
        (vit("vit_tiny_patch16_224"), "blocks.1", one_prefix, (64, 96)),
        (vit("vit_tiny_patch16_224"), "blocks.0.attn", one_prefix, (64, 96)),
        (vit("vit_tiny_patch16_224", global_pool="avg"), "blocks.2", one_prefix, (64, 96)),
        (
            vit("vit_tiny_patch16_224", reg_tokens=4),
            "blocks.2.norm1",
            partial(from_tokens, prefix=5, grid=(4, 6)),
            (64, 96),
        ),
        (swin, "layers.3", from_channels_last, (64, 96)),
        (swin, "layers.2.blocks.1", from_channels_last, (64, 96)),
        (swin, "norm", from_channels_last, (64, 96)),
        (torchvision_swin, "features.7", from_channels_last, (64, 96)),
        (torchvision_vit, "encoder.layers.encoder_layer_2.ln_1", from_tokens, (64, 64)),
    ],
)  # fmt: skip
def test_transformers_equal_plain_autograd(build, layer, layout, size):
    torch.manual_seed(0)
    net = build().double().eval()
    for parameter in net.parameters():  # some heads are zero at first
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    kept = []
    handle = net.get_submodule(layer).register_forward_hook(lambda *args: kept.append(args[2]))
    score = net(x)[[0, 1], [2, 0]].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    a, g = layout(kept[0].detach()), layout(gradient)
    wanted = (g.mean((2, 3), keepdim=True) * a).sum(1)
    result = GradCAM(net, layer, layout=layout).explain(x, target=[2, 0])
    assert result.mode == "head"
    assert wanted.abs().max() > 0
    assert (result.raw - wanted).abs().max() <= 1e-10 * wanted.abs().max()
    assert result.maps.shape == (2, *size)


def test_the_last_block_of_a_class_token_transformer_is_blank_and_says_so():
    net = vit("vit_tiny_patch16_224")().eval()
    nn.init.normal_(net.head.weight)
    layout = partial(from_tokens, grid=net.patch_embed.grid_size)
    assert GradCAM(net, layout=layout).names == ("blocks.2",)
    with pytest.warns(UserWarning, match="Where it reads the class token alone"):
        GradCAM(net, layout=layout)(torch.randn(1, 3, 64, 96))
    with pytest.raises(
        ValueError, match=r"'blocks.2' returned the shape \(1, 25, 192\); a map needs"
    ):
        GradCAM(net)(torch.randn(1, 3, 64, 96))
