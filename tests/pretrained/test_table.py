import dataclasses
import pickle
import re

import pytest

from seattn.pretrained import get_pretrained_cfg, list_pretrained, table
from seattn.zoo import list_models

NAMES = sorted({name.partition(".")[0] for name in list_pretrained()})


def test_every_network_of_the_table_can_be_built():
    assert set(NAMES) <= set(list_models())


@pytest.mark.parametrize("name", list_pretrained())
def test_every_row_is_found_by_its_tag_and_is_sound(name):
    architecture, _, tag = name.partition(".")
    cfg = get_pretrained_cfg(architecture, tag)
    assert (cfg.architecture, cfg.tag) == (architecture, tag)
    assert re.fullmatch(rf"timm/\w+\.{tag}", cfg.repository)
    assert cfg.file == "model.safetensors"
    assert cfg.num_classes == 1000
    assert cfg.sha256 == table._SHA256.get(cfg.repository)
    assert 0.5 < cfg.crop <= 1
    assert cfg.test_size >= cfg.size


def test_no_two_rows_share_a_repository():
    repositories = [get_pretrained_cfg(*name.split(".")).repository for name in list_pretrained()]
    assert len(set(repositories)) == len(repositories)


def test_every_digest_belongs_to_a_row_in_the_order_of_the_rows():
    repositories = [repository for rows in table._TABLE.values() for repository in rows]
    assert list(table._SHA256) == [name for name in repositories if name in table._SHA256]


def test_every_digest_is_a_sha256_and_no_two_are_equal():
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in table._SHA256.values())
    assert len(set(table._SHA256.values())) == len(table._SHA256)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_is_the_first_and_may_be_used_commercially(name):
    cfg = get_pretrained_cfg(name)
    assert f"{name}.{cfg.tag}" == list_pretrained(f"{name}.*")[0]
    assert "-nc" not in cfg.license


def test_list_pretrained_takes_wildcards():
    assert list_pretrained("efficientnet_b[12].*") == [
        "efficientnet_b1.ra4_e3600_r240_in1k",
        "efficientnet_b1.ft_in1k",
        "efficientnet_b2.ra_in1k",
    ]
    assert list_pretrained("*SE*") == []


def test_an_unknown_tag_lists_those_there_are():
    with pytest.raises(ValueError, match=r"`tag` \(='a9'\).*'se_resnet50': a1_in1k, a2_in1k, a3"):
        get_pretrained_cfg("se_resnet50", "a9")


def test_a_network_without_weights_lists_those_with():
    with pytest.raises(
        ValueError, match=r"`name` \(='se_resnet18'\) has no.*resnet18, .*se_resnet50"
    ):
        get_pretrained_cfg("se_resnet18")


def test_a_configuration_is_a_value():
    cfg = get_pretrained_cfg("resnet18")
    assert pickle.loads(pickle.dumps(cfg)) == cfg == get_pretrained_cfg("resnet18", "a1_in1k")
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.size = 3
