import json
import sys

import pytest
from torch import nn

from benchmarks import identity_insertion
from seattn.surgery import remove_attention


def test_arms_start_where_the_plain_network_stands_or_do_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(identity_insertion, "FRACTIONS", (0.5, 1.0))
    monkeypatch.setattr(identity_insertion, "SOURCE_EPOCHS", 2)
    monkeypatch.setattr(identity_insertion, "EPOCHS", 1)
    record = tmp_path / "rows.jsonl"
    command = ["identity_insertion", "--seeds", "1", "--patients", "54"]
    monkeypatch.setattr(sys, "argv", [*command, "--record", str(record)])
    identity_insertion.main()
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(row["fraction"], row["arm"]) for row in rows] == [
        (fraction, arm) for fraction in (0.5, 1.0) for arm in identity_insertion.ARMS
    ]
    for row in rows:
        assert 0 <= row["auc_after"] <= 1
        if "identity" in row["arm"]:
            assert row["auc_before"] == rows[0]["auc_before"]
    assert rows[2]["auc_before"] != rows[0]["auc_before"]
    assert (rows[0]["patients"], rows[-1]["patients"]) == (9, 18)
    before = record.read_text()
    identity_insertion.main()
    assert record.read_text() == before


@pytest.mark.parametrize("arm", identity_insertion.ARMS)
def test_every_arm_has_its_blocks(arm):
    network = identity_insertion.find("resnet_small").build(in_chans=1, num_classes=2)
    assert isinstance(identity_insertion.with_arm(network, arm), nn.Module)
    assert len(remove_attention(network)) == (0 if arm == "plain" else 4)
