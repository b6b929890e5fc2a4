"""Loading of checkpoints: every tensor of both sides accounted for, or nothing changed."""

import pytest
import torch
from torch import Tensor, nn

from seattn.attention import SEBlock
from seattn.backbones import Bottleneck, ResNet
from seattn.weights import convert, load_weights

SHORT, LONG = (1, 1, 1, 1), (1, 1, 11, 1)
CAFFE = {"stride_on": "conv1", "stem_pool": "ceil"}


def network(layers: tuple[int, ...] = SHORT, **kwargs: object) -> ResNet:
    """A small SE-ResNet of bottlenecks with random numbers in every tensor."""
    options = {"channels": (16, 16, 16, 16), "attention": SEBlock, "num_classes": 5}
    net = ResNet(Bottleneck, layers, **options | kwargs)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
        else:
            tensor.random_(100)
    return net


def assert_loads(
    weights: dict[str, Tensor], state: dict[str, Tensor], **kwargs: object
) -> dict[str, Tensor]:
    """Load into a new network, and compare with the state wanted."""
    net = network()
    report = load_weights(net, weights, **kwargs)
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key]), key
    return report


def assert_refused(net: nn.Module, weights: object, *named: str, **kwargs: object) -> str:
    """Loading fails with a message that holds each text, one line a problem, changing nothing."""
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ValueError, match="do not fit") as caught:
        load_weights(net, weights, **kwargs)
    message = str(caught.value)
    for text in named:
        assert text in message
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key
    return message


# ---- containers and prefixes ----------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "model.", "backbone.", "encoder.", "module._orig_mod.model."],
)
def test_prefixes_of_wrappers_are_removed_and_reported(prefix):
    state = network().state_dict()
    report = assert_loads({prefix + key: value for key, value in state.items()}, state)
    assert report.prefix == prefix
    assert report.loaded == {key: prefix + key for key in state}


@pytest.mark.parametrize(
    "path", ["state_dict", "model", "ema", "model_ema", "state_dict_ema", "ema.state_dict"]
)
def test_containers_are_opened_and_reported(path):
    state = network().state_dict()
    weights = state
    for name in reversed(path.split(".")):
        weights = {"epoch": 3, name: weights}
    report = assert_loads(weights, state)
    assert report.container == path
    assert report.ignored == {"epoch": "is beside the weights"}


def test_of_several_containers_one_has_to_be_chosen():
    state, averaged = network().state_dict(), network().state_dict()
    weights = {"state_dict": state, "state_dict_ema": averaged, "ema": None}
    with pytest.raises(ValueError, match="'state_dict' and 'state_dict_ema': choose one"):
        load_weights(network(), weights)
    report = assert_loads(weights, averaged, container="state_dict_ema")
    assert report.container == "state_dict_ema"
    assert report.ignored.keys() == {"state_dict", "ema"}


def test_a_container_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"`container` \(='teacher'\).*'student'"):
        load_weights(network(), {"student": {}, "state_dict": {}}, container="teacher")


def test_a_wrapped_network_takes_the_weights_of_the_bare_one():
    bare, net = network(), nn.DataParallel(network())
    report = load_weights(net, bare.state_dict())
    assert report.loaded["module.fc.weight"] == "fc.weight"
    assert torch.equal(net.module.fc.weight, bare.fc.weight)


def test_an_averaged_model_loads_without_its_counter():
    state = network().state_dict()
    averaged = torch.optim.swa_utils.AveragedModel(network())
    averaged.module.load_state_dict(state)
    report = assert_loads(averaged.state_dict(), state)
    assert report.ignored.keys() == {"n_averaged"}
    report = load_weights(nn.DataParallel(network()), averaged.state_dict())
    assert report.ignored.keys() == {"n_averaged"}
    report = load_weights(torch.optim.swa_utils.AveragedModel(network()), averaged.state_dict())
    assert not report.ignored


