"""Our ResNets against torchvision's."""

import pytest
import torch
import torchvision
from torch import nn

from seattn.zoo import create_model


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_keys_shapes_and_order_are_torchvisions(name):
    with torch.device("meta"):
        ours, theirs = create_model(name), getattr(torchvision.models, name)()
    layouts = [[(k, t.shape) for k, t in n.state_dict().items()] for n in (ours, theirs)]
    assert layouts[0] == layouts[1]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.inference_mode()
def test_logits_are_torchvisions(name):
    theirs = getattr(torchvision.models, name)(num_classes=10).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    ours = create_model(name, num_classes=10).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 97, 131)
    expected = theirs(x)
    assert (ours(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
