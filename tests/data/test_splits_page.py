"""The page on splits runs, and prints what it shows."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "splits.md"


def test_the_page_prints_what_it_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) == 5
    names = {}
    for code, shown in blocks:
        exec(compile(code, PAGE.name, "exec"), names)
        assert capsys.readouterr().out == shown