def test_a_prefix_stays_where_names_would_collide():
    state = network().state_dict()
    double = {f"model.{key}": value for key, value in state.items()} | {"fc.bias": torch.ones(5)}
    assert_refused(network(), double, "missing: `conv1.weight`", "unexpected: `model.fc.bias`")


def test_names_outside_the_prefix_are_accounted_for_too():
    state = network().state_dict()
    weights = {f"encoder.{key}": value for key, value in state.items()}
    weights["decoder.weight"] = torch.ones(3)
    message = assert_refused(network(), weights, "unexpected: `decoder.weight`")
    assert len(message.splitlines()) == 2


# ---- what is missing, left over, different --------------------------------------------------


@pytest.mark.parametrize("layout", ["timm", "monai", "legacy", "radimagenet"])
@pytest.mark.parametrize("tensor", ["bn2.weight", "bn2.running_var", "bn2.num_batches_tracked"])
def test_a_missing_tensor_of_batchnorm_is_named(layout, tensor):
    options = CAFFE if layout in ("monai", "legacy") else {}
    net, key = network(LONG, **options), f"layer3.10.{tensor}"
    weights = convert(net.state_dict(), to=layout)
    (there,) = (
        convert({**net.state_dict()}, to=layout).keys()
        - convert({k: v for k, v in net.state_dict().items() if k != key}, to=layout).keys()
    )
    del weights[there]
    message = assert_refused(net, weights, f"missing: `{key}`")
    assert (f"there `{there}`" in message) == (there != key)
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("layout", ["timm", "monai", "legacy"])
def test_an_extra_tensor_is_named(layout):
    net = network(**(CAFFE if layout != "timm" else {}))
    weights = convert(net.state_dict(), to=layout)
    weights["layer1.0.extra.weight"] = torch.ones(3)
    message = assert_refused(net, weights, "unexpected: `layer1.0.extra.weight`")
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("layout", ["timm", "monai", "legacy"])
def test_a_renamed_block_is_named_with_what_it_may_be(layout):
    net = network(LONG, **(CAFFE if layout != "timm" else {}))
    weights = convert(net.state_dict(), to=layout)
    renamed = {key.replace("layer3.10.", "layer3.010."): v for key, v in weights.items()}
    message = assert_refused(net, renamed)
    moved = [key for key in renamed if key.startswith("layer3.010.")]
    assert len(message.splitlines()) == 1 + 2 * len(moved)
    for key in moved:
        assert f"unexpected: `{key}`" in message
        assert f"; is it `{key}`?" in message


def test_a_transposed_gate_weight_is_named_as_such():
    net = network()
    weights = dict(net.state_dict())
    weights["layer2.0.se.fc1.weight"] = weights["layer2.0.se.fc1.weight"].transpose(0, 1)
    message = assert_refused(
        net,
        weights,
        "`layer2.0.se.fc1.weight` is (64, 4, 1, 1), the network's (4, 64, 1, 1): looks transposed",
    )
    assert len(message.splitlines()) == 2


def test_another_number_of_classes_is_named_with_the_remedy():
    message = assert_refused(
        network(), network(num_classes=7).state_dict(), "`fc.weight`", "`fc.bias`", "(7,)"
    )
    assert message.count("`keep_classifier=True`") == 2
    assert len(message.splitlines()) == 3


def test_another_number_of_channels_is_named_with_the_remedy():
    message = assert_refused(network(in_chans=1), network().state_dict(), "`conv1.weight`")
    assert message.count("`adapt_input`") == 1
    assert len(message.splitlines()) == 2


def test_a_stem_of_another_kernel_is_not_called_a_matter_of_channels():
    message = assert_refused(
        network(stem="small"), network(in_chans=1).state_dict(), "`conv1.weight`"
    )
    assert "adapt_input" not in message


def test_2d_weights_for_volumes_are_named_with_the_remedy():
    message = assert_refused(network(spatial_dims=3), network().state_dict(), "`conv1.weight`")
    kernels = sum(value.dim() == 5 for value in network(spatial_dims=3).state_dict().values())
    assert message.count("`inflate` makes 2D kernels 3D") == kernels


