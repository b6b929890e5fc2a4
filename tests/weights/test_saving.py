"""Networks on disk and back."""

import json
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch
from torch import nn

from seattn import attention
from seattn.attention import CBAMBlock, ECABlock, SEBlock
from seattn.backbones import BasicBlock, Bottleneck, EfficientNet, ResNet
from seattn.pretrained import PretrainedConfig
from seattn.weights import load_model, load_weights, save_model

SMALL = {"channels": (16, 16, 16, 16)}
resnet = partial(ResNet, BasicBlock, (1, 1, 1, 1), **SMALL)
bottlenecks = partial(ResNet, Bottleneck, [1, 2, 1, 1], **SMALL)

NETWORKS = {
    "plain": resnet,
    "one class of attention": partial(resnet, attention=SEBlock, in_chans=1, num_classes=2),
    "a partial": partial(resnet, attention=partial(SEBlock, hidden_channels=3)),
    "one a stage": partial(
        bottlenecks, attention=(None, ECABlock, partial(CBAMBlock, reduction=4), SEBlock)
    ),
    "caffe's": partial(bottlenecks, stride_on="conv1", stem_pool="ceil", attention=SEBlock),
    "without classifier": partial(resnet, num_classes=0, global_pool=""),
    "volumes": partial(resnet, spatial_dims=3, attention=SEBlock),
    "efficientnet": partial(EfficientNet, width=0.25, depth=0.3, bn_eps=1e-3, num_classes=3),
}
each_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)


def lively(network: nn.Module) -> nn.Module:
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.01, 0.02)
        else:
            tensor.random_(100)
    return network


def assert_same(actual: nn.Module, expected: nn.Module) -> None:
    ours, theirs = actual.state_dict(), expected.state_dict()
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        assert ours[key].dtype == value.dtype
        assert torch.equal(ours[key], value.cpu())
    assert repr(actual) == repr(expected)


@each_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_network_comes_back_bit_by_bit_in_eval_mode(build, dtype, tmp_path):
    network = lively(build()).to(dtype)
    save_model(network, tmp_path / "a" / "net")
    loaded = load_model(str(tmp_path / "a" / "net"))
    assert_same(loaded, network)
    assert not any(module.training for module in loaded.modules())
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.config.keys() == network.config.keys()
    dims = network.config.get("spatial_dims", 2)
    x = torch.randn(1, network.in_chans, *(33,) * dims, dtype=dtype)
    assert torch.equal(loaded(x), network.eval()(x))


