"""The how-to page's code runs, and prints what the page shows."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "weights.md"


def test_the_pages_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.S)
    assert capsys.readouterr().out == shown