def test_every_problem_is_told_at_once():
    weights = dict(network(num_classes=7).state_dict())
    del weights["bn1.bias"]
    weights["more"] = torch.ones(1)
    message = assert_refused(network(**CAFFE), weights, "`bn1.bias`", "`more`", "`fc.bias`")
    assert len(message.splitlines()) == 1 + 2 + 1 + 1 + 2


def test_integers_for_floats_are_refused():
    weights = dict(network().state_dict())
    weights["fc.bias"] = weights["fc.bias"].to(torch.int8)
    assert_refused(network(), weights, "`fc.bias` is of torch.int8")


@pytest.mark.parametrize(
    ("change", "match"), [(lambda t: t.to("meta"), "no numbers"), (Tensor.to_sparse, "to_dense")]
)
def test_tensors_that_cannot_be_copied_are_refused_before_any_is(change, match):
    state = network().state_dict()
    # the last tensor: those before it would be copied first
    assert_refused(network(), state | {"fc.bias": change(state["fc.bias"])}, "`fc.bias`", match)


def test_counters_that_were_cast_with_all_else_load_if_they_are_integers():
    weights = {key: value.half() for key, value in network().state_dict().items()}
    net = network()
    load_weights(net, weights)
    assert net.bn1.num_batches_tracked == weights["bn1.num_batches_tracked"]
    for value in (2.5, float("inf"), float("nan")):
        weights["bn1.num_batches_tracked"].fill_(value)
        message = assert_refused(net, weights, "`bn1.num_batches_tracked` is of torch.float16")
        assert len(message.splitlines()) == 2


def test_a_forced_layout_that_does_not_fit_names_every_tensor():
    state = network().state_dict()
    message = assert_refused(network(), state, "is no name of layout 'monai'", source="monai")
    for key in state:
        assert f"`{key}`" in message


def test_a_checkpoint_without_batch_counters_keeps_the_networks():
    net, state = network(), network().state_dict()
    counters = {key: value.clone() for key, value in net.state_dict().items() if "num_b" in key}
    old = {key: value for key, value in state.items() if key not in counters}
    report = load_weights(net, old)
    assert report.kept == dict.fromkeys(counters, "the checkpoint counts no batches")
    for key, value in net.state_dict().items():
        assert torch.equal(value, counters.get(key, state[key])), key


# ---- the classifier -------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, 5, 7])
def test_the_networks_classifier_is_kept_when_asked(classes):
    net, state = network(), network(num_classes=classes).state_dict()
    own = {key: value.clone() for key, value in net.state_dict().items() if "fc." in key[:3]}
    report = load_weights(net, state, keep_classifier=True)
    assert report.kept.keys() == {"fc.weight", "fc.bias"}
    assert report.ignored.keys() == (report.kept.keys() if classes else set())
    for key, value in net.state_dict().items():
        assert torch.equal(value, own[key] if key in own else state[key])


def test_a_checkpoint_without_classifier_is_an_error_unless_asked():
    message = assert_refused(network(), network(num_classes=0).state_dict(), "missing: `fc.weight`")
    assert message.count("`keep_classifier=True`") == 2


def test_a_network_without_classifier_ignores_the_checkpoints_only_when_asked():
    net = network(num_classes=0)
    message = assert_refused(net, network().state_dict(), "unexpected: `fc.weight`")
    assert message.count("`keep_classifier=True`") == 2
    report = load_weights(net, network().state_dict(), keep_classifier=True)
    assert report.ignored.keys() == {"fc.weight", "fc.bias"}


def test_the_classifier_of_a_network_without_our_protocol_is_found_by_name():
    net, other = classified(2), classified(3)
    report = load_weights(net, other.state_dict(), keep_classifier=True)
    assert report.kept.keys() == {"classifier.weight", "classifier.bias"}
    assert torch.equal(net.features.weight, other.features.weight)