def test_saving_twice_gives_the_same_and_changes_nothing(tmp_path):
    network = lively(resnet(attention=SEBlock)).to(memory_format=torch.channels_last).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    save_model(network, tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    save_model(network, tmp_path)
    assert files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert files.keys() == {"model.safetensors", "config.json"}
    assert network.training
    assert network.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert_same(load_model(tmp_path), network)


def test_a_new_classifier_is_saved_as_it_is(tmp_path):
    network = resnet(num_classes=1000)
    network.reset_classifier(7, "max")
    save_model(lively(network), tmp_path)
    assert_same(load_model(tmp_path), network)


def test_the_configuration_is_readable(tmp_path):
    save_model(resnet(attention=partial(SEBlock, reduction=8)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format"] == 1
    assert config["class"] == "ResNet"
    assert config["arguments"]["block"] == {"class": "BasicBlock"}
    assert config["arguments"]["attention"] == {
        "class": "SEBlock",
        "arguments": {"reduction": 8},
    }


def test_the_weights_file_loads_by_itself(tmp_path):
    network, other = lively(resnet()), resnet()
    save_model(network, tmp_path)
    load_weights(other, tmp_path / "model.safetensors")
    assert_same(other, network)


def test_the_network_comes_to_the_device_asked_for(tmp_path):
    save_model(resnet(), tmp_path)
    assert load_model(tmp_path, device="meta").conv1.weight.is_meta
    with torch.device("meta"):
        assert load_model(tmp_path).conv1.weight.device.type == "cpu"


CFG = PretrainedConfig(
    architecture="resnet18",
    tag="wrists",
    repository="radiology/wrists",
    sha256="0123456789abcdef" * 4,
    license="other",
    size=160,
    test_size=224,
    crop=0.875,
    test_crop=1.0,
    interpolation="bilinear",
    mean=(0.1, 1 / 3, 0.3),
    std=(0.2, 0.25, 0.7),
    keep_aspect=False,
)


@pytest.mark.parametrize("build", [resnet, NETWORKS["efficientnet"]])
@pytest.mark.parametrize("cfg", [CFG, replace(CFG, sha256=None), None])
def test_what_is_known_about_the_pretrained_weights_comes_back(build, cfg, tmp_path):
    network = build()
    network.pretrained_cfg = cfg
    save_model(network, tmp_path)
    assert load_model(tmp_path).pretrained_cfg == cfg
    written = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert written == (cfg and json.loads(json.dumps(asdict(cfg))))


def test_a_folder_from_before_it_was_kept_loads(tmp_path):
    network = resnet()
    network.pretrained_cfg = CFG
    save_model(network, tmp_path)
    edit(tmp_path, lambda config: config.pop("pretrained_cfg"))
    assert load_model(tmp_path).pretrained_cfg is None


OURS = [getattr(attention, name) for name in attention.__all__]
BLOCKS = [value for value in OURS if isinstance(value, type) and issubclass(value, nn.Module)]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_of_ours_can_be_saved(block, tmp_path):
    network = lively(resnet(attention=block, channels=(32, 32, 32, 32)))
    save_model(network, tmp_path)
    assert_same(load_model(tmp_path), network)


# ---- what cannot be saved -------------------------------------------------------------------


class OwnBlock(nn.Identity):
    pass


def own_factory(channels: int) -> nn.Module:
    return SEBlock(channels)


OwnSEBlock = type("SEBlock", (SEBlock,), {})


@pytest.mark.parametrize(
    "block",
    [
        OwnBlock,
        own_factory,
        OwnSEBlock,
        partial(OwnBlock),
        (None, None, None, OwnBlock),
        partial(own_factory),
    ],
)
def test_blocks_of_ones_own_are_refused(block, tmp_path):
    with pytest.raises(ValueError, match=r"`attention`.*cannot be saved"):
        save_model(resnet(attention=block), tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_network_with_other_tensors_than_it_was_built_with_is_refused(tmp_path):
    network = resnet()
    network.layer2[0].se = SEBlock(16)
    with pytest.raises(ValueError, match=r"`layer2.0.se.fc1.weight`"):
        save_model(network, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_network_with_another_module_or_setting_is_refused(tmp_path):
    network = resnet()
    network.act1 = nn.GELU()
    with pytest.raises(ValueError, match=r"`act1` is GELU.*was ReLU"):
        save_model(network, tmp_path)
    network = resnet()
    network.maxpool.padding = 0
    with pytest.raises(ValueError, match=r"changed after it was built.*`maxpool` is"):
        save_model(network, tmp_path)
    network = resnet()
    del network.layer4
    with pytest.raises(ValueError, match=r"`layer4.0.conv1.weight` is gone"):
        save_model(network, tmp_path)


@pytest.mark.parametrize(
    "model", [nn.Linear(2, 2), nn.DataParallel(resnet()), type("ResNet", (nn.Module,), {})()]
)
def test_other_networks_are_refused(model, tmp_path):
    with pytest.raises(TypeError, match=r"`model`.*safetensors"):
        save_model(model, tmp_path)


def test_another_description_of_the_pretrained_weights_is_refused(tmp_path):
    network = resnet()
    network.pretrained_cfg = {"url": "elsewhere"}
    with pytest.raises(TypeError, match=r"`model\.pretrained_cfg` .*`seattn.pretrained.Pretr"):
        save_model(network, tmp_path / "net")
    network.pretrained_cfg = replace(CFG, mean=torch.zeros(3))
    with pytest.raises(ValueError, match=r"`pretrained_cfg\.mean`.*cannot be saved"):
        save_model(network, tmp_path / "net")
    assert not (tmp_path / "net").exists()


# ---- what cannot be loaded ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    save_model(resnet(attention=SEBlock), tmp_path)
    return tmp_path


def edit(folder, change) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_missing_files_are_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model.safetensors"):
        load_model(folder)
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        load_model(folder / "nowhere")


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 2}', '{"architecture": "resnet50"}'])
def test_configurations_of_others_are_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config.json.*format"):
        load_model(folder)


@pytest.mark.parametrize("name", ["os.system", "SEBlock", "load_model", "Sequential"])
def test_a_class_that_is_no_network_of_ours_is_refused(folder, name):
    edit(folder, lambda config: config.update({"class": name}))
    with pytest.raises(ValueError, match=f"`class`.*{name}"):
        load_model(folder)


@pytest.mark.parametrize(
    "name", ["Linear", "record_gates", "GateSummary", "__builtins__", "resnet18", "math"]
)
def test_attention_that_is_no_block_of_ours_is_refused(folder, name):
    edit(folder, lambda config: config["arguments"].update(attention={"class": name}))
    with pytest.raises(ValueError, match=f"`class`.*{name}.*no block"):
        load_model(folder)


@pytest.mark.parametrize(
    "written",
    [
        [],
        "timm",
        {},
        asdict(CFG) | {"url": "elsewhere"},
        {key: value for key, value in asdict(CFG).items() if key != "keep_aspect"},
    ],
)
def test_a_description_of_pretrained_weights_of_another_kind_is_refused(folder, written):
    edit(folder, lambda config: config.update(pretrained_cfg=written))
    with pytest.raises(ValueError, match=r"config.json.*`pretrained_cfg` .*architecture, crop"):
        load_model(folder)


@pytest.mark.parametrize("arguments", [None, [], {"attention": {"klass": "SEBlock"}}])
def test_a_damaged_configuration_is_refused(folder, arguments):
    edit(folder, lambda config: config.update(arguments=arguments))
    with pytest.raises(ValueError, match=r"config.json.*(has no `arguments`|is no block)"):
        load_model(folder)


def test_half_a_file_of_weights_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model.safetensors.*not a complete one"):
        load_model(folder)


def test_weights_of_another_network_are_named(folder):
    edit(folder, lambda config: config["arguments"].update(attention=None))
    with pytest.raises(RuntimeError, match=r"layer1.0.se.fc1.weight"):
        load_model(folder)
