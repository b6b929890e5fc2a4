"""Figure 3 and the table of parameters follow from the networks themselves."""

import dataclasses

import pytest
import torch

from examples.ankle_fracture import networks
from examples.ankle_fracture.report import module_drawing, modules


@pytest.fixture
def of(findings):
    """The findings with untrained networks of these names in place of their own."""

    def replaced(*names):
        result = next(iter(findings.first.results.values()))
        results = {}
        for name in names:
            network = networks.build(name, in_chans=1, num_classes=2, weights=None).eval()
            results[name] = dataclasses.replace(result, title=name, network=network)
        first = dataclasses.replace(findings.first, results=results)
        return dataclasses.replace(findings, replicates=(first,))

    return replaced


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]  # not arrows


def test_the_module_of_an_se_resnet50_is_that_of_the_paper(of):
    facts = modules.part(of("resnet50", "se_resnet50")).facts["modules"]
    plain, excited = facts["resnet50"], facts["se_resnet50"]
    assert excited.convolutions == ((1, 2048, 512, 1, 1), (3, 512, 512, 1, 1), (1, 512, 2048, 1, 1))
    assert plain.convolutions == excited.convolutions
    assert (plain.hidden, excited.hidden, excited.reduction) == (None, 128, 16)
    assert excited.shape_in == excited.shape_out == (2048, 1, 1)  # of 32 pixels
    assert excited.block == "layer4.2"
    assert excited.shortcut == "identity"


def test_a_block_with_a_stride_shows_it_and_its_shortcut(findings):
    module = modules.part(findings).facts["modules"]["se_resnet_small"]
    assert module.convolutions == ((3, 64, 128, 2, 1), (3, 128, 128, 1, 1))
    assert (module.shape_in, module.shape_out) == ((64, 8, 8), (128, 4, 4))
    assert module.shortcut == "1x1 convolution, 64 → 128; stride 2"
    network = findings.first.results["se_resnet_small"].network
    image = findings.first.cohort.train[0].image[None]
    with torch.no_grad():
        assert tuple(network.forward_features(image).shape[1:]) == module.shape_out


def test_the_drawing_has_the_numbers_of_both_modules(findings):
    found = modules.part(findings).facts["modules"]
    figure = module_drawing.drawn([found["resnet_small"], found["se_resnet_small"]])
    words = texts(figure)
    assert words.count("3x3 convolution, 64 → 128") == 2
    assert words.count("stride 2, BatchNorm, ReLU") == 2
    order = ["Global pooling", "4 x 4 → 1 x 1", "FC", "128 → 8", "ReLU", "FC", "8 → 128"]
    order += ["Sigmoid"]
    start = words.index("Global pooling")
    assert words[start : start + len(order)] == order
    assert words.count("+") == 2
    assert words.count("\N{MULTIPLICATION SIGN}") == 1


def test_text_fits_its_box(of):
    found = modules.part(of("se_resnext50_32x4d")).facts["modules"]
    figure = module_drawing.drawn(list(found.values()))
    figure.canvas.draw()
    ax = figure.axes[0]
    boxes = [patch.get_window_extent() for patch in ax.patches]
    inside = [text for text in ax.texts if text.get_fontsize() == 8.6]
    assert len(inside) > 10
    for text in inside:
        extent = text.get_window_extent()
        assert any(
            box.x0 <= extent.x0
            and extent.x1 <= box.x1
            and box.y0 <= extent.y0 + 1
            and extent.y1 <= box.y1 + 1
            for box in boxes
        ), text.get_text()


def test_parameters_are_those_of_the_state_dict(of):
    facts = modules.part(of("se_resnet18", "efficientnet_b0", "resnet18")).facts["parameters"]
    for name, blocks in (("se_resnet18", 8), ("efficientnet_b0", 16), ("resnet18", 0)):
        torch.manual_seed(0)
        network = networks.build(name, in_chans=1, num_classes=2, weights=None)
        parameters = dict(network.named_parameters())
        inside = sum(p.numel() for key, p in parameters.items() if ".se." in key)
        total = sum(p.numel() for p in parameters.values())
        assert facts[name] == {
            "title": name,
            "parameters": total,
            "excitation_blocks": blocks,
            "excitation_parameters": inside,
            "excitation_share": inside / total,
        }


def test_what_is_no_residual_network_is_named_and_not_drawn(of):
    part = modules.part(of("efficientnet_b0"))
    assert part.facts["modules"] == {}
    assert "Not drawn" in part.body[0]
    assert "efficientnet_b0" in part.body[0]
    assert "<figure" not in "".join(part.body)


def test_a_plain_network_alone_is_not_said_to_have_gates(of):
    part = modules.part(of("resnet18"))
    assert "gates" not in part.body[0]
    assert "3a" not in part.body[1]


def test_other_attention_is_not_drawn_as_excitation(of):
    from functools import partial

    from seattn.attention import ECABlock, SEBlock
    from seattn.backbones import BasicBlock, ResNet

    found = of("resnet18")
    result = found.first.results["resnet18"]
    build = partial(ResNet, BasicBlock, (1, 1, 1, 1), num_classes=2, in_chans=1)
    for network in (build(attention=ECABlock), build(attention=SEBlock, attention_position="post")):
        results = {"other": dataclasses.replace(result, title="other", network=network.eval())}
        first = dataclasses.replace(found.first, results=results)
        facts = modules.part(dataclasses.replace(found, replicates=(first,))).facts
        assert facts["modules"] == {}