@pytest.mark.parametrize("classes", [0, 2])
def test_the_classifier_of_a_wrapped_network_is_found(classes):
    net = nn.DataParallel(network(num_classes=classes))
    report = load_weights(net, network().state_dict(), keep_classifier=True)
    assert report.ignored.keys() == {"fc.weight", "fc.bias"}
    assert len(report.kept) == (2 if classes else 0)


def test_two_classifiers_are_kept():
    net, other = network(), network()
    net.get_classifier = lambda: (net.fc, net.layer4[0].se.fc2)  # as timm's distilled networks
    report = load_weights(net, other.state_dict(), keep_classifier=True)
    assert report.ignored.keys() == {
        f"{layer}.{kind}" for layer in ("fc", "layer4.0.se.fc2") for kind in ("weight", "bias")
    }


def classified(classes: int) -> nn.Module:
    net = nn.Module()
    net.features, net.classifier = nn.Conv2d(3, 4, 3), nn.Linear(4, classes)
    return net


# ---- the network ----------------------------------------------------------------------------


def test_dtype_device_mode_and_gradients_of_the_network_stay():
    net = network().bfloat16().train()
    net.conv1.weight.requires_grad_(False)
    state = network().state_dict()
    report = load_weights(net, state)
    assert report.changed["fc.bias"] == "from torch.float32 to torch.bfloat16"
    assert "bn1.num_batches_tracked" not in report.changed
    assert net.training
    assert not net.conv1.weight.requires_grad
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key].to(value.dtype))


def test_the_position_of_attention_matters_only_where_there_is_attention():
    load_weights(
        network(attention=None, attention_position="post"), network(attention=None).state_dict()
    )
    assert_refused(
        network(attention_position="post"), network().state_dict(), 'attention_position="standard"'
    )


def test_a_network_on_the_meta_device_is_refused():
    with torch.device("meta"):
        net = network()
    with pytest.raises(ValueError, match="meta device"):
        load_weights(net, network().state_dict())


def test_the_checkpoint_is_not_changed_and_shares_nothing_with_the_network():
    state = network().state_dict()
    weights = {"state_dict": {f"module.{key}": value for key, value in state.items()}}
    copies = {key: value.clone() for key, value in weights["state_dict"].items()}
    net = network()
    load_weights(net, weights)
    for parameter in net.state_dict().values():
        parameter.zero_()
    assert list(weights["state_dict"]) == list(copies)
    for key, value in weights["state_dict"].items():
        assert torch.equal(value, copies[key])


@pytest.mark.parametrize("kwargs", [{"source": "tensorflow"}, {"adapt_input": "luma"}])
def test_arguments_that_are_not_known_are_refused(kwargs):
    (name,) = kwargs
    with pytest.raises(ValueError, match=f"`{name}`.*must be"):
        load_weights(network(), network().state_dict(), **kwargs)


# ---- the report -----------------------------------------------------------------------------


def test_the_report_reads_as_a_summary():
    state = network(in_chans=3, num_classes=7).state_dict()
    for key in state:
        if ".se." in key and key.endswith("bias"):
            state[key].zero_()
    weights = {f"module.{key}": value for key, value in convert(state, to="moskomule").items()}
    net = network(in_chans=1)
    report = load_weights(
        net, {"state_dict": weights, "epoch": 3}, adapt_input="sum", keep_classifier=True
    )
    assert str(report) == (
        "loaded 110 tensors from a state dict (layout 'moskomule', entry 'state_dict', without "
        "the prefix 'module.')\n"
        "  changed conv1.weight: 3 input channels to 1, 'sum'\n"
        "  changed layer1.0.se.fc1.weight and 7 more: reshaped\n"
        "  filled layer1.0.se.fc1.bias and 7 more: zero, for layout 'moskomule' has none\n"
        "  kept fc.weight and 1 more: the network keeps its classifier\n"
        "  ignored epoch: is beside the weights\n"
        "  ignored module.fc.weight and 1 more: the network keeps its classifier"
    )
    assert (net.layer1[0].se.fc1.bias == 0).all()
