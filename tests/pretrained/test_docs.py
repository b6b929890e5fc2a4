"""The Python on the pages about pretrained networks runs, against the hub on the loopback."""

import hashlib
import re
from pathlib import Path

import pytest
from safetensors.torch import save

from seattn.pretrained import get_pretrained_cfg, list_pretrained, table
from seattn.zoo import create_model

DOCS = Path(__file__).parents[2] / "docs"


def run(page: str) -> None:
    namespace: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S):
        exec(compile(block, page, "exec"), namespace)


def test_the_how_to_runs(hub):
    weights = create_model("se_resnet50").state_dict()
    hub.files["timm/seresnet50.a1_in1k/model.safetensors"] = save(weights)
    run("how-to/pretrained.md")


def test_the_command_for_digests_prints_rows_of_the_table(hub, capsys):
    repositories = [get_pretrained_cfg(*name.split(".")).repository for name in list_pretrained()]
    hub.files = {f"{name}/model.safetensors": name.encode() for name in repositories}
    run("reference/pretrained.md")
    printed = eval(f"{{{capsys.readouterr().out}}}")
    assert printed == {name: hashlib.sha256(name.encode()).hexdigest() for name in repositories}


@pytest.mark.parametrize("page", ["reference/pretrained.md", "explanation/evidence.md"])
def test_the_pages_say_how_many_rows_have_a_digest(page):
    count = f"{len(table._SHA256)} of the {len(list_pretrained())} rows"
    assert count in (DOCS / page).read_text()
